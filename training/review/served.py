"""What a served version answered to the photos of a task, apart from the guesses, which another model may renew."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from scenery.errors import DataError
from scenery.files import replace_text
from scenery.sample import Answer, parse_answer

FILE = "served.json"
"""In a task's folder: ``{"NAME.jpg": {"version": 1, "scores": …, "thresholds": …}}``."""


def write_served(folder: Path, answers: Mapping[str, Answer]) -> None:
    """Write the answers, by the photos' names; raises ``OSError``."""
    told = {name: vars(answer) for name, answer in answers.items()}
    replace_text(folder / FILE, json.dumps(told, indent=1) + "\n")


def read_served(folder: Path) -> dict[str, Answer]:
    """Read the answers; none if the task is not of photos that a proxy kept.

    Raises
    ------
    DataError
        If the file is damaged.
    """
    path = folder / FILE
    try:
        told = json.loads(path.read_text())
        return {str(name): parse_answer(json.dumps(answer)) for name, answer in told.items()}
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, AttributeError) as error:
        raise DataError(
            f"{path} cannot be read: {error}. Move it away to adopt the photos without figures of the version."
        ) from error

"""Golden photos: a folder of some photos, and in ``scores.json`` what the trained network made of them."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path

Golden = dict[Path, list[float]]
"""The scores, one a label, of each photo."""

_SCORES = "scores.json"


def load_golden(folder: Path) -> Golden:
    """Return the photos of a folder and their scores.

    Raises
    ------
    OSError
        If a file is missing or cannot be read.
    ValueError, TypeError, AttributeError
        If ``scores.json`` does not map names of files to scores.
    """
    scores = json.loads((folder / _SCORES).read_text())
    golden = {folder / Path(name).name: [float(each) for each in row] for name, row in scores.items()}
    for photo in golden:
        photo.stat()
    return golden


def write_golden(folder: Path, golden: Mapping[Path, list[float]]) -> None:
    """Copy photos and their scores into a new folder."""
    folder.mkdir()
    for photo in golden:
        shutil.copyfile(photo, folder / photo.name)
    scores = {photo.name: row for photo, row in golden.items()}
    (folder / _SCORES).write_text(json.dumps(scores, indent=1) + "\n")

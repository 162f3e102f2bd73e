"""A training run's folder, as export reads it: the hand-over is this file format, not code."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from export.card import FILE_NAME, read_card
from export.golden import Golden, load_golden
from scenery.errors import ExportError


@dataclass(frozen=True)
class TrainedRun:
    """What ``run.json`` says, and the golden photos beside it."""

    folder: Path
    model_path: Path
    labels: list[str]
    thresholds: list[float]
    size: tuple[int, int]
    pad_to_aspect_ratio: bool
    """Whether photos keep their proportions and are padded, or are stretched to ``size``."""
    metrics: dict[str, Any]
    provenance: dict[str, Any]
    golden: Golden
    """Held-out photos, and the scores that the trained network gave them."""
    card: str | None
    """The model card, Markdown; None if the run has none."""


def read_run(folder: Path) -> TrainedRun:
    """Read a run folder.

    Raises
    ------
    ExportError
        If a file of it is missing or damaged, or the model is named elsewhere; a run may have no model card.
    """
    try:
        run = json.loads((folder / "run.json").read_text())
        height, width = run["size"]
        trained = TrainedRun(
            folder=folder,
            model_path=folder / _plain_name(run["model_path"]),
            labels=run["labels"],
            thresholds=run["thresholds"],
            size=(height, width),
            pad_to_aspect_ratio=run.get("pad_to_aspect_ratio", True),
            metrics=run["metrics"],
            provenance=run["provenance"],
            golden=load_golden(folder / "golden"),
            card=read_card(folder / FILE_NAME),
        )
        trained.model_path.stat()
    except FileNotFoundError as error:
        raise ExportError(
            f"{folder} is no complete training run: {error.filename} is missing. "
            "Name a folder that `scenery train` wrote."
        ) from error
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ExportError(f"{folder} cannot be read as a training run: {error!r}. Train again.") from error
    return trained


def _plain_name(name: str) -> str:
    """Return the name of a file in the run; raises ``ValueError`` if it leads elsewhere."""
    if Path(name).name != name or name in ("", ".."):
        raise ValueError(f"model_path must be a file name without a folder, and is {name!r}")
    return name

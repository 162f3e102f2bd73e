"""The record of a training run: what export needs to know, and what a reader will ask."""

from __future__ import annotations

import dataclasses
import json
import platform
import shutil
import subprocess
from dataclasses import dataclass
from datetime import datetime, timezone
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from scenery.files import replace_text
from training import dataset
from training.dataset import Part, Samples

FILE_NAME = "run.json"
SCORES_FILE = "scores.csv"
"""The score of every photo: its name, its part, and a column for each label."""
SCORE_PREFIX = "score_"
"""Before a label: the name of its column of scores."""


@dataclass(frozen=True)
class Run:
    """What ``run.json`` holds."""

    model_path: str
    """The Keras model, relative to the run folder."""
    labels: list[str]
    thresholds: list[float]
    """A label is given where its score reaches its threshold; chosen on the validation split."""
    size: list[int]
    """Height and width of the network's input, in pixels."""
    metrics: dict[str, Any]
    """For ``validation`` and ``test``: see :func:`training.metrics.evaluate`."""
    provenance: dict[str, Any]
    """Where the model comes from: time, commit, data digests, package versions."""
    pad_to_aspect_ratio: bool = True
    """Whether photos keep their proportions and are padded, or are stretched to ``size``."""

    def write(self, run_dir: Path) -> None:
        """Write ``run.json`` into a run folder."""
        replace_text(run_dir / FILE_NAME, json.dumps(dataclasses.asdict(self), indent=2) + "\n")

    @classmethod
    def read(cls, run_dir: Path) -> Run:
        """Read the ``run.json`` of a run folder.

        Raises
        ------
        OSError, ValueError, TypeError
            If it is missing or damaged.
        """
        return cls(**json.loads((run_dir / FILE_NAME).read_text()))


def write_golden(run_dir: Path, photos: list[Path], scores: npt.NDArray[np.float32]) -> None:
    """Keep copies of some photos and the scores they got: ``golden/`` and ``golden/scores.json``."""
    folder = run_dir / "golden"
    folder.mkdir(exist_ok=True)
    names = [f"{place:03d}-{photo.name}" for place, photo in enumerate(photos)]
    for name, photo in zip(names, photos, strict=True):
        shutil.copyfile(photo, folder / name)
    golden = {name: row.tolist() for name, row in zip(names, scores, strict=False)}
    (folder / "scores.json").write_text(json.dumps(golden, indent=1) + "\n")


def describe_origin(table_name: str, parts: dict[Part, Samples]) -> dict[str, Any]:
    """Describe where a model is about to come from, for its ``provenance``; call it before training."""
    return {
        "trained_at": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "git_commit": _git_commit(),
        "table": table_name,
        "photos": {part: len(samples) for part, samples in parts.items()},
        "data_digest": {part: dataset.digest(samples) for part, samples in parts.items()},
        "python": platform.python_version(),
        "packages": {name: _version(name) for name in ("scenery", "tensorflow", "keras", "numpy", "imgaug")},
    }


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _git_commit() -> str | None:
    command = ["git", "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    try:
        done = subprocess.run(command, cwd=Path(__file__).parent, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return done.stdout.strip()

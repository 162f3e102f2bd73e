"""The model card: what a model is for, what made it, how good it is, and where it fails.

After Mitchell et al. 2019, "Model Cards for Model Reporting" (arXiv:1810.03993). It is written from
the run alone, in Markdown, and travels with the model.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from scenery.files import replace_text
from training.config import DataConfig
from training.dataset import PARTS, read_cells, sources
from training.evaluation import template
from training.evaluation.evaluation import Evaluation
from training.evaluation.slices import UNTOLD, Slice, licence_column
from training.prepare import SPLIT_FILE, TRAINING_FILE
from training.run import Run

FILE_NAME = "model_card.md"

_MOST_ROWS = 9
"""Of licences and slices; a card stays a page or two."""
_MOST_LABELS = 12
"""Of labels, the weakest first; the card stays below 8 KB."""


@dataclass(frozen=True)
class Counts:
    """What the table of photos tells about itself."""

    photos: dict[str, int]
    sources: dict[str, int]
    labels: dict[str, dict[str, int]]
    """Positives of each label, in each part."""
    unlabelled: int
    """Photos without any label."""
    licences: dict[str, int]
    """The commonest first; empty if the table has no such column."""
    more_licences: int
    credited: int
    """Photos whose author is told."""


def write(evaluation: Evaluation, run: Run, run_dir: Path, folder: Path, config: DataConfig) -> None:
    """Write ``model_card.md`` of a run into a folder.

    Raises
    ------
    OSError
        If it cannot be written.
    """
    table = read_cells(run_dir / SPLIT_FILE, config)
    labels = evaluation.weakest_first
    text = template.render(
        "card.md",
        evaluation=evaluation,
        run=run,
        counts=_counts(table, config),
        settings=_settings(run_dir),
        labels=labels[:_MOST_LABELS],
        left_out=max(0, len(labels) - _MOST_LABELS),
        weakest=labels[0],
        fewest=_fewest(evaluation),
        slices=evaluation.slices[:_MOST_ROWS],
        weakest_slice=_weakest_slice(evaluation.slices),
    )
    replace_text(folder / FILE_NAME, text.strip() + "\n")


def _counts(table: pd.DataFrame, config: DataConfig) -> Counts:
    groups = sources(table, config)
    parts = {part: table["part"] == part for part in PARTS}
    column = licence_column(table)
    licences = table[column].fillna(UNTOLD).astype(str).value_counts() if column else pd.Series(dtype=int)
    return Counts(
        photos={part: int(chosen.sum()) for part, chosen in parts.items()},
        sources={part: int(groups[chosen].nunique()) for part, chosen in parts.items()},
        labels={
            label: {part: int(table[label][chosen].sum()) for part, chosen in parts.items()} for label in config.targets
        },
        unlabelled=int((table[config.targets].sum(axis=1) == 0).sum()),
        licences={str(name): int(count) for name, count in licences[:_MOST_ROWS].items()},
        more_licences=max(0, len(licences) - _MOST_ROWS),
        credited=int(table["author"].notna().sum()) if "author" in table else 0,
    )


def _settings(run_dir: Path) -> dict[str, Any]:
    """Return how the network was trained, as far as the run keeps it: numbers, switches and the backbone."""
    try:
        settings = yaml.safe_load((run_dir / TRAINING_FILE).read_text())
    except (OSError, yaml.YAMLError):
        return {}
    return {key: value for key, value in settings.items() if key == "backbone" or isinstance(value, (int, float))}


def _weakest_slice(slices: list[Slice]) -> Slice | None:
    large = [each for each in slices if not each.is_small]
    return min(large, key=lambda each: each.figures["binary_accuracy"] or 0, default=None)


def _fewest(evaluation: Evaluation) -> dict[str, Any]:
    told = evaluation.figures["labels"]
    label = min(told, key=lambda each: told[each]["positives"])
    return {"label": label, "positives": told[label]["positives"]}

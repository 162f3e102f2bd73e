"""The report: one HTML file with everything in it, for people to look at."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from scenery.files import replace_text
from training.evaluation import plots, template
from training.evaluation.evaluation import Evaluation
from training.evaluation.mistakes import Mistake, thumbnail, worst
from training.evaluation.subject import Subject
from training.run import Run

FILE_NAME = "report.html"

MOST_LABELS = 30
"""The labels that are drawn, the weakest; all are in the table. It keeps the file below about 3 MB."""
_PICTURES = 160
_PICTURES_A_KIND = 6
_CONFUSION_LABELS = 15

_NONE = "no label"


@dataclass(frozen=True)
class Picture:
    """A mistake, as it is shown."""

    mistake: Mistake
    image: str | None
    """A data URI; None if the photo cannot be read."""
    link: str | None
    """Where the photo is from, if that is an address of the web."""


@dataclass(frozen=True)
class Detail:
    """A label, drawn."""

    label: str
    curve: str
    histogram: str
    wrongly_given: int
    missed: int
    false_positives: list[Picture]
    false_negatives: list[Picture]


def write(
    evaluation: Evaluation, subject: Subject, folder: Path, run: Run | None = None, history: pd.DataFrame | None = None
) -> None:
    """Write ``report.html``.

    Parameters
    ----------
    run
        The record of the training, where the model is a run's.
    history
        A row an epoch, where the training kept it.

    Raises
    ------
    OSError
        If it cannot be written.
    """
    drawn = evaluation.weakest_first[:MOST_LABELS]
    pictures = max(1, min(_PICTURES_A_KIND, _PICTURES // (2 * len(drawn))))
    shares, rows, columns = _confusion(subject, drawn[:_CONFUSION_LABELS])
    text = template.render(
        FILE_NAME,
        evaluation=evaluation,
        run=run,
        details=[_detail(evaluation, subject, label, pictures) for label in drawn],
        left_out=len(subject.labels) - len(drawn),
        reliability=plots.reliability(evaluation.reliability),
        confusion=plots.confusion(shares, rows, columns),
        confused=list(zip(rows, shares.tolist(), strict=True)),
        curves=None if history is None else plots.training_curves(history),
    )
    replace_text(folder / FILE_NAME, text)


def _detail(evaluation: Evaluation, subject: Subject, label: str, pictures: int) -> Detail:
    place = subject.labels.index(label)
    target, score = subject.targets[:, place], subject.scores[:, place]
    figures = evaluation.figures["labels"][label]
    wrongly_given, missed = evaluation.mistakes(label)
    return Detail(
        label=label,
        curve=plots.precision_recall(target, score, figures["precision"], figures["recall"]),
        histogram=plots.scores_by_truth(target, score, figures["threshold"], label),
        wrongly_given=wrongly_given,
        missed=missed,
        false_positives=[_picture(each) for each in worst(subject, label, False, pictures)],
        false_negatives=[_picture(each) for each in worst(subject, label, True, pictures)],
    )


def _picture(mistake: Mistake) -> Picture:
    link = mistake.credits.get("link", "")
    return Picture(mistake, thumbnail(mistake.path), link if link.startswith(("https://", "http://")) else None)


def _confusion(subject: Subject, labels: list[str]) -> tuple[npt.NDArray[np.float64], list[str], list[str]]:
    """Return, of the photos that have one label, the share that got another: [labels + 1, labels + 1]."""
    places = [subject.labels.index(label) for label in labels]
    truth = _with_none(subject.targets.astype(bool), places)
    given = _with_none(subject.scores >= subject.thresholds, places)
    counts = truth.T @ given
    totals = truth.sum(axis=0)[:, None]
    shares = np.divide(counts, totals, out=np.full(counts.shape, np.nan), where=totals > 0)
    return shares, [*labels, _NONE], [*labels, _NONE]


def _with_none(has: npt.NDArray[Any], places: list[int]) -> npt.NDArray[np.float64]:
    return np.column_stack([has[:, places], ~has.any(axis=1)]).astype(float)

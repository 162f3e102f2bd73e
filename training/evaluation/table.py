"""An evaluation as a table in the terminal."""

from __future__ import annotations

from training.evaluation import template
from training.evaluation.evaluation import Evaluation

_WHOLE = {
    "binary_accuracy": "binary accuracy",
    "exact_match": "exact match",
    "macro_f1": "macro F1",
    "macro_average_precision": "macro average precision",
    "macro_auc": "macro AUC",
    "ece": "calibration error",
}
_SINGLE = ("precision", "recall", "f1", "average_precision", "auc")


_UNKNOWN = "-"
"""What a figure is that cannot be told: a dash, among columns of numbers."""


def table(evaluation: Evaluation) -> str:
    """Write the figures in lines; beside them the range in which they lie in 95 of 100 draws of the photos' sources."""
    figures, bounds = evaluation.figures, evaluation.intervals
    lines = [f"{evaluation.judges} ({evaluation.photos})", ""]
    for name, words in _WHOLE.items():
        lines.append(f"{words:24}{_figure(figures[name]):>6}   {_interval(bounds[name])}")
    if evaluation.folds:
        lines += ["", f"{evaluation.folds.count} folds, all {evaluation.folds.photos} photos: mean and deviation"]
        for name, words in _WHOLE.items():
            spread = evaluation.folds.figures.get(name)
            if spread:
                lines.append(f"{words:24}{_figure(spread.mean):>6} ± {_figure(spread.deviation)}")
    return "\n".join([*lines, "", *_labels(evaluation)])


def _labels(evaluation: Evaluation) -> list[str]:
    told = evaluation.figures["labels"]
    width = max(5, *map(len, told))
    lines = [f"{'label':{width}} positives threshold precision recall     F1     AP    AUC   F1 lies in"]
    for label, figures in told.items():
        precision, recall, f1, average_precision, auc = (_figure(figures[name]) for name in _SINGLE)
        lines.append(
            f"{label:{width}} {figures['positives']:>9} {_figure(figures['threshold']):>9} {precision:>9} {recall:>6} "
            f"{f1:>6} {average_precision:>6} {auc:>6}   {_interval(evaluation.intervals['labels'][label]['f1'])}"
        )
    return lines


def _figure(value: float | None) -> str:
    return template.figure(value, _UNKNOWN)


def _interval(bounds: list[float] | None) -> str:
    return template.interval(bounds, _UNKNOWN)

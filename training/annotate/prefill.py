"""Flags from a model's scores, so that a person only corrects them."""

from __future__ import annotations

from pathlib import Path

from scenery.errors import ConfigurationError, DataError
from training.annotate.labelme import write_annotation
from training.annotate.table import Table
from training.annotate.task import Task, Watch


def prefill(task: Task, table: Table, model: Path, names: list[str], watch: Watch) -> int:
    """Write a model's guess for each of the photos; nothing is confirmed by it.

    A photo that cannot be decoded, or whose file cannot be read, is left to the report.

    Parameters
    ----------
    table
        Labels that it has are not guessed.
    model
        A run folder or a version's folder.

    Returns
    -------
    How many photos were filled in.

    Raises
    ------
    ConfigurationError
        If the folder is no model, or it knows none of the task's labels.
    """
    from training.scorer import load_scorer

    scorer = load_scorer(model)
    if not set(scorer.labels) & set(task.labels):
        raise ConfigurationError(
            f"{model} knows none of the labels {', '.join(task.labels)}. Name another model, or its labels: "
            f"--labels {','.join(scorer.labels)}"
        )
    thresholds = dict(zip(scorer.labels, scorer.thresholds, strict=True))
    filled = 0
    with watch(names) as watched:
        for name in watched:
            photo = task.photo(name)
            try:
                scores = dict(zip(scorer.labels, map(float, scorer.score([photo], 1)[0]), strict=True))
                flags = {label: label in scores and scores[label] >= thresholds[label] for label in task.labels}
                flags |= table.flags(name, task.labels)
                write_annotation(photo, flags, scores, confirmed=False, thresholds=thresholds)
            except DataError:
                continue
            filled += 1
    return filled

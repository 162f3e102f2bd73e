"""Train a classifier: a prepared run folder in, a complete one out.

To what :mod:`training.prepare` wrote, it adds:

``model.keras``       the calibrated network of the best validation loss (or as ``model_path`` says)
``run.json``          labels, thresholds, input size, metrics, provenance: see :mod:`training.run`
``scores.csv``        the score of every photo for every label
``golden/``           some test photos and the scores they got, for whoever checks a served copy
``history.csv``       loss and accuracy of every epoch; ``curves.png`` draws them, ``tensorboard/`` has them too
``report.html``, ``model_card.md``, ``evaluation.json``    how good it is: see :mod:`training.evaluation`
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
import pandas as pd
import tensorflow as tf

from scenery.files import replace_text
from training import calibration, metrics
from training.dataset import PARTS, Part
from training.evaluation.evaluate import evaluate_run
from training.feed import Feed, open_feed
from training.fit import BEST_FILE, CHECKPOINTS, fit
from training.network import SCORES, build_network
from training.prepare import Prepared, read_prepared
from training.progress import draw_curves
from training.run import SCORES_FILE, Run, write_golden

HELD_OUT: tuple[Part, ...] = ("validation", "test")

GOLDEN_PHOTOS = 16

Floats = npt.NDArray[np.float32]


def train(run_dir: Path) -> Run:
    """Train, calibrate and evaluate what ``run_dir`` was prepared for; progress goes to standard output.

    A training that was killed goes on after its last epoch, and comes to the same result.

    Raises
    ------
    ConfigurationError, DataError
        If the folder was not prepared, a photo cannot be decoded, or there is no such backbone.
    """
    started = time.time()
    prepared = read_prepared(run_dir)
    keras.utils.set_random_seed(prepared.training.seed)
    tf.config.experimental.enable_op_determinism()
    parts = prepared.parts
    with ExitStack() as stack:
        feeds = {part: stack.enter_context(open_feed(part, parts[part], prepared.data, run_dir)) for part in PARTS}
        history = _trained(prepared, feeds, run_dir)
        network, scores = _calibrated(prepared, feeds, run_dir)
    network.save(run_dir / prepared.training.model_path)
    run = _record(prepared, scores, time.time() - started)
    run.write(run_dir)
    _write_scores(prepared, scores, run_dir)
    write_golden(run_dir, parts["test"].paths[:GOLDEN_PHOTOS], scores["test"])
    draw_curves(history, run_dir)
    evaluate_run(run_dir)
    _forget_checkpoints(run_dir)
    return run


def _forget_checkpoints(run_dir: Path) -> None:
    """Remove what only a training that goes on needs."""
    shutil.rmtree(run_dir / CHECKPOINTS)
    (run_dir / BEST_FILE).unlink()


def _trained(prepared: Prepared, feeds: dict[Part, Feed], run_dir: Path) -> pd.DataFrame:
    with _precision(prepared.training.mixed_precision):
        network = _build(prepared)
        return fit(network, feeds["train"], feeds["validation"], prepared.training, run_dir)


def _build(prepared: Prepared) -> Any:
    return build_network(prepared.data.size, len(prepared.data.targets), prepared.training)


@contextmanager
def _precision(mixed: bool | None) -> Iterator[None]:
    """Compute in float16 where that is faster; weights, and what is kept, are float32 either way."""
    if mixed is None:
        mixed = bool(tf.config.list_physical_devices("GPU"))
    keras.config.set_dtype_policy("mixed_float16" if mixed else "float32")
    try:
        yield
    finally:
        keras.config.set_dtype_policy("float32")


def _calibrated(prepared: Prepared, feeds: dict[Part, Feed], run_dir: Path) -> tuple[Any, dict[Part, Floats]]:
    """Return the best network with its calibration folded into the last layer, and its scores of every part."""
    network = _build(prepared)
    network.load_weights(run_dir / BEST_FILE)
    raw = network.predict(feeds["validation"].batches(prepared.training), verbose=0)
    found = calibration.fit(prepared.parts["validation"].targets, raw)
    last = network.get_layer(SCORES)
    kernel, bias = last.get_weights()
    last.set_weights([kernel * found.scale, bias * found.scale + found.shift])
    return network, {part: network.predict(feeds[part].batches(prepared.training), verbose=0) for part in PARTS}


def _record(prepared: Prepared, scores: dict[Part, Floats], seconds: float) -> Run:
    parts, labels = prepared.parts, prepared.data.targets
    thresholds = metrics.choose_thresholds(parts["validation"].targets, scores["validation"]).round(4)
    figures: dict[str, Any] = {
        part: metrics.evaluate(parts[part].targets, scores[part], thresholds, labels) for part in HELD_OUT
    }
    return Run(
        model_path=str(prepared.training.model_path),
        labels=labels,
        thresholds=[round(float(threshold), 4) for threshold in thresholds],
        size=list(prepared.data.size),
        pad_to_aspect_ratio=prepared.data.pad_to_aspect_ratio,
        metrics=figures,
        provenance={**prepared.origin, "training_seconds": round(seconds)},
    )


def _write_scores(prepared: Prepared, scores: dict[Part, Floats], run_dir: Path) -> None:
    """Write the score of every photo for every label, in the table's order."""
    columns = [f"score_{label}" for label in prepared.data.targets]
    told = prepared.table[[prepared.data.image_name_col, "part"]].copy()
    told[columns] = np.nan
    for part in PARTS:
        told.loc[told["part"] == part, columns] = scores[part]
    replace_text(run_dir / SCORES_FILE, told.to_csv(index=False, float_format="%.6f"))


if __name__ == "__main__":
    from training.command import train as command

    command()

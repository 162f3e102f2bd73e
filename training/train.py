"""Train a classifier: a prepared run folder in, a complete one out.

To what :mod:`training.prepare` wrote, it adds:

``model.keras``       the calibrated network of the best validation loss (or as ``model_path`` says)
``run.json``          labels, thresholds, input size, metrics, provenance: see :mod:`training.run`
``scores.csv``        the score of every photo for every label
``golden/``           some test photos and the scores they got, for whoever checks a served copy
``history.csv``       loss and accuracy of every epoch; ``curves.png`` draws them, ``tensorboard/`` has them too
"""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from pathlib import Path
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
import pandas as pd
import tensorflow as tf

from scenery.errors import ConfigurationError
from scenery.files import replace_text
from scenery.locks import alone
from scenery.manifest import sha256_of
from training import calibration, metrics
from training.dataset import PARTS, Part
from training.feed import Feed, open_feed
from training.fit import BEST_FILE, CHECKPOINTS, fit
from training.history import HISTORY_FILE
from training.network import SCORES, build_network, choose_trained
from training.prepare import DATA_FILE, ORIGIN_FILE, SPLIT_FILE, TRAINING_FILE, Prepared, read_prepared
from training.progress import draw_curves
from training.run import FILE_NAME, SCORE_PREFIX, SCORES_FILE, Run, write_golden
from training.strategy import ALONE, Workers

HELD_OUT: tuple[Part, ...] = ("validation", "test")

GOLDEN_PHOTOS = 16

Floats = npt.NDArray[np.float32]


def train(run_dir: Path, prepared: Prepared | None = None, workers: Workers = ALONE) -> Run:
    """Train and calibrate what ``run_dir`` was prepared for; progress goes to standard output.

    A training that was killed goes on after its last epoch, and comes to the same result; one that is
    complete is left as it is.

    Parameters
    ----------
    prepared
        What the folder holds, from whoever wrote it just now; else it is read, and its photos verified.
    workers
        Those who train with this process, which is their chief; the others :func:`assist`.

    Raises
    ------
    ConfigurationError, DataError
        If the folder was not prepared, another process trains it, a photo cannot be decoded, there is no such
        backbone, or another worker sees another folder.
    """
    busy = ConfigurationError(f"Another process trains {run_dir}. Wait for it, or end it.")
    is_begun = (run_dir / ORIGIN_FILE).is_file()  # nothing is left in a folder that is none of ours
    with alone(run_dir / ".lock", busy) if is_begun else nullcontext():
        _see_the_same(run_dir, workers)
        if _is_complete(run_dir):
            return Run.read(run_dir)
        return _train(run_dir, prepared or read_prepared(run_dir), workers)


def assist(run_dir: Path, workers: Workers) -> None:
    """Train with the chief of some workers, until it has its network; nothing is written into ``run_dir``.

    Raises
    ------
    ConfigurationError, DataError
        As :func:`train` does, and if the photos are others than the chief's.
    """
    _see_the_same(run_dir, workers)
    if _is_complete(run_dir):
        return
    with ExitStack() as stack:
        own = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        if (run_dir / CHECKPOINTS).is_dir():
            shutil.copytree(run_dir / CHECKPOINTS, own / CHECKPOINTS)
        if (run_dir / HISTORY_FILE).is_file():
            shutil.copy(run_dir / HISTORY_FILE, own)
        _fit(stack, read_prepared(run_dir), own, workers, ("train", "validation"))


def _see_the_same(run_dir: Path, workers: Workers) -> None:
    if workers.count == 1:
        return
    workers.meet()  # the chief has prepared the folder
    workers.agree(_fingerprint(run_dir), run_dir)


def _fingerprint(run_dir: Path) -> bytes:
    """Return a SHA-256 of what a training reads in a run folder, and of how far it has come."""
    names = (ORIGIN_FILE, SPLIT_FILE, DATA_FILE, TRAINING_FILE, FILE_NAME, HISTORY_FILE)
    paths = [run_dir / name for name in names] + sorted((run_dir / CHECKPOINTS).glob("*"))
    digests = [f"{sha256_of(path)} {path.name}\n" for path in paths if path.is_file()]
    return hashlib.sha256("".join(digests).encode()).digest()


def _is_complete(run_dir: Path) -> bool:
    return (run_dir / FILE_NAME).is_file() and not (run_dir / CHECKPOINTS).is_dir()


def _train(run_dir: Path, prepared: Prepared, workers: Workers) -> Run:
    with ExitStack() as stack:
        feeds, history = _fit(stack, prepared, run_dir, workers, PARTS)
        network, scores = _calibrated(prepared, feeds, run_dir)
    network.save(run_dir / prepared.training.model_path)
    _write_scores(prepared, scores, run_dir)
    write_golden(run_dir, prepared.parts["test"].paths[:GOLDEN_PHOTOS], scores["test"])
    draw_curves(history, run_dir)
    run = _record(prepared, scores, float(history["seconds"].sum()))
    run.write(run_dir)  # what says that the rest is there
    _forget_checkpoints(run_dir)
    return run


def _fit(
    stack: ExitStack, prepared: Prepared, folder: Path, workers: Workers, parts: Sequence[Part]
) -> tuple[dict[Part, Feed], pd.DataFrame]:
    """Fit a network into ``folder``; returns the photos of some parts, open as long as the stack, and the history."""
    keras.utils.set_random_seed(prepared.training.seed)
    tf.config.experimental.enable_op_determinism()
    config, samples = prepared.training, prepared.parts
    with _precision(config.mixed_precision):
        network = _build(prepared)
        choose_trained(network, head_only=False, frozen_until=config.frozen_until)  # before photos cost time
        feeds = {part: stack.enter_context(open_feed(part, samples[part], prepared.data, folder)) for part in parts}
        return feeds, fit(network, feeds["train"], feeds["validation"], config, folder, workers)


def _forget_checkpoints(run_dir: Path) -> None:
    """Remove what only a training that goes on needs; killed in between, the run is complete nevertheless."""
    forgotten = (run_dir / CHECKPOINTS).rename(run_dir / ".forgotten")
    shutil.rmtree(forgotten)


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
    calibration.fold(calibration.fit(feeds["validation"].targets, raw), network.get_layer(SCORES))
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
    columns = [f"{SCORE_PREFIX}{label}" for label in prepared.data.targets]
    told = prepared.table[[prepared.data.image_name_col, "part"]].copy()
    told[columns] = np.nan
    for part in PARTS:
        told.loc[told["part"] == part, columns] = scores[part]
    replace_text(run_dir / SCORES_FILE, told.to_csv(index=False, float_format="%.6f"))


if __name__ == "__main__":
    from training.command import train as command

    command()

"""The training itself: the head first, then fine-tuning; an epoch at a time, so that it goes on after a kill.

After each epoch ``checkpoint/`` of the run folder holds the network with its optimizer's state and the weights of the
best validation loss, and ``history.csv`` a row an epoch. An epoch's photos, their order and their
changes depend on the seed and the epoch's number only, so whoever starts from a checkpoint comes to the same
end as whoever was never interrupted.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import keras
import numpy as np
import numpy.typing as npt
import pandas as pd

from scenery.errors import ConfigurationError
from scenery.files import replace_text, replaced
from training import metrics
from training.config import TrainingConfig
from training.feed import Feed
from training.head import start_head
from training.history import HISTORY_FILE
from training.loss import WeightedCrossentropy, label_weights
from training.network import BACKBONE, choose_trained
from training.progress import Board
from training.strategy import ALONE, Workers

CHECKPOINTS = "checkpoint"
BEST_FILE = f"{CHECKPOINTS}/best.weights.h5"

HEAD_RATE_FACTOR = 10
"""How much faster the head is trained while the backbone is frozen."""

_SMALLEST_SCORE = 1e-7


@dataclass(frozen=True)
class Phase:
    """Epochs in which the same layers are trained, with one optimizer."""

    name: str
    first: int
    """The first epoch, counted from 0 over all phases."""
    epochs: int
    rate: float
    """The learning rate of the first step."""

    @property
    def head_only(self) -> bool:
        """Whether the backbone is left alone."""
        return self.name == "head"


def phases_of(config: TrainingConfig) -> list[Phase]:
    """Return the phases of a training, those without an epoch left out."""
    head = Phase("head", 0, config.head_epochs, config.initial_learning_rate * HEAD_RATE_FACTOR)
    whole = Phase("all", config.head_epochs, config.epochs, config.initial_learning_rate)
    return [phase for phase in (head, whole) if phase.epochs]


def fit(
    network: Any, training: Feed, validation: Feed, config: TrainingConfig, run_dir: Path, workers: Workers = ALONE
) -> pd.DataFrame:
    """Train a network, from its last checkpoint in ``run_dir`` if there is one; ``best.weights.h5`` is the result.

    Several workers each have a ``run_dir`` of their own, with the same checkpoint and history, or none.

    Returns
    -------
    The history: a row an epoch.

    Raises
    ------
    ConfigurationError
        If the configuration names a layer that the backbone does not have, or the loss is no number any more.
    """
    (run_dir / CHECKPOINTS).mkdir(exist_ok=True)
    done, network = _restore(network, run_dir)
    workers.meet()  # all have read what the chief writes anew from here on
    if not done:
        click.echo("the head: a logistic regression a label on what the backbone sees")
        start_head(network, training, config)
    history = _History(run_dir, done)
    board = Board(run_dir)
    for phase in phases_of(config):
        choose_trained(network, phase.head_only, config.frozen_until)
        for epoch in range(max(done, phase.first), phase.first + phase.epochs):
            if workers.chief_says(history.has_stopped(phase, config.stop_patience)):
                break
            if epoch == phase.first:
                click.echo(f"training {'the head' if phase.head_only else 'the whole network'}: {phase.epochs} epochs")
                compile_for(network, training, config, phase)
            row = _train_epoch(network, training, validation, config, phase, epoch, workers)
            _require_number(row)
            if history.is_best(row):
                with _averaged(network, config), replaced(run_dir / BEST_FILE) as staged:
                    network.save_weights(staged)
            history.add(row)
            board.add(epoch, row)
            _checkpoint(network, run_dir, epoch)
    board.close()
    return history.table()


def log_loss(targets: npt.NDArray[np.float32], scores: npt.NDArray[np.float32]) -> float:
    """Return the mean binary cross-entropy over all photos and labels, in nats."""
    sure = np.clip(scores.astype(np.float64), _SMALLEST_SCORE, 1 - _SMALLEST_SCORE)
    return float(-(targets * np.log(sure) + (1 - targets) * np.log1p(-sure)).mean())


def compile_for(network: Any, training: Feed, config: TrainingConfig, phase: Phase) -> None:
    """Give a network the optimizer and the loss of a phase."""
    steps = -(-len(training.pixels) // config.batch_size) * phase.epochs
    network.compile(
        optimizer=keras.optimizers.AdamW(
            keras.optimizers.schedules.CosineDecay(phase.rate, steps),
            weight_decay=config.weight_decay,
            use_ema=config.average_weights > 0,
            ema_momentum=config.average_weights or None,
        ),
        loss=WeightedCrossentropy(label_weights(training.targets, config.class_balance), config.label_smoothing),
        metrics=["binary_accuracy"],
        jit_compile=False,  # XLA is several times slower than TensorFlow's own kernels for this network on CPUs
    )


def _train_epoch(
    network: Any,
    training: Feed,
    validation: Feed,
    config: TrainingConfig,
    phase: Phase,
    epoch: int,
    workers: Workers = ALONE,
) -> dict[str, Any]:
    workers.take_the_chiefs(network)
    seed_dropout(network, config.seed, epoch, workers.index)
    started = time.perf_counter()
    own = _OwnWeights()
    fitted = workers.averaging(network).fit(
        workers.share(training.epoch(config, epoch)),
        initial_epoch=epoch,
        epochs=epoch + 1,
        shuffle=False,  # the batches come shuffled
        verbose=1 if sys.stdout.isatty() else 0,
        callbacks=[own],
    )
    own.restore()
    seconds = time.perf_counter() - started
    with _averaged(network, config):
        scores = _scores(network, validation, config, workers)
    row = {
        "epoch": epoch,
        "phase": phase.name,
        **{name: workers.mean_figure(values[0]) for name, values in fitted.history.items()},
        **_judge(validation.targets, scores),
        "learning_rate": float(network.optimizer.learning_rate),
        "seconds": round(seconds, 2),
    }
    click.echo(
        f"epoch {epoch + 1:3}: loss {row['loss']:.4f}, validation loss {row['val_loss']:.4f}, "
        f"average precision {row['val_average_precision'] or 0:.3f}, {seconds:.0f} s"
    )
    return row


def _scores(network: Any, feed: Feed, config: TrainingConfig, workers: Workers) -> npt.NDArray[np.float32]:
    """Score all photos of a feed, each worker its part."""
    rows = workers.part(len(feed.targets))
    scores = np.zeros_like(feed.targets)
    if len(rows):
        scores[rows] = network.predict(feed.batches(config, rows), verbose=0)
    return workers.total(scores)


def _require_number(row: dict[str, Any]) -> None:
    if not np.isfinite([row["loss"], row["val_loss"]]).all():
        raise ConfigurationError(
            f"In epoch {row['epoch'] + 1} the loss is no number any more. Lower initial_learning_rate. "
            f"Received: {row['loss']}, on the validation part {row['val_loss']}"
        )


def _judge(targets: npt.NDArray[np.float32], scores: npt.NDArray[np.float32]) -> dict[str, float | None]:
    return {
        "val_loss": log_loss(targets, scores),
        "val_binary_accuracy": float(((scores >= 0.5) == targets.astype(bool)).mean()),
        "val_average_precision": metrics.macro_average_precision(targets, scores),
    }


def seed_dropout(network: Any, seed: int, epoch: int, worker: int = 0) -> None:
    """Have dropout draw what belongs to an epoch and a worker, whatever was drawn before; no saved network keeps it."""
    layers = [*network.layers, *network.get_layer(BACKBONE).layers]
    drawing = [layer.seed_generator for layer in layers if hasattr(layer, "seed_generator")]
    for place, generator in enumerate(drawing):
        key = [seed, epoch, place, worker] if worker else [seed, epoch, place]
        first, second = np.random.default_rng(key).integers(2**31, size=2)
        generator.state.assign([first, second])


class _OwnWeights(keras.callbacks.Callback):  # type: ignore[misc]
    """Keeps the weights of the last step: Keras's ``fit`` ends by putting their average in their place."""

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:  # noqa: ARG002  Keras's signature
        """Keep them."""
        self._values = [variable.numpy() for variable in self.model.trainable_variables]

    def restore(self) -> None:
        """Put them back."""
        for variable, value in zip(self.model.trainable_variables, self._values, strict=True):
            variable.assign(value)


@contextmanager
def _averaged(network: Any, config: TrainingConfig) -> Iterator[None]:
    """Have the network carry the moving average of its weights, if there is one, and then its own again."""
    if not config.average_weights:
        yield
        return
    own = [variable.numpy() for variable in network.trainable_variables]
    network.optimizer.finalize_variable_values(network.trainable_variables)
    try:
        yield
    finally:
        for variable, value in zip(network.trainable_variables, own, strict=True):
            variable.assign(value)


def _checkpoint(network: Any, run_dir: Path, epoch: int) -> None:
    """Keep the network with its optimizer; the checkpoint before goes only when this one is whole."""
    folder = run_dir / CHECKPOINTS
    before = _checkpoints(folder)
    with replaced(folder / f"epoch-{epoch:05d}.keras") as staged:
        network.save(staged)
    for path in before:
        path.unlink(missing_ok=True)


def _checkpoints(folder: Path) -> list[Path]:
    return sorted(folder.glob("epoch-*.keras"))


def _restore(network: Any, run_dir: Path) -> tuple[int, Any]:
    """Return how many epochs are done, and the network as it was after them."""
    saved = _checkpoints(run_dir / CHECKPOINTS)
    if not saved:
        return 0, network
    done = 1 + int(saved[-1].stem.removeprefix("epoch-"))
    click.echo(f"going on after epoch {done}")
    return done, keras.models.load_model(saved[-1])


class _History:
    """``history.csv``: the rows of the epochs that a checkpoint stands for."""

    def __init__(self, run_dir: Path, done: int) -> None:
        self._path = run_dir / HISTORY_FILE
        kept = _read_exactly(self._path) if done else pd.DataFrame({"epoch": []})
        # A kill between the row and the checkpoint leaves a row too many.
        self._rows = kept[kept["epoch"] < done].to_dict("records")

    def is_best(self, row: dict[str, Any]) -> bool:
        return all(row["val_loss"] < other["val_loss"] for other in self._rows)

    def has_stopped(self, phase: Phase, patience: int) -> bool:
        losses = [row["val_loss"] for row in self._rows if row["phase"] == phase.name]
        return len(losses) > patience and min(losses[-patience:]) > min(losses[:-patience])

    def add(self, row: dict[str, Any]) -> None:
        self._rows.append(row)
        replace_text(self._path, self.table().to_csv(index=False))

    def table(self) -> pd.DataFrame:
        table: pd.DataFrame = pd.DataFrame(self._rows)
        return table


def _read_exactly(path: Path) -> pd.DataFrame:
    """Read a history to the last bit of every float, which not every pandas does by itself."""
    texts = pd.read_csv(path, dtype=str)
    exact: pd.DataFrame = texts.astype({**dict.fromkeys(texts.columns, float), "epoch": int, "phase": str})
    return exact

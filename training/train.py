"""Train a classifier: a table of photos and two YAML files in, a run folder out.

A run folder holds everything that later steps read, so that they need nothing else:

``model.keras``       the network of the best validation loss (or as ``model_path`` says)
``run.json``          labels, thresholds, input size, metrics, provenance: see :mod:`training.run`
``golden/``           some test photos and the scores they got, for whoever checks a served copy
``split.csv``         the table, with the part of every photo
``history.csv``       loss and accuracy of every epoch
``curves.png``        the same, drawn
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

import click
import keras
import numpy as np
import pandas as pd
import tensorflow as tf

from scenery import preprocess
from training import dataset, metrics
from training.augment import augment
from training.config import DataConfig, TrainingConfig, load_data_config, load_training_config
from training.dataset import Part, Samples
from training.network import build_network, freeze_backbone
from training.run import Run, describe_origin, write_golden

HELD_OUT: tuple[Part, ...] = ("validation", "test")

GOLDEN_PHOTOS = 16

HEAD_RATE_FACTOR = 10
"""How much faster the head is trained while the backbone is frozen."""


def train(csv_path: Path, data_config_path: Path, training_config_path: Path, run_dir: Path) -> Run:
    """Train, evaluate on the held-out split and write ``run_dir``; progress goes to standard output.

    Raises
    ------
    ConfigurationError, DataError
        Before anything is trained, if a file is not as it must be.
    """
    started = time.time()
    data_config = load_data_config(data_config_path)
    config = load_training_config(training_config_path)
    table = dataset.read_table(csv_path, data_config)
    table["part"] = dataset.split(table, data_config, config.seed)
    run_dir.mkdir(parents=True, exist_ok=True)
    table.to_csv(run_dir / "split.csv", index=False)

    keras.utils.set_random_seed(config.seed)
    parts = {part: dataset.samples_of(table[table["part"] == part], data_config) for part in dataset.PARTS}
    origin = describe_origin(csv_path, parts)
    pixels = {part: _decode(part, samples, data_config) for part, samples in parts.items()}
    network = build_network(data_config.size, len(data_config.targets), config.backbone_weights, dropout=config.dropout)
    model_path = run_dir / config.model_path
    history = _fit(network, pixels, parts, config, model_path)
    history.to_csv(run_dir / "history.csv", index_label="epoch")
    network = keras.models.load_model(model_path)

    scores = {part: _predict(network, pixels[part], config.batch_size) for part in HELD_OUT}
    thresholds = metrics.choose_thresholds(parts["validation"].targets, scores["validation"]).round(4)
    figures: dict[str, Any] = {
        part: metrics.evaluate(parts[part].targets, scores[part], thresholds, data_config.targets) for part in scores
    }
    run = Run(
        model_path=str(config.model_path),
        labels=data_config.targets,
        thresholds=[round(float(threshold), 4) for threshold in thresholds],
        size=list(data_config.size),
        metrics=figures,
        provenance={**origin, "training_seconds": round(time.time() - started)},
    )
    run.write(run_dir)
    write_golden(run_dir, parts["test"].paths[:GOLDEN_PHOTOS], scores["test"])
    _draw_curves(history, run_dir / "curves.png")
    return run


def _decode(part: str, samples: Samples, config: DataConfig) -> Any:
    with click.progressbar(samples.paths, label=f"reading {part:10}", width=30) as paths:
        return dataset.decode_photos(paths, len(samples), config.size)


def _fit(network: Any, pixels: Any, parts: Any, config: TrainingConfig, model_path: Path) -> pd.DataFrame:
    """Train the head alone, then everything, keeping the best; returns one row an epoch."""
    validation = _batches(pixels["validation"], parts["validation"].targets, config, training=False)
    training = _batches(pixels["train"], parts["train"].targets, config, training=True)
    best = keras.callbacks.ModelCheckpoint(model_path, monitor="val_loss", save_best_only=True)
    phases = [(config.head_epochs, True), (config.epochs, False)]
    histories: list[pd.DataFrame] = []
    for epochs, head_only in phases:
        if not epochs:
            continue
        freeze_backbone(network, frozen=head_only)
        rate = config.initial_learning_rate * (HEAD_RATE_FACTOR if head_only else 1)
        network.compile(
            optimizer=keras.optimizers.Adam(rate),
            loss="binary_crossentropy",
            metrics=["binary_accuracy"],
            jit_compile=False,  # XLA is several times slower than TensorFlow's own kernels for this network on CPUs
        )
        click.echo(f"training {'the head' if head_only else 'the whole network'} for up to {epochs} epochs")
        fitted = network.fit(
            training,
            validation_data=validation,
            epochs=epochs,
            shuffle=False,  # the batches come shuffled
            verbose=1 if sys.stdout.isatty() else 2,
            callbacks=[best, *_patience(config)],
        )
        histories.append(pd.DataFrame(fitted.history).assign(phase="head" if head_only else "all"))
    history: pd.DataFrame = pd.concat(histories, ignore_index=True)
    return history


def _patience(config: TrainingConfig) -> list[Any]:
    return [
        keras.callbacks.ReduceLROnPlateau(monitor="val_loss", factor=0.3, patience=config.plateau_patience),
        keras.callbacks.EarlyStopping(monitor="val_loss", patience=config.stop_patience),
    ]


def _batches(pixels: Any, targets: Any, config: TrainingConfig, training: bool) -> Any:
    """Feed scaled batches, the last one of an epoch included; for training shuffled and augmented."""
    places = tf.data.Dataset.range(len(pixels))
    if training:
        places = places.shuffle(len(pixels), seed=config.seed, reshuffle_each_iteration=True)
    batches = places.batch(config.batch_size)
    random = np.random.default_rng(config.seed)

    def load(chosen: Any) -> Any:
        images = pixels[chosen]
        if not (training and config.use_augmentation):
            return images
        return augment(images, seed=int(random.integers(2**31)), probability=config.augmentation_probability)

    def batch(chosen: Any) -> Any:
        images = tf.ensure_shape(tf.numpy_function(load, [chosen], tf.uint8), [None, *pixels.shape[1:]])
        return preprocess.scale(images), tf.gather(targets, chosen)

    return batches.map(batch).prefetch(2)


def _predict(network: Any, pixels: Any, batch_size: int) -> Any:
    return network.predict(preprocess.scale(pixels), batch_size=batch_size, verbose=0)


def _draw_curves(history: pd.DataFrame, path: Path) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 4), layout="constrained")
    for axes, name in zip(figure.subplots(1, 2), ("loss", "binary_accuracy"), strict=True):
        axes.plot(history.index + 1, history[name], label="training")
        axes.plot(history.index + 1, history[f"val_{name}"], label="validation")
        axes.set(xlabel="epoch", title=name.replace("_", " "))
        axes.legend()
    figure.savefig(path)


if __name__ == "__main__":
    from training.command import train as command

    command()

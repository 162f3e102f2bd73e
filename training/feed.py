"""Photos for the training step: decoded once, shuffled and augmented while the step before runs."""

from __future__ import annotations

import math
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import keras
import numpy as np
import numpy.typing as npt

from scenery import preprocess
from scenery.errors import ConfigurationError
from training.augment import augment
from training.config import DataConfig, TrainingConfig
from training.dataset import Samples, decode_photos

PREFETCHED_BATCHES = 4
PARALLEL_BATCHES = 2
"""Batches that are augmented at a time; NumPy and OpenCV let go of Python's lock while they work."""

Pixels = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Feed:
    """Photos of one part, decoded: ``pixels`` uint8 [n, height, width, 3], ``targets`` float32 [n, labels]."""

    pixels: Pixels
    targets: npt.NDArray[np.float32]

    def batches(self, config: TrainingConfig, rows: npt.NDArray[np.int64] | None = None) -> Batches:
        """Return scaled batches of some rows, or of all in the table's order."""
        return Batches(self, config, np.arange(len(self.pixels)) if rows is None else rows)

    def epoch(self, config: TrainingConfig, number: int, most: int | None = None) -> Batches:
        """Return the shuffled, augmented batches of one epoch, of ``most`` photos; the same number gives the same ones.

        So a training that goes on after a kill sees what it would have seen.
        """
        order = np.random.default_rng([config.seed, number]).permutation(len(self.pixels))
        return Batches(self, config, order[:most], number if config.use_augmentation else None)


class Batches(keras.utils.PyDataset):  # type: ignore[misc]
    """Batches of an epoch in a given order, the rest of the last one included; made ahead, some at a time."""

    def __init__(
        self, feed: Feed, config: TrainingConfig, order: npt.NDArray[np.int64], augmented: int | None = None
    ) -> None:
        super().__init__(workers=PARALLEL_BATCHES, max_queue_size=PREFETCHED_BATCHES)
        self._feed = feed
        self._config = config
        self._order = order
        self._augmented = augmented

    @property
    def targets(self) -> npt.NDArray[np.float32]:
        """The labels of all photos, in the order of the batches: float32 [n, labels]."""
        return self._feed.targets[self._order]

    def __len__(self) -> int:
        return math.ceil(len(self._order) / self._config.batch_size)

    def __getitem__(self, number: int) -> tuple[Any, npt.NDArray[np.float32]]:
        """Return float32 [n, height, width, 3] in [-1, 1], and float32 [n, labels]."""
        config = self._config
        chosen = self._order[number * config.batch_size : (number + 1) * config.batch_size]
        images, targets = self._feed.pixels[chosen], self._feed.targets[chosen]
        if self._augmented is None:
            return preprocess.scale(images), targets
        random = np.random.default_rng([config.seed, self._augmented, number])
        images = augment(images, int(random.integers(2**31)), config.augmentation_probability, config.augmentation)
        return _mixed(preprocess.scale(images), targets, config.mixup, random)


class Share(keras.utils.PyDataset):  # type: ignore[misc]
    """The rows of each batch that one of several workers trains on, weighted.

    The weights are such that the mean, over the workers, of the weighted mean loss is the mean loss of the batch. Who
    is left without a row of the last batch gets one that weighs nothing: all workers take the same number of steps.
    """

    def __init__(self, batches: Batches, index: int, count: int) -> None:
        super().__init__(workers=PARALLEL_BATCHES, max_queue_size=PREFETCHED_BATCHES)
        self._batches = batches
        self._index = index
        self._count = count

    def __len__(self) -> int:
        return len(self._batches)

    def __getitem__(self, number: int) -> tuple[Any, npt.NDArray[np.float32], npt.NDArray[np.float32]]:
        """Return images and targets as the batch has them, and float32 [n]: their weights."""
        images, targets = self._batches[number]
        rows = np.arange(len(targets))[self._index :: self._count]
        weight = self._count * len(rows) / len(targets)
        rows = rows if len(rows) else np.zeros(1, np.int64)
        return np.asarray(images)[rows], targets[rows], np.full(len(rows), weight, np.float32)


def _mixed(
    images: Any, targets: npt.NDArray[np.float32], alpha: float, random: np.random.Generator
) -> tuple[Any, npt.NDArray[np.float32]]:
    """Blend each photo, and its labels, with another one of the batch."""
    if not alpha:
        return images, targets
    shares = random.beta(alpha, alpha, len(targets)).astype(np.float32)
    others = random.permutation(len(targets))
    images = np.asarray(images)
    blended = images + (1 - shares[:, None, None, None]) * (images[others] - images)
    return blended, targets + (1 - shares[:, None]) * (targets[others] - targets)


@contextmanager
def open_feed(name: str, samples: Samples, config: DataConfig, folder: Path) -> Iterator[Feed]:
    """Decode photos with the very function that the exported graph runs, with a progress bar.

    The pixels, 150 KB a photo at 224 × 224, lie in a file of ``folder`` that has no name and is gone with the
    process: the system keeps in memory what it can of it.

    Raises
    ------
    DataError
        Naming the photo that cannot be decoded.
    ConfigurationError
        If there is no room for the pixels.
    """
    shape = (len(samples), *config.size, 3)
    with tempfile.TemporaryFile(dir=folder) as file:
        _reserve(file.fileno(), math.prod(shape), folder)
        pixels: Pixels = np.memmap(file, np.uint8, "r+", shape=shape)
        with click.progressbar(
            length=len(samples), label=f"reading {name:10}", width=30, file=sys.stderr, hidden=not sys.stderr.isatty()
        ) as bar:
            decode_photos(samples.paths, config.size, config.pad_to_aspect_ratio, pixels, bar.update)
        yield Feed(pixels, samples.targets)


def _reserve(descriptor: int, count: int, folder: Path) -> None:
    """Take the room on the disk now: a file that is mapped cannot tell later that there is none."""
    try:
        os.posix_fallocate(descriptor, 0, count)
    except OSError as error:
        raise ConfigurationError(
            f"{folder} has no room for {count / 1e9:.1f} GB of decoded photos ({error.strerror}). "
            "Name a folder on another disk with --run-dir."
        ) from error

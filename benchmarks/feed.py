"""Whether the training step waits for photos: seconds of an epoch against those of its steps alone.

The steps alone run on one batch that is there already; the epochs read, augment and feed as a training does, by
the shipped configuration. Both take turns, because machines are noisy.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import keras
import numpy as np

from training import dataset
from training.config import load_data_config, load_training_config
from training.feed import Batches, open_feed
from training.fit import compile_for, phases_of
from training.network import build_network, choose_trained


def main() -> None:
    """Measure and print; ``--json`` for scripts."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=int, default=192, help="In an epoch.")
    parser.add_argument("--rounds", type=int, default=3, help="Epochs of each kind.")
    parser.add_argument("--json", action="store_true", help="Print seconds and ratios as JSON.")
    arguments = parser.parse_args()
    data = load_data_config(Path("examples/data_config.yaml"))
    config = load_training_config(Path("examples/training_config.yaml"))
    table = dataset.read_table(Path("examples/photos/data.csv"), data).head(arguments.photos)
    told = {}
    samples = dataset.samples_of(table, data)
    with tempfile.TemporaryDirectory() as folder, open_feed("train", samples, data, Path(folder)) as feed:
        for phase in phases_of(config):
            network = build_network(data.size, len(data.targets), config)
            choose_trained(network, phase.head_only, config.frozen_until)
            compile_for(network, feed, config, phase)
            told[phase.name] = compare(network, feed, config, arguments.rounds)
    for name, seconds in told.items():
        if not arguments.json:
            print(
                f"{name:5} epoch {seconds['epoch']:6.2f} s, steps {seconds['steps']:6.2f} s, {seconds['ratio']:.2f} x"
            )
    if arguments.json:
        print(json.dumps(told))


class Repeated(keras.utils.PyDataset):  # type: ignore[misc]
    """The shapes of an epoch's batches, over and over the same photos, which cost nothing."""

    def __init__(self, batches: Batches) -> None:
        super().__init__()
        self._sizes = [len(batches[place][1]) for place in range(len(batches))]
        images, self._targets = batches[0]
        self._images = np.asarray(images)

    def __len__(self) -> int:
        return len(self._sizes)

    def __getitem__(self, place: int) -> Any:
        return self._images[: self._sizes[place]], self._targets[: self._sizes[place]]


def compare(network: Any, feed: Any, config: Any, rounds: int) -> dict[str, float]:
    """Return the median seconds of an epoch and of its steps, and their ratio; the first round only warms up."""
    repeated = Repeated(feed.epoch(config, 0))
    seconds: dict[str, list[float]] = {"epoch": [], "steps": []}
    for number in range(rounds + 1):
        for name, batches in (("epoch", feed.epoch(config, number)), ("steps", repeated)):
            started = time.perf_counter()
            network.fit(batches, shuffle=False, verbose=0)
            if number:
                seconds[name].append(time.perf_counter() - started)
    medians = {name: statistics.median(each) for name, each in seconds.items()}
    return {**medians, "ratio": medians["epoch"] / medians["steps"]}


if __name__ == "__main__":
    main()

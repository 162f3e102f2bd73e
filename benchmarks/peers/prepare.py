"""Write what the peers serve, and what the Keras network says: ``python -m benchmarks.peers.prepare --help``.

Into the folder go ``model.keras``, ``plain/1`` (``model.export``, with variables), and ``reference.json``: labels,
thresholds, and the network's scores of every photo of the evaluation set, decoded as evaluation decodes them.
"""

from __future__ import annotations

import argparse
import csv
import json
import sys
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from benchmarks.peers.network import Array, rebuilt
from benchmarks.server import SHIPPED
from export.golden import load_golden
from scenery import preprocess
from scenery.errors import ExportError, SceneryError
from scenery.loaded import LoadedVersion
from training.config import load_data_config

DATA_CONFIG = Path("examples/data_config.yaml")
EVALUATION = Path("examples/photos/evaluation.csv")
PHOTOS = Path("examples/photos/images")
GOLDEN = SHIPPED / "assets.extra" / "golden"
TOLERANCE = 1e-4
"""By how much the network's scores may differ from those kept with the version that is served."""

Score = Callable[[Iterable[Path]], Array]


def main() -> int:
    """Write the folder; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="Where to write.")
    parser.add_argument("--run", type=Path, help="The training run that the served version was exported from.")
    arguments = parser.parse_args()
    try:
        prepare(arguments.folder, arguments.run)
    except SceneryError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def prepare(folder: Path, run: Path | None) -> None:
    """Write the folder; raises :class:`ExportError` if the network is not that of the served version."""
    data = load_data_config(DATA_CONFIG)
    with LoadedVersion(SHIPPED) as version:
        description = version.describe()
        network = rebuilt(version, data.size, len(description.labels)) if run is None else _of_run(run)
    # Compiled once: operation by operation it takes many times as long.
    decode = tf.function(partial(preprocess.decode, size=data.size, pad_to_aspect_ratio=data.pad_to_aspect_ratio))

    def score(photos: Iterable[Path]) -> Array:
        pixels = [preprocess.scale(decode(tf.io.read_file(str(photo)))) for photo in photos]
        scores: Array = network.predict(tf.stack(pixels), verbose=0)
        return scores

    _require_same(score)
    network.save(folder / "model.keras")
    network.export(folder / "plain" / "1", verbose=False)
    with EVALUATION.open() as table:
        names = [row["name"] for row in csv.DictReader(table)]
    scores = dict(zip(names, score(map(PHOTOS.joinpath, names)).tolist(), strict=True))
    reference = {"labels": description.labels, "thresholds": description.thresholds, "scores": scores}
    (folder / "reference.json").write_text(json.dumps(reference))


def _of_run(run: Path) -> keras.Model:
    model_path = run / json.loads((run / "run.json").read_text())["model_path"]
    return keras.models.load_model(model_path)


def _require_same(score: Score) -> None:
    """Compare with what the trained network made of the golden photos that came with the version."""
    golden = load_golden(GOLDEN)
    difference = float(np.abs(score(golden) - np.array(list(golden.values()))).max())
    if difference > TOLERANCE:
        raise ExportError(
            f"The network's scores of golden photos differ by {difference:.4f} from those that came with {SHIPPED}. "
            "With --run, name the run that it was exported from."
        )


if __name__ == "__main__":
    sys.exit(main())

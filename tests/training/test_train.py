"""The training program, really run."""

from __future__ import annotations

import json
from pathlib import Path

import keras
import numpy as np
import pandas as pd
import pytest

from scenery.errors import ConfigurationError
from tests.conftest import TRAINING_PHOTOS
from training.network import BACKBONE, build_network, freeze_backbone

WEIGHTS = str(Path(__file__).parents[2] / "training/weights/mobilenet_v2_imagenet_no_top.weights.h5")


@pytest.fixture(scope="module")
def run(run_dir):
    return json.loads((run_dir / "run.json").read_text())


def test_the_run_folder_is_complete(run_dir, run):
    """Everything that later steps and readers need is there."""
    for name in ("best.keras", "run.json", "split.csv", "history.csv", "curves.png", "golden/scores.json"):
        assert (run_dir / name).stat().st_size > 0
    assert run["labels"] == ["beach", "city", "sunset", "trees"]
    assert run["size"] == [96, 96]
    assert all(0 < threshold < 1 for threshold in run["thresholds"])
    assert set(run["metrics"]) == {"validation", "test"}
    assert len(run["provenance"]["data_digest"]["test"]) == 64
    assert run["provenance"]["packages"]["tensorflow"]


def test_every_photo_has_its_part(run_dir, run):
    """No photo is dropped, and the record agrees with the table."""
    parts = pd.read_csv(run_dir / "split.csv")["part"].value_counts().to_dict()
    assert sum(parts.values()) == TRAINING_PHOTOS
    assert parts == run["provenance"]["photos"]


def test_both_phases_are_in_the_history(run_dir):
    """The head is trained first, then everything."""
    history = pd.read_csv(run_dir / "history.csv")
    assert list(history["phase"]) == ["head", "all"]
    assert np.isfinite(history["val_loss"]).all()


def test_golden_scores_are_those_of_the_model(run_dir):
    """The scores kept beside the golden photos come from the saved model."""
    from scenery import preprocess
    from training import dataset

    golden = json.loads((run_dir / "golden/scores.json").read_text())
    photos = [run_dir / "golden" / name for name in golden]
    pixels = dataset.decode_photos(photos, len(photos), (96, 96))
    scores = keras.models.load_model(run_dir / "best.keras").predict(preprocess.scale(pixels), verbose=0)
    np.testing.assert_allclose(scores, list(golden.values()), atol=1e-5)


def test_what_is_trained_in_each_phase():
    """The head alone, then the convolutions too, and never the batch normalisation."""
    network = build_network((96, 96), 3, WEIGHTS, dropout=0.5)
    backbone = network.get_layer(BACKBONE)
    freeze_backbone(network, frozen=True)
    assert len(network.trainable_weights) == 2
    freeze_backbone(network, frozen=False)
    assert len(network.trainable_weights) == 2 + 52
    norms = [layer for layer in backbone.layers if isinstance(layer, keras.layers.BatchNormalization)]
    assert norms
    assert not any(layer.trainable for layer in norms)


def test_weights_that_are_none_are_named(tmp_path):
    """A file that holds no weights is an error that names it."""
    (tmp_path / "weights.csv").write_text("no weights")
    with pytest.raises(ConfigurationError, match=r"weights\.csv cannot be loaded"):
        build_network((96, 96), 3, str(tmp_path / "weights.csv"), dropout=0.5)


def test_batches_obey_the_configuration_and_drop_no_tail():
    """A batch has the configured size, the last one what is left, and every photo comes once an epoch."""
    from training.config import TrainingConfig
    from training.train import _batches

    config = TrainingConfig(False, 4, 1, 1e-4, Path("m.keras"))
    pixels = np.arange(10, dtype=np.uint8).reshape(10, 1, 1, 1).repeat(3, -1)
    targets = np.arange(10, dtype=np.float32)[:, None]
    epoch = [batch_targets.numpy().ravel() for _, batch_targets in _batches(pixels, targets, config, training=True)]
    assert [len(batch) for batch in epoch] == [4, 4, 2]
    assert sorted(np.concatenate(epoch)) == list(range(10))
    assert list(np.concatenate(epoch)) != list(range(10))

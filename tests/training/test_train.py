"""The training program, really run."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pandas as pd
import pytest

from scenery.errors import ConfigurationError
from tests.conftest import TRAINING_PHOTOS
from tests.processes import ROOT
from training.config import TrainingConfig
from training.network import BACKBONE, build_network, choose_trained

WEIGHTS = str(ROOT / "training/weights/mobilenet_v2_imagenet_no_top.weights.h5")
CONFIG = TrainingConfig(
    use_augmentation=False,
    batch_size=4,
    epochs=1,
    initial_learning_rate=1e-4,
    model_path=Path("m.keras"),
    backbone_weights=WEIGHTS,
)


@pytest.fixture(scope="module")
def run(run_dir):
    return json.loads((run_dir / "run.json").read_text())


def test_the_run_folder_is_complete(run_dir, run):
    """Everything that later steps and readers need is there."""
    configuration = ("data_config.yaml", "training_config.yaml", "origin.json", "split.csv")
    result = ("best.keras", "run.json", "scores.csv", "history.csv", "curves.png", "golden/scores.json")
    told = ("report.html", "model_card.md", "evaluation.json")
    for name in (*configuration, *result, *told):
        assert (run_dir / name).stat().st_size > 0, name
    assert list((run_dir / "tensorboard").iterdir())
    assert not (run_dir / "checkpoint").exists()
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
    from training.scorer import load_scorer

    golden = json.loads((run_dir / "golden/scores.json").read_text())
    photos = [run_dir / "golden" / name for name in golden]
    scores = load_scorer(run_dir).score(photos, len(photos))
    np.testing.assert_allclose(scores, list(golden.values()), atol=1e-5)


def test_every_photo_has_its_scores(run_dir):
    """The scores of all parts are kept, in the table's order."""
    scores = pd.read_csv(run_dir / "scores.csv")
    split = pd.read_csv(run_dir / "split.csv")
    assert list(scores["name"]) == list(split["name"])
    assert scores.filter(like="score_").stack().between(0, 1).all()
    assert scores.notna().all(axis=None)


def test_what_is_trained_in_each_phase():
    """The head alone, then the convolutions too, or those behind a layer, and never the batch normalisation."""
    network = build_network((96, 96), 3, CONFIG)
    backbone = network.get_layer(BACKBONE)
    choose_trained(network, head_only=True)
    assert len(network.trainable_weights) == 2
    choose_trained(network, head_only=False)
    assert len(network.trainable_weights) == 2 + 52
    choose_trained(network, head_only=False, frozen_until="block_12_add")
    assert len(network.trainable_weights) == 2 + 13
    norms = [layer for layer in backbone.layers if isinstance(layer, keras.layers.BatchNormalization)]
    assert norms
    assert not any(layer.trainable for layer in norms)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"backbone_weights": "weights.csv"}, r"weights\.csv cannot be loaded into MobileNetV2"),
        ({"backbone": "ResNet5"}, "no `ResNet5`. Did you mean `ResNet50`"),
        ({"backbone": "keras"}, "no `keras`"),
        ({"frozen_until": "block_5"}, "no layer `block_5`. Did you mean `block_5_"),
    ],
)
def test_a_network_that_cannot_be_built(tmp_path, monkeypatch, changes, message):
    """Weights that are none, and names that keras.applications does not have, are errors that name them."""
    monkeypatch.chdir(tmp_path)
    Path("weights.csv").write_text("no weights")
    config = dataclasses.replace(CONFIG, **changes)
    with pytest.raises(ConfigurationError, match=message):
        choose_trained(build_network((96, 96), 3, config), head_only=False, frozen_until=config.frozen_until)


SCALINGS = {
    "ResNet50": "resnet50",
    "EfficientNetB0": "efficientnet",
    "DenseNet121": "densenet",
    "MobileNetV3Small": "mobilenet_v3",
}


@pytest.mark.parametrize(("backbone", "module"), SCALINGS.items())
def test_a_backbone_sees_photos_as_its_weights_were_trained(backbone, module):
    """Whatever scaling keras.applications has for a backbone stands in front of it, exactly."""
    from training.network import _affine

    photo = np.random.default_rng(1).integers(0, 256, (4, 4, 3)).astype(np.float32)
    kernel, bias = _affine(backbone)
    expected = getattr(keras.applications, module).preprocess_input(photo.copy())
    np.testing.assert_allclose((photo / 127.5 - 1) @ kernel + bias, expected, atol=1e-4)


def test_batches_obey_the_configuration_and_drop_no_tail():
    """A batch has the configured size, the last one what is left, and every photo comes once an epoch."""
    from training.feed import Feed

    pixels = np.arange(10, dtype=np.uint8).reshape(10, 1, 1, 1).repeat(3, -1)
    feed = Feed(pixels, np.arange(10, dtype=np.float32)[:, None])
    epochs = [feed.epoch(CONFIG, number) for number in (1, 1, 2)]
    orders = [[targets.ravel().tolist() for _, targets in (epoch[place] for place in range(3))] for epoch in epochs]
    assert [len(batch) for batch in orders[0]] == [4, 4, 2]
    assert {target for batch in orders[0] for target in batch} == set(range(10))
    assert orders[0] == orders[1] != orders[2]
    images, targets = epochs[0][0]
    np.testing.assert_allclose((images[:, 0, 0, 0] + 1) * 127.5, targets[:, 0], atol=1e-4)


def test_blended_photos_have_blended_labels():
    """With mixup, a batch holds no photo as it was, and the same share of two photos as of their labels."""
    from training.feed import Feed

    values = np.arange(0, 200, 10)
    feed = Feed(values.astype(np.uint8).reshape(-1, 1, 1, 1).repeat(3, -1), values.astype(np.float32)[:, None])
    config = dataclasses.replace(CONFIG, use_augmentation=True, augmentation=[], mixup=1.0, batch_size=20)
    images, targets = feed.epoch(config, 1)[0]
    np.testing.assert_allclose((images[:, 0, 0, 0] + 1) * 127.5, targets[:, 0], atol=1e-3)
    assert (targets[:, 0] % 10 > 0.01).sum() > 10


def test_rare_labels_may_count_more():
    """At balance 1 the photos with a label weigh together what those without weigh; at 0 all weigh alike."""
    from training.loss import WeightedCrossentropy, label_weights

    targets = np.array([[1, 0], [0, 0], [0, 1], [0, 1]], np.float32)
    assert label_weights(targets, 0) == [1, 1]
    assert label_weights(targets, 1) == [3, 1]
    half = np.full((4, 2), 0.5, np.float32)
    losses = WeightedCrossentropy([3.0, 1.0])(targets, half).numpy()
    assert losses == pytest.approx(np.log(2) * (3 + 7) / 8, rel=1e-5)


def test_the_average_of_the_weights_is_looked_at_and_laid_aside():
    """After an epoch the network goes on from its last step; only what is judged and kept is the average."""
    from training import fit
    from training.feed import Feed

    random = np.random.default_rng(1)
    feed = Feed(random.integers(0, 256, (8, 32, 32, 3)).astype(np.uint8), np.eye(2, dtype=np.float32)[[0, 1] * 4])
    last, averages = {}, {}
    for momentum in (0.0, 0.9):
        config = dataclasses.replace(CONFIG, average_weights=momentum, dropout=0.0)
        keras.utils.set_random_seed(1)
        network = build_network((32, 32), 2, config)
        choose_trained(network, head_only=True)
        phase = fit.Phase("all", 0, 1, 0.01)
        fit.compile_for(network, feed, config, phase)
        fit._train_epoch(network, feed, feed, config, phase, 0)
        last[momentum] = network.get_layer("scores").get_weights()[0]
        with fit._averaged(network, config):
            averages[momentum] = network.get_layer("scores").get_weights()[0]
    np.testing.assert_array_equal(last[0.0], last[0.9])
    np.testing.assert_array_equal(averages[0.0], last[0.0])
    assert np.abs(averages[0.9] - last[0.9]).max() > 1e-4


def test_a_loss_that_is_no_number_ends_the_training():
    """A rate that is far too high is told as such, and nothing of it is kept."""
    from training.fit import _require_number

    with pytest.raises(ConfigurationError, match="In epoch 3 the loss is no number any more"):
        _require_number({"epoch": 2, "loss": float("nan"), "val_loss": 0.5})


SHIPPED = [ROOT / "examples" / name for name in ("photos/data.csv", "data_config.yaml", "training_config.yaml")]
COPIED = """\
import shutil
import sys
from scenery.cli import main
from training import fit
copy, checkpoint = sys.argv.pop(), fit._checkpoint
def copied(network, run_dir, epoch):
    if epoch == 1:
        shutil.copytree(run_dir, copy)  # the row is written, the checkpoint is not
    checkpoint(network, run_dir, epoch)
fit._checkpoint = copied
main()
"""
"""The command ``scenery``; of a training, the folder is copied as a kill in the second epoch would leave it."""


def scenery(*arguments, program=("-m", "scenery")):
    command = [sys.executable, *program, *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def quick(tmp_path_factory):
    """A run of ``scenery train --quick``, what the command printed, and the run as a kill would have left it."""
    work = tmp_path_factory.mktemp("quick")
    done = scenery("train", "--quick", "--json", "--run-dir", work / "run", work / "killed", program=("-c", COPIED))
    assert done.returncode == 0, done.stderr
    return work / "run", json.loads(done.stdout), work / "killed"


def test_quick_shows_that_everything_works(quick):
    """``--quick`` runs the same code on the shipped photos; with ``--json`` a program can read what came out."""
    folder, told, _ = quick
    assert told["run"] == str(folder)
    assert told["labels"] == ["beach", "city", "sunset", "trees"]
    assert told["provenance"]["photos"] == {"train": 32, "validation": 32, "test": 32}
    assert (folder / "report.html").is_file()


def test_a_training_that_was_killed_comes_to_the_same_end(quick):
    """Killed between an epoch's row and its checkpoint, and resumed, it scores as if nothing had happened."""
    run, _, killed = quick
    resumed = scenery("train", "--resume", killed)
    assert resumed.returncode == 0, resumed.stderr
    assert "going on after epoch 1" in resumed.stdout
    folders = (run, killed)
    histories = [pd.read_csv(folder / "history.csv").drop(columns="seconds") for folder in folders]
    pd.testing.assert_frame_equal(*histories, rtol=0, atol=0)
    assert len({(folder / "scores.csv").read_text() for folder in folders}) == 1


def test_a_run_is_not_overwritten(run_dir):
    """A folder with a run in it is refused, and how to go on with it is told."""
    from training.begin import begin

    with pytest.raises(ConfigurationError, match=f"scenery train --resume {run_dir}"):
        begin(*SHIPPED, run_dir)


def test_only_what_began_goes_on(tmp_path):
    """A folder that holds no run is named."""
    from training.train import train

    with pytest.raises(ConfigurationError, match="no run that can go on"):
        train(tmp_path)


def test_a_complete_run_is_left_as_it_is(run_dir):
    """Going on with what is done trains nothing and changes nothing."""
    from training.run import Run
    from training.train import train

    before = (run_dir / "best.keras").stat()
    assert train(run_dir) == Run.read(run_dir)
    assert (run_dir / "best.keras").stat() == before


def test_the_preview_is_a_picture(tmp_path):
    """``scenery preview-augmentation`` draws a row a photo and a column a change."""
    from PIL import Image

    done = scenery("preview-augmentation", "--photos", 2, "--out", tmp_path / "preview.png")
    assert done.returncode == 0, done.stderr
    with Image.open(tmp_path / "preview.png") as picture:
        assert picture.width > 4 * picture.height

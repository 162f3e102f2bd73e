"""The two YAML files."""

from __future__ import annotations

from pathlib import Path

import pytest

from scenery.errors import ConfigurationError
from tests.processes import ROOT
from training.augment import TUTORIAL
from training.config import IMAGENET, load_data_config, load_training_config

TUTORIAL_DATA = """\
input_shape: [null, null, 3]
resize_shape: [224, 224]
images_base_path: '../example/data/'
targets: ['beach', 'city', 'sunset', 'trees']
image_name_col: 'name'
"""
TUTORIAL_TRAINING = """\
use_augmentation: true
batch_size: 32
epochs: 100
initial_learning_rate: 0.0001
model_path: "image_classification.h5"
"""


def write(folder: Path, text: str) -> Path:
    path = folder / "config.yaml"
    path.write_text(text)
    return path


def test_the_tutorials_files_are_read_as_they_are(tmp_path: Path):
    """All of the tutorial's keys, and nothing else, make a configuration."""
    data = load_data_config(write(tmp_path, TUTORIAL_DATA))
    assert data.targets == ["beach", "city", "sunset", "trees"]
    assert data.size == (224, 224)
    assert data.images_base_path == tmp_path / "../example/data"
    training = load_training_config(write(tmp_path, TUTORIAL_TRAINING))
    assert (training.batch_size, training.epochs, training.use_augmentation) == (32, 100, True)
    assert training.initial_learning_rate == 0.0001
    assert training.backbone_weights == IMAGENET
    assert training.augmentation == list(TUTORIAL)
    assert data.pad_to_aspect_ratio


def test_a_rate_in_exponent_form(tmp_path: Path):
    """``1e-4`` is the number it looks like, though YAML 1.1 calls it a text."""
    config = load_training_config(write(tmp_path, TUTORIAL_TRAINING.replace("0.0001", "1e-4")))
    assert config.initial_learning_rate == 0.0001


def test_the_shipped_files_are_valid():
    """What the README names can be read."""
    assert load_data_config(ROOT / "examples/data_config.yaml").images_base_path.is_dir()
    assert Path(load_training_config(ROOT / "examples/training_config.yaml").backbone_weights).is_file()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("batch_size: 32", "batchsize: 32"), "unknown key `batchsize`. Did you mean `batch_size`"),
        (("batch_size: 32", "batch_size: '32'"), "batch_size must be of type int. Received: '32'"),
        (("batch_size: 32", "batch_size: 0"), "batch_size must be at least 1"),
        (("batch_size: 32", "batch_size: true"), "batch_size must be of type int"),
        (("batch_size: 32\n", ""), "missing key `batch_size`"),
        (("epochs: 100", "epochs: ["), "is no YAML"),
        ((TUTORIAL_TRAINING, "just a text"), "must hold `key: value` lines"),
        (("epochs: 100", "epochs: 100\naugmentation: [Fliplr]"), "augmentation must be of type"),
        (("epochs: 100", "epochs: 100\naugmentation: [{Fliplr: 1}]"), "augmentation must be a list of changes like"),
        (("epochs: 100", "epochs: 100\naverage_weights: 1.0"), "average_weights must be 0 up to"),
        (("image_classification.h5", "models/m.keras"), "model_path must be a file name without a folder"),
        (("epochs: 100", "epochs: 100\nseed: -1"), "seed must be 0 or more"),
        (("epochs: 100", "epochs: 100\nmixed_precision: maybe"), "mixed_precision must be of type"),
        (("image_classification.h5", "model.onnx"), "model_path must be a file name in .keras or .h5"),
        (
            ("epochs: 100", "epochs: 100\nbackbone_weights: no.h5"),
            "backbone_weights must be imagenet, random or a weights file",
        ),
    ],
)
def test_a_wrong_training_config_says_what_is_wrong(tmp_path: Path, change: tuple[str, str], message: str):
    """Every mistake names the file, the key and what is expected."""
    with pytest.raises(ConfigurationError) as caught:
        load_training_config(write(tmp_path, TUTORIAL_TRAINING.replace(*change)))
    assert message in str(caught.value)
    assert "config.yaml" in str(caught.value)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("[null, null, 3]", "[128, null, 3]"), "input_shape must be [224, 224, 3]"),
        (("[224, 224]", "[224]"), "resize_shape must be [height, width]"),
        (("[224, 224]", "[8, 8]"), "each at least 32"),
        (("['beach', 'city', 'sunset', 'trees']", "[]"), "targets must be at least one label"),
        (("'sunset'", "'city'"), "targets must be each label once"),
        (("'sunset'", "'name'"), "targets must be other columns than name"),
        (("'sunset'", "'part'"), "targets must be other columns than part"),
    ],
)
def test_a_wrong_data_config_says_what_is_wrong(tmp_path: Path, change: tuple[str, str], message: str):
    """Shapes and labels are checked before any photo is read."""
    with pytest.raises(ConfigurationError) as caught:
        load_data_config(write(tmp_path, TUTORIAL_DATA.replace(*change)))
    assert message in str(caught.value)


def test_a_missing_file_is_named(tmp_path: Path):
    """A path that does not exist is the error."""
    with pytest.raises(ConfigurationError, match=r"none\.yaml cannot be read"):
        load_data_config(tmp_path / "none.yaml")

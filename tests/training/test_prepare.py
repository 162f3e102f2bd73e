"""The run folder before the first epoch, whatever interrupts its writing."""

from __future__ import annotations

import pandas as pd
import pytest

from scenery.errors import ConfigurationError
from tests.processes import PHOTOS, ROOT
from training import prepare as module
from training.config import DataConfig, load_training_config
from training.prepare import prepare, read_prepared


@pytest.fixture
def prepared(tmp_path):
    """A function that prepares the folder ``run`` for three photos."""
    photos = pd.read_csv(ROOT / "examples/photos/data.csv").head(3)
    table = photos.assign(part=["train", "validation", "test"])
    data = DataConfig(
        resize_shape=[64, 64], images_base_path=PHOTOS, targets=["beach", "city", "sunset", "trees"],
        image_name_col="name",
    )  # fmt: skip
    training = load_training_config(ROOT / "examples/training_config.yaml")
    return lambda: prepare(table, data, training, tmp_path / "run", "data.csv")


@pytest.mark.parametrize("whole", range(4))
def test_a_preparation_that_was_killed_begins_anew(prepared, tmp_path, monkeypatch, whole):
    """However many files of the folder were written before, the same command writes all of them."""
    write, written = module.replace_text, []

    def write_some(path, text):
        if len(written) == whole:
            path.with_name(f".0a1b2c3d.{path.name}").write_text(text[:9])  # as a kill leaves it
            raise KeyboardInterrupt
        written.append(write(path, text))

    with monkeypatch.context() as patch:
        patch.setattr(module, "replace_text", write_some)
        with pytest.raises(KeyboardInterrupt):
            prepared()
    begun = prepared()
    read = read_prepared(tmp_path / "run")
    assert (read.data, read.training, read.origin) == (begun.data, begun.training, begun.origin)


def test_a_folder_with_something_else_in_it_is_refused(prepared, tmp_path):
    """Configurations that somebody keeps there are not written over."""
    (tmp_path / "run").mkdir()
    (tmp_path / "run/data_config.yaml").write_text("mine")
    with pytest.raises(ConfigurationError, match="is not empty"):
        prepared()
    assert (tmp_path / "run/data_config.yaml").read_text() == "mine"

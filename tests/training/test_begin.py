"""The beginning of a run: what is checked, and what is written before anything is trained."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest

from scenery.errors import ConfigurationError, DataError
from tests.processes import PHOTOS, ROOT
from training.begin import begin
from training.prepare import read_prepared

TRAINING = ROOT / "examples/training_config.yaml"


@pytest.fixture
def table() -> pd.DataFrame:
    return pd.read_csv(ROOT / "examples/photos/data.csv").head(60)


@pytest.fixture
def run(tmp_path, table):
    """A function that begins a run with a table, after a change."""

    def begun(changed: pd.DataFrame | None = None, training: Path = TRAINING, **options):
        (table if changed is None else changed).to_csv(tmp_path / "data.csv", index=False)
        (tmp_path / "data.yaml").write_text(
            f"resize_shape: [64, 64]\nimages_base_path: {PHOTOS}\ntargets: [beach, city, sunset, trees]\n"
            "image_name_col: name\ngroup_col: source\ngroup_separator: '@'\n"
        )
        return begin(tmp_path / "data.csv", tmp_path / "data.yaml", training, tmp_path / "run", **options)

    return begun


def test_the_folder_is_all_that_a_training_needs(run, tmp_path):
    """What was begun can be read again, from anywhere, and is the same."""
    begun = run()
    read = read_prepared(tmp_path / "run")
    assert (read.data, read.training, read.origin) == (begun.data, begun.training, begun.origin)
    assert list(read.table["part"]) == list(begun.table["part"])
    assert read.data.images_base_path.is_absolute()


def test_a_split_of_ones_own_is_kept(run, table):
    """A column ``part`` decides; so two trainings can be compared by the same photos."""
    parts = ["train", "validation", "test"] * 20
    assert list(run(table.assign(part=parts)).table["part"]) == parts


def test_a_split_that_is_none_is_refused(run, table):
    """A part that is misspelt, or missing, is named."""
    with pytest.raises(DataError, match="Received: dev, test, train"):
        run(table.assign(part=["train", "dev", "test"] * 20))


def test_the_seed_of_the_command_counts(run):
    """``--seed`` stands for the configuration's, in the split and in what is recorded."""
    assert run(seed=7).training.seed == 7


def test_all_errors_of_the_data_are_told_at_once(run, table):
    """A missing photo and a cell that is no number stop it, both named, and nothing is written."""
    table = table.astype({"beach": object})
    table.loc[3, "name"] = "gone.jpg"
    table.loc[5, "beach"] = "maybe"
    with pytest.raises(DataError) as caught:
        run(table)
    assert "gone.jpg" in str(caught.value)
    assert "line 7: beach must be 0 or 1. Received: maybe" in str(caught.value)


def test_a_recipe_that_imgaug_does_not_know_stops_it(run, tmp_path):
    """Before any photo is decoded."""
    (tmp_path / "training.yaml").write_text(
        "use_augmentation: true\nbatch_size: 8\nepochs: 1\ninitial_learning_rate: 0.0001\nmodel_path: m.keras\n"
        "augmentation: [{Fliplrr: {p: 1}}]\n"
    )
    with pytest.raises(ConfigurationError, match="Did you mean `Fliplr`"):
        run(training=tmp_path / "training.yaml")


def test_photos_that_changed_meanwhile_are_noticed(run, tmp_path):
    """A run goes on with the photos that it began with, or not at all."""
    run()
    origin = json.loads((tmp_path / "run/origin.json").read_text())
    origin["data_digest"]["train"] = "0" * 64
    (tmp_path / "run/origin.json").write_text(json.dumps(origin))
    with pytest.raises(DataError, match=r"train photos of .* were changed since it began"):
        read_prepared(tmp_path / "run")

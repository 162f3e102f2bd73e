"""The table, its split, the photos."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from scenery.errors import DataError
from tests.processes import PHOTOS, ROOT
from training import dataset
from training.config import DataConfig, load_data_config


@pytest.fixture(scope="module")
def config() -> DataConfig:
    return load_data_config(ROOT / "examples/data_config.yaml")


@pytest.fixture(scope="module")
def table(config) -> pd.DataFrame:
    return dataset.read_table(ROOT / "examples/photos/data.csv", config)


def test_no_source_is_on_two_sides(config, table):
    """Photos of one source, which resemble one another, stay together."""
    parts = dataset.split(table, config, seed=1)
    sources = table["source"].str.split("@").str[0]
    assert parts.groupby(sources).nunique().max() == 1


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_every_part_has_its_share_of_every_label(config, table, seed):
    """Validation and test hold about 15 % of the photos and of each label."""
    parts = dataset.split(table, config, seed)
    shares = table[config.targets].groupby(parts).sum() / table[config.targets].sum()
    assert shares.loc["validation"].between(0.13, 0.17).all()
    assert shares.loc["test"].between(0.13, 0.17).all()
    assert parts.value_counts(normalize=True)["train"] == pytest.approx(0.7, abs=0.01)


def test_the_split_is_decided_by_the_seed(config, table):
    """The same seed splits alike, another one otherwise."""
    assert dataset.split(table, config, 1).equals(dataset.split(table, config, 1))
    assert not dataset.split(table, config, 1).equals(dataset.split(table, config, 2))


def test_without_sources_single_photos_are_split(config, table):
    """A table without a group column is split by photo."""
    alone = dataclasses.replace(config, group_col=None, group_separator=None)
    assert set(dataset.split(table, alone, 1)) == set(dataset.PARTS)


def test_photos_without_a_source_are_their_own(config, table):
    """An empty cell of the source's column is no source that all such photos share."""
    some = table.assign(source=["a@1", None, "", " ", *table["source"][4:]])
    assert list(dataset.sources(some, config)[:4]) == ["a", *table["name"][1:4]]


def test_names_that_look_like_numbers_stay_names(config, tmp_path):
    """``001`` and ``NA`` are file names."""
    (tmp_path / "data.csv").write_text("name,beach,city,sunset,trees,source\n001,0,0,0,0,NA\n")
    cells = dataset.read_cells(tmp_path / "data.csv", config)
    assert (cells["name"][0], cells["source"][0]) == ("001", "NA")


def test_too_few_sources_are_an_error(config, table):
    """Two sources cannot make three parts."""
    few = table.assign(source=["a", "b"] * 422 + ["a"])
    with pytest.raises(DataError, match="2 sources cannot be split"):
        dataset.split(few, dataclasses.replace(config, group_separator=None), 1)


def test_photos_that_nobody_has_labelled_are_left_out(config, tmp_path):
    """A table that is half done can be trained on."""
    (tmp_path / "data.csv").write_text("name,beach,city,sunset,trees,source\n0001.jpg,,,,,a\n0003.jpg,0,1,0,0,a\n")
    assert list(dataset.read_table(tmp_path / "data.csv", config)["name"]) == ["0003.jpg"]


@pytest.mark.parametrize(
    ("csv", "message"),
    [
        ("name,beach,city,sunset,source\n0001.jpg,0,0,0,a\n", "has no column 'trees'"),
        ("name,beach,city,sunset,trees,source\n0001.jpg,0,2,0,0,a\n", "line 2: city must be 0 or 1. Received: "),
        (
            "name,beach,city,sunset,trees,source\n0001.jpg,0,,0,0,a\n",
            "line 2: city must be 0 or 1. Received: an empty cell",
        ),
        ("name,beach,city,sunset,trees,source\n0001.jpg,,,,,a\n", "has no labelled photo"),
        ("name,beach,city,sunset,trees,source\nnone.jpg,0,0,0,0,a\n", "1 of 1 photos are not in"),
        ("", "cannot be read as a CSV table"),
        ("name,beach,city,sunset,trees,source\n", "has no photos, only a header"),
    ],
)
def test_a_wrong_table_says_what_is_wrong(config, tmp_path: Path, csv: str, message: str):
    """Columns, values and files are checked before anything is trained."""
    (tmp_path / "data.csv").write_text(csv)
    with pytest.raises(DataError) as caught:
        dataset.read_table(tmp_path / "data.csv", config)
    assert message in str(caught.value)


def test_a_photo_that_cannot_be_decoded_is_named(tmp_path: Path):
    """Of many photos the bad one is told."""
    (tmp_path / "bad.jpg").write_text("no photo")
    with pytest.raises(DataError, match=r"bad\.jpg cannot be decoded"):
        dataset.decode_photos([PHOTOS / "0001.jpg", tmp_path / "bad.jpg"], (96, 96))


def test_the_digest_depends_on_photos_and_labels(config, table):
    """Another label or another photo gives another digest."""
    samples = dataset.samples_of(table.head(3), config)
    other = dataclasses.replace(samples, targets=1 - samples.targets)
    assert dataset.digest(samples) == dataset.digest(samples)
    assert dataset.digest(samples) != dataset.digest(other)
    assert samples.targets.dtype == np.float32

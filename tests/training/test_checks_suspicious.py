"""Suspicious labels, the features they rest on, and the command."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner, Result
from PIL import Image

from scenery.errors import ConfigurationError, DataError
from tests.photographs import slow_photos
from tests.processes import PHOTOS, ROOT
from training.checks.command import check_data
from training.checks.suspicious import check_suspicious, out_of_fold
from training.config import DataConfig
from training.features import WIDTH, cache_folder, features_of

CONFIG = DataConfig([96, 96], PHOTOS, ["beach"], "name")


def made(count: int = 80, width: int = 400) -> tuple[pd.DataFrame, np.ndarray]:
    """Photos whose features tell the label, but for some noise."""
    random = np.random.default_rng(1)
    given = np.arange(count) % 2
    features = random.normal(size=(count, width)).astype(np.float16)
    features[:, :100] += 2 * given[:, None]
    return pd.DataFrame({"name": [f"{place}.jpg" for place in range(count)], "beach": given}), features


def test_wrong_labels_are_found_first():
    """Labels that were turned over head the list, with what they were."""
    table, features = made()
    turned = [10, 33, 57]
    table.loc[turned, "beach"] = 1 - table.loc[turned, "beach"]
    findings = check_suspicious(table, CONFIG, features)
    first = {finding.names[0]: finding.suggested for finding in findings[:3]}
    assert first == {f"{place}.jpg": place % 2 for place in turned}
    assert all((finding.score > 0.5) == bool(finding.suggested) for finding in findings[:3])


def test_a_photo_is_scored_by_what_did_not_see_its_source():
    """The score of a source does not depend on the labels its own photos were given."""
    table, features = made()
    given, groups = table["beach"].to_numpy(), np.repeat(np.arange(20), 4).astype(object)
    before = out_of_fold(features, given, groups)
    swapped = given.copy()
    swapped[:4] = given[[1, 0, 3, 2]]  # as many of either kind, so that the folds stay
    after = out_of_fold(features, swapped, groups)
    assert np.array_equal(before[:4], after[:4])
    assert not np.array_equal(before, after)


@pytest.mark.filterwarnings("error")
def test_labels_that_cannot_be_judged_are_left_alone():
    """Few photos, one source, or all photos of a label in one source: no finding, and no failure."""
    table, features = made()
    assert check_suspicious(table.head(12), CONFIG, features[:12]) == []
    grouped = DataConfig([96, 96], PHOTOS, ["beach"], "name", group_col="source")
    assert check_suspicious(table.assign(source="one"), grouped, features) == []
    apart = table.assign(source=np.where(table["beach"] == 1, "one", table["name"]))
    assert check_suspicious(apart, grouped, features) == []


def test_features_are_kept_and_mended(tmp_path):
    """Features are computed once; a damaged file of them, or a folder that cannot be written, is no failure."""
    photos = sorted(PHOTOS.glob("*.jpg"))[:2]
    features = features_of(photos, 2, tmp_path / "cache")
    assert features.shape == (2, WIDTH)
    assert not np.array_equal(features[0], features[1])
    files = sorted((tmp_path / "cache").rglob("*.npy"))
    assert len(files) == 2
    inodes = [file.stat().st_ino for file in files]
    assert np.array_equal(features_of(photos, 2, tmp_path / "cache"), features)
    assert [file.stat().st_ino for file in files] == inodes
    files[0].write_bytes(files[0].read_bytes()[:100])
    assert np.array_equal(features_of(photos, 2, tmp_path / "cache"), features)
    (tmp_path / "file").write_text("no folder")
    assert np.array_equal(features_of(photos[:1], 1, tmp_path / "file"), features[:1])


def test_features_of_a_photo_that_cannot_be_read_name_it(tmp_path):
    """The photo that cannot be read, or decoded, is named."""
    with pytest.raises(DataError, match=r"gone\.jpg cannot be read"):
        features_of([tmp_path / "gone.jpg"], 1, tmp_path)
    (tmp_path / "cut.jpg").write_bytes((PHOTOS / "0001.jpg").read_bytes()[:5000])
    with pytest.raises(DataError, match=r"cut\.jpg cannot be decoded"):
        features_of([tmp_path / "cut.jpg"], 1, tmp_path)


def test_features_are_kept_where_the_platform_says(monkeypatch, tmp_path):
    """XDG_CACHE_HOME decides where features are kept."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder() == tmp_path / "scenery" / "features"


@pytest.fixture
def run(tmp_path, monkeypatch) -> Callable[..., Result]:
    """A function that runs the command in a folder with 24 beaches and 24 other photos, split by photo."""
    table = pd.read_csv(ROOT / "examples/photos/data.csv")
    few = pd.concat([table[table["beach"] == value].head(24) for value in (0, 1)])
    few[["name", "beach"]].to_csv(tmp_path / "data.csv", index=False)
    (tmp_path / "images").mkdir()
    for name in few["name"]:
        shutil.copy(PHOTOS / name, tmp_path / "images")
    (tmp_path / "data.yaml").write_text(
        "resize_shape: [96, 96]\nimages_base_path: images\ntargets: [beach]\nimage_name_col: name\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    paths = ["--csv-path", "data.csv", "--data-config-path", "data.yaml"]
    return lambda *arguments: CliRunner().invoke(check_data, [*paths, *arguments])


def test_the_command_tells_and_draws(run):
    """Findings come as JSON and as pictures, those of a run before are gone; hints are no failure."""
    Path("checks-2.png").write_bytes(b"of a run before")
    done = run("--json", "--sheet", "checks.png")
    told = json.loads(done.stdout)
    assert (done.exit_code, told["photos"], told["errors"], told["labels"]) == (0, 48, 0, {"beach": 24})
    suspicious = [finding for finding in told["findings"] if finding["check"] == "suspicious-label"]
    assert suspicious
    assert {"names", "labels", "suggested", "score"} <= set(suspicious[0])
    with Image.open("checks.png") as sheet:
        assert sheet.width > 1500
    assert not Path("checks-2.png").exists()


def test_a_photo_that_only_the_graph_refuses_is_told(run):
    """What comes out while features are computed is a finding too, and hides no other."""
    Path("images/odd.gif").write_bytes(slow_photos()["gif of many blocks"])
    with Path("data.csv").open("a") as table:
        table.write("odd.gif,0\ngone.jpg,0\n")
    done = run("--json")
    found = {finding["check"]: finding["sentence"] for finding in json.loads(done.stdout)["findings"]}
    assert (done.exit_code, "gone.jpg" in found["missing-photo"]) == (1, True)
    assert found["unreadable-photo"].endswith("the first frame of the GIF is cut off, damaged or of too many blocks.")


def test_errors_and_strict_warnings_are_status_1(run):
    """Status 1 tells errors, with --strict warnings too; the text tells each with its cure."""
    plain = run("--no-suspicious", "--tiny-pixels", "500")
    assert (plain.exit_code, "WARNING tiny-photo (48): Bring a larger copy" in plain.stdout) == (0, True)
    assert "… and 38 more; --json tells all." in plain.stdout
    assert run("--no-suspicious", "--tiny-pixels", "500", "--strict").exit_code == 1
    next(Path("images").iterdir()).unlink()
    broken = run("--no-suspicious")
    assert (broken.exit_code, "ERROR missing-photo (1): Correct images_base_path" in broken.stdout) == (1, True)


@pytest.mark.parametrize(
    ("sheet", "sentence"), [("checks.html", "must be a file name in .png"), ("none/checks.png", "there is no folder")]
)
def test_a_sheet_that_cannot_be_drawn_is_told_before_the_work(run, sheet, sentence):
    """A sheet that is no PNG, or in no folder, is told at once, and nothing else is."""
    done = run("--sheet", sheet)
    assert isinstance(done.exception, ConfigurationError)
    assert sentence in str(done.exception)
    assert not done.stdout

"""A run in this process, with a model that needs neither TensorFlow nor a server."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from bulk.command import _how_it_goes_on, _source
from bulk.output import Output, output_at
from bulk.part import ScoredPart, key_of
from bulk.run import Run
from bulk.runner import read_options
from bulk.scorer import Identity, UnavailableError
from scenery.errors import ConfigurationError, ScoringError, VersionError
from tests.bulk.conftest import MODELS, rows


class Halves:
    """Gives every label a half."""

    version, labels, thresholds = 2, ("city", "sea"), (0.5, 0.5)

    def score(self, photo: bytes):
        if photo == b"ends the run":
            raise ScoringError("It ends.")
        return np.array([0.5, 0.5], np.float32)


@dataclass(frozen=True)
class Model:
    """Where that is had."""

    opens: bool = True

    def identity(self) -> Identity:
        return Identity(2, "0f" * 32)

    def open(self) -> Halves:
        if not self.opens:
            raise VersionError("It cannot be loaded.")
        return Halves()


@dataclass(frozen=True)
class TakenOver(Model):
    """At whose load a worker of the run before writes the part that it was at."""

    output: Output | None = None

    def open(self) -> Halves:
        half = [np.array([0.5, 0.5], np.float32)]
        self.output.write(ScoredPart(key_of(["left"]), 2, ("city", "sea"), (0.5, 0.5), ["left"], half, []))
        return Halves()


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """A folder of two photos."""
    (tmp_path / "photos").mkdir()
    for name in ("a.jpg", "b.jpg"):
        (tmp_path / "photos" / name).write_bytes(b"photo")
    return tmp_path / "photos"


def run(output: Output, source: Model = Model(), replace: bool = False, runner: str = "DirectRunner") -> Run:
    """Return a run with the command's defaults."""
    options = read_options("DirectRunner", [], verbose=False, patience_seconds=0)
    return Run(source, output, runner, options, 1, 1, 0, retry_failed=False, replace=replace, shows_progress=False)


def test_scores_are_not_given_up_for_a_run_that_cannot_begin(tmp_path, photos):
    """With --replace too, an unknown runner or a model that cannot be loaded leaves what is there."""
    output = output_at(f"{tmp_path}/s.parquet")
    run(output).score([str(photos)])
    with pytest.raises(ConfigurationError, match="FlunkRunner"):
        run(output, replace=True, runner="FlunkRunner").score([str(photos)])
    with pytest.raises(VersionError):
        run(output, Model(opens=False), replace=True).score([str(photos)])
    assert len(rows(output.scores)) == 2
    assert run(output, replace=True).score([str(photos)]).scored == 2


def test_a_run_that_replaces_and_ends_early_says_how_to_go_on(tmp_path, photos):
    """The same command would begin from nothing."""
    (photos / "z.jpg").write_bytes(b"ends the run")
    output = output_at(f"{tmp_path}/s.parquet")
    with pytest.raises(ScoringError, match=r"^It ends\.$"):
        run(output).score([str(photos)])
    with pytest.raises(ScoringError, match=r"^It ends\. Go on without --replace"):
        run(output, replace=True).score([str(photos)])
    assert "the same command goes on" in _how_it_goes_on("DirectRunner", replace=False)
    assert "the same command without --replace goes on" in _how_it_goes_on("DirectRunner", replace=True)


def test_a_server_that_is_away_at_the_start_is_told_of_with_a_cure(tmp_path, photos):
    """Patience counts from the first question on."""

    class Away(Model):
        def identity(self) -> Identity:
            raise UnavailableError("It does not answer. Start it.")

    with pytest.raises(ScoringError, match=r"Start it\. It was tried for 0 s \(--patience\)"):
        run(output_at(f"{tmp_path}/s.parquet"), Away()).score([str(photos)])


def test_what_a_worker_of_the_run_before_was_writing_is_removed(tmp_path, photos):
    """A part that appears after the plan was made, and is not of it, might have photos of this run's parts."""
    output = output_at(f"{tmp_path}/s.parquet")
    run(output, TakenOver(output=output)).score([str(photos)])
    assert [os.path.basename(name) for name in rows(output.scores).index] == ["a.jpg", "b.jpg"]


def test_a_run_that_was_taken_over_removes_nothing(tmp_path):
    """What it does not know are parts of the run that took over."""
    output = output_at(f"{tmp_path}/s.parquet")
    output.make()
    half = [np.array([0.5, 0.5], np.float32)]
    output.write(ScoredPart(key_of(["new"]), 2, ("city", "sea"), (0.5, 0.5), ["new"], half, []))
    output.end(f"{output.scores}/_plan-01234567.jsonl", frozenset())
    assert len(output.finished()) == 1


def test_photos_have_one_name_wherever_the_command_is_run(tmp_path, photos, monkeypatch):
    """A relative name and an absolute one are the same photo, and another folder's photos are others."""
    output = output_at(f"{tmp_path}/s.parquet")
    monkeypatch.chdir(tmp_path)
    assert run(output).score(["photos"]).scored == 2
    assert run(output).score([str(photos)]).scored_before == 2
    (tmp_path / "else" / "photos").mkdir(parents=True)
    (tmp_path / "else" / "photos" / "a.jpg").write_bytes(b"photo")
    monkeypatch.chdir("else")
    assert run(output).score(["photos"]).scored == 1


def test_a_version_may_be_named_from_inside(monkeypatch):
    """Its number is that of the folder, however that is named."""
    monkeypatch.chdir(MODELS / "1")
    assert _source(None, "scenery", None, None, Path()).identity().version == 1

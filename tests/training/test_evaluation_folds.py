"""Cross-validation: who is judged by whom, and what is left when it is interrupted."""

from __future__ import annotations

import pandas as pd
import pytest
from click.testing import CliRunner

from scenery.errors import ConfigurationError, DataError
from tests.training.evaluated import LABELS, data_config, shipped_table, write_run
from training import dataset
from training.evaluation.folds import cross_validate, fold_parts

TABLE = shipped_table(200)


@pytest.fixture
def run(tmp_path):
    """A run of two hundred photos."""
    return write_run(tmp_path / "run", TABLE)


class Trainer:
    """Writes run folders as a training does, remembers which, and is killed where it is told to be."""

    def __init__(self, killed_at: str = "") -> None:
        self.killed_at = killed_at
        self.trained: list[str] = []

    def __call__(self, table, folder):
        if folder.name == self.killed_at:
            raise KeyboardInterrupt
        self.trained.append(folder.name)
        write_run(folder, table, seed=len(self.trained))


def validate(run, train_fold, count=3, table=TABLE):
    return cross_validate(run, table, data_config(run), count, train_fold, run / "data_config.yaml")


def test_each_photo_is_judged_once_by_a_network_that_never_saw_its_source(run):
    """The folds' test photos are the whole table; no source is in two parts of a fold; every part has every label."""
    config = data_config(run)
    parts = fold_parts(TABLE, config, 4)
    sources = dataset.sources(TABLE, config)
    assert sum((part == "test").astype(int) for part in parts).tolist() == [1] * len(TABLE)
    for part in parts:
        assert sources.groupby(part.values).unique().explode().is_unique
        assert (TABLE[LABELS].groupby(part.values).sum() > 0).all(axis=None)
        assert 0.05 < (part == "validation").mean() < 0.3


def test_every_photo_gets_a_score_and_every_figure_a_spread(run):
    """Out-of-fold scores cover the table; figures are told with how far they differ between folds."""
    folds = validate(run, Trainer())
    kept = pd.read_csv(run / "out_of_fold.csv")
    assert sorted(kept["name"]) == sorted(TABLE["name"])
    assert kept["fold"].nunique() == 3
    assert kept[[f"score_{label}" for label in LABELS]].notna().all(axis=None)
    assert folds.photos == len(TABLE)
    assert 0.5 < folds.figures["binary_accuracy"].mean < 1
    assert folds.figures["binary_accuracy"].deviation > 0
    assert set(folds.labels) == set(LABELS)


def test_an_interrupted_cross_validation_goes_on(run):
    """Folds that were trained are not trained again."""
    with pytest.raises(KeyboardInterrupt):
        validate(run, Trainer(killed_at="2-of-3"))
    second = Trainer()
    first_scores = (run / "folds/1-of-3/scores.csv").read_text()
    validate(run, second)
    assert second.trained == ["2-of-3", "3-of-3"]
    assert (run / "folds/1-of-3/scores.csv").read_text() == first_scores


def test_folds_of_another_table_are_trained_anew(run):
    """A corrected label changes what is learnt: the fold of the old table does not count."""
    validate(run, Trainer())
    corrected = TABLE.assign(beach=1 - TABLE["beach"])
    again = Trainer()
    validate(run, again, table=corrected)
    assert again.trained == ["1-of-3", "2-of-3", "3-of-3"]


def test_an_error_of_a_fold_keeps_its_name(run, monkeypatch):
    """A full disk while a fold is trained is not told as a report that cannot be written."""
    from training.evaluation import retrain
    from training.evaluation.command import evaluate

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(retrain, "trainer", lambda *_: full)
    done = CliRunner().invoke(evaluate, [str(run), "--folds", "3"])
    assert isinstance(done.exception, OSError)
    assert "No space left" in str(done.exception)


def test_a_run_that_cannot_keep_folds_is_refused(run):
    """Before anything is trained, the message names the run."""
    (run / "folds").write_text("")
    with pytest.raises(ConfigurationError, match=r"Folds cannot be kept in .*run"):
        validate(run, Trainer())


def test_too_few_sources_are_refused(run):
    """Three sources cannot be dealt into three folds that leave something to train with."""
    with pytest.raises(DataError, match="too few for 3 folds"):
        validate(run, Trainer(), table=TABLE.assign(source=["a@", "b@", "c@", "a@"] * 50))

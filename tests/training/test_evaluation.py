"""What an evaluation tells of a run, a table and a version."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner

from scenery.errors import ConfigurationError, DataError
from tests.processes import PHOTOS, ROOT
from tests.training.evaluated import LABELS, shipped_table, write_run
from training.evaluation.command import evaluate
from training.evaluation.evaluate import evaluate_run
from training.evaluation.evaluation import measure
from training.evaluation.mistakes import thumbnail, worst
from training.evaluation.slices import slices
from training.evaluation.subject import of_run
from training.scorer import Scorer


@pytest.fixture
def run(tmp_path):
    """A run of the first shipped photos."""
    return write_run(tmp_path / "run", shipped_table())


def command(*arguments: object):
    return CliRunner().invoke(evaluate, [str(each) for each in arguments])


def test_a_run_is_judged_by_its_test_part(run):
    """The photos are those of the test part, the thresholds those of the run, and the files are written."""
    evaluation = evaluate_run(run)
    split = pd.read_csv(run / "split.csv")
    assert evaluation.figures["photos"] == (split["part"] == "test").sum()
    assert evaluation.thresholds_from == "validation"
    assert json.loads((run / "evaluation.json").read_text())["figures"] == evaluation.figures
    assert {path.name for path in run.iterdir()} >= {"report.html", "model_card.md"}


def test_the_kept_scores_are_each_photos_own(run):
    """Scores are found by the photo's name, wherever its line is."""
    before = of_run(run, "test").scores
    shuffled = pd.read_csv(run / "scores.csv").sample(frac=1, random_state=1)
    shuffled.to_csv(run / "scores.csv", index=False)
    np.testing.assert_array_equal(of_run(run, "test").scores, before)


@pytest.mark.parametrize("damage", ["a photo is missing", "a label is missing", "a score is missing"])
def test_scores_that_do_not_fit_are_refused(run, damage):
    """The message names the file, and what to do."""
    scores = pd.read_csv(run / "scores.csv")
    damaged = {
        "a photo is missing": scores[scores["part"] != "test"],
        "a label is missing": scores.drop(columns="score_city"),
        "a score is missing": scores.assign(score_city=None),
    }
    damaged[damage].to_csv(run / "scores.csv", index=False)
    with pytest.raises(DataError, match=r"scores\.csv.* Remove it"):
        evaluate_run(run)


def test_an_older_run_names_what_it_lacks(run):
    """A run without its data configuration says how to name one."""
    (run / "data_config.yaml").unlink()
    with pytest.raises(ConfigurationError, match=r"--data-config-path examples/data_config\.yaml"):
        evaluate_run(run)


def test_slices_are_the_photos_by_licence_size_and_labels(run):
    """Each way of telling photos apart covers all of them; small ones are marked."""
    subject = of_run(run, "train")
    found = slices(subject)
    for by in ("licence", "shorter side", "labels on the photo"):
        assert sum(each.photos for each in found if each.by == by) == len(subject.table)
    none = next(each for each in found if each.value == "no label")
    assert none.photos == int((subject.targets.sum(axis=1) == 0).sum())
    assert none.is_small == (none.photos < 30)
    assert none.figures["macro_auc"] is None


def test_a_table_without_licences_and_sources_is_sliced_by_what_there_is(tmp_path):
    """Columns that a table lacks are no error."""
    run = write_run(tmp_path / "run", shipped_table()[["name", *LABELS]])
    evaluation = measure(of_run(run, "test"))
    assert {each.by for each in evaluation.slices} == {"shorter side", "labels on the photo"}
    assert evaluation.sources is None
    assert evaluation.intervals["binary_accuracy"] is not None


def test_the_worst_mistakes_come_first(run):
    """False positives by falling score, false negatives by rising score, with the photo's own truth and credits."""
    subject = of_run(run, "train")
    for is_missed in (False, True):
        found = worst(subject, "trees", is_missed, most=4)
        assert found
        assert all(("trees" in each.truth) == is_missed for each in found)
        assert all((each.score < each.threshold) == is_missed for each in found)
        assert [each.score for each in found] == sorted((each.score for each in found), reverse=not is_missed)
        line = subject.table.set_index("name").loc[found[0].name]
        assert found[0].credits["author"] == line["author"]


def test_a_photo_that_is_none_has_no_thumbnail(tmp_path):
    """A damaged photo is left out of the gallery, and ends nothing."""
    damaged = tmp_path / "damaged.jpg"
    damaged.write_bytes((PHOTOS / "0003.jpg").read_bytes()[:2000])
    assert thumbnail(damaged) is None
    assert thumbnail(PHOTOS / "0003.jpg").startswith("data:image/jpeg;base64,")


def test_another_part_is_written_elsewhere(run):
    """What the run says of its test part is not replaced by figures of photos that chose the thresholds."""
    done = command(run, "--part", "validation", "--json")
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["photos"] == "validation"
    assert "saw these photos" in (run / "evaluation-validation/report.html").read_text()
    assert not (run / "evaluation-validation/model_card.md").exists()
    assert not (run / "report.html").exists()


def test_a_version_is_judged_by_any_table(tmp_path):
    """The shipped version is scored on a labelled table, with its own thresholds; its folder stays as it is."""
    table = tmp_path / "few.csv"
    shipped_table(6)[["name", *LABELS]].to_csv(table, index=False)
    (tmp_path / "images").symlink_to(PHOTOS)
    version = ROOT / "models/scenery/1"
    before = sorted(version.rglob("*"))
    done = command(version, "--csv-path", table, "--out", tmp_path / "out")
    assert done.exit_code == 0, done.output
    assert "6 photos (few.csv)" in done.stdout
    assert json.loads((tmp_path / "out/evaluation.json").read_text())["thresholds_from"] == "version"
    assert sorted(version.rglob("*")) == before


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["models/scenery/1"], "name a table with --csv-path"),
        (["models/scenery/1", "--csv-path", "examples/photos/evaluation.csv"], "--out"),
        (["RUN", "--csv-path", "examples/photos/evaluation.csv", "--part", "test"], "give one of them"),
        (["RUN", "--folds", "3", "--part", "test"], "leave --csv-path and --part out"),
    ],
)
def test_options_that_contradict_one_another_are_refused(run, monkeypatch, arguments, message):
    """The message says what to give instead."""
    monkeypatch.chdir(ROOT)
    done = command(*(run if each == "RUN" else each for each in arguments))
    assert done.exit_code == 2
    assert message in done.stderr


def test_a_folder_that_is_no_model_is_refused(tmp_path):
    """The message says what a model is."""
    assert "Name a folder that `scenery train` wrote" in str(command(tmp_path, "--part", "test").exception)


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ("name,beach\n0003.jpg,1\n", "no column 'city', a label of the model. Its columns: name, beach"),
        ("name,beach,city,sunset,trees\n", "has no photos"),
        ("", "cannot be read as a CSV table"),
    ],
)
def test_a_table_that_does_not_fit_is_refused(run, tmp_path, monkeypatch, table, message):
    """The message names the table, and what it lacks; no folder is left behind."""
    monkeypatch.setattr("training.evaluation.subject.load_scorer", lambda _: Scorer(LABELS, [0.5] * 4, lambda _: 0))
    (tmp_path / "images").mkdir()
    (tmp_path / "other.csv").write_text(table)
    done = command(run, "--csv-path", tmp_path / "other.csv")
    assert isinstance(done.exception, DataError)
    assert message in str(done.exception)
    assert not (run / "evaluation-other").exists()


def test_a_model_of_one_label_is_evaluated(tmp_path):
    """Its figures are those of the photos that have the label."""
    run = write_run(tmp_path / "run", shipped_table(), ["trees"])
    figures = evaluate_run(run).figures
    assert figures["labels"]["trees"]["positives"] == of_run(run, "test").targets.sum()
    assert figures["macro_f1"] == figures["labels"]["trees"]["f1"]


def test_what_cannot_be_told_is_a_dash_in_the_terminal(tmp_path):
    """A label that no photo of the test part has leaves the columns in line."""
    run = write_run(tmp_path / "run", shipped_table().assign(city=0))
    done = command(run)
    assert done.exit_code == 0, done.output
    line = next(line for line in done.stdout.splitlines() if line.startswith("city"))
    assert line.split()[:2] == ["city", "0"]
    assert line.split()[6:8] == ["-", "-"]
    assert "none" not in done.stdout


def test_names_that_look_like_numbers_stay_names(tmp_path):
    """Photos called 007 and 7 are two photos, in the scores too."""
    table = shipped_table(60)
    (tmp_path / "images").mkdir()
    for place, name in enumerate(table["name"]):
        (tmp_path / "images" / f"{place:03d}").symlink_to(PHOTOS / name)
    run = write_run(tmp_path / "run", table.assign(name=[f"{place:03d}" for place in range(60)]))
    moved(run, tmp_path / "images")
    assert evaluate_run(run).figures["photos"] > 0


def moved(run, images):
    """Tell a run that its photos are in another folder."""
    config = (run / "data_config.yaml").read_text()
    (run / "data_config.yaml").write_text(config.replace(str(PHOTOS), str(images)))


def test_photos_that_were_moved_are_named(run, tmp_path):
    """Without their folder, or without one of them, the message says what is not there and what to do."""
    moved(run, tmp_path / "images")
    with pytest.raises(DataError, match=r"no folder .*images.* --data-config-path"):
        evaluate_run(run)
    (tmp_path / "images").mkdir()
    names = list(shipped_table()["name"])
    for name in names[1:]:
        (tmp_path / "images" / name).symlink_to(PHOTOS / name)
    with pytest.raises(DataError, match=f"1 of 120 photos are not in .*images, the first is {names[0]}"):
        evaluate_run(run)


def test_a_folder_that_cannot_be_written_to_is_refused(run, tmp_path):
    """The message names the folder; other errors of the system keep their own names."""
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigurationError, match=r"cannot be kept in .*file/out: .* --out"):
        evaluate_run(run, out=tmp_path / "file/out")


def test_cross_validation_figures_stay_with_the_run(run):
    """A later evaluation without --folds keeps what an earlier one with it told."""
    spread = {"mean": 0.9, "deviation": 0.01}
    folds = {"count": 5, "photos": 120, "figures": {"macro_f1": spread}, "labels": {"beach": {"f1": spread}}}
    (run / "evaluation.json").write_text(json.dumps({"folds": folds}))
    evaluate_run(run)
    assert json.loads((run / "evaluation.json").read_text())["folds"] == folds
    assert "5-fold cross-validation" in (run / "model_card.md").read_text()

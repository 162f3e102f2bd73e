"""From the photos that a proxy kept to rows of the training table."""

from __future__ import annotations

import csv
import io
import json
import os
import shutil
from datetime import date
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from PIL import Image

from scenery.sample import ANSWER, PICTURE, Answer, Name, names_in, text_of
from tests.processes import PHOTOS, ROOT, multipart, proxy, wait_until
from training.annotate.labelme import read_annotation, write_annotation
from training.config import DataConfig, load_data_config
from training.dataset import read_table, split
from training.review.command import review
from training.review.estimate import Share, estimate

DAY = date(2026, 11, 23)
THRESHOLDS = {"beach": 0.5, "city": 0.5, "sunset": 0.5, "trees": 0.1}
TABLE_PHOTOS = 30


def small(number: int) -> bytes:
    """A shipped photo as a proxy would keep it."""
    buffer = io.BytesIO()
    with Image.open(PHOTOS / f"{number:04}.jpg") as image:
        image.thumbnail((400, 400))
        image.convert("RGB").save(buffer, "JPEG")
    return buffer.getvalue()


def keep(folder: Path, number: int, reason: str = "unsure", city: float = 0.4, trees: float = 0.0) -> Name:
    """Keep a photo, of which the model gave those scores."""
    folder.mkdir(exist_ok=True)
    name = Name(DAY, reason, f"{number:016x}")
    scores = {"beach": 0.0, "city": city, "sunset": 1.0, "trees": trees}
    (folder / f"{name}{PICTURE}").write_bytes(small(number))
    (folder / f"{name}{ANSWER}").write_text(text_of(Answer(3, scores, THRESHOLDS)))
    return name


@pytest.fixture
def table(tmp_path) -> Path:
    """A training table of the first shipped photos, with its config and photos."""
    (tmp_path / "images").mkdir()
    lines = (ROOT / "examples/photos/data.csv").read_text().splitlines(keepends=True)[: TABLE_PHOTOS + 1]
    (tmp_path / "my.csv").write_text("".join(lines))
    for row in csv.DictReader(lines):
        shutil.copy(PHOTOS / row["name"], tmp_path / "images")
    config = (ROOT / "examples/data_config.yaml").read_text().replace("photos/images", "images")
    (tmp_path / "my.yaml").write_text(config)
    return tmp_path / "my.csv"


@pytest.fixture
def sample(tmp_path) -> Path:
    """What a proxy kept: three photos it was unsure of, one that chance drew."""
    folder = tmp_path / "sample"
    keep(folder, 100, city=0.3)
    keep(folder, 101, city=0.45)
    keep(folder, 102, trees=0.11)
    keep(folder, 103, "uniform", city=0.99)
    return folder


def run(table: Path, *arguments: object) -> Result:
    """Call the command with a table and its config."""
    paths = ["--csv-path", table, "--data-config-path", table.with_suffix(".yaml")]
    return CliRunner().invoke(review, [str(each) for each in (*arguments, *paths)])


def told(table: Path, *arguments: object) -> dict:
    done = run(table, *arguments, "--json")
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)


def message(table: Path, *arguments: object) -> str:
    """Return what a failing call says."""
    done = run(table, *arguments)
    assert done.exit_code != 0
    return str(done.exception) if done.exit_code == 1 else done.stderr


def confirm(task: Path, *, city: bool = True) -> None:
    """Label every photo of a task as the model did, but for the city."""
    for photo in task.glob(f"*{PICTURE}"):
        annotation = read_annotation(photo)
        assert annotation is not None
        write_annotation(photo, annotation.flags | {"city": city}, None, confirmed=True)


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as stream:
        return list(csv.DictReader(stream))


def config_of(table: Path) -> DataConfig:
    return load_data_config(table.with_suffix(".yaml"))


def test_kept_photos_become_a_task(table, sample, tmp_path):
    """The least sure come first, the model's answer is filled in and nothing is confirmed; the sample is empty."""
    task = tmp_path / "task"
    done = told(table, sample, "--out", task)
    assert done == {"task": str(task), "photos": 4, "uniform": 1, "twins": 0, "left": 0}
    rows = rows_of(task / "data.csv")
    assert [int(row["name"].split("-")[4].split(".")[0], 16) for row in rows] == [102, 101, 100, 103]
    assert rows[-1] == {"name": rows[-1]["name"], "sampled": "uniform", "version": "3"}
    least_sure = read_annotation(task / rows[0]["name"])
    assert least_sure is not None
    assert least_sure.flags == {"beach": False, "city": False, "sunset": True, "trees": True}
    assert (least_sure.confirmed, least_sure.scores["city"], least_sure.thresholds) == (False, 0.4, THRESHOLDS)
    assert names_in(sample) == []
    assert task.stat().st_mode & 0o777 == 0o700


def test_photos_that_are_there_already_are_dropped(table, sample, tmp_path):
    """Those of the table, and of two that look the same the one that chance did not draw; both leave the sample."""
    keep(sample, 5, "uniform")
    unsure = keep(sample, 103)
    done = told(table, sample, "--out", tmp_path / "task")
    assert (done["photos"], done["twins"]) == (4, 2)
    assert not (tmp_path / "task" / f"{unsure}{PICTURE}").exists()
    assert names_in(sample) == []
    keep(sample, 5)
    assert "There is nothing to label" in run(table, sample, "--out", tmp_path / "empty").stdout
    assert not (tmp_path / "empty").exists()


def test_nothing_is_taken_unless_the_task_is_on_disk(table, sample, tmp_path):
    """With --copy, with a task that is there already or cannot be written, the sample stays as it is."""
    before = sorted(map(str, names_in(sample)))
    told(table, sample, "--out", tmp_path / "copied", "--copy")
    assert "is there already" in message(table, sample, "--out", tmp_path / "copied")
    assert "cannot be written" in message(table, sample, "--out", table / "task")
    assert sorted(map(str, names_in(sample))) == before
    assert not list(tmp_path.glob(".*.new"))


def test_damaged_pairs_are_told_and_left(table, sample, tmp_path):
    """A picture or an answer that cannot be read stops nothing, and stays where it is."""
    answer, picture = keep(sample, 110), keep(sample, 111)
    (sample / f"{answer}{ANSWER}").write_text("{}")
    (sample / f"{picture}{PICTURE}").write_bytes(b"no photo")
    done = run(table, sample, "--out", tmp_path / "task")
    assert done.exit_code == 0
    assert f"Left where it is: {answer}{ANSWER} cannot be used: it has no version" in done.stderr
    assert f"{picture}{PICTURE} cannot be read as a photo" in done.stderr
    assert set(names_in(sample)) == {answer, picture}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "Name the SAMPLE of a proxy"),
        (("images", "--adopt", "images"), "one of them"),
        (("--adopt", "images", "--copy"), "leave them out with --adopt"),
        (("images",), "has no photos. Name the SCENERY_SAMPLE_FOLDER"),
        (("--adopt", "sample"), "There are no labels to give"),
    ],
)
@pytest.mark.usefixtures("sample")
def test_wrong_input_says_what_to_do(table, monkeypatch, arguments, said):
    """Contradictions, folders that are no sample and folders that are no task."""
    monkeypatch.chdir(table.parent)
    assert said in message(table, *arguments)


def test_a_sample_of_other_labels_is_refused(table, sample):
    """The config of another model is told from the right one."""
    config = table.with_suffix(".yaml")
    config.write_text(config.read_text().replace("[beach, city, sunset, trees]", "[dogs]"))
    assert "were given beach, city, sunset, trees, and the table has dogs" in message(table, sample)


def test_adopting_needs_a_table_by_name(tmp_path):
    """Photos of users do not slip into the shipped table."""
    done = CliRunner().invoke(review, ["--adopt", str(tmp_path)])
    assert done.exit_code == 2
    assert "name it with --csv-path" in done.stderr


def test_labelled_photos_become_rows(table, sample, tmp_path):
    """Each with the labels that a person gave, a source of its own and why it was kept; other rows stay as they are."""
    task, before = tmp_path / "task", rows_of(table)
    told(table, sample, "--out", task)
    confirm(task)
    assert len(told(table, "--adopt", task, "--licence", "by consent")["added"]) == 4
    rows = rows_of(table)
    assert [{key: value for key, value in row.items() if key != "sampled"} for row in rows[: len(before)]] == before
    assert {row["sampled"] for row in rows[: len(before)]} == {""}
    new = rows[len(before) :]
    assert len({row["source"] for row in new}) == 4
    assert all(row["source"].startswith("review-2026-11-23-") for row in new)
    assert {row["licence"] for row in new} == {"by consent"}
    assert sorted(row["sampled"] for row in new) == ["uniform", "unsure", "unsure", "unsure"]
    assert [[row[label] for label in THRESHOLDS] for row in new if row["name"].endswith(f"{102:x}.jpg")] == [
        ["0", "1", "1", "1"]
    ]
    assert rows_of(table.with_name("my.csv.bak")) == before
    read = read_table(table, config_of(table))
    assert split(read, config_of(table), 1).notna().all()


def test_the_served_versions_figures_survive_another_models_guess(table, sample, tmp_path):
    """--prefill renews the guesses only: how often the version was right is told from what it answered."""
    task = tmp_path / "task"
    told(table, sample, "--out", task)
    for photo in task.glob(f"*{PICTURE}"):
        others = {"city": 0.0, "dog": 1.0}
        write_annotation(photo, {"city": False}, others, confirmed=False, thresholds=dict.fromkeys(others, 0.5))
        write_annotation(photo, dict.fromkeys(THRESHOLDS, False) | {"city": True, "sunset": True}, None, confirmed=True)
    (version,) = told(table, "--adopt", task)["estimates"]
    assert version["version"] == "3"
    assert {name: each["share"] for name, each in version["right"].items()} == dict.fromkeys(
        ["all labels", *THRESHOLDS], 1
    )


def test_photos_that_the_proxy_removes_meanwhile_stop_nothing(sample, tmp_path):
    """What is gone when it is looked at, or copied, is left out without a word; the rest is taken."""
    from training.review.distinct import sort_out
    from training.review.kept import read_sample
    from training.review.task import write_task

    kept, _ = read_sample(sample)
    gone = kept[0].picture
    gone.unlink()
    found = sort_out([each.picture for each in kept], [])
    assert (gone in found.distinct, found.unreadable) == (False, {})
    assert write_task(tmp_path / "task", kept, list(THRESHOLDS)) == kept[1:]
    assert len(rows_of(tmp_path / "task" / "data.csv")) == 3
    assert write_task(tmp_path / "none", kept[:1], list(THRESHOLDS)) == []
    assert not (tmp_path / "none").exists()


def test_a_task_with_folders_inside_is_adopted(table, tmp_path):
    """Photos of one name in two folders are two photos, each with a source of its own."""
    task = tmp_path / "task"
    (task / "a").mkdir(parents=True)
    (task / "b").mkdir()
    for folder, number in (("a", 120), ("b", 121)):
        (task / folder / "1.jpg").write_bytes(small(number))
        write_annotation(task / folder / "1.jpg", dict.fromkeys(THRESHOLDS, False), None, confirmed=True)
    (task / "flags.txt").write_text("\n".join(THRESHOLDS))
    assert sorted(told(table, "--adopt", task)["added"]) == ["a/1.jpg", "b/1.jpg"]
    assert [row["source"] for row in rows_of(table)[-2:]] == ["review-a/1", "review-b/1"]
    assert (tmp_path / "images/b/1.jpg").read_bytes() == small(121)
    assert len(read_table(table, config_of(table))) == TABLE_PHOTOS + 2


def test_adopting_again_adds_what_is_new_only(table, sample, tmp_path):
    """Unlabelled photos wait for the next time; nothing is there twice, by whatever name."""
    task = tmp_path / "task"
    told(table, sample, "--out", task, "--copy")
    done = told(table, "--adopt", task)
    assert (done["added"], done["known"], done["unlabelled"]) == ([], 0, 4)
    assert not table.with_name("my.csv.bak").exists()
    confirm(task)
    later = next(iter(sorted(task.glob(f"*{PICTURE}"))))
    annotation = read_annotation(later)
    assert annotation is not None
    write_annotation(later, annotation.flags, None, confirmed=False)
    assert len(told(table, "--adopt", task)["added"]) == 3
    confirm(task)
    for photo in list(task.glob("*-unsure-*")):
        photo.rename(photo.with_name(photo.name.replace("unsure-0", "unsure-f")))
    for file in task.glob("*.json"):
        file.write_text(file.read_text().replace("unsure-0", "unsure-f"))
    done = told(table, "--adopt", task)
    assert (done["added"], done["known"]) == ([later.name], 3)


def test_a_table_that_cannot_take_the_photos_stays(table, sample, tmp_path):
    """Another photo in a photo's place, and a task of other labels, leave the table as it was."""
    task, before = tmp_path / "task", table.read_bytes()
    told(table, sample, "--out", task)
    confirm(task)
    first = next(task.glob(f"*{PICTURE}"))
    taken = tmp_path / "images" / first.name
    taken.write_bytes(b"another photo")
    assert f"{taken} is there and is another photo" in message(table, "--adopt", task)
    config = table.with_suffix(".yaml")
    config.write_text(config.read_text().replace("trees]", "snow]"))
    assert "the table has beach, city, sunset, snow" in message(table, "--adopt", task)
    assert table.read_bytes() == before
    table.write_bytes(b"\xff\xfe\0binary")
    config.write_text(config.read_text().replace("snow]", "trees]"))
    assert "cannot be read as a CSV table" in message(table, "--adopt", task)
    assert list(task.glob(f"*{PICTURE}"))


def test_drawn_photos_tell_how_often_the_version_is_right(table, sample, tmp_path):
    """Only those that chance drew count; an unlabelled one among them is told."""
    keep(sample, 104, "uniform", city=0.01)
    keep(sample, 105, "uniform", city=0.98)
    task = tmp_path / "task"
    told(table, sample, "--out", task)
    confirm(task, city=True)
    unlabelled = next(task.glob(f"*{105:x}.jpg"))
    write_annotation(unlabelled, {}, None, confirmed=False)
    done = told(table, "--adopt", task)
    (version,) = done["estimates"]
    assert (version["version"], version["photos"], done["uniform_unlabelled"]) == ("3", 2, 1)
    shares = {name: each["share"] for name, each in version["right"].items()}
    assert shares == {"all labels": 0.5, "beach": 1.0, "city": 0.5, "sunset": 1.0, "trees": 1.0}
    assert "1 photos that chance drew are unlabelled" in run(table, "--adopt", task).stdout


def test_intervals_are_wilsons():
    """Two published examples: 8 of 10, and all of 20, which does not pretend to be certain."""
    assert Share(8, 10).interval == pytest.approx((0.490, 0.943), abs=5e-4)
    assert Share(20, 20).interval == pytest.approx((0.839, 1.0), abs=5e-4)
    assert estimate("1", [({"a": True, "b": True}, {"a": True, "b": False})]).exact.value == 0.0


def test_the_loop_closes(table, served, tmp_path, monkeypatch):
    """Photos sent to a real proxy of two workers, kept, reviewed, labelled: training accepts the table they end in."""
    folder = tmp_path / "sample"
    for name, value in {"FOLDER": folder, "MARGIN": 1, "UNIFORM_PERCENT": 50, "MAX_PHOTOS": 15}.items():
        monkeypatch.setenv(f"SCENERY_SAMPLE_{name}", str(value))
    monkeypatch.setenv("SCENERY_WORKERS", "2")
    with proxy(tmp_path, served.grpc) as keeping:
        for number in range(100, 160):
            photo = (PHOTOS / f"{number:04}.jpg").read_bytes()
            assert keeping.classify(*multipart(("a.jpg", photo), ("b.jpg", photo)))[0] == 200
        wait_until(lambda: len(names_in(folder)) == 15, f"15 photos in {os.listdir(folder)}", 30)
    assert len([name for name in names_in(folder) if name.reason == "uniform"]) == 3
    task = tmp_path / "task"
    photos = told(table, folder, "--out", task)["photos"]
    assert photos >= 14
    confirm(task)
    assert len(told(table, "--adopt", task)["added"]) == photos
    read = read_table(table, config_of(table))
    assert len(read) == TABLE_PHOTOS + photos

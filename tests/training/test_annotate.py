"""``scenery annotate`` without a window: photos' files, the table, a model's guesses and the report."""

from __future__ import annotations

import csv
import json
import os
import shutil
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner
from PIL import Image

from scenery.errors import ConfigurationError, DataError
from tests.processes import PHOTOS, ROOT
from training.annotate.app import describe
from training.annotate.command import annotate
from training.annotate.labelme import annotation_path, read_annotation, write_annotation
from training.annotate.table import confirmed_rows, read_table, write_files
from training.annotate.task import Task, labelled_alone, open_task

NAMES = ["0003.jpg", "0004.jpg", "0008.jpg"]
LABELS = ["city", "sunset"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three shipped photos, as ``scenery collect`` leaves them."""
    images = tmp_path / "images"
    images.mkdir()
    for name in NAMES:
        shutil.copy(PHOTOS / name, images)
    return images


@pytest.fixture
def task(folder: Path) -> Task:
    """What a person is asked of the photos."""
    return open_task(folder, None, LABELS, None)


def run(*arguments: object, status: int) -> str:
    """Run the command; returns what it prints."""
    result = CliRunner().invoke(annotate, [*map(str, arguments), "--labels", ",".join(LABELS)])
    if isinstance(result.exception, Exception):
        raise result.exception
    assert result.exit_code == status, result.output
    return result.stdout


def report(*arguments: object, status: int) -> dict:
    return json.loads(run(*arguments, "--json", status=status))


def conflicts(told: dict) -> list[tuple[str, str]]:
    return [(each["kind"], each["name"]) for each in told["conflicts"]]


def rows(path: Path) -> list[dict[str, str]]:
    with path.open() as stream:
        return list(csv.DictReader(stream))


def confirm(folder: Path, name: str, *given: str) -> None:
    write_annotation(folder / name, {label: label in given for label in LABELS}, None, confirmed=True)


def as_if_in_labelme(folder: Path, name: str, **flags: bool) -> None:
    """Save a photo as Labelme 6.3 does: its version, the flags, and keys that it does not know as they were."""
    path = annotation_path(folder / name)
    path.write_text(json.dumps(json.loads(path.read_text()) | {"version": "6.3.1", "flags": flags}))


def age(path: Path, seconds: float) -> None:
    """Make a file as much older as if it had been written before."""
    changed = path.stat().st_mtime - seconds
    os.utime(path, (changed, changed))


def test_files_are_what_labelme_reads(folder):
    """A photo's file has every key that Labelme asks for, and the size of the photo as it is seen."""
    turned = folder / "turned.jpg"
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (40, 20)).save(turned, exif=exif)
    write_annotation(turned, {"city": True}, None, confirmed=True)
    document = json.loads(annotation_path(turned).read_text())
    assert document["flags"] == {"city": True}
    assert (document["imagePath"], document["imageData"], document["shapes"]) == ("turned.jpg", None, [])
    assert (document["imageHeight"], document["imageWidth"]) == (40, 20)


def test_what_labelme_drew_stays(folder):
    """Shapes and unknown keys of a file survive another answer, and so do the scores of a model."""
    photo = folder / NAMES[0]
    write_annotation(photo, {"city": True}, {"city": 0.9}, confirmed=False, thresholds={"city": 0.5})
    path = annotation_path(photo)
    drawn = {"shapes": [{"label": "tower", "points": [[1, 2]]}], "note": "mine"}
    path.write_text(json.dumps(json.loads(path.read_text()) | drawn))
    write_annotation(photo, {"city": False}, None, confirmed=True)
    document = json.loads(path.read_text())
    assert {key: document[key] for key in drawn} == drawn
    known = read_annotation(photo)
    assert (known.flags, known.confirmed, known.scores, known.thresholds) == (
        {"city": False},
        True,
        {"city": 0.9},
        {"city": 0.5},
    )


def test_a_guess_becomes_a_label_when_labelme_saves_it(folder):
    """What only a model filled in is unlabelled; the same file is a person's once Labelme saved it."""
    write_annotation(folder / NAMES[0], {"city": True, "sunset": False}, {"city": 0.9}, confirmed=False)
    assert NAMES[0] in report(folder, "--check", status=1)["unlabelled"]
    as_if_in_labelme(folder, NAMES[0], city=True, sunset=True)
    told = report(folder, "--check", status=1)
    assert NAMES[0] not in told["unlabelled"]
    assert told["positives"] == {"city": 1, "sunset": 1}


def test_photos_of_one_stem_are_not_mixed_up(folder):
    """A photo whose file belongs to another one is refused, for reading and for writing."""
    confirm(folder, NAMES[0], "city")
    other = (folder / NAMES[0]).with_suffix(".png")
    Image.new("RGB", (8, 8)).save(other)
    with pytest.raises(DataError, match=r"share 0003\.json"):
        read_annotation(other)
    with pytest.raises(DataError, match=r"share 0003\.json"):
        write_annotation(other, {}, None, confirmed=True)


def test_unlabelled_photos_are_never_zero(folder):
    """The table has a row for each labelled photo, and none for the others."""
    confirm(folder, NAMES[0], "city")
    told = report(folder, "--tool", "none", status=1)
    assert told["unlabelled"] == NAMES[1:]
    assert rows(folder / "data.csv") == [{"name": NAMES[0], "city": "1", "sunset": "0"}]


def test_a_collected_table_keeps_its_columns(folder, tmp_path):
    """Labels go into the table beside the folder; licences stay, and cells of unlabelled photos are empty."""
    (tmp_path / "data.csv").write_text('name,licence,author\n0003.jpg,CC0,"Zoë, K."\n0004.jpg,CC0,B\n')
    confirm(folder, NAMES[0], "sunset")
    for place in (tmp_path, folder):
        run(place, "--tool", "none", status=1)
        assert rows(tmp_path / "data.csv") == [
            {"name": "0003.jpg", "city": "0", "sunset": "1", "licence": "CC0", "author": "Zoë, K."},
            {"name": "0004.jpg", "city": "", "sunset": "", "licence": "CC0", "author": "B"},
        ]
    assert not (folder / "data.csv").exists()


def test_all_labelled_is_status_zero(folder):
    """A task in which every photo is labelled and nothing conflicts ends well, and says its counts."""
    for name in NAMES:
        confirm(folder, name, "city")
    assert run(folder, "--tool", "none", status=0).splitlines()[0] == "3 photos, 3 labelled, 0 unlabelled"


def test_a_newer_file_corrects_the_table(folder):
    """A photo that is labelled again changes its row, without a word about conflicts."""
    confirm(folder, NAMES[0], "city")
    run(folder, "--tool", "none", status=1)
    age(folder / "data.csv", 10)
    confirm(folder, NAMES[0], "sunset")
    assert conflicts(report(folder, "--tool", "none", status=1)) == []
    assert rows(folder / "data.csv") == [{"name": NAMES[0], "city": "0", "sunset": "1"}]


@pytest.mark.parametrize(("believe", "city"), [("--from-csv", "1"), ("--from-json", "0")])
def test_a_newer_table_is_not_overwritten_unasked(folder, task, believe, city):
    """A table that a person changed after the file is a conflict, and either side can be believed."""
    confirm(folder, NAMES[0])
    age(annotation_path(folder / NAMES[0]), 10)
    (folder / "data.csv").write_text("name,city,sunset\n0003.jpg,1,0\n")
    told = report(folder, "--tool", "none", status=1)
    assert conflicts(told) == [("table", NAMES[0])]
    assert told["conflicts"][0]["detail"] == "city is 1 in data.csv, which is newer, and 0 in 0003.json"
    assert rows(folder / "data.csv")[0]["city"] == "1"
    assert conflicts(report(folder, "--tool", "none", believe, status=1)) == []
    assert rows(folder / "data.csv")[0]["city"] == city
    assert confirmed_rows(task) == {NAMES[0]: {"city": int(city), "sunset": 0}}


def test_the_way_back(folder, task):
    """--from-csv gives photos the table's labels; a row with an empty cell does not make a photo labelled."""
    (folder / "data.csv").write_text("name,city,sunset\n0003.jpg,1.0,0.0\n0004.jpg,1,\n")
    run(folder, "--tool", "none", "--from-csv", status=1)
    assert confirmed_rows(task) == {"0003.jpg": {"city": 1, "sunset": 0}}
    half = read_annotation(folder / "0004.jpg")
    assert (half.flags, half.confirmed) == ({"city": True}, False)
    assert not annotation_path(folder / "0008.jpg").exists()


def test_a_label_that_is_added_later(folder):
    """A label more makes every photo unlabelled; the labels that it has, in file or table, stay."""
    confirm(folder, "0003.jpg", "city")
    (folder / "data.csv").write_text("name,city,sunset\n0004.jpg,1,0\n")
    more = open_task(folder, None, [*LABELS, "snow"], None)
    write_files(more, read_table(more), more.annotations()[0], table_wins=False)
    assert read_annotation(folder / "0003.jpg").flags == {"city": True, "sunset": False}
    assert read_annotation(folder / "0004.jpg").flags == {"city": True, "sunset": False}
    assert confirmed_rows(more) == {}


def test_what_conflicts_is_named(folder):
    """Flags of other tasks, missing ones, files and rows without a photo, what cannot be read: each is told."""
    write_annotation(folder / NAMES[0], {"city": True, "dog": True}, None, confirmed=True)
    annotation_path(folder / NAMES[1]).write_text('{"version": ')
    shutil.copy(annotation_path(folder / NAMES[0]), folder / "gone.json")
    (folder / "unrelated.json").write_text("{}")
    (folder / "damaged.jpg").write_bytes(b"no photo")
    (folder / "data.csv").write_text("name,city,sunset\nlost.jpg,1,0\n")
    told = report(folder, "--check", status=1)
    assert sorted(conflicts(told)) == [
        ("missing-label", NAMES[0]),
        ("no-photo", "gone.json"),
        ("no-photo", "lost.jpg"),
        ("unknown-label", NAMES[0]),
        ("unreadable", NAMES[1]),
        ("unreadable", "damaged.jpg"),
    ]


def test_the_same_photo_labelled_twice(folder):
    """A photo that is there smaller, with other labels, is a conflict; with the same labels it is none."""
    with Image.open(folder / NAMES[0]) as image:
        image.resize((image.width // 2, image.height // 2)).save(folder / "small.jpg")
    confirm(folder, NAMES[0], "city")
    confirm(folder, "small.jpg")
    told = report(folder, "--check", status=1)
    assert conflicts(told) == [("same-photo", NAMES[0])]
    assert told["conflicts"][0]["detail"] == "looks like small.jpg, and differs in city"
    confirm(folder, "small.jpg", "city")
    assert conflicts(report(folder, "--check", status=1)) == []


def test_check_writes_nothing(folder):
    """--check leaves the folder as it is."""
    confirm(folder, NAMES[0], "city")
    before = sorted(folder.iterdir())
    run(folder, "--check", status=1)
    assert sorted(folder.iterdir()) == before


def test_a_models_guess_waits_for_a_person(folder):
    """--prefill fills in what nobody labelled, by the model's thresholds; it is still unlabelled."""
    confirm(folder, NAMES[0])
    (folder / "data.csv").write_text("name,city,sunset\n0008.jpg,,0\n")
    told = report(folder, "--prefill", ROOT / "models/scenery/1", "--tool", "none", status=1)
    assert told["unlabelled"] == NAMES[1:]
    assert read_annotation(folder / NAMES[0]).scores == {}
    guess = read_annotation(folder / NAMES[1])
    assert set(guess.scores) == {"beach", "city", "sunset", "trees"}
    assert guess.flags == {label: guess.scores[label] >= guess.thresholds[label] for label in LABELS}
    assert not guess.confirmed
    assert not read_annotation(folder / NAMES[2]).flags["sunset"], "the table knows better than the model"


def test_other_peoples_json_is_left_alone(folder):
    """A JSON beside a photo that is no file of Labelme's is neither read as labels nor overwritten."""
    other = annotation_path(folder / NAMES[0])
    other.write_text('{"camera": "mine"}')
    told = report(folder, "--prefill", ROOT / "models/scenery/1", "--tool", "none", status=1)
    assert conflicts(told) == [("unreadable", NAMES[0])]
    assert "no file of Labelme's. Move it away, or rename the photo" in told["conflicts"][0]["detail"]
    with pytest.raises(DataError, match="no file of Labelme's"):
        confirm(folder, NAMES[0])
    assert other.read_text() == '{"camera": "mine"}'


def test_one_command_labels_a_folder(folder, task):
    """A second command would overwrite what the first one writes; --check writes nothing, and is let."""
    with labelled_alone(task):
        with pytest.raises(ConfigurationError, match=r"Another scenery annotate labels .*images"):
            run(folder, "--tool", "none", status=1)
        run(folder, "--check", status=1)


def test_the_least_sure_photo_comes_first(folder, task):
    """How sure a model is counts from a label's own threshold, so that one near 0 makes no photo unsure by itself."""
    scores = {NAMES[0]: (0.0, 0.8), NAMES[1]: (0.0, 0.6), NAMES[2]: (0.06, 1.0)}
    for name, (city, sunset) in scores.items():
        told = {"city": city, "sunset": sunset, "dog": 0.5}
        write_annotation(folder / name, {}, told, False, {"city": 0.05, "sunset": 0.5, "dog": 0.5})
    assert [photo["name"] for photo in describe(task)["photos"]] == [NAMES[2], NAMES[1], NAMES[0]]


def test_a_persons_list_of_labels_is_kept(folder):
    """Other labels than those of flags.txt take their place, and the list as it was is kept and named."""
    (folder / "flags.txt").write_text("dog\ncat\n")
    result = CliRunner().invoke(annotate, [str(folder), "--labels", "city", "--tool", "none"])
    assert "flags.txt had other labels; it is kept as flags.txt.bak" in result.stderr
    assert (folder / "flags.txt.bak").read_text() == "dog\ncat\n"
    assert "flags.txt" not in CliRunner().invoke(annotate, [str(folder), "--labels", "city", "--tool", "none"]).stderr


def test_labelme_opens_the_task(folder, tmp_path, monkeypatch):
    """A labelme on PATH is started with the folder and the labels, and what it saved is in the table afterwards."""
    program = tmp_path / "bin" / "labelme"
    program.parent.mkdir()
    program.write_text(
        f"#!{sys.executable}\nimport json, sys\nfolder, _, flags = sys.argv[1:4]\n"
        "document = dict(version='6.3.1', flags={line.strip(): True for line in open(flags)}, shapes=[],\n"
        "                imagePath='0003.jpg', imageData=None, imageHeight=400, imageWidth=320)\n"
        "json.dump(document, open(f'{folder}/0003.json', 'w'))\n"
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(program.parent), prepend=os.pathsep)
    run(folder, status=1)
    assert rows(folder / "data.csv") == [{"name": "0003.jpg", "city": "1", "sunset": "1"}]
    program.write_text(f"#!{sys.executable}\nraise SystemExit(3)\n")
    with pytest.raises(ConfigurationError, match="ended with status 3"):
        run(folder, status=1)


def test_labels_are_remembered(folder):
    """The labels of a task are in its flags.txt, for Labelme and for the next start; a config may name others."""
    run(folder, "--tool", "none", status=1)
    assert open_task(folder, None, [], None).labels == LABELS
    assert open_task(folder, None, [], ROOT / "examples/data_config.yaml").labels == [
        "beach",
        "city",
        "sunset",
        "trees",
    ]


@pytest.mark.parametrize(
    ("labels", "words"),
    [([], "There are no labels"), (["a", "a"], "once only"), (["name"], "column of file names")],
)
def test_labels_that_cannot_be_used(folder, labels, words):
    """No labels, a label twice or one that is called like the column of names end with what to do."""
    with pytest.raises(ConfigurationError, match=words):
        open_task(folder, None, labels, None)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("file,city\na.jpg,1\n", "no column 'name'.*--data-config"),
        ("name,city\na.jpg,2\n", "line 2: city must be 0, 1 or empty. Received: '2'"),
        ("name,city\na.jpg\n", "line 2: 1 cells and 2 columns"),
        ("name,city\na.jpg,1\na.jpg,0\n", "line 3: a.jpg is there already"),
        ('name,city\n"a\nb.jpg",1\n,0\n', "line 4: name is empty"),
        ("name,city,city\na.jpg,1,0\n", "has 2 columns 'city'. Rename"),
    ],
)
def test_tables_that_cannot_be_used(folder, task, text, words):
    """A table that is none for this task is refused, with the line that an editor shows."""
    (folder / "data.csv").write_text(text)
    with pytest.raises(DataError, match=words):
        read_table(task)


def test_a_folder_without_photos(tmp_path):
    """An empty folder is told from a finished one."""
    with pytest.raises(DataError, match="has no photos"):
        open_task(tmp_path, None, LABELS, None)

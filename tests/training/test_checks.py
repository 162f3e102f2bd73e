"""The checks of a table: each broken file is told, all at once, with its cure."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from scenery.errors import DataError
from tests.photographs import encode, slow_photos
from tests.processes import PHOTOS
from training.checks.checks import Checked, check_split, check_split_by, check_table
from training.checks.finding import Finding, stop_on_errors
from training.config import DataConfig

HEADER = "name,beach,city\n"
SOUND = HEADER + "0001.jpg,0,0\n0003.jpg,0,1\n0004.jpg,1,0\n"


def config_of(images: Path = PHOTOS, targets: tuple[str, ...] = ("beach", "city"), **keys: str) -> DataConfig:
    return DataConfig([96, 96], images, list(targets), keys.pop("image_name_col", "name"), **keys)


@pytest.fixture
def check(tmp_path):
    """A function that checks a text as the table."""

    def run(text: str | bytes, config: DataConfig | None = None) -> Checked:
        table = tmp_path / "data.csv"
        table.write_bytes(text.encode() if isinstance(text, str) else text)
        return check_table(table, config or config_of())

    return run


@pytest.fixture
def images(tmp_path) -> Path:
    """A folder of three shipped photos, to put others beside."""
    folder = tmp_path / "images"
    folder.mkdir()
    for name in ("0001.jpg", "0003.jpg", "0004.jpg"):
        shutil.copy(PHOTOS / name, folder)
    return folder


def told(findings: list[Finding]) -> dict[str, str]:
    return {finding.check.name: finding.sentence for finding in findings if not finding.check.name.startswith("few-")}


def test_a_sound_table_has_no_errors(check):
    """What can be trained on is let through, whole."""
    checked = check("\ufeff" + SOUND)
    assert told(checked.findings) == {}
    assert (len(checked.table), list(checked.photos)) == (3, ["0001.jpg", "0003.jpg", "0004.jpg"])


BROKEN = {
    "an empty file": ("", "unreadable-table", "it is empty"),
    "only a header": (HEADER, "unreadable-table", "only a header"),
    "bytes that are no text": (b"\x89PNG\xff\xfe\0\0", "unreadable-table", "can't decode"),
    "a photo": ((PHOTOS / "0001.jpg").read_bytes(), "unreadable-table", "cannot be read"),
    "a quote that never ends": (HEADER + '"0001.jpg,0,0\n', "unreadable-table", "unexpected end"),
    "semicolons": (SOUND.replace(",", ";"), "unreadable-table", "semicolons"),
    "a column twice": ("name,beach,city,city\n", "repeated-column", "has 2 columns 'city'"),
    "another spelling": (SOUND.replace("beach", "beaches"), "unknown-column", "Did you mean 'beaches'?"),
    "nothing alike": ("a,b\n1,2\n", "unknown-column", "Its columns: a, b."),
    "a line too short": (SOUND + "0005.jpg,1\n", "wrong-width", "line 5: 2 cells and 3 columns"),
    "a line too long": (SOUND + "0005.jpg,1,0,1\n", "wrong-width", "line 5: 4 cells and 3 columns"),
    "a word": (SOUND + "0005.jpg,yes,0\n", "not-0-or-1", "line 5: beach must be 0 or 1. Received: yes"),
    "a half": (SOUND + "0005.jpg,0,0.5\n", "not-0-or-1", "line 5: city must be 0 or 1. Received: 0.5"),
    "an empty cell": (SOUND + "0005.jpg,,0\n", "not-0-or-1", "Received: an empty cell"),
    "an unlabelled photo": (SOUND + "0005.jpg,,\n", "unlabelled", "Nobody has labelled 1 of 4 photos"),
    "nothing labelled": (HEADER + "0001.jpg,,\n", "nothing-labelled", "Nobody has labelled 1 of 1 photos"),
    "nan": (SOUND + "0005.jpg,nan,0\n", "not-0-or-1", "Received: nan"),
    "no name": (SOUND + " ,0,0\n", "no-name", "line 5: name is empty"),
    "a name twice": (SOUND + "0004.jpg,1,0\n", "repeated-name", "the lines 4, 5, with the same labels"),
    "two opinions": (SOUND + "0004.jpg,0,0\n", "contradiction", "the lines 4, 5, with different labels"),
    "no such photo": (SOUND + "gone.jpg,0,0\n", "missing-photo", "gone.jpg is not in"),
    "a way out": (SOUND + "../images/0005.jpg,0,0\n", "odd-name", "outside images_base_path"),
    "a name from another root": (SOUND + f"{PHOTOS}/0005.jpg,0,0\n", "odd-name", "outside images_base_path"),
    "a folder": (SOUND + ".,0,0\n", "unreadable-photo", "Is a directory"),
    "a name too long": (SOUND + "x" * 5000 + ".jpg,0,0\n", "unreadable-photo", "File name too long"),
    "one kind of photo": (HEADER + "0001.jpg,0,0\n0003.jpg,0,1\n", "one-value", "beach is 0 for every photo"),
    "one label written twice": (HEADER + "0001.jpg,0,0\n0004.jpg,1,1\n", "same-column", "beach and city are the same"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_what_is_broken_is_told(check, case):
    """Every way to break a table has its own sentence, and none is an exception."""
    text, name, sentence = BROKEN[case]
    assert sentence in told(check(text).findings)[name]


def test_a_table_that_is_not_there_is_told(tmp_path):
    """A file that does not exist is a finding as any other."""
    findings = check_table(tmp_path / "none.csv", config_of()).findings
    assert "No such file" in told(findings)["unreadable-table"]


def test_a_column_cannot_be_name_and_label(check):
    """A configuration that names one column twice is told."""
    assert "one-column-twice" in told(check(SOUND, config_of(targets=("beach", "name"))).findings)


def test_everything_is_told_at_once(check):
    """Errors in cells, photos and labels stand side by side; sound lines are still checked."""
    checked = check(SOUND + "gone.jpg,0,0\n0005.jpg,maybe,0\n0006.jpg,1\n,0,0\n")
    assert {"missing-photo", "not-0-or-1", "wrong-width", "no-name"} <= set(told(checked.findings))
    assert len(checked.table) == 3


def test_errors_stop_a_training_with_their_cures(check):
    """One error lists the first findings, what cures them, and how many there are."""
    checked = check(SOUND + "".join(f"gone{number}.jpg,0,0\n" for number in range(7)))
    with pytest.raises(DataError, match=r"7 errors\.\n  gone0.*Correct images_base_path.*\n(.*\n){4}  … and 2 more"):
        stop_on_errors(checked.findings)


def test_warnings_stop_nothing(check):
    """A table that is only poor can be trained on."""
    stop_on_errors(check(SOUND + "0004.jpg,1,0\n").findings)


def _bomb(jpeg: bytes) -> bytes:
    """Have a JPEG announce 9000 x 9000 pixels: height and width stand behind the marker SOF0."""
    place = jpeg.index(b"\xff\xc0\x00\x11\x08") + 5
    return jpeg[:place] + (9000).to_bytes(2, "big") * 2 + jpeg[place + 4 :]


def _encoded() -> dict[str, bytes]:
    from PIL import Image

    image = Image.open(PHOTOS / "0003.jpg")
    others = {"save_all": True, "append_images": [image.rotate(9)]}
    stills = {f"still.{kind.lower()}": encode(image, kind) for kind in ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF")}
    cut = {f"cut {name}": photo[: len(photo) // 2] for name, photo in stills.items()}
    modes = {f"{mode}.png": encode(image.convert(mode), "PNG") for mode in ("RGBA", "L", "P", "LA", "1")}
    return {
        **stills, **cut, **modes,
        "bomb.jpg": _bomb(stills["still.jpeg"]),
        "cmyk ☀.jpg": encode(image.convert("CMYK"), "JPEG"),
        "16 bit.png": encode(Image.new("I;16", (80, 80)), "PNG"),
        "palette.bmp": encode(image.convert("P"), "BMP"),
        "animated.gif": encode(image, "GIF", **others),
        "animated.webp": encode(image, "WEBP", **others),
        "two pictures.jpg": encode(image, "MPO", **others),
        "many scans.jpg": slow_photos()["jpeg of many scans"],
        "nothing.jpg": b"",
        "a text.jpg": b"hello",
    }  # fmt: skip


def test_readable_is_what_the_graph_can_read(check, images):
    """A photo is an error here exactly if the served graph refuses it."""
    import tensorflow as tf

    from scenery import preprocess

    photos = _encoded()
    for name, photo in photos.items():
        (images / name).write_bytes(photo)
    checked = check(SOUND + "".join(f"{name},0,0\n" for name in photos), config_of(images))
    refused = {
        finding.names[0]: finding.sentence for finding in checked.findings if finding.check.name == "unreadable-photo"
    }

    @tf.function(input_signature=[tf.TensorSpec([], tf.string)])
    def decode(photo):
        return preprocess.decode(photo, (96, 96))

    for name, photo in photos.items():
        try:
            decode(tf.constant(photo))
        except tf.errors.InvalidArgumentError:
            assert name in refused
        else:
            assert name not in refused
    assert len(refused) == 13
    assert "9000 x 9000 pixels" in refused["bomb.jpg"]


def test_tiny_photos_are_told(check, images):
    """A photo of few pixels is used, but not unsaid."""
    from PIL import Image

    (images / "tiny.png").write_bytes(encode(Image.new("RGB", (200, 63)), "PNG"))
    assert told(check(SOUND + "tiny.png,0,0\n", config_of(images)).findings) == {
        "tiny-photo": "tiny.png has only 200 x 63 pixels."
    }


@pytest.mark.parametrize(
    ("labels", "again", "name"),
    [
        ("1,0", False, "same-photo"),
        ("1,1", False, "same-photo-other-labels"),
        ("1,0", True, "near-photo"),
        ("1,1", True, "near-photo-other-labels"),
    ],
)
def test_a_photo_that_is_there_twice_is_told(check, images, labels, again, name):
    """Copies are found by bytes and by looks, and their labels compared."""
    from PIL import Image

    photo = (images / "0004.jpg").read_bytes()
    saved = encode(Image.open(images / "0004.jpg").resize((240, 160)), "JPEG", quality=60)
    (images / "copy.jpg").write_bytes(saved if again else photo)
    found = told(check(SOUND + f"copy.jpg,{labels}\n", config_of(images)).findings)
    assert list(found) == [name]
    assert ("but differ in city." in found[name]) == ("other-labels" in name)


def test_a_photo_on_both_sides_of_a_split_is_an_error(check, images):
    """A copy that would be judged by what was learned by heart names both photos and both parts."""
    shutil.copy(images / "0004.jpg", images / "copy.jpg")
    text = SOUND.replace("\n", ",train\n").replace("city,train", "city,part") + "copy.jpg,1,0,test\n"
    checked = check(text, config_of(images))
    leaks = [each for each in check_split_by(1, checked, config_of()) if each.check.name == "leak"]
    assert [leak.sentence for leak in leaks] == ["0004.jpg (train) and copy.jpg (test) are the same photo."]
    together = checked.table.assign(part="train")
    assert "leak" not in told(check_split(together, config_of(), checked.photos))


def test_photos_that_only_look_the_same_stop_no_training(check, images):
    """Among many photos some always look alike: on two sides of a split that is a warning."""
    from PIL import Image

    (images / "copy.jpg").write_bytes(encode(Image.open(images / "0004.jpg").resize((240, 160)), "JPEG", quality=60))
    text = SOUND.replace("\n", ",train\n").replace("city,train", "city,part") + "copy.jpg,1,0,test\n"
    findings = check_split_by(1, check(text, config_of(images)), config_of())
    assert told(findings)["near-leak"] == "0004.jpg (train) and copy.jpg (test) look the same."
    assert "leak" not in told(findings)


def test_a_name_on_both_sides_of_a_split_is_an_error(check):
    """A photo that stands twice, with other sources, is seen though the table has one file of it."""
    text = SOUND.replace("\n", ",train\n").replace("city,train", "city,part") + "0004.jpg,1,0,test\n"
    findings = check_split_by(1, check(text), config_of())
    assert told(findings)["leak"] == "0004.jpg stands in several lines, in train and test."


def test_too_few_sources_for_a_split_are_an_error(check):
    """Photos that all come from one place cannot be learned from and judged by."""
    text = SOUND.replace("\n", ",one\n").replace("city,one", "city,source")
    config = config_of(group_col="source")
    assert "1 sources cannot be split" in told(check_split_by(1, check(text, config), config))["no-split"]


def test_labels_of_few_photos_are_told(check):
    """A label that can hardly be learned, or judged by, is a warning with its count."""
    checked = check(SOUND)
    found = [finding.sentence for finding in checked.findings + check_split_by(1, checked, config_of())]
    assert "beach has 1 photo." in found
    assert any(sentence.startswith("city has ") and sentence.endswith("in test.") for sentence in found)

"""The photos that arguments name."""

from __future__ import annotations

import pytest

from bulk.found import find_photos
from scenery.errors import DataError
from tests.bulk.disk import DiskFileSystem

FILES = ("a.jpg", "b.PNG", "notes.txt", "one/c.jpg", "one/two/d.jpeg", ".hidden.jpg", ".git/e.jpg", "one/[odd].jpg")


@pytest.fixture
def tree(tmp_path):
    for name in FILES:
        (tmp_path / "tree" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "tree" / name).write_bytes(b"")
    return tmp_path / "tree"


CASES = {
    "": {"a.jpg", "b.PNG", "one/c.jpg", "one/two/d.jpeg", "one/[odd].jpg"},
    "/a.jpg": {"a.jpg"},
    "/*.jpg": {"a.jpg"},
    "/**/*.jp*g": {"a.jpg", "one/c.jpg", "one/two/d.jpeg", "one/[odd].jpg"},
    "/one/**/d.jpeg": {"one/two/d.jpeg"},
}


@pytest.mark.parametrize("argument", CASES)
def test_a_folder_and_a_pattern_stand_for_the_same_photos_here_and_in_a_bucket(tree, argument):
    """Suffixes count in any case, hidden photos do not, and ** stands for any number of folders, none too."""
    expected = {f"{tree}/{name}" for name in CASES[argument]}
    assert set(find_photos([f"{tree}{argument}"])) == expected
    afar = f"{DiskFileSystem.scheme()}://{tree}"
    assert {path.removeprefix("disk://") for path in find_photos([f"{afar}{argument}"])} == expected


def test_each_photo_is_found_once_by_one_name(tree, monkeypatch):
    """Arguments may overlap, and a name is written in its shortest form."""
    monkeypatch.chdir(tree)
    assert find_photos(["./a.jpg", ".", "*.jpg", "one//c.jpg"]).count("a.jpg") == 1
    assert "one/c.jpg" in find_photos(["one//c.jpg"])


def test_a_name_with_brackets_is_itself(tree):
    """What exists under a name is no pattern."""
    assert find_photos([f"{tree}/one/[odd].jpg"]) == [f"{tree}/one/[odd].jpg"]


@pytest.mark.parametrize("argument", ["none.jpg", "*.webp", "empty"])
def test_an_argument_without_photos_is_an_error(tree, argument):
    """Nothing is scored if an argument was misspelt."""
    (tree / "empty").mkdir()
    for prefix in ("", "disk://"):
        with pytest.raises(DataError, match=r"names no photo\. Name another"):
            find_photos([f"{tree}", f"{prefix}{tree}/{argument}"])

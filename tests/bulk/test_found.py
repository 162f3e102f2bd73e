"""The photos that arguments name."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pytest

from bulk.found import find_photos
from scenery.errors import ConfigurationError, DataError
from scenery.photo_files import files_matching
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
    """Arguments may overlap, and be relative: a name is the photo's, whichever folder the command is run in."""
    monkeypatch.chdir(tree)
    assert find_photos(["./a.jpg", ".", "*.jpg", f"{tree}/a.jpg"]).count(f"{tree}/a.jpg") == 1
    monkeypatch.chdir("one")
    assert find_photos(["..//one/c.jpg"]) == [f"{tree}/one/c.jpg"]


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


@pytest.mark.parametrize("argument", ["", "/**/*.jpg", "/**"])
def test_a_link_that_leads_back_finds_no_photo_twice(tree, argument):
    """Neither a folder nor a pattern enters links to folders that were not named."""
    before = find_photos([f"{tree}{argument}"])
    (tree / "one/back").symlink_to(tree)
    (tree / "one/loop").symlink_to("loop")
    assert [path for path in find_photos([f"{tree}{argument}"]) if not path.endswith("/loop")] == before


def test_patterns_enter_links_that_they_name(tree):
    """A segment of a pattern matches a link to a folder as it does a folder."""
    (tree / "linked").symlink_to("one")
    assert find_photos([f"{tree}/li*/c.jpg", f"{tree}/linked/**/d.*"]) == [
        f"{tree}/linked/c.jpg",
        f"{tree}/linked/two/d.jpeg",
    ]


@pytest.fixture
def closed():
    """A folder with another one inside that may not be listed, as a user who is not root sees it."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        Path(folder, "shut").mkdir(mode=0)
        Path(folder, "a.jpg").touch()
        root = os.geteuid() == 0
        if root:
            os.seteuid(8765)
        try:
            yield folder
        finally:
            if root:
                os.seteuid(0)


@pytest.mark.parametrize("argument", ["", "/**/*.jpg", "/*/*.jpg", "/*/b.jpg", "/shut/*"])
def test_a_folder_that_cannot_be_listed_is_told(closed, argument):
    """Photos that nobody can see are not left out in silence, whichever way they are named."""
    with pytest.raises(DataError, match=r"/shut(/b\.jpg)? cannot be listed: Permission denied"):
        find_photos([f"{closed}{argument}"])


def test_what_a_pattern_matches_beside_a_closed_folder_is_found(closed):
    """Who goes on without such a folder gets the other names, in order, and the error among them."""
    photo, error = files_matching(f"{closed}/**/*.jpg")
    assert (photo, type(error)) == (f"{closed}/a.jpg", PermissionError)


def test_what_the_run_writes_is_no_photo(tree):
    """A pattern that matches anything leaves the scores and dead letters of earlier runs out."""
    for name in ("s.parquet", "s.parquet.failed"):
        (tree / name).mkdir()
        (tree / name / "part-0.jpg").touch()
    found = find_photos([f"{tree}/**"], apart_from=(f"{tree}/s.parquet", f"{tree}/s.parquet.failed"))
    assert f"{tree}/notes.txt" in found
    assert not [path for path in found if "part-0" in path]


def test_an_address_that_nothing_reaches_is_told():
    """The message names the argument, and how addresses may begin."""
    with pytest.raises(ConfigurationError, match=r"http://x/a\.jpg cannot be reached.*disk://, "):
        find_photos(["http://x/a.jpg"])

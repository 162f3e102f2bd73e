"""The table of photos as people keep it, and who may change it at a time."""

from __future__ import annotations

import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from scenery.errors import DataError
from tests.processes import PHOTOS
from training import table as tables
from training.annotate.labelme import write_annotation
from training.collect.table import add_rows
from training.fingerprint import Looks
from training.table import held, read_texts, write_texts


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a,b,a\n1,2,3\n", "has 2 columns 'a'. Rename or remove one of them"),
        ("a,b\n1\n", "line 2: 1 cells and 2 columns"),
        ('a,b\n"1\n2",3\n\n4,5,6\n', "line 5: 3 cells and 2 columns"),
        ('a\n"1\n', "cannot be read as a CSV table"),
    ],
)
def test_a_table_that_would_lose_something_is_refused(tmp_path: Path, text, words):
    """A column twice and rows of another width are told with the line that an editor shows, and what to do."""
    (tmp_path / "data.csv").write_text(text)
    with pytest.raises(DataError, match=words):
        read_texts(tmp_path / "data.csv")


def test_cells_stay_the_texts_that_they_are(tmp_path: Path):
    """Nothing is taken for a number or for missing, and what an editor put before the first letter is no letter."""
    path = tmp_path / "data.csv"
    path.write_text('\ufeffname,note\n007.jpg,NA\n"a,b.jpg","two\nlines"\n', encoding="utf-8")
    texts = read_texts(path)
    assert texts.rows == [{"name": "007.jpg", "note": "NA"}, {"name": "a,b.jpg", "note": "two\nlines"}]
    assert texts.lines == [2, 4]
    write_texts(path, texts.columns, texts.rows)
    assert read_texts(path) == texts


def test_writers_take_turns(tmp_path: Path):
    """Rows that several commands add at the same time are all there."""
    path = tmp_path / "data.csv"
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda number: add_rows(path, [{"name": f"{number}.jpg"}]), range(24)))
    assert {row["name"] for row in read_texts(path).rows} == {f"{number}.jpg" for number in range(24)}


def test_a_command_waits_for_another_one_and_then_says_so(tmp_path: Path, monkeypatch):
    """Every command that writes the table, whatever its name, is held up by another one that does."""
    from training.annotate.command import annotate

    monkeypatch.setattr(tables, "PATIENCE_SECONDS", 0.0)
    shutil.copy(PHOTOS / "0003.jpg", tmp_path)
    write_annotation(tmp_path / "0003.jpg", {"city": True}, None, confirmed=True)
    path = tmp_path / "data.csv"
    with held(path):
        with pytest.raises(DataError, match=r"Another command writes .*data\.csv"):
            add_rows(path, [{"name": "a.jpg"}])
        with pytest.raises(DataError, match=r"Another command writes .*data\.csv"):
            annotate.main([str(tmp_path), "--labels", "city", "--tool", "none"], standalone_mode=False)
    assert not path.exists()


def test_looks_grow():
    """The nearest of many fingerprints is found by its place, however many were added; a distant one by none."""
    looks = Looks([0])
    assert looks.like(0b111111) == 0
    assert looks.like(0b1111111) is None
    for number in range(1, 200):
        looks.add(number << 32 | 0xFFFFFFFF)
    assert looks.like(150 << 32 | 0xFFFFFFFF) == 150
    assert Looks().like(1) is None

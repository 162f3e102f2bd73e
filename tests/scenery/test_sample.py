"""The names and texts of kept photos, and how sure a model is."""

from __future__ import annotations

from datetime import date

import pytest

from scenery.sample import Answer, Name, new_name, parse_answer, parse_name, sureness, text_of

ANSWER = Answer(3, {"a": 0.4, "b": 0.9}, {"a": 0.5, "b": 0.8})


def test_names_and_answers_are_read_as_they_were_written():
    """What one program writes another one reads."""
    name = new_name(date(2026, 11, 23), "uniform")
    assert parse_name(str(name)) == name
    assert parse_answer(text_of(ANSWER)) == ANSWER
    assert ANSWER.labels == ["b"]


def test_no_two_photos_have_a_name():
    """Names are drawn anew each time."""
    assert len({new_name(date(2026, 11, 23), "unsure").draw for _ in range(1000)}) == 1000


@pytest.mark.parametrize(
    "stem", ["", "photo", "2026-11-23-unsure-12", "2026-02-30-unsure-" + "0" * 16, "2026-11-23-other-" + "0" * 16]
)
def test_other_files_are_none_of_the_sample(stem):
    """What is not called as a kept photo is, to the letter, is somebody else's."""
    assert parse_name(stem) is None
    assert parse_name(str(Name(date(2026, 2, 28), "unsure", "0" * 16))) is not None


@pytest.mark.parametrize(
    "text",
    ["", "[]", "{}", '{"version": 1, "scores": {}, "thresholds": {}}',
     '{"version": 1, "scores": [1], "thresholds": []}',
     '{"version": 1, "scores": {"a": 1}, "thresholds": {"b": 1}}',
     '{"version": "x", "scores": {"a": 1}, "thresholds": {"a": 1}}'],
)  # fmt: skip
def test_a_text_that_is_no_answer_is_an_error(text):
    """Whatever is wrong with it."""
    with pytest.raises(ValueError, match=r"."):
        parse_answer(text)


@pytest.mark.parametrize(
    ("score", "threshold", "expected"),
    [(0.5, 0.5, 0.0), (1.0, 0.5, 1.0), (0.0, 0.1, 1.0), (0.05, 0.1, 0.5), (0.9, 0.8, 0.5), (1.0, 1.0, 0.0),
     (0.0, 0.0, 0.0)],
)  # fmt: skip
def test_sureness_is_the_way_from_the_threshold(score, threshold, expected):
    """0 at the threshold, 1 at either end; the least sure label decides."""
    assert sureness({"a": score, "b": 1.0}, {"a": threshold, "b": 0.5}) == pytest.approx(expected)

"""docs/performance.md, and the results that it is written from."""

from __future__ import annotations

import json
import os
import socket

import pytest

from benchmarks import chart, report
from benchmarks.rounds import EIGHT, RATE, named
from tests.processes import ROOT

RESULTS = ROOT / "benchmarks/results/latest.json"
DOCUMENT = ROOT / "docs/performance.md"


@pytest.fixture(scope="module")
def results():
    return json.loads(RESULTS.read_text())


def test_the_document_says_what_was_measured(results):
    """Every table of docs/performance.md is what benchmarks/results/latest.json gives."""
    document = DOCUMENT.read_text()
    for name, table in report.tables(results).items():
        assert f"<!-- {name} -->\n{table}\n<!-- /{name} -->" in document, "run: python -m benchmarks --report"


def test_the_picture_shows_what_was_measured(results, tmp_path):
    """Each contender and photo has a bar, labelled with photos a second."""
    chart.draw(results, tmp_path / "chart.svg")
    drawn = (tmp_path / "chart.svg").read_text()
    for text in (*results["contenders"], *results["photos"]):
        assert f">{text}</text>" in drawn


def test_the_results_name_no_machine():
    """Neither a path of the machine that measured nor its name is kept."""
    text = RESULTS.read_text()
    assert str(ROOT) not in text
    assert os.path.expanduser("~") + os.sep not in text
    assert socket.gethostname() not in text


def test_a_cell_is_the_median_with_its_range():
    """Of three rounds the middle ratio is told, the lowest and the highest in brackets."""
    rounds = [
        {named("tutorial", "400 px", EIGHT, RATE): 10, named("Scenery", "400 px", EIGHT, RATE): rate}
        for rate in (60, 1500, 80)
    ]
    tables = report.tables(
        {
            "measured": "",
            "machine": {},
            "seconds": {},
            "photos": {"400 px": ""},
            "contenders": ["Scenery"],
            "rounds": rounds,
        }
    )
    assert "| 400 px | Scenery | | | 80 | | | **8** (6 to 150) |" in tables["photos"]

"""The report and the model card, as people meet them."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

from tests.proxy.browser import MISSING, PROGRAM, chromium, visit
from tests.training.evaluated import LABELS, shipped_table, write_run
from training.evaluation.evaluate import evaluate_run

SEA = "sand & <b>sea</b> $^{ 海"
SCRIPT = "<script>document.title = 'broken'</script>"


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run whose table tries to break out of what it is written into."""
    table = shipped_table().rename(columns={"beach": SEA})
    table["author"] = SCRIPT
    table["licence"] = "a|b [c](javascript:alert(1))"
    table["link"] = ["javascript:alert(1)", "https://example.org/a?b=1&c=2"] * 60
    folder = write_run(tmp_path_factory.mktemp("work") / "run", table, [SEA, *LABELS[1:]])
    evaluate_run(folder)
    return folder


@pytest.fixture(scope="module")
def browser():
    """The browser; each test visits the report in a profile of its own."""
    with chromium() as started:
        yield started


@pytest.mark.skipif(PROGRAM is None, reason=MISSING)
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1280])
def test_the_report_can_be_read_by_everyone(browser, run, scheme, width):
    """On a phone and a desk, light and dark: axe-core finds nothing, all pictures are there, nothing is fetched."""
    options = {"color_scheme": scheme, "viewport": {"width": width, "height": 900}}
    with visit(browser, (run / "report.html").as_uri(), **options) as visited:
        assert visited.violations() == []
        assert visited.complaints == []
        assert [each for each in visited.requests if not each.startswith("data:")] == [(run / "report.html").as_uri()]
        pictures = visited.page.evaluate("[...document.images].map((each) => each.complete && each.naturalWidth > 0)")
        assert len(pictures) > 10
        assert all(pictures)
        assert visited.page.evaluate("document.documentElement.scrollWidth <= innerWidth")


@pytest.mark.skipif(PROGRAM is None, reason=MISSING)
def test_names_of_a_table_stay_text(browser, run):
    """A script as author, HTML as label and a script as link are shown, or left out, and never run."""
    with visit(browser, (run / "report.html").as_uri()) as visited:
        assert visited.page.title() == "run: evaluation"
        assert visited.page.get_by_role("heading", name=SEA, exact=True).count() == 1
        assert visited.page.get_by_text(SCRIPT).first.is_visible()
        links = visited.page.evaluate("[...document.links].map((each) => each.href)")
        assert set(links) == {"https://example.org/a?b=1&c=2"}


def test_the_report_is_one_small_file(run):
    """It can be sent by mail: below 3 MB."""
    assert (run / "report.html").stat().st_size < 3_000_000


def test_the_card_tells_data_figures_and_limits_of_this_run(run):
    """Counts, licences, the weakest label and the training are those of the run, in less than 8 KB."""
    card = (run / "model_card.md").read_text()
    figures = json.loads((run / "evaluation.json").read_text())["figures"]
    weakest = min(figures["labels"], key=lambda label: figures["labels"][label]["f1"])
    written = {label: label for label in LABELS} | {SEA: r"sand \& \<b\>sea\</b\> $^{ 海"}
    assert len(card.encode()) < 8192
    assert f"* {written[weakest]} is the weakest label: F1 {figures['labels'][weakest]['f1']:.3f}." in card
    assert all(f"| {written[label]} | " in card for label in figures["labels"])
    assert r"Licences: a\|b \[c\](javascript:alert(1)) 120. 120 photos credit an author." in card
    assert "`backbone` MobileNetV2" in card
    assert "/home/me" not in card


def test_the_card_of_a_table_without_licences_says_so(tmp_path):
    """What the table does not tell is not made up."""
    run = write_run(tmp_path / "run", shipped_table()[["name", *LABELS]])
    evaluate_run(run)
    assert "The table tells no licences of the photos." in (run / "model_card.md").read_text()


def test_of_many_labels_the_weakest_are_drawn(tmp_path, monkeypatch):
    """With more labels than are drawn, the report is for all in its table, and the card keeps to its size."""
    monkeypatch.setattr("training.evaluation.report.MOST_LABELS", 2)
    trees = shipped_table().set_index("name")["trees"]
    labels = [f"a label with a long name, number {place}" for place in range(60)]
    wide = pd.DataFrame({label: np.roll(trees, place) for place, label in enumerate(labels)}, trees.index)
    run = write_run(tmp_path / "run", wide.reset_index(), labels)
    evaluation = evaluate_run(run)
    report = (run / "report.html").read_text()
    assert all(f'<th scope="row">{label}</th>' in report for label in labels)
    drawn = [line for line in report.splitlines() if "<section" in line]
    assert drawn == [f'<section class="label" aria-label="{label}">' for label in evaluation.weakest_first[:2]]
    assert "the table above has the other 58" in report
    assert (run / "model_card.md").stat().st_size < 8192

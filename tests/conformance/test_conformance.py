"""The embedded server answers as tensorflow_model_server 2.21 did, call by call."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conformance.check import load
from tests.conformance.runs import HERE, SERVER, Results, build_models, differences, play_all
from tests.processes import ROOT

SCENARIOS = load(HERE / "cases")
JOBS = 3


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Results]:
    """The results of every scenario, played several at a time."""
    store: Path = tmp_path_factory.mktemp("models")
    build_models(store)
    return {scenario["scenario"]: found for scenario, found in play_all(SCENARIOS, SERVER, store, JOBS)}


@pytest.mark.timeout(900)
@pytest.mark.parametrize("name", [scenario["scenario"] for scenario in SCENARIOS])
def test_the_server_answers_as_recorded(results, name):
    """Status codes, texts and headers, what changes on disk do, and how a start fails."""
    failed = [result for result in results[name] if not result["passed"]]
    assert [result for result in failed if not any(known.explains(result) for known in differences())] == []


def test_every_difference_is_there_and_is_told(results):
    """A difference that was mended leaves the list; each one is explained to users."""
    failed = [result for found in results.values() for result in found if not result["passed"]]
    told = (ROOT / "docs/compatibility.md").read_text()
    for known in differences():
        assert any(map(known.explains, failed)), f"{known.call} is answered otherwise now: see differences.json"
        assert f"`{known.call}`" in told, f"docs/compatibility.md does not tell of {known.call}"

"""The split between versions, from its file."""

from __future__ import annotations

import json
import logging
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest

from proxy.traffic import Route, Traffic
from scenery.files import stamp


@pytest.fixture
def file(tmp_path, monkeypatch):
    """A traffic file whose edits are seen at once."""
    monkeypatch.setattr("proxy.traffic.LOOK_SECONDS", 0)
    return tmp_path / "traffic.json"


def test_without_a_file_the_latest_version_answers(file):
    """No split, no label, no shadow."""
    assert Traffic(file).route("anna") == Route(None, None)


@pytest.mark.parametrize(
    ("percents", "route"),
    [
        ({"canary_percent": 0}, Route("stable", None)),
        ({"canary_percent": 100, "shadow_percent": 0}, Route("canary", None)),
        ({"canary_percent": 0, "shadow_percent": 100}, Route("stable", "canary")),
        ({"canary_percent": 100, "shadow_percent": 100}, Route("canary", "stable")),
    ],
    ids=str,
)
@pytest.mark.parametrize("key", [None, "anna"])
def test_the_shadow_is_the_other_version(file, percents, route, key):
    """Whoever answers, the other one is asked as well, if the file says so."""
    file.write_text(json.dumps(percents))
    assert Traffic(file).route(key) == route


def test_shadows_are_drawn_by_chance(file):
    """The share holds for one caller too, who is answered by one version all the same."""
    file.write_text('{"canary_percent": 50, "shadow_percent": 25}')
    traffic = Traffic(file)
    routes = Counter(traffic.route("anna") for _ in range(4000))
    assert len({route.label for route in routes}) == 1
    drawn = sum(count for route, count in routes.items() if route.shadow_label)
    assert 0.2 < drawn / 4000 < 0.3


@pytest.mark.parametrize("value", [-1, 100.5, "many", None, float("nan")])
def test_a_wrong_share_changes_nothing_and_is_logged(file, caplog, value):
    """Neither half of a wrong file is followed."""
    file.write_text('{"canary_percent": 100, "shadow_percent": 100}')
    traffic = Traffic(file)
    assert traffic.route(None) == Route("canary", "stable")
    file.write_text(json.dumps({"canary_percent": 0, "shadow_percent": value}))
    with caplog.at_level(logging.ERROR):
        assert traffic.route(None) == Route("canary", "stable")
    assert "cannot be used, everything stays as it was: shadow_percent must lie" in caplog.text


def test_a_file_that_cannot_be_reached_changes_nothing_and_is_logged(file, caplog):
    """Only a file that is gone sends callers to the latest version; one that nobody can tell of does not."""
    file.write_text('{"canary_percent": 0}')
    traffic = Traffic(file)
    assert traffic.route(None) == Route("stable", None)
    file.unlink()
    file.symlink_to(file)  # which the system refuses to follow, to root as well
    with caplog.at_level(logging.ERROR):
        assert [traffic.route(None) for _ in range(3)] == [Route("stable", None)] * 3
    assert len(caplog.records) == 1
    file.unlink()
    assert traffic.route(None) == Route(None, None)


def test_callers_that_come_together_see_the_same_file(file, monkeypatch):
    """While one thread reads an edit, no other one is routed by what was before."""
    file.write_text('{"canary_percent": 100}')
    monkeypatch.setattr("proxy.traffic.LOOK_SECONDS", 60)
    monkeypatch.setattr("scenery.followed.stamp", lambda path: time.sleep(0.1) or stamp(path))
    traffic = Traffic(file)
    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(traffic.route, [None] * 8)) == {Route("canary", None)}

"""The proxy's figures, of real processes."""

from __future__ import annotations

import json
import os
import re
import signal
from itertools import pairwise

import pytest

from proxy.figures import SCORES, SECONDS, Figures
from proxy.labels import Labelling
from proxy.model_server import Scored
from tests.processes import http, multipart, proxy, wait_until
from tests.proxy.scraped import page, photos, series

LABELS = ["beach", "city", "sunset", "trees"]


def test_photos_are_counted_by_outcome_and_version(tmp_path, served, photo):
    """Each photo counts once, a problem by its name; only answered ones have a time and scores; probes do not count."""
    with proxy(tmp_path, served.grpc) as counted:
        assert http("GET", f"{counted.url}/readyz")[0] == 200
        assert photos(page(counted.url)) == {}
        scores = counted.classify(photo)[1]["photos"][0]["scores"]
        assert counted.classify(photo[: len(photo) // 2])[0] == 422
        body, content_type = multipart(*[("a.jpg", photo)] * 6, ("bad.jpg", b"no photo"))
        assert counted.classify(body, content_type)[0] == 200
        body, content_type = multipart(("photo.jpg", photo))
        assert http("POST", f"{counted.url}/scorefile/", body, content_type)[0] == 200
        text = page(counted.url)
    assert photos(text) == {
        ("latest", "1", "ok"): 8,
        ("latest", "", "damaged"): 1,
        ("latest", "", "unsupported-format"): 1,
    }
    of_version = ("version_label", "version")
    assert series(text, "scenery_photo_seconds_count", *of_version) == {("latest", "1"): 8}
    assert 0 < series(text, "scenery_photo_seconds_sum", *of_version)["latest", "1"] < 60
    of_label = (*of_version, "label")
    assert series(text, "scenery_photo_score_count", *of_label) == {("latest", "1", label): 8 for label in LABELS}
    sums = series(text, "scenery_photo_score_sum", *of_label)
    assert sums == {("latest", "1", label): pytest.approx(8 * scores[label], abs=1e-4) for label in LABELS}


def test_a_label_that_is_gone_counts_beside_the_latest_version(tmp_path, served, photo, monkeypatch):
    """The attempt that failed counts under the label asked for, the one that answered under the latest."""
    (tmp_path / "traffic.json").write_text(json.dumps({"canary_percent": 0}))
    monkeypatch.setenv("SCENERY_TRAFFIC_FILE", str(tmp_path / "traffic.json"))
    with proxy(tmp_path, served.grpc) as counted:
        assert counted.classify(photo)[0] == 200
        assert photos(page(counted.url)) == {("stable", "", "model-not-served"): 1, ("latest", "1", "ok"): 1}


def test_workers_add_up(tmp_path, served, photo, monkeypatch):
    """Whichever worker is asked tells the sum, also when one has died; nothing is left behind."""
    monkeypatch.setenv("SCENERY_WORKERS", "2")
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    sent = 0

    def both_have_counted() -> bool:
        nonlocal sent
        assert shared.classify(photo)[0] == 200
        sent += 1
        return len(workers()) == 2

    def workers() -> list[int]:
        files = tmp_path.glob("scenery-figures-*/counter_*.db")
        return [int(re.sub(r"\D", "", file.name)) for file in files]

    with proxy(tmp_path, served.grpc) as shared:
        wait_until(both_have_counted, "both workers to answer a photo")
        expected = {("latest", "1", "ok"): sent}
        assert [photos(page(shared.url)) for _ in range(20)] == [expected] * 20
        counts = series(page(shared.url), "scenery_photo_seconds_count", "version_label", "version")
        assert counts == {("latest", "1"): sent}
        os.kill(workers()[0], signal.SIGKILL)
        wait_until(lambda: "SIGKILL" in shared.log.read_text(), "the death to be noticed")
        assert photos(page(shared.url)) == expected
    assert not list(tmp_path.glob("scenery-figures-*"))


def test_bounds_are_close():
    """A percentile of seconds is known to a quarter, from 1 ms to 30 s; scores to a twentieth."""
    assert (SECONDS[0], SECONDS[-1]) == (0.001, 30)
    assert all(1.24 < above / below < 1.26 for below, above in pairwise(SECONDS))
    assert list(SCORES) == pytest.approx([0.05 * number for number in range(1, 21)])


def test_applications_of_one_process_count_apart():
    """Each application has figures of its own."""
    one, other = Figures(), Figures()
    scored = Scored(3, (0.9,), seconds=0.02)
    one.answered("canary", scored, Labelling({"beach": 0.9}, ["beach"], 0, "beach"))
    other.failed("stable", 3, "model-server-failed")
    assert photos(one.page().decode()) == {("canary", "3", "ok"): 1}
    assert photos(other.page().decode()) == {("stable", "3", "model-server-failed"): 1}

"""Shadows: the other version, asked after the answer."""

from __future__ import annotations

import json
import shutil
import signal
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import pytest
from flask import Flask

from proxy.app import create_app
from proxy.channel import open_channel
from proxy.deadline import Deadline
from proxy.labels import Labelling
from proxy.model_server import ModelServer, Target
from proxy.settings import Settings
from proxy.shadow import Answered, Shadow, Waiting
from tests.processes import PHOTOS, ROOT, free_ports, http, model_server, multipart, proxy, wait_until
from tests.proxy.scraped import disagreements, page, photos, series, shadows

LABELS = ["beach", "city", "sunset", "trees"]
CONFIG = """\
model_config_list {{ config {{
  name: "scenery" base_path: "{base_path}" model_platform: "tensorflow"
  model_version_policy {{ specific {{ versions: 1 versions: 2 }} }}
  version_labels {{ key: "stable" value: 1 }}
  version_labels {{ key: "canary" value: 2 }}
}} }}
"""
FORM = [(f"{number:04}.jpg", (PHOTOS / f"{number:04}.jpg").read_bytes()) for number in range(3, 13)]


@pytest.fixture(scope="module")
def two_versions(exported, tmp_path_factory) -> str:
    """A model server with two networks that differ: ``stable`` is these tests' own, ``canary`` the shipped one."""
    work = tmp_path_factory.mktemp("two-versions")
    shutil.copytree(exported / "1", work / "scenery" / "1")
    shutil.copytree(ROOT / "models/scenery/1", work / "scenery" / "2")
    (work / "serving.config").write_text(CONFIG.format(base_path=work / "scenery"))
    flags = (f"--model_config_file={work}/serving.config", "--allow_version_labels_for_unavailable_models=true")
    with model_server(work, *flags) as server:
        loaded = {1: "AVAILABLE", 2: "AVAILABLE"}
        wait_until(lambda: server.version_states("scenery") == loaded, "both versions to be loaded")
        yield server.grpc


def write_split(folder: Path, canary_percent: float, shadow_percent: float) -> Path:
    file = folder / "traffic.json"
    file.write_text(json.dumps({"canary_percent": canary_percent, "shadow_percent": shadow_percent}))
    return file


@pytest.fixture
def split_app(two_versions, tmp_path):
    """Make an application that splits its traffic so."""

    def make(canary_percent: float, shadow_percent: float) -> Flask:
        file = write_split(tmp_path, canary_percent, shadow_percent)
        return create_app(Settings(model_server=two_versions, traffic_file=file))

    return make


def send_form(app: Flask) -> list[dict]:
    """Post the photos, and one that is none; returns the answers of the former."""
    files = [(BytesIO(content), name) for name, content in [*FORM, ("bad.jpg", b"no photo")]]
    with app.test_client().post("/v1/classify", data={"file": files}) as response:
        return response.json["photos"][:-1]


def send_photo(app: Flask) -> None:
    with app.test_client().post("/v1/classify", data=FORM[0][1], content_type="image/jpeg") as response:
        assert response.status_code == 200


def told(app: Flask) -> str:
    return app.extensions["scenery"].figures.page().decode()


@pytest.mark.parametrize(("canary_percent", "answered", "shadowed"), [(0, "1", "2"), (100, "2", "1")])
def test_photos_are_compared_with_the_other_version(split_app, canary_percent, answered, shadowed):
    """Each answered photo is shown to the other version once; the labels that only one of them gave are counted."""
    given = {percent: [set(each["labels"]) for each in send_form(split_app(percent, 0))] for percent in (0, 100)}
    differing = [stable ^ canary for stable, canary in zip(given[0], given[100], strict=True)]
    expected = {label: sum(label in each for each in differing) for label in LABELS}
    assert any(expected.values())

    app = split_app(canary_percent, 100)
    assert {str(each["version"]) for each in send_form(app)} == {answered}
    wait_until(lambda: shadows(told(app)) == {(answered, shadowed, "ok"): len(FORM)}, "the shadows")
    wait_until(
        lambda: disagreements(told(app)) == {(answered, shadowed, label): expected[label] for label in LABELS},
        "the last comparison",
    )


def test_versions_that_agree_show_as_zero(split_app):
    """No disagreement is a figure too, and shadows are not counted as traffic."""
    app = split_app(0, 0)
    shared = app.extensions["scenery"]
    scored, labelling = shared.scoring.probe(FORM[0][1], Target("canary"), Deadline.after(10))
    shared.shadow.offer([Answered(FORM[0][1], scored.version, labelling, "canary")])
    wait_until(lambda: len(disagreements(told(app))) == len(LABELS), "the comparison")
    assert disagreements(told(app)) == {("2", "2", label): 0 for label in LABELS}
    assert photos(told(app)) == {}
    assert series(told(app), "scenery_photo_seconds_count", "version") == {}
    assert series(told(app), "scenery_photo_score_count", "version") == {}


def test_without_a_share_there_is_no_shadow(split_app):
    """Nothing runs that was not asked for."""
    app = split_app(50, 0)
    send_photo(app)
    assert shadows(told(app)) == {}


def test_the_answer_goes_first(split_app):
    """A photo is left to its shadow only when the response is closed, which is after its bytes were sent."""
    app = split_app(0, 100)
    shared = app.extensions["scenery"]
    full = Shadow(shared.model_server, shared.figures, 10, Waiting(max_photos=0))
    app.extensions["scenery"] = replace(shared, shadow=full)
    response = app.test_client().post("/v1/classify", data=FORM[0][1], content_type="image/jpeg")
    assert response.json["photos"][0]["labels"] is not None
    assert shadows(told(app)) == {}
    response.close()
    assert shadows(told(app)) == {("1", "", "dropped"): 1}


def test_a_shadow_that_fails_harms_nobody(split_app):
    """Requests are answered while their shadows find no server; each failure is counted by its name."""
    (port,) = free_ports(1)
    app = split_app(0, 100)
    nobody = ModelServer(open_channel(Settings(model_server=f"127.0.0.1:{port}")), "scenery")
    shared = app.extensions["scenery"]
    app.extensions["scenery"] = replace(shared, shadow=Shadow(nobody, shared.figures, 10))
    failed = ("1", "", "model-server-unavailable")
    send_photo(app)
    wait_until(lambda: shadows(told(app)) == {failed: 1}, "the failure")
    send_photo(app)
    wait_until(lambda: shadows(told(app)) == {failed: 2}, "the next failure")


def test_no_other_version_stands_in(tmp_path, served):
    """A label that is gone is told, not answered by the latest version."""
    app = create_app(Settings(model_server=served.grpc, traffic_file=write_split(tmp_path, 0, 100)))
    send_photo(app)
    wait_until(lambda: shadows(told(app)) == {("1", "", "model-not-served"): 1}, "the failure")


def test_scorefile_takes_part_and_a_busy_shadow_does_not_hold_up_the_end(tmp_path, two_versions, monkeypatch):
    """In the real server: both routes have shadows, and SIGTERM ends it while photos wait."""
    monkeypatch.setenv("SCENERY_TRAFFIC_FILE", str(write_split(tmp_path, 0, 100)))
    with proxy(tmp_path, two_versions) as shadowed:
        assert http("POST", f"{shadowed.url}/scorefile/", *multipart(FORM[0]))[0] == 200
        wait_until(lambda: shadows(page(shadowed.url)) == {("1", "2", "ok"): 1}, "the shadow")
        assert shadowed.classify(*multipart(*FORM * 3))[0] == 200
        shadowed.process.send_signal(signal.SIGTERM)
        assert shadowed.process.wait(10) == 0
        assert "Traceback" not in shadowed.log.read_text()


def answered(size: int) -> Answered:
    return Answered(bytes(size), 1, Labelling({"beach": 0.9}, ["beach"], 0, "beach", {"beach": 0.5}), "canary")


def test_what_waits_is_bounded_in_photos_and_bytes():
    """Past either bound a photo is refused at once; taking one makes room; the first in is the first out."""
    waiting = Waiting(max_photos=3, max_bytes=100)
    assert [waiting.put(answered(size)) for size in (60, 50, 40, 1)] == [True, False, True, False]
    assert len(waiting.take().photo) == 60
    assert [waiting.put(answered(size)) for size in (20, 20, 20)] == [True, True, False]
    assert [len(waiting.take().photo) for _ in range(3)] == [40, 20, 20]
    assert not waiting.put(answered(101))

"""``/v1/model``: what the version that answers says of itself, for programs and for people."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor

import grpc
import pytest
import tensorflow as tf
from playwright.sync_api import expect

from export.freeze import FrozenNetwork
from export.saved_model import write_saved_model
from proxy.app import create_app
from proxy.card_text import as_html
from proxy.channel import open_channel
from proxy.deadline import Deadline
from proxy.model_server import ModelServer, Scored, Target
from proxy.problems import ProblemError
from proxy.settings import Settings
from scenery import wire
from tests.processes import free_ports, http, model_server, proxy
from tests.proxy.browser import MISSING, PROGRAM, chromium, visit
from tests.proxy.test_model_server import DESCRIPTION, SCORES, Scripted, write_foreign

CARD = """\
# A card

Finds **two** things. See [the paper](https://arxiv.org/abs/1810.03993).

## Figures

| label | F1 | precision | recall | average precision | area under the curve | positives |
|---|---:|---|---|---|---|---|
| sea | 0.9 | 0.123456789 | 0.123456789 | 0.123456789 | 0.123456789 | 123456789 |

<script>alert("no")</script> ![a picture](https://example.org/picture.png)
"""
PROVENANCE = {
    "version": 2,
    "trained_at": "2026-01-01",
    "metrics": {"test": {"macro_f1": 0.9, "macro_auc": float("nan")}},
}
CONFIG = """\
model_config_list {{
  config {{ name: "scenery" base_path: "{models}/scenery" model_platform: "tensorflow"
    model_version_policy {{ specific {{ versions: 1 versions: 2 }} }}
    version_labels {{ key: "stable" value: 1 }} version_labels {{ key: "canary" value: 2 }} }}
  config {{ name: "foreign" base_path: "{models}/foreign" model_platform: "tensorflow" }}
}}
"""


def _network() -> FrozenNetwork:
    """The least network: the same two scores for every photo."""
    with tf.Graph().as_default() as graph:
        pixels = tf.compat.v1.placeholder(tf.uint8, [None, 8, 8, 3], name="pixels")
        tf.tile(tf.constant([[0.25, 0.75]]), [tf.shape(pixels)[0], 1], name="told")
    return FrozenNetwork(graph.as_graph_def(), "pixels:0", "told:0")


@pytest.fixture(scope="module")
def server(tmp_path_factory) -> str:
    """A model server with version 1 (stable, without a card), 2 (canary, with one), and a model of somebody else's."""
    work = tmp_path_factory.mktemp("carded")
    models = work / "models"
    for number, card in ((1, None), (2, CARD)):
        folder = models / "scenery" / str(number)
        folder.mkdir(parents=True)
        provenance = PROVENANCE | {"version": number}
        write_saved_model(folder, _network(), ["sea", "land"], [0.5, 0.146], (8, 8), provenance, card)
    write_foreign(models / "foreign" / "1")
    (work / "serving.config").write_text(CONFIG.format(models=models))
    flags = (f"--model_config_file={work}/serving.config", "--allow_version_labels_for_unavailable_models=true")
    with model_server(work, *flags) as running:
        yield running.grpc


@pytest.fixture
def client(server, tmp_path):
    """The proxy's application in front of it; a tenth of the callers get the canary."""
    traffic = tmp_path / "traffic.json"
    traffic.write_text('{"canary_percent": 10}')
    with create_app(Settings(model_server=server, traffic_file=traffic)).test_client() as client:
        yield client


def test_programs_get_the_facts(client):
    """Labels, thresholds, figures, provenance and the card; a figure that is no number is null."""
    answer = client.get("/v1/model?version=2")
    assert answer.status_code == 200
    assert "Accept" in answer.headers["Vary"]
    assert json.loads(answer.text, parse_constant=pytest.fail) == {
        "model": "scenery",
        "version": 2,
        "labels": ["sea", "land"],
        "labels_from": "model",
        "thresholds": {"sea": 0.5, "land": 0.146},
        "metrics": {"test": {"macro_f1": 0.9, "macro_auc": None}},
        "provenance": {"version": 2, "trained_at": "2026-01-01"},
        "card": CARD,
    }


def test_the_version_is_that_of_the_caller(client):
    """Without a choice it is the one that most callers get; a label chooses another, and so may the caller's key."""
    assert client.get("/v1/model").json["version"] == 1
    assert client.get("/v1/model?label=canary").json["version"] == 2
    keys = [f"caller {number}" for number in range(40)]
    versions = {client.get("/v1/model", headers={"X-Request-Key": key}).json["version"] for key in keys}
    assert versions == {1, 2}


def test_a_label_that_is_gone_is_answered_for(server, tmp_path):
    """Without the labels that the traffic names, the latest version answers, as it does for photos."""
    traffic = tmp_path / "traffic.json"
    traffic.write_text('{"canary_percent": 10}')
    settings = Settings(model_server=server, model_name="foreign", traffic_file=traffic)
    with create_app(settings).test_client() as client:
        assert client.get("/v1/model").json["version"] == 1


def test_the_card_alone_is_markdown(client):
    """The text is what the version holds, byte for byte."""
    answer = client.get("/v1/model?version=2", headers={"Accept": "text/markdown"})
    assert (answer.status_code, answer.content_type) == (200, "text/markdown; charset=utf-8")
    assert answer.text == CARD


@pytest.mark.parametrize(
    ("address", "accept", "status", "name"),
    [
        ("/v1/model?version=1", "text/markdown", 404, "no-model-card"),
        ("/v1/model?version=7", "*/*", 404, "version-unknown"),
        ("/v1/model?label=beta", "text/html", 404, "version-unknown"),
        ("/v1/model?version=1&label=stable", "*/*", 400, "bad-parameter"),
        ("/v1/model?threshold=0.5", "*/*", 400, "bad-parameter"),
    ],
)
def test_errors_are_problems(client, address, accept, status, name):
    """Whatever type is asked for, an error is a problem document."""
    answer = client.get(address, headers={"Accept": accept})
    assert (answer.status_code, answer.json["type"]) == (status, f"urn:scenery:problem:{name}")


def test_a_model_server_that_is_down(tmp_path):
    """It is 503, and says what to start."""
    (port,) = free_ports(1)
    settings = Settings(model_server=f"127.0.0.1:{port}", timeout_seconds=2, traffic_file=tmp_path / "none.json")
    with create_app(settings).test_client() as client:
        answer = client.get("/v1/model")
    assert answer.status_code in (503, 504)
    assert answer.json["detail"]


def test_a_model_that_does_not_describe_itself(server, tmp_path):
    """Its labels are those it is served with."""
    settings = Settings(
        model_server=server, model_name="foreign", labels=("a", "b", "c"), traffic_file=tmp_path / "none.json"
    )
    with create_app(settings).test_client() as client:
        told = client.get("/v1/model").json
        page = client.get("/v1/model", headers={"Accept": "text/html"})
    assert told["thresholds"] == {"a": 0.5, "b": 0.5, "c": 0.5}
    assert (told["labels_from"], told["metrics"], told["card"]) == ("setting", None, None)
    assert "No model card" in page.text


def test_it_needs_no_key(server, tmp_path):
    """It answers everybody, as /docs does; only photos need a key."""
    keys = tmp_path / "keys"
    keys.write_text("")
    settings = Settings(model_server=server, api_keys_file=keys, traffic_file=tmp_path / "none.json")
    with create_app(settings).test_client() as client:
        assert client.post("/v1/classify").status_code == 401
        assert client.get("/v1/model").status_code == 200


class Heard(Scripted):
    """A scripted model server that remembers what it was asked."""

    def __init__(self) -> None:
        super().__init__()
        self.requests: list = []

    def _answer(self, request, context) -> bytes:
        self.requests.append(request)
        return super()._answer(request, context)


@pytest.fixture
def heard():
    """A scripted model server, and the proxy's view of it."""
    handler = Heard()
    handler.answers = {"serving_default": SCORES, "describe": DESCRIPTION}
    server = grpc.server(ThreadPoolExecutor(2), (handler,))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    with open_channel(Settings(model_server=f"127.0.0.1:{port}")) as channel:
        yield handler, ModelServer(channel, "scenery")
    server.stop(None)


def test_a_version_is_asked_as_its_warmup_asked(heard):
    """For all of its ``describe`` signature: asked for a part of it, the first time takes as long as three photos."""
    handler, server = heard
    server.describe(Scored(3, (0.25, 0.75), 0.0), Deadline.after(10))
    assert [list(each.output_filter) for each in handler.requests] == [[]]


TEXT = {"dtype": wire.enum_values("tensorflow.DataType")["DT_STRING"]}


@pytest.mark.parametrize(
    "told",
    [
        {"provenance": TEXT | {"string_val": [b"no JSON"]}},
        {"provenance": TEXT | {"string_val": [b"[1]"]}},
        {"model_card": TEXT | {"string_val": [b"\xff"]}},
        {"labels": TEXT | {"string_val": [b"a"]}},
        {"labels": TEXT | {"string_val": []}},
        {"thresholds": {"dtype": 1, "float_val": [float("nan"), 0.5]}},
    ],
    ids=["no JSON", "no object", "no UTF-8", "too few labels", "no labels", "no number"],
)
def test_what_cannot_be_read_is_blamed_on_the_version(heard, told):
    """It is the model's failure, told by the version's number."""
    handler, server = heard
    handler.answers["describe"] = DESCRIPTION | told
    with pytest.raises(ProblemError, match="Version 3 answered what cannot be read") as caught:
        server.about(Target(), Deadline.after(10))
    assert caught.value.name == "model-server-failed"


@pytest.mark.parametrize(
    ("markdown", "html"),
    [
        ("<script>alert(1)</script>", "&lt;script&gt;"),
        ("a <b onclick=x>word</b>", "&lt;b onclick=x&gt;"),
        ("[a](javascript:alert(1))", "[a](javascript:alert(1))"),
        ("![a](https://example.org/a.png)", '!<a href="https://example.org/a.png">a</a>'),
        ("# Title", "<h2>Title</h2>"),
        ("| a |\n|--:|\n| 1 |", '<td class="right">1</td>'),
        ('```x" onload="y\n1\n```', 'class="language-x&quot;"'),
    ],
)
def test_a_card_cannot_do_more_than_be_read(markdown, html):
    """Markup of its own is shown as text, links run no script, pictures are links, and nothing needs a style inside."""
    rendered = as_html(markdown)
    assert html in rendered
    assert "style=" not in rendered


def test_a_card_is_made_a_page_of_once():
    """However often somebody looks, its Markdown is read once."""
    card = "# A card that no other test has"
    assert as_html(card) is as_html(card)


@pytest.mark.skipif(PROGRAM is None, reason=MISSING)
def test_people_get_a_page(server, tmp_path):
    """The front page leads to it; it shows the card, fetches nothing from elsewhere, and everybody can read it."""
    with proxy(tmp_path, server) as running, chromium() as browser:
        for scheme in ("light", "dark"):
            with visit(browser, running.url, color_scheme=scheme, viewport={"width": 360, "height": 700}) as visited:
                page = visited.page
                page.get_by_role("link", name="About this model").click()
                expect(page.get_by_role("heading", level=1)).to_have_text("About this model")
                expect(page.get_by_text("scenery, version 2")).to_be_visible()
                expect(page.get_by_role("heading", name="A card", level=2)).to_be_visible()
                assert (
                    page.get_by_role("cell", name="0.9", exact=True).evaluate(
                        "cell => getComputedStyle(cell).textAlign"
                    )
                    == "end"
                )
                assert page.locator("article script, article img").count() == 0
                wide = page.locator(".wide")
                assert wide.evaluate("table => table.scrollWidth > table.clientWidth && table.tabIndex === 0")
                page.get_by_text("Where it comes from").click()
                expect(page.get_by_text("trained_at")).to_be_visible()
                assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
                assert visited.violations() == []
                assert not visited.complaints
                assert all(address.startswith(running.url) for address in visited.requests)
        assert http("GET", f"{running.url}/v1/model")[1]["version"] == 2

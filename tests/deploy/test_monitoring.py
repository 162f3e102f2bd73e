"""Prometheus' and Grafana's files, checked by Prometheus' own tools and against what is really exported."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import pytest
import yaml

from scenery import contract, wire
from serving.text_proto import read_text_proto
from tests.deploy.prometheus import MONITORING, prometheus
from tests.processes import ROOT, http, model_server, proxy, wait_until
from tests.rollout.stack import PHOTO, SHIPPED

needs_prometheus = pytest.mark.skipif(
    not (shutil.which("promtool") and shutil.which("prometheus")),
    reason="no prometheus on PATH; on Debian: apt-get install prometheus",
)
TESTS = sorted(MONITORING.glob("*_test.yml"))
DASHBOARD = json.loads((MONITORING / "grafana/dashboards/scenery.json").read_text())
PANELS = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]
QUERIES = sorted({target["expr"] for panel in PANELS for target in panel["targets"]})
MAY_BE_EMPTY = ("offset 1d", ":drift1d", "scenery_sample_photos_total")
"""What takes days, or a setting."""

SERVING_CONFIG = """
model_config_list { config {
  name: "scenery" base_path: "%s" model_platform: "tensorflow"
  model_version_policy { all {} }
  version_labels { key: "stable" value: 1 } version_labels { key: "canary" value: 2 }
} }
"""


def read(name: str) -> Any:
    return yaml.safe_load((MONITORING / name).read_text())


RULES = [rule for name in ("rules.yml", "alerts.yml") for group in read(name)["groups"] for rule in group["rules"]]
ALERTS = {rule["alert"]: rule for rule in RULES if "alert" in rule}
EXPRESSIONS = [*QUERIES, *(rule["expr"] for rule in RULES)]


def names(expression: str) -> set[str]:
    """Return the metrics that an expression names."""
    bare = re.sub(r"\{[^}]*\}|\[[^]]*\]|\b(by|on|group_left) \([^)]*\)", "", re.sub(r'"[^"]*"', "", expression))
    return set(re.findall(r"(?<![\w:.])[a-zA-Z_:][\w:]*\b(?!\s*\()", bare)) - {"and", "or", "offset"}


def promtool(*arguments: str) -> None:
    done = subprocess.run(["promtool", *arguments], cwd=MONITORING, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@needs_prometheus
def test_the_configuration_is_valid():
    """Prometheus takes the configuration, and finds no fault with its rules."""
    promtool("check", "config", "prometheus.yml")
    promtool("check", "rules", "--lint=all", "--lint-fatal", "rules.yml", "alerts.yml")


@needs_prometheus
def test_the_configuration_for_a_cluster_is_valid(tmp_path):
    """The same, but for how pods are found, which Debian's Prometheus is built without."""
    work = shutil.copytree(MONITORING, tmp_path / "monitoring")
    config = yaml.safe_load((work / "kubernetes.yml").read_text())
    (scrape,) = config["scrape_configs"]
    (found,) = scrape.pop("kubernetes_sd_configs")
    assert found == {"role": "pod", "namespaces": {"names": ["scenery"]}}
    (work / "kubernetes.yml").write_text(yaml.safe_dump(config))
    promtool("check", "config", str(work / "kubernetes.yml"))
    component = yaml.safe_load((ROOT / "deploy/kubernetes/components/prometheus/kustomization.yaml").read_text())
    patches = [yaml.safe_load(each["patch"])["spec"]["template"]["metadata"] for each in component["patches"]]
    annotated = {name for metadata in patches for name in metadata["annotations"]}
    read = {label for rule in scrape["relabel_configs"] for label in rule["source_labels"]}
    assert {f"__meta_kubernetes_pod_annotation_{re.sub(r'[./]', '_', name)}" for name in annotated} <= read
    (job,) = [rule for rule in scrape["relabel_configs"] if rule.get("target_label") == "job"]
    assert job["source_labels"] == ["__meta_kubernetes_pod_label_app_kubernetes_io_name"]


@needs_prometheus
@pytest.mark.parametrize("tests", TESTS, ids=lambda path: path.stem)
def test_alerts_fire_when_they_should(tests):
    """On made-up figures each alert fires, with its text, and does not where it should not."""
    promtool("test", "rules", tests.name)


def test_every_alert_is_seen_firing_and_not():
    """The tests of Prometheus' own have both for each."""
    expected = [each for file in TESTS for test in read(file.name)["tests"] for each in test["alert_rule_test"]]
    assert {each["alertname"] for each in expected if each["exp_alerts"]} == set(ALERTS)
    assert {each["alertname"] for each in expected if not each["exp_alerts"]} == set(ALERTS)


def test_every_alert_is_documented():
    """Each names a section of docs/alerts.md that says what it means and what to do, and how urgent it is."""
    sections = re.split(r"(?m)^## ", (ROOT / "docs/alerts.md").read_text())[1:]
    told = {section.partition("\n")[0]: section for section in sections}
    assert list(told) == list(ALERTS)
    for name, alert in ALERTS.items():
        assert f"**{alert['labels']['severity']}**" in told[name], name
        assert alert["annotations"]["runbook"] == f"docs/alerts.md#{name.lower()}"
        assert alert["annotations"]["summary"]
        assert alert["annotations"]["description"]
        assert all(f"**{part}.**" in told[name] for part in ("Why", "Look", "Do")), name


def test_refusals_are_nobodys_failures():
    """The rules leave out the very outcomes that the contract calls refusals."""
    (failed,) = [
        rule["expr"] for rule in RULES if rule.get("record") == "version_label:scenery_photos_failed:increase10m"
    ]
    (outcomes,) = re.findall(r'outcome!~"([^"]*)"', failed)
    assert set(outcomes.split("|")) == {"ok", *contract.REFUSALS, "version-unknown"}


def test_targets_are_those_of_docker_compose():
    """Prometheus asks each service at the port of the contract and the path of monitoring.config."""
    path = read_text_proto(ROOT / "monitoring.config", wire.MonitoringConfig).prometheus_config.path
    asked = {
        job["job_name"]: (job["static_configs"][0]["targets"], job["metrics_path"])
        for job in read("prometheus.yml")["scrape_configs"]
    }
    assert asked == {
        "proxy": ([f"proxy:{contract.PROXY_PORT}"], "/metrics"),
        "model-server": ([f"model-server:{contract.REST_PORT}"], path),
    }


def test_docker_compose_mounts_what_grafana_and_prometheus_read():
    """Each file that one names of another is where the containers have it."""
    services = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
    assert "./deploy/monitoring:/etc/prometheus:ro" in services["prometheus"]["volumes"]
    provisioning = MONITORING / "grafana/provisioning"
    (provider,) = yaml.safe_load((provisioning / "dashboards/scenery.yml").read_text())["providers"]
    folder = provider["options"]["path"]
    assert services["grafana"]["volumes"][:2] == [
        "./deploy/monitoring/grafana/provisioning:/etc/grafana/provisioning:ro",
        f"./deploy/monitoring/grafana/dashboards:{folder}:ro",
    ]
    (source,) = yaml.safe_load((provisioning / "datasources/prometheus.yml").read_text())["datasources"]
    (variable,) = DASHBOARD["templating"]["list"]
    assert variable["current"]["value"] == source["uid"]
    assert source["jsonData"]["timeInterval"] == read("prometheus.yml")["global"]["scrape_interval"]
    assert source["url"] == "http://prometheus:9090"


def test_the_dashboard_can_be_read():
    """Panels have an id of their own, a place of their own, a unit, a legend and a sentence that explains them."""
    ids = [panel["id"] for panel in DASHBOARD["panels"]]
    assert len(set(ids)) == len(ids)
    taken: set[tuple[int, int]] = set()
    for panel in DASHBOARD["panels"]:
        place = panel["gridPos"]
        cells = {(place["x"] + x, place["y"] + y) for x in range(place["w"]) for y in range(place["h"])}
        assert not taken & cells, panel["title"]
        assert max(x for x, _ in cells) < 24
        taken |= cells
    for panel in PANELS:
        assert panel["title"]
        assert panel["description"].endswith(".")
        assert panel["fieldConfig"]["defaults"]["unit"]
        assert panel["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
        assert all(target["legendFormat"] for target in panel["targets"])


def test_tensorflow_serving_tells_what_is_asked_of_the_model_server():
    """The metrics asked for are among those that the real model server was recorded to have."""
    recorded = (ROOT / "tests/conformance/cases/monitoring.json").read_text()
    ours = set().union(*map(names, EXPRESSIONS))
    asked = {name.removesuffix("_bucket") for name in ours if name.startswith((":tensorflow:", "model_server_"))}
    assert len(asked) == 3
    assert all(f'"{name}"' in recorded for name in asked)


@pytest.fixture(scope="module")
def watched(tmp_path_factory):
    """A stable version and a canary, the proxy, and a Prometheus that watches them under load."""
    work = tmp_path_factory.mktemp("watched")
    for number in ("1", "2"):
        shutil.copytree(SHIPPED, work / "scenery" / number)
    (work / "serving.config").write_text(SERVING_CONFIG % (work / "scenery"))
    (work / "traffic.json").write_text(json.dumps({"canary_percent": 50, "shadow_percent": 50}))
    flags = (
        f"--model_config_file={work}/serving.config",
        f"--monitoring_config_file={ROOT}/monitoring.config",
        "--allow_version_labels_for_unavailable_models=true",
    )
    with pytest.MonkeyPatch.context() as patch, model_server(work, *flags) as server:
        patch.setenv("SCENERY_TRAFFIC_FILE", str(work / "traffic.json"))
        patch.setenv("SCENERY_MAX_IN_FLIGHT", "1")
        with proxy(work, server.grpc) as running_proxy:
            host = "127.0.0.1:"
            targets = {
                f"proxy:{contract.PROXY_PORT}": host + running_proxy.url.rpartition(":")[2],
                f"model-server:{contract.REST_PORT}": host + server.rest.rpartition(":")[2],
            }
            with prometheus(work, targets) as running, load(running_proxy.url):
                yield running


@contextmanager
def load(url: str) -> Iterator[None]:
    """Send good photos, bad ones and probes while the context lasts; more at a time than the proxy lets in."""
    stop = threading.Event()

    def send() -> None:
        while not stop.wait(0.05):
            for body in (PHOTO, PHOTO[:1000], b"no photo"):
                with suppress(OSError):  # those who are turned away may be so while they send
                    http("POST", f"{url}/v1/classify", body, "image/jpeg")
            http("GET", f"{url}/readyz")

    threads = [threading.Thread(target=send) for _ in range(3)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stop.set()
        for thread in threads:
            thread.join()


@needs_prometheus
@pytest.mark.parametrize("query", QUERIES, ids=lambda query: query[:60])
def test_every_query_of_the_dashboard_shows_something(watched, query):
    """Asked of a real Prometheus that watches the real programs; but for what takes days, or a setting."""
    expression = query.replace("$__rate_interval", "15s")
    if any(each in query for each in MAY_BE_EMPTY):
        watched.values(expression)
    else:
        wait_until(lambda: watched.has_data(expression), expression, 40)


@needs_prometheus
def test_every_rule_is_evaluated(watched):
    """Prometheus computes all of them from what it scraped, without an error."""
    wait_until(lambda: "unknown" not in watched.rules().values(), "the first evaluation of every rule")
    assert watched.rules() == dict.fromkeys([rule.get("record") or rule["alert"] for rule in RULES], "ok")


@needs_prometheus
def test_rules_and_queries_name_what_is_exported(watched):
    """A metric that is renamed is found here, not by an alert that never fires."""
    recorded = {rule["record"] for rule in RULES if "record" in rule}
    asked = set().union(*map(names, EXPRESSIONS)) - recorded - {"up", "ALERTS"}
    wait_until(lambda: asked <= watched.exported(), f"figures of the names {sorted(asked)}", 40)
    assert recorded <= set().union(*map(names, EXPRESSIONS))


@needs_prometheus
def test_an_overload_is_on_its_way_to_an_alert(watched):
    """The alert sees a real overload, and waits the ten minutes after which somebody is told."""
    wait_until(lambda: watched.values('ALERTS{alertname="SceneryLoadShed",alertstate="pending"}') == [1], "the alert")
    assert watched.values('ALERTS{alertname=~"Scenery.*Down"}') == []

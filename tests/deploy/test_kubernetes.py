"""deploy/kubernetes is valid, agrees with the contract and the programs, keeps strangers out and loses no request."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from functools import cache
from pathlib import Path

import kubernetes_validate
import pytest

from proxy.server import GRACE_SECONDS
from proxy.settings import PREFIX, Settings, load_settings
from scenery import contract
from scenery.serving_config import read_entry
from serving.flags import parse_flags
from tests.deploy.manifests import (
    KUBERNETES,
    Manifests,
    lets_in,
    may_call,
    memory_for_callers,
    rendered,
    selects,
    written,
)
from tests.processes import ROOT

OVERLAYS = ("overlays/claim", "overlays/bucket", "overlays/local")
CLUSTERS = ("1.30", "1.37")
"""The oldest version of Kubernetes that has all that is used, and the newest one whose schemas are at hand."""
DNS_SECONDS = 5
"""How long CoreDNS lets the pods of a service be remembered, unless told otherwise."""
README = (KUBERNETES / "README.md").read_text()
KSERVES = "scenery-predictor"
"""The Deployment that KServe makes."""
JITTER = 1.1
"""gRPC ends a connection up to a tenth later than it is told to. Source: its proposal A9."""
MODEL_SERVER, PROXY, ROLLOUT, STRANGER = (
    {"app.kubernetes.io/name": name} for name in ("model-server", "proxy", "rollout", "stranger")
)


@pytest.fixture
def base() -> Manifests:
    """The base as it is written, which needs no tool."""
    return written("base")


@pytest.fixture(params=["base", *OVERLAYS])
def deployed(request) -> Manifests:
    """The base, and the overlays as kustomize renders them."""
    return written("base") if request.param == "base" else rendered(request.param)


@pytest.fixture(params=["base", *OVERLAYS, "kserve"])
def manifests(request) -> Manifests:
    """The same, and what is built on the base for KServe, where that runs the model server."""
    return written("base") if request.param == "base" else rendered(request.param)


def flags(container) -> dict[str, object]:
    return parse_flags(container["args"]).values


def channel_argument(container, name: str) -> int:
    """Return one of the gRPC server's own arguments."""
    pairs = dict(each.split("=") for each in flags(container)["grpc_channel_arguments"].split(","))
    return int(pairs[f"grpc.{name}"])


@pytest.mark.parametrize("cluster", CLUSTERS)
def test_everything_is_what_kubernetes_takes(manifests, cluster):
    """Each document has the fields of its published schema, of these types, and no other ones."""
    for document in manifests.documents:
        if document["kind"] != "InferenceService":
            _validate(json.dumps(document), cluster)


@cache
def _validate(document: str, cluster: str) -> None:
    """Hold a document, as JSON, to its schema; once, as overlays have most of them in common."""
    kubernetes_validate.validate(json.loads(document), cluster, strict=True)


def test_the_model_servers_flags_are_its_own(deployed):
    """Every flag is one of tensorflow_model_server's, of its type; ports and files are where others look for them."""
    container = deployed.container("model-server")
    line = parse_flags(container["args"])
    assert line.unknown == []
    assert line.ignored == []
    assert {each["name"]: each["containerPort"] for each in container["ports"]} == {
        "grpc": line.port,
        "rest": line.rest_api_port,
    }
    assert (line.port, line.rest_api_port) == (contract.GRPC_PORT, contract.REST_PORT)
    assert line.enable_grpc_healthcheck_service
    assert line.model_config_file_poll_wait_seconds == 1
    assert line.allow_version_labels_for_unavailable_models


def test_the_model_server_reads_the_configs_of_the_claim(deployed):
    """serving.config and monitoring.config are used as they are in the repository, at the top of the claim."""
    container = deployed.container("model-server")
    given = flags(container)
    assert {"name": "models", "mountPath": contract.CONFIG_ROOT, "readOnly": True} in container["volumeMounts"]
    for flag, file in (("model_config_file", "serving.config"), ("monitoring_config_file", "monitoring.config")):
        assert given[flag] == f"{contract.CONFIG_ROOT}/{file}"
        assert (ROOT / file).is_file()
    base_path = read_entry(ROOT / "serving.config", contract.MODEL_NAME).base_path
    assert base_path == f"{contract.CONFIG_ROOT}/{contract.MODEL_NAME}"


def test_the_proxys_variables_are_settings(manifests, monkeypatch):
    """Each is a setting with a value that the proxy takes: it listens at its port, and asks a headless service."""
    container = manifests.container("proxy")
    variables = {each["name"]: each["value"] for each in container["env"]}
    assert set(variables) <= {PREFIX + name.upper() for name in Settings.model_fields}
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    settings = load_settings()
    assert settings.listen_host == "0.0.0.0"
    assert container["ports"] == [{"name": "http", "containerPort": settings.listen_port}]
    name, port = settings.model_server.removeprefix("dns:///").split(":")
    service = manifests.get("Service", name)["spec"]
    assert service["clusterIP"] == "None"
    assert [each["port"] for each in service["ports"]] == [int(port)]
    assert settings.max_in_flight is not None
    assert settings.max_in_flight < settings.threads


def test_the_proxy_follows_the_traffic_file_of_the_claim(base):
    """It reads the file that the pod for rollouts writes."""
    pods = base.pods()
    variables = {each["name"]: each.get("value") for each in base.container("proxy")["env"]}
    folder = f"{contract.CONFIG_ROOT}/{contract.MODEL_NAME}"
    assert variables["SCENERY_TRAFFIC_FILE"] == f"{folder}/{contract.TRAFFIC_FILE}"
    claims = {pod["spec"]["volumes"][0]["persistentVolumeClaim"]["claimName"] for pod in pods.values()}
    assert claims == {"models"}


def test_the_proxies_let_in_what_the_model_servers_can_work_on(base):
    """With as few pods as there may be, each proxy's share is four requests for each core of the model servers."""
    fewest = {each["metadata"]["name"]: each["spec"]["minReplicas"] for each in base.kind("HorizontalPodAutoscaler")}
    cores = fewest["model-server"] * int(base.container("model-server")["resources"]["requests"]["cpu"])
    variables = {each["name"]: each["value"] for each in base.container("proxy")["env"]}
    assert int(variables["SCENERY_MAX_IN_FLIGHT"]) * fewest["proxy"] == 4 * cores


def test_the_proxy_has_room_for_what_its_callers_may_send(base):
    """The limit of memory holds as many bodies as there are threads, half as much again, and the proxy itself."""
    limit = base.container("proxy")["resources"]["limits"]["memory"]
    assert memory_for_callers() <= int(limit.removesuffix("Gi")) * 2**30


def test_a_bucket_is_written_by_rollouts_only():
    """Pods that load models or take photos have an account that may only read."""
    accounts = {name: pod["spec"]["serviceAccountName"] for name, pod in rendered("overlays/bucket").pods().items()}
    assert accounts == {"model-server": "models-reader", "proxy": "models-reader", "rollout": "models"}
    names = {each["metadata"]["name"] for each in rendered("overlays/bucket").kind("ServiceAccount")}
    assert names == set(accounts.values())


def test_only_rollouts_write_into_the_claim(base):
    """Every other mount of it is read-only."""
    writers = [
        name
        for name, pod in base.pods().items()
        for container in pod["spec"].get("initContainers", []) + pod["spec"]["containers"]
        for mount in container["volumeMounts"]
        if mount["name"] == "models" and not mount.get("readOnly")
    ]
    assert writers == ["rollout"]


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_every_overlay_brings_what_is_mounted(overlay):
    """The claim is there, a bucket's volume bound to it, and the script of the probe where the probe looks for it."""
    manifests = rendered(overlay)
    (probes,) = manifests.kind("ConfigMap")
    volumes = {each["name"]: each for each in manifests.pods()["model-server"]["spec"]["volumes"]}
    assert volumes["probes"]["configMap"]["name"] == probes["metadata"]["name"]
    container = manifests.container("model-server")
    (folder,) = [each["mountPath"] for each in container["volumeMounts"] if each["name"] == "probes"]
    assert container["readinessProbe"]["exec"]["command"][1] in [f"{folder}/{file}" for file in probes["data"]]
    claim = manifests.get("PersistentVolumeClaim", "models")["spec"]
    for volume in manifests.kind("PersistentVolume"):
        assert volume["metadata"]["name"] == claim["volumeName"]
        assert volume["spec"]["claimRef"] == {"namespace": "scenery", "name": "models"}
        assert volume["spec"]["storageClassName"] == claim["storageClassName"]
        assert volume["spec"]["accessModes"] == claim["accessModes"]


def test_every_selector_selects_and_every_target_is_there(manifests):
    """Services, budgets, policies and spreading name pods that exist; autoscalers a Deployment and its container."""
    labels = manifests.pod_labels()
    selectors = [each["spec"]["selector"] for each in manifests.kind("Deployment", "PodDisruptionBudget")]
    selectors += [{"matchLabels": each["spec"]["selector"]} for each in manifests.kind("Service")]
    selectors += [each["spec"]["podSelector"] for each in manifests.kind("NetworkPolicy")]
    pods = manifests.pods()
    for pod in pods.values():
        selectors += [each["labelSelector"] for each in pod["spec"].get("topologySpreadConstraints", [])]
    for selector in selectors:
        assert any(selects(selector, each) for each in labels), selector
    for scaler in manifests.kind("HorizontalPodAutoscaler"):
        target = scaler["spec"]["scaleTargetRef"]
        (container,) = [each["containerResource"]["container"] for each in scaler["spec"]["metrics"]]
        assert container in [each["name"] for each in pods[target["name"]]["spec"]["containers"]]
        assert "replicas" not in manifests.get(target["kind"], target["name"])["spec"]


def test_every_port_that_is_named_is_a_containers(manifests):
    """Services and probes reach what a container opens."""
    for service in manifests.kind("Service"):
        for template in manifests.pods().values():
            if not selects({"matchLabels": service["spec"]["selector"]}, template["metadata"]["labels"]):
                continue
            names = {each["name"] for each in template["spec"]["containers"][0]["ports"]}
            assert {each["targetPort"] for each in service["spec"]["ports"]} <= names
    for container in manifests.containers():
        opened = {port[key] for port in container.get("ports", []) for key in ("name", "containerPort")}
        for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
            for kind in ("httpGet", "grpc"):
                if kind in container.get(probe, {}):
                    assert container[probe][kind]["port"] in opened


def test_strangers_reach_the_door_only(deployed):
    """The model server answers proxies and rollouts, on its gRPC port; it calls nobody of the namespace itself."""
    grpc, rest, door = contract.GRPC_PORT, contract.REST_PORT, contract.PROXY_PORT
    let_in = {
        (name, port)
        for name, caller in {"proxy": PROXY, "rollout": ROLLOUT, "stranger": STRANGER, "outside": None}.items()
        for port in (grpc, rest)
        if lets_in(deployed, MODEL_SERVER, caller, port)
    }
    assert let_in == {("proxy", grpc), ("rollout", grpc)}
    assert may_call(deployed, PROXY, MODEL_SERVER, grpc)
    assert may_call(deployed, ROLLOUT, MODEL_SERVER, grpc)
    assert may_call(deployed, None, PROXY, door)
    assert may_call(deployed, ROLLOUT, PROXY, door)
    assert not may_call(deployed, MODEL_SERVER, PROXY, door)
    assert not may_call(deployed, PROXY, ROLLOUT, door)
    assert may_call(deployed, PROXY, None, 53)
    assert not may_call(deployed, PROXY, None, 80)


def test_prometheus_is_let_in_where_it_is_wanted(tmp_path):
    """With the component, Prometheus alone reaches the port of the figures, and the pods say where these are."""
    policy = written("components/prometheus").get("NetworkPolicy", "prometheus")["spec"]
    (rule,) = policy["ingress"]
    assert [each["port"] for each in rule["ports"]] == [contract.REST_PORT]
    (peer,) = rule["from"]
    assert set(peer) == {"namespaceSelector", "podSelector"}
    shutil.copytree(KUBERNETES, tmp_path / "kubernetes")
    overlay = tmp_path / "kubernetes/overlays/claim/kustomization.yaml"
    overlay.write_text(overlay.read_text() + "components:\n  - ../../components/prometheus\n")
    for name, pod in rendered(str(overlay.parent)).pods().items():
        annotations = pod["metadata"].get("annotations", {})
        ports = [str(each["containerPort"]) for each in pod["spec"]["containers"][0].get("ports", [])]
        assert (annotations.get("prometheus.io/port") in ports) == (name != "rollout")


def test_pods_may_do_little(manifests):
    """No root, no privilege, no write to the image, no token, no secret; memory has a limit, images a version."""
    for pod in manifests.pods().values():
        assert pod["spec"]["automountServiceAccountToken"] is False
        assert pod["spec"]["enableServiceLinks"] is False
        assert pod["spec"]["securityContext"]["runAsNonRoot"] is True
        assert pod["spec"]["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    for container in manifests.containers():
        context = container["securityContext"]
        assert context["readOnlyRootFilesystem"] is True
        assert context["allowPrivilegeEscalation"] is False
        assert context["capabilities"] == {"drop": ["ALL"]}
        assert {"cpu", "memory"} == set(container["resources"]["requests"])
        assert "memory" in container["resources"]["limits"]
        assert re.fullmatch(r"[a-z/-]+:\d+\.\d+\.\d+", container["image"])
    assert not manifests.kind("Secret")
    labels = manifests.get("Namespace", "scenery")["metadata"]["labels"]
    assert labels["pod-security.kubernetes.io/enforce"] == "restricted"


def test_no_pod_goes_before_its_successor_is_ready(base):
    """A rolling update takes none away first, and a node that is drained one at a time."""
    for name in ("model-server", "proxy"):
        assert base.get("Deployment", name)["spec"]["strategy"]["rollingUpdate"]["maxUnavailable"] == 0
        assert base.get("PodDisruptionBudget", name)["spec"]["maxUnavailable"] == 1


def test_a_pod_is_told_to_end_when_nobody_asks_it_any_more(base):
    """The pause before is longer than names are remembered, a connection lives and a request takes."""
    server, door = base.container("model-server"), base.container("proxy")
    connection_seconds = channel_argument(server, "max_connection_age_ms") / 1000
    request_seconds = Settings.model_fields["timeout_seconds"].default
    pause_seconds = server["lifecycle"]["preStop"]["sleep"]["seconds"]
    assert pause_seconds >= DNS_SECONDS + JITTER * connection_seconds + request_seconds
    assert channel_argument(server, "max_connection_age_grace_ms") / 1000 >= request_seconds
    pods = base.pods()
    assert pods["model-server"]["spec"]["terminationGracePeriodSeconds"] > pause_seconds
    pause_seconds = door["lifecycle"]["preStop"]["sleep"]["seconds"]
    assert pods["proxy"]["spec"]["terminationGracePeriodSeconds"] >= pause_seconds + GRACE_SECONDS


def test_the_readmes_commands_name_what_there_is(base):
    """Each Deployment, Service and label that a command is told exists."""
    for line in re.findall(r"kubectl -n scenery .*", README):
        for kind, name in re.findall(r"\b(deploy|service)/([a-z-]+)", line):
            if name != KSERVES:
                base.get({"deploy": "Deployment", "service": "Service"}[kind], name)
        for name in re.findall(r"-l app\.kubernetes\.io/name=([a-z-]+)", line):
            assert name in base.pods()


def test_the_readmes_commands_fill_the_claim(tmp_path):
    """What they pack is where the model server looks for it, its config last; a later version appears whole."""
    claim, work = tmp_path / "claim", tmp_path / "work"
    claim.mkdir()
    shutil.copytree(ROOT / "models/scenery/1", work / "models/scenery/1")
    for file in ("serving.config", "monitoring.config"):
        shutil.copy(ROOT / file, work)
    fill, add = (
        command.replace("kubectl -n scenery exec -i deploy/rollout -- ", "").replace("-C /models", f"-C {claim}")
        for command in re.findall(r"^ *(tar [^`]*?)\n *```", README, re.MULTILINE)
    )
    _shell(fill, work)
    assert {each.name for each in claim.iterdir()} == {"serving.config", "monitoring.config", contract.MODEL_NAME}
    packed = _shell(fill.replace(f"tar -xf - -C {claim}", "tar -tf -"), work).splitlines()
    assert packed[-1] == "serving.config"
    shutil.copytree(work / "models/scenery/1", work / "models/scenery/2")
    packs, unpacks = add.split(" | ")
    _shell(f"{packs} | (cd {claim}; {unpacks})", work)
    assert {each.name for each in (claim / contract.MODEL_NAME).iterdir()} == {"1", "2"}
    assert (claim / contract.MODEL_NAME / "2/saved_model.pb").is_file()


def _shell(command: str, cwd: Path) -> str:
    return subprocess.run(["bash", "-ec", command], cwd=cwd, capture_output=True, text=True, check=True).stdout

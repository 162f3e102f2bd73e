"""The Kubernetes manifests, as written and as kustomize renders them, and who may talk to whom by their policies."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

import pytest
import yaml

from proxy.settings import Settings
from tests.processes import ROOT

KUBERNETES = ROOT / "deploy/kubernetes"
Document = dict[str, Any]
Pod = dict[str, str] | None
"""The labels of a pod of the namespace; None for whoever is outside of it."""


@dataclass(frozen=True)
class Manifests:
    """Documents that are applied together."""

    documents: tuple[Document, ...]

    def kind(self, *kinds: str) -> list[Document]:
        """Return the documents of some kinds."""
        return [each for each in self.documents if each["kind"] in kinds]

    def get(self, kind: str, name: str) -> Document:
        """Return one document; fails if there is not exactly one."""
        (found,) = [each for each in self.kind(kind) if each["metadata"]["name"] == name]
        return found

    def pods(self) -> dict[str, Document]:
        """Return the pods of each Deployment by its name."""
        return {each["metadata"]["name"]: each["spec"]["template"] for each in self.kind("Deployment")}

    def pod_labels(self) -> list[dict[str, str]]:
        """Return the labels of every pod, those that KServe makes too."""
        made = [
            {"app": f"isvc.{each['metadata']['name']}-{component}"}
            for each in self.kind("InferenceService")
            for component in each["spec"]
        ]
        return made + [pod["metadata"]["labels"] for pod in self.pods().values()]

    def container(self, deployment: str) -> Document:
        """Return the container of a Deployment."""
        (container,) = self.pods()[deployment]["spec"]["containers"]
        return container

    def containers(self) -> Iterator[Document]:
        """Yield every container, those that run first too."""
        for pod in self.pods().values():
            yield from pod["spec"].get("initContainers", [])
            yield from pod["spec"]["containers"]


def memory_for_callers() -> float:
    """Return the bytes that a proxy needs: as many bodies as it has threads, half as much again, and itself."""
    settings = Settings()
    return settings.threads * settings.max_body_bytes * 1.5 + 100e6


@cache
def written(folder: str) -> Manifests:
    """Read the documents of a folder as they are written."""
    files = sorted(file for file in (KUBERNETES / folder).glob("*.yaml") if file.name != "kustomization.yaml")
    return Manifests(tuple(document for file in files for document in yaml.safe_load_all(file.read_text())))


@cache
def rendered(folder: str) -> Manifests:
    """Have kustomize render a folder; skips the test where there is no kubectl."""
    if shutil.which("kubectl") is None:
        pytest.skip("kustomize renders the overlays: there is no kubectl on PATH")
    done = subprocess.run(
        ["kubectl", "kustomize", str(KUBERNETES / folder)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return Manifests(tuple(yaml.safe_load_all(done.stdout)))


def selects(selector: Document, labels: dict[str, str]) -> bool:
    """Tell whether a label selector, with ``In`` as its only operator, selects labels."""
    expressions = selector.get("matchExpressions", [])
    assert all(each["operator"] == "In" for each in expressions)
    return all(labels.get(key) == value for key, value in selector.get("matchLabels", {}).items()) and all(
        labels.get(each["key"]) in each["values"] for each in expressions
    )


def may_call(manifests: Manifests, caller: Pod, called: Pod, port: int) -> bool:
    """Tell whether the policies of both let one pod call another."""
    return _passes(manifests, "Egress", caller, called, port) and lets_in(manifests, called, caller, port)


def lets_in(manifests: Manifests, called: Pod, caller: Pod, port: int) -> bool:
    """Tell whether the policies of a pod let another call it, whatever those of the caller say."""
    return _passes(manifests, "Ingress", called, caller, port)


def _passes(manifests: Manifests, way: str, pod: Pod, peer: Pod, port: int) -> bool:
    policies = [
        each["spec"]
        for each in manifests.kind("NetworkPolicy")
        if pod is not None and way in each["spec"]["policyTypes"] and selects(each["spec"]["podSelector"], pod)
    ]
    rules = [rule for policy in policies for rule in policy.get(way.lower(), [])]
    return not policies or any(
        port in [each["port"] for each in rule["ports"]]
        and _names(rule.get({"Egress": "to", "Ingress": "from"}[way]), peer)
        for rule in rules
    )


def _names(peers: list[Document] | None, pod: Pod) -> bool:
    """Tell whether a rule is for a pod of this namespace, or for everybody."""
    if peers is None:
        return True
    inside = [each["podSelector"] for each in peers if set(each) == {"podSelector"}]
    return pod is not None and any(selects(each, pod) for each in inside)

"""The InferenceService has KServe's fields, and what KServe hands on to its pods is what Kubernetes takes."""

from __future__ import annotations

import json
from pathlib import Path

import kubernetes_validate
import pytest

from scenery import contract
from serving.flags import parse_flags
from tests.deploy.manifests import written

FIELDS = json.loads((Path(__file__).parent / "kserve_fields.json").read_text())
"""The fields of each of KServe's types, and the fields' types."""
READERS = {"str": str, "int": int, "bool": bool, "list[str]": list}


@pytest.fixture
def service():
    (service,) = written("kserve").kind("InferenceService")
    return service


def require_fields(value: dict, kind: str) -> None:
    """Require that a value has fields of its type only, each of its own type."""
    unknown = set(value) - set(FIELDS[kind])
    assert not unknown, f"{kind} has no {unknown}"
    for name, inner in value.items():
        inner_kind = FIELDS[kind][name]
        if inner_kind in FIELDS:
            require_fields(inner, inner_kind)
        else:
            assert isinstance(inner, READERS.get(inner_kind, (dict, list))), f"{kind}.{name}: {inner!r}"


def test_its_fields_are_those_of_kserves_own_client(service):
    """None is unknown or of another type, and the model gets the name that the proxy asks for."""
    require_fields(service, "V1beta1InferenceService")
    assert service["metadata"]["name"] == contract.MODEL_NAME


def test_what_it_hands_on_is_what_kubernetes_takes(service):
    """Container and pod fields make a valid pod, and its flags are the model server's."""
    predictor = service["spec"]["predictor"]
    container = {name: predictor["model"][name] for name in ("args", "ports", "resources")}
    container |= {"name": "kserve-container", "image": f"tensorflow/serving:{predictor['model']['runtimeVersion']}"}
    spec = {name: predictor[name] for name in ("automountServiceAccountToken", "securityContext")}
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "predictor"}}
    kubernetes_validate.validate({**pod, "spec": {**spec, "containers": [container]}}, "1.37", strict=True)
    assert parse_flags(container["args"]).unknown == []

"""Models and model servers that are not as the shipped one: without a description, or behind TLS."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import pytest
import tensorflow as tf
import trustme

from proxy.channel import open_channel
from proxy.deadline import Deadline
from proxy.model_server import ModelServer, Target
from proxy.problems import ProblemError
from proxy.settings import Settings
from scenery import wire
from scenery.errors import ConfigurationError
from tests.processes import http, model_server, proxy

_V1 = tf.compat.v1


def write_foreign(folder: Path) -> None:
    """Write a model that takes encoded photos and gives three scores, under a name of its own, and nothing else."""
    with tf.Graph().as_default(), _V1.Session() as session:
        photos = _V1.placeholder(tf.string, [None], name="photos")
        scores = tf.tile(tf.constant([[0.25, 0.75, 0.5]]), [tf.size(photos), 1])
        _V1.saved_model.simple_save(session, str(folder), {"image_bytes": photos}, {"probabilities": scores})


@pytest.fixture(scope="module")
def foreign(tmp_path_factory) -> str:
    """A model server with somebody else's SavedModel dropped in; returns its gRPC address."""
    work = tmp_path_factory.mktemp("foreign")
    write_foreign(work / "scenery" / "1")
    with model_server(work, "--model_name=scenery", f"--model_base_path={work}/scenery") as server:
        yield server.grpc


@pytest.mark.parametrize(
    ("setting", "names", "source"),
    [
        ("", ["0", "1", "2"], "index"),
        ("cat, dog,bird", ["cat", "dog", "bird"], "setting"),
        ("a,b", ["0", "1", "2"], "index"),
    ],
    ids=["no setting", "three labels", "too few labels"],
)
def test_a_model_that_does_not_describe_itself(tmp_path, foreign, photo, monkeypatch, setting, names, source):
    """It is served with the labels of the setting, or by index, and the answer says which."""
    monkeypatch.setenv("SCENERY_LABELS", setting)
    with proxy(tmp_path, foreign) as strange:
        status, answer, _ = strange.classify(photo)
        assert status == 200
        (told,) = answer["photos"]
        assert told["labels_from"] == source
        assert told["scores"] == dict(zip(names, [0.25, 0.75, 0.5], strict=True))
        assert told["labels"] == [names[1], names[2]]
        assert told["top"] == {"index": 1, "label": names[1]}
        assert http("GET", f"{strange.url}/readyz")[0] == 200


@pytest.fixture(scope="module")
def secured(exported, tmp_path_factory) -> tuple[str, Path]:
    """A model server that asks for certificates; returns its address and the folder of keys."""
    work = tmp_path_factory.mktemp("secured")
    authority = trustme.CA()
    server, client = authority.issue_cert("localhost"), authority.issue_cert("scenery-proxy")
    authority.cert_pem.write_to_path(work / "ca.pem")
    trustme.CA().cert_pem.write_to_path(work / "other-ca.pem")
    client.private_key_pem.write_to_path(work / "key.pem")
    for blob in client.cert_chain_pems:
        blob.write_to_path(work / "certificate.pem", append=True)

    def text(*blobs: trustme.Blob) -> str:
        return json.dumps("".join(blob.bytes().decode() for blob in blobs))

    (work / "ssl.config").write_text(
        f"server_key: {text(server.private_key_pem)} server_cert: {text(*server.cert_chain_pems)} "
        f"custom_ca: {text(authority.cert_pem)} client_verify: true"
    )
    flags = ("--model_name=scenery", f"--model_base_path={exported}", f"--ssl_config_file={work / 'ssl.config'}")
    with model_server(work, *flags) as running:
        yield running.grpc, work


def tls(work: Path, **other: Path | str) -> dict[str, Path | str | bool]:
    return {
        "model_server_tls": True,
        "model_server_ca_file": work / "ca.pem",
        "model_server_certificate_file": work / "certificate.pem",
        "model_server_key_file": work / "key.pem",
        "model_server_tls_name": "localhost",
    } | other


@pytest.mark.parametrize(
    ("other", "status"),
    [
        ({}, 200),
        ({"model_server_ca_file": "other-ca.pem"}, 503),
        ({"model_server_tls_name": "example.org"}, 503),
        ({"model_server_certificate_file": None, "model_server_key_file": None}, 503),
    ],
    ids=["known to each other", "another authority", "another name", "no certificate of its own"],
)
def test_tls_of_both_sides(tmp_path, secured, photo, monkeypatch, other, status):
    """Both ends show a certificate and check the other's; if either is not what it must be, nothing is sent."""
    address, work = secured
    for name, value in tls(
        work, **{key: value and value.replace("other", str(work / "other")) for key, value in other.items()}
    ).items():
        if value is not None:
            monkeypatch.setenv(f"SCENERY_{name.upper()}", str(value))
    with proxy(tmp_path, address) as private:
        assert private.classify(photo)[0] == status


def test_a_certificate_that_cannot_be_used_stops_the_start(tmp_path):
    """The variable and the file are named."""
    missing = Settings(model_server_tls=True, model_server_ca_file=tmp_path / "none.pem")
    with pytest.raises(ConfigurationError, match=r"SCENERY_MODEL_SERVER_CA_FILE: .*none\.pem cannot be read"):
        open_channel(missing)
    (tmp_path / "text.pem").write_text("no certificate")
    with pytest.raises(ConfigurationError, match="is not in PEM format"):
        open_channel(Settings(model_server_tls=True, model_server_ca_file=tmp_path / "text.pem"))


class Scripted(grpc.GenericRpcHandler):
    """A model server, over real gRPC, that says what a test has it say, by signature."""

    def __init__(self) -> None:
        self.answers: dict[str, object] = {}

    def service(self, _call_details):
        return grpc.unary_unary_rpc_method_handler(self._answer, wire.PredictRequest.FromString)

    def _answer(self, request, context) -> bytes:
        answer = self.answers[request.model_spec.signature_name]
        if isinstance(answer, grpc.StatusCode):
            context.abort(answer, "as the test has it")
        response = wire.PredictResponse()
        response.model_spec.version.value = 3
        for name, tensor in answer.items():
            response.outputs[name].CopyFrom(wire.TensorProto(**tensor))
        return response.SerializeToString()


@pytest.fixture
def scripted():
    """A scripted model server, and the proxy's view of it."""
    handler = Scripted()
    server = grpc.server(ThreadPoolExecutor(2), (handler,))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    with open_channel(Settings(model_server=f"127.0.0.1:{port}")) as channel:
        yield handler, ModelServer(channel, "scenery")
    server.stop(None)


SCORES = {"scores": {"dtype": 1, "float_val": [0.25, 0.75]}}
DESCRIPTION = {"labels": {"dtype": 7, "string_val": [b"a", b"b"]}, "thresholds": {"dtype": 1, "float_val": [0.5, 0.5]}}


def test_a_description_that_cannot_be_had_again_stays(scripted, monkeypatch):
    """Scores that are here are named as the version named them a moment ago, if it cannot be asked now."""
    monkeypatch.setattr("proxy.model_server.REMEMBERED_SECONDS", 0)
    handler, server = scripted
    handler.answers = {"serving_default": SCORES, "describe": DESCRIPTION}
    deadline = Deadline.after(10)
    scored = server.score(b"photo", Target(), deadline)
    assert server.describe(scored, deadline).labels == ("a", "b")
    handler.answers["describe"] = grpc.StatusCode.RESOURCE_EXHAUSTED
    assert server.describe(scored, deadline).labels == ("a", "b")


@pytest.mark.parametrize(
    ("signature", "answer"),
    [
        ("serving_default", {"scores": {"dtype": 1, "tensor_content": b"123"}}),
        ("serving_default", {"scores": {"dtype": 1, "float_val": [float("nan"), 0.5]}}),
        ("serving_default", {}),
        ("describe", DESCRIPTION | {"labels": {"dtype": 7, "string_val": [b"\xff", b"b"]}}),
        ("describe", DESCRIPTION | {"labels": {"dtype": 7, "string_val": [b"a"]}}),
        ("describe", {}),
    ],
    ids=["3 bytes", "no number", "no scores", "no UTF-8", "too few labels", "nothing described"],
)
def test_what_cannot_be_read_is_blamed_on_the_version(scripted, signature, answer):
    """An answer that makes no sense is the model's failure, told by the version's number, and no defect here."""
    handler, server = scripted
    handler.answers = {"serving_default": SCORES, "describe": DESCRIPTION, signature: answer}
    with pytest.raises(ProblemError, match="Version 3") as caught:
        server.describe(server.score(b"photo", Target(), Deadline.after(10)), Deadline.after(10))
    assert caught.value.name == "model-server-failed"

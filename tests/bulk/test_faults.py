"""Whose fault it is that there are no scores: the photo's, the model's, or the machine's."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import grpc
import numpy as np
import pytest

from bulk.handler import MAX_PHOTO_BYTES, PartHandler
from bulk.scorer import Identity, RefusedError, UnavailableError
from bulk.served_model import ServedModel
from bulk.stored_model import StoredScorer
from scenery import contract, wire
from scenery.errors import ScoringError, VersionError
from scenery.wire.tensors import to_proto

IDENTITY = Identity(2, "0f" * 32)


class Flat:
    """A model to which all photos are alike."""

    version, labels, thresholds = 2, ("city", "sea"), (0.5, 0.5)

    def __init__(self, *scores: float) -> None:
        self._scores = np.array(scores, np.float32)

    def score(self, _photo: bytes):
        return self._scores


def scored(model: Flat, *photos: str):
    """Score a part as a worker does."""
    handler = PartHandler(ServedModel("nowhere:1", "scenery", 2), IDENTITY, jobs=2, patience_seconds=0)
    (part,) = handler.run_inference([os.fsencode(photo) for photo in photos], model)
    return part


@pytest.mark.parametrize("kind", ["fifo", "device", "loop", "long", "large", "folder", "gone"])
def test_a_file_that_is_no_photo_is_a_dead_letter(tmp_path, kind):
    """It ends neither the run, nor the memory, nor does anybody wait for it; the other photos have scores."""
    (tmp_path / "good").write_bytes(b"photo")
    odd = tmp_path / "odd"
    if kind == "fifo":
        os.mkfifo(odd)
    elif kind == "device":
        odd.symlink_to("/dev/zero")
    elif kind == "loop":
        odd.symlink_to(odd)
    elif kind == "long":
        odd.symlink_to("x" * 300)
    elif kind == "large":
        odd.touch()
        os.truncate(odd, MAX_PHOTO_BYTES + 1)
    elif kind == "folder":
        odd.mkdir()
    part = scored(Flat(0.1, 0.9), str(odd), f"{tmp_path}/good")
    assert part.photos == [f"{tmp_path}/good"]
    assert [(each.photo, each.code) for each in part.failures] == [(str(odd), "file-not-readable")]


def test_scores_that_fit_no_labels_end_the_run(tmp_path):
    """A model that is wrong for all photos is told of once."""
    (tmp_path / "good").write_bytes(b"photo")
    with pytest.raises(ScoringError, match=r"scores of shape \[3\], and has 2 labels\. Export it again"):
        scored(Flat(0.1, 0.9, 0.5), f"{tmp_path}/good")


class Server(grpc.GenericRpcHandler):
    """Describes a version, or not, and answers photos with a status."""

    def __init__(self, status: grpc.StatusCode | None, describes: bool) -> None:
        self._status = status
        self._describes = describes

    def service(self, _call):
        return grpc.unary_unary_rpc_method_handler(self._predict, wire.PredictRequest.FromString, _serialized)

    def _predict(self, request, context):
        response = wire.PredictResponse()
        if request.model_spec.signature_name == contract.SIGNATURE_DESCRIBE and self._describes:
            response.model_spec.version.value = 2
            response.outputs[contract.OUTPUT_LABELS].CopyFrom(to_proto(np.array([b"city", b"sea"], object)))
            response.outputs[contract.OUTPUT_THRESHOLDS].CopyFrom(to_proto(np.array([0.5, 0.5], np.float32)))
            response.outputs[contract.OUTPUT_PROVENANCE].CopyFrom(to_proto(np.array(b"{}", object)))
        elif self._status is not None:
            context.abort(self._status, "as told")
        return response


def _serialized(message) -> bytes:
    return message.SerializeToString()


@contextmanager
def serving(status: grpc.StatusCode | None, describes: bool = True):
    """Serve beside the test."""
    server = grpc.server(ThreadPoolExecutor(2), handlers=[Server(status, describes)])
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield ServedModel(f"127.0.0.1:{port}", "scenery", 2)
    finally:
        server.stop(None).wait()


@pytest.mark.parametrize(
    ("status", "meant"),
    [
        (grpc.StatusCode.INVALID_ARGUMENT, RefusedError),
        (grpc.StatusCode.INTERNAL, RefusedError),
        (grpc.StatusCode.UNKNOWN, RefusedError),
        (grpc.StatusCode.UNAVAILABLE, UnavailableError),
        (grpc.StatusCode.NOT_FOUND, ScoringError),
        (grpc.StatusCode.UNIMPLEMENTED, ScoringError),
        (grpc.StatusCode.PERMISSION_DENIED, ScoringError),
        (None, ScoringError),
    ],
)
def test_a_status_tells_whose_fault_it_is(status, meant):
    """A photo is a dead letter only for what may lie at the photo; no scores at all are the model's fault."""
    with serving(status) as served, pytest.raises(meant):
        served.open().score(b"photo")


def test_a_server_that_does_not_describe_its_model_is_told_with_a_cure():
    """Whatever its status, that is no photo's fault."""
    with serving(grpc.StatusCode.INVALID_ARGUMENT, describes=False) as served:
        for ask in (served.identity, served.open):
            with pytest.raises(ScoringError, match=r"cannot score, whatever the photo\. Mend the server"):
                ask()


class Unfit:
    """A loaded version without the signature that scores."""

    folder = "models/scenery/2"

    def describe(self):
        return Flat(0.5)

    def classify(self, _photo: bytes):
        raise VersionError("It has no signature 'serving_default'.")


def test_a_stored_version_that_scores_nothing_ends_the_run():
    """What is no status of the graph's is no photo's fault either."""
    with pytest.raises(ScoringError, match=r"models/scenery/2 cannot score, whatever the photo.*--model"):
        StoredScorer(Unfit(), 2).score(b"photo")

"""The model server, as the proxy sees it: gRPC calls in TF Serving's API, without TensorFlow."""

from __future__ import annotations

import array
import math
import re
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

import grpc

from proxy.about import About, read_about
from proxy.deadline import Deadline
from proxy.labels import Description, Labelling, describe_unnamed, label_scores
from proxy.problems import MODEL_NOT_SERVED, OVERLOADED, VERSION_UNKNOWN, ProblemError, problem
from scenery import contract, wire
from scenery.refusals import refusal_in
from scenery.wire.long_string import with_string

REMEMBERED_SECONDS = 5.0
"""A version never changes, but somebody may put another model under its number."""

Metadata = tuple[tuple[str, str], ...]

_NO_VERSION = "Unrecognized servable version label"
_NO_SIGNATURE = re.compile(r"^Serving signature (key|name)\b.*not found")


@dataclass(frozen=True)
class Target:
    """Which version is asked: that of a label, or that of a number; the latest if neither is given."""

    label: str | None = None
    version: int | None = None


@dataclass(frozen=True)
class Scored:
    """A photo's scores and the version that gave them."""

    version: int
    scores: tuple[float, ...]
    seconds: float
    """From sending the photo until its answer was read."""


class ModelServer:
    """One model behind a channel, which this closes. Threads share it; make it after a fork, never before."""

    def __init__(
        self,
        channel: grpc.Channel,
        model_name: str,
        labels: tuple[str, ...] = (),
        metadata: Callable[[], Metadata] = lambda: (),
        watch: Callable[[str, str], AbstractContextManager[None]] = lambda *_: nullcontext(),
    ) -> None:
        """Remember what to ask.

        Parameters
        ----------
        labels
            For versions that do not describe themselves.
        metadata
            Gives what goes with each call, such as the request's id.
        watch
            Gives, by method and signature, the context that each call is made in.
        """
        self.model_name = model_name
        self._labels = labels
        self._metadata = metadata
        self._watch = watch
        self._predict = channel.unary_unary(
            f"/{wire.PREDICTION_SERVICE}/Predict",
            response_deserializer=wire.PredictResponse.FromString,
        )
        self._descriptions: dict[int, tuple[float, Description | None]] = {}

    def score(self, photo: bytes, target: Target, deadline: Deadline) -> Scored:
        """Score an encoded photo.

        Raises
        ------
        ProblemError
            If the model refused the photo or the model server could not answer in time.
        """
        signature = contract.SIGNATURE_CLASSIFY
        content = with_string(self._request(signature, target), contract.INPUT_IMAGE_BYTES, photo)
        begun = time.monotonic()
        response = self._call(signature, content, deadline)
        seconds = time.monotonic() - begun
        version = response.model_spec.version.value
        with _readable(version):
            return Scored(version, tuple(_scores(response.outputs)), seconds)

    def labelling(self, scored: Scored, deadline: Deadline) -> Labelling:
        """Name scores as their version describes them; raises as :meth:`describe` does."""
        return label_scores(self.describe(scored, deadline), scored.scores)

    def describe(self, scored: Scored, deadline: Deadline) -> Description:
        """Return the description of the version that gave scores, one label a score.

        Raises
        ------
        ProblemError
            If the version cannot be asked, or describes more or fewer labels than it gave scores.
        """
        description = self._described(scored.version, deadline)
        if description is not None and len(description.labels) != len(scored.scores):
            description = self._described(scored.version, deadline, refresh=True)
        if description is None:
            description = describe_unnamed(len(scored.scores), self._labels)
        counts = (len(scored.scores), len(description.labels), len(description.thresholds))
        if len(set(counts)) > 1 or not scored.scores or not all(map(math.isfinite, scored.scores)):
            raise problem(
                "model-server-failed",
                f"Version {scored.version} gave {counts[0]} scores, not all of them numbers perhaps, and describes "
                f"{counts[1]} labels and {counts[2]} thresholds. Take it back and export it again.",
            )
        return description

    def _described(self, version: int, deadline: Deadline, refresh: bool = False) -> Description | None:
        """Return what a version says of itself, remembered for some seconds; None if it says nothing."""
        asked_at, description = self._descriptions.get(version, (-math.inf, None))
        if refresh or time.monotonic() - asked_at > REMEMBERED_SECONDS:
            try:
                description = self._ask_description(version, deadline)
            except ProblemError:
                if refresh or description is None:
                    raise
                return description  # as it was a moment ago: the scores are here already
            self._descriptions[version] = time.monotonic(), description
        return description

    def _ask_description(self, version: int, deadline: Deadline) -> Description | None:
        """Ask for all that the signature has, as a version's warmup did: for a part of it a Session would plan anew."""
        signature = contract.SIGNATURE_DESCRIBE
        request = self._request(signature, Target(version=version))
        try:
            outputs = self._call(signature, request.SerializeToString(), deadline).outputs
        except _NoSignatureError:
            return None
        with _readable(version):
            return _description(outputs)

    def about(self, target: Target, deadline: Deadline) -> About | None:
        """Ask for all that a version says of itself: its ``describe`` signature, with the model card.

        Parameters
        ----------
        target
            The version to ask.
        deadline
            Of the call.

        Returns
        -------
        None if the version has no such signature.

        Raises
        ------
        ProblemError
            If the version cannot be asked, or says what cannot be read.
        """
        signature = contract.SIGNATURE_DESCRIBE
        request = self._request(signature, target)
        try:
            response = self._call(signature, request.SerializeToString(), deadline)
        except _NoSignatureError:
            return None
        version, outputs = response.model_spec.version.value, response.outputs
        with _readable(version):
            return read_about(
                version,
                _description(outputs),
                _strings(outputs, contract.OUTPUT_PROVENANCE),
                _strings(outputs, contract.OUTPUT_MODEL_CARD),
            )

    def _request(self, signature: str, target: Target) -> Any:
        request = wire.PredictRequest()
        request.model_spec.name = self.model_name
        request.model_spec.signature_name = signature
        if target.label is not None:
            request.model_spec.version_label = target.label
        elif target.version is not None:
            request.model_spec.version.value = target.version
        return request

    def _call(self, signature: str, content: bytes, deadline: Deadline) -> Any:
        try:
            with self._watch("Predict", signature):
                return self._predict(content, timeout=deadline.seconds_left(), metadata=self._metadata())
        except grpc.RpcError as error:
            raise _problem(error.code(), error.details() or "", self.model_name) from error


@contextmanager
def _readable(version: int) -> Iterator[None]:
    """Blame what cannot be read of an answer on the version that gave it."""
    try:
        yield
    except ValueError as error:
        detail = f"Version {version} answered what cannot be read: {error}. Take it back and export it again."
        raise problem("model-server-failed", detail) from error


def version_unknown(error: ProblemError) -> ProblemError:
    """Tell a caller who named the version that it is not served, as ``error`` has it."""
    return problem(VERSION_UNKNOWN, f"{error.detail}. Ask for one that is served, or for none.")


class _NoSignatureError(ProblemError):
    """The version has no such signature."""


def _problem(code: grpc.StatusCode, details: str, model_name: str) -> ProblemError:
    """Tell what a failed call means to whoever sent the photo."""
    if code is grpc.StatusCode.INVALID_ARGUMENT and (refusal := refusal_in(details)):
        return problem(*refusal)
    if _NO_SIGNATURE.match(details):
        return _NoSignatureError(HTTPStatus.BAD_GATEWAY, "model-server-failed", f"{model_name!r}: {details}")
    if code is grpc.StatusCode.NOT_FOUND or details.startswith(_NO_VERSION):
        return problem(MODEL_NOT_SERVED, f"The model server serves no such version of {model_name!r} now: {details}")
    if code in _OUTAGES:
        return problem(*_OUTAGES[code])
    return problem("model-server-failed", f"The model server failed with {code.name}: {details}")


_OUTAGES = {
    grpc.StatusCode.UNAVAILABLE: (
        "model-server-unavailable",
        "The model server cannot be reached. Start it, or correct SCENERY_MODEL_SERVER.",
    ),
    grpc.StatusCode.RESOURCE_EXHAUSTED: (
        OVERLOADED,
        "The model server has more requests than it can take. Try again in a moment.",
    ),
    grpc.StatusCode.DEADLINE_EXCEEDED: (
        "deadline-exceeded",
        "The model server did not answer in time. Try again, allow more in X-Request-Timeout if you send it, "
        "or raise SCENERY_TIMEOUT_SECONDS.",
    ),
}


def _description(outputs: Any) -> Description:
    return Description(
        labels=_strings(outputs, contract.OUTPUT_LABELS),
        thresholds=tuple(_floats(outputs[contract.OUTPUT_THRESHOLDS])),
    )


def _strings(outputs: Any, name: str) -> tuple[str, ...]:
    """Read a tensor of strings; none if there is no such output."""
    return tuple(each.decode() for each in outputs[name].string_val)


def _scores(outputs: Any) -> list[float]:
    """Read the scores; a model of somebody else's may call its only output otherwise."""
    if contract.OUTPUT_SCORES not in outputs and len(outputs) == 1:
        (tensor,) = outputs.values()
        return _floats(tensor)
    return _floats(outputs[contract.OUTPUT_SCORES])


def _floats(tensor: Any) -> list[float]:
    """Read a float32 tensor from whichever of its two fields the server used."""
    if tensor.tensor_content:
        return array.array("f", tensor.tensor_content).tolist()
    return list(tensor.float_val)

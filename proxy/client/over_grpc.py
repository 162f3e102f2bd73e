"""Photos sent to TensorFlow Serving itself, and labelled as the proxy would."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import grpc

from proxy.channel import open_channel
from proxy.client.record import Answer, Ask, NotAnsweredError, UnreachableError, not_answered
from proxy.deadline import Deadline
from proxy.model_server import ModelServer, Target, version_unknown
from proxy.problems import MODEL_NOT_SERVED, OVERLOADED, RETRY_AFTER_SECONDS, ProblemError
from proxy.settings import load_settings


@contextmanager
def over_grpc(address: str, model_name: str | None, version: int | None, label: str | None) -> Iterator[Ask]:
    """Yield what asks the model server; the proxy's settings say whether by TLS.

    Parameters
    ----------
    address
        As gRPC names addresses: ``host:port``, ``dns:///name:port``.
    model_name
        The servable; None for that of the settings.
    version, label
        Which version is to answer; the latest if both are None.

    Raises
    ------
    ConfigurationError
        If a setting, certificate or key cannot be used.
    """
    given = {"model_server": address} | ({} if model_name is None else {"model_name": model_name})
    settings = load_settings(**given)
    target = Target(label, version)
    with open_channel(settings) as channel:
        server = ModelServer(channel, settings.model_name, settings.labels)

        def ask(photo: bytes, deadline: Deadline) -> Answer:
            try:
                scored = server.score(photo, target, deadline)
                labelling = server.labelling(scored, deadline)
            except ProblemError as error:
                raise _told(error, target, address) from error
            return Answer(settings.model_name, scored.version, labelling)

        yield ask


def _told(error: ProblemError, target: Target, address: str) -> Exception:
    """Tell a problem as it reads on this side of the proxy."""
    if error.name == "model-server-unavailable":
        cause = error.__cause__
        reason = cause.details() if isinstance(cause, grpc.RpcError) else error.detail
        return UnreachableError(
            f"No model server answers at {address}. Start one with `scenery serve`, or name another with --grpc. "
            f"Received: {reason}"
        )
    if error.name == MODEL_NOT_SERVED and target != Target():
        return NotAnsweredError(version_unknown(error).as_dict())
    if error.name == "deadline-exceeded":
        detail = "The model server did not answer in time. Try again, or allow more with --timeout."
        return not_answered(error.name, error.status, detail)
    return NotAnsweredError(error.as_dict(), RETRY_AFTER_SECONDS if error.name == OVERLOADED else None)

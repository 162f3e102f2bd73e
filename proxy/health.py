"""Probes: whether this process is alive, and whether it can answer a photo."""

from __future__ import annotations

import struct
from http import HTTPStatus
from typing import Any

from flask import Blueprint

from proxy.model_server import model_server
from proxy.problems import ProblemError

blueprint = Blueprint("health", __name__)

_PROBE_PHOTO = (
    b"BM"
    + struct.pack("<IHHI", 58, 0, 0, 54)
    + struct.pack("<IiiHHIIiiII", 40, 1, 1, 1, 24, 0, 4, 0, 0, 0, 0)
    + bytes(4)
)
"""The smallest photo: one black pixel, as BMP."""


@blueprint.get("/healthz")
def healthz() -> dict[str, str]:
    """Tell that the process answers; asks nothing else."""
    return {"status": "ok"}


@blueprint.get("/readyz")
def readyz() -> dict[str, Any]:
    """Tell that photos can be answered, by having the model server score one; 503 and why, if not."""
    server = model_server()
    try:
        scored = server.scored(server.classify(_PROBE_PHOTO))
        labels = server.describe(scored.version).labels
    except ProblemError as problem:
        raise ProblemError(HTTPStatus.SERVICE_UNAVAILABLE, problem.name, problem.detail) from problem
    return {"status": "ready", "model": server.model_name, "version": scored.version, "labels": list(labels)}

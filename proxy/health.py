"""Probes: whether this process is alive, and whether it can answer a photo."""

from __future__ import annotations

import struct
from typing import Any

from flask import Blueprint

from proxy.deadline import Deadline
from proxy.model_server import Target
from proxy.parts import parts

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
    """Tell that photos can be answered, by scoring one with the version that most callers get; 503 and why, if not."""
    use = parts()
    target = Target(use.traffic.main_label())
    scored, labelling = use.scoring.probe(_PROBE_PHOTO, target, Deadline.after(use.settings.timeout_seconds))
    model = use.model_server.model_name
    return {"status": "ready", "model": model, "version": scored.version, "labels": list(labelling.scores)}

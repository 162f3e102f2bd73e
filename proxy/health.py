"""Probes: whether this process is alive, and whether it can answer a photo."""

from __future__ import annotations

from typing import Any

from flask import Blueprint

from proxy.parts import parts

blueprint = Blueprint("health", __name__)


@blueprint.get("/healthz")
def healthz() -> dict[str, str]:
    """Tell that the process answers; asks nothing else."""
    return {"status": "ok"}


@blueprint.get("/readyz")
def readyz() -> dict[str, Any]:
    """Tell that photos can be answered, by having the version that most callers get score one; 503 and why, if not."""
    use = parts()
    scored, labelling = use.readiness.ask()
    model = use.model_server.model_name
    return {"status": "ready", "model": model, "version": scored.version, "labels": list(labelling.scores)}

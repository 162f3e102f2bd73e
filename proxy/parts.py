"""What the requests of one application share; made once, by :func:`proxy.app.create_app`."""

from __future__ import annotations

from dataclasses import dataclass

from flask import current_app

from proxy.abouts import Abouts
from proxy.admission import Admission
from proxy.figures import Figures
from proxy.model_server import ModelServer
from proxy.photos import PhotoReader
from proxy.readiness import Readiness
from proxy.sample.sample import Sample
from proxy.scoring import Scoring
from proxy.settings import Settings
from proxy.shadow import Shadow
from proxy.traffic import Traffic


@dataclass(frozen=True)
class Parts:
    """The parts of an application; threads share them all."""

    settings: Settings
    model_server: ModelServer
    abouts: Abouts
    figures: Figures
    traffic: Traffic
    reader: PhotoReader
    admission: Admission
    scoring: Scoring
    readiness: Readiness
    shadow: Shadow
    sample: Sample | None
    """None if no photos are kept."""


def parts() -> Parts:
    """Return the running application's parts."""
    found: Parts = current_app.extensions["scenery"]
    return found

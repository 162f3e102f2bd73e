"""Which of the answered photos are kept, and whose never."""

from __future__ import annotations

import random
from dataclasses import dataclass

from werkzeug.datastructures import Headers

from proxy.labels import Labelling
from scenery.sample import Reason, sureness


@dataclass(frozen=True)
class Answered:
    """A photo, and what a version answered to it."""

    photo: bytes
    version: int
    labelling: Labelling


@dataclass(frozen=True)
class Chosen(Answered):
    """A photo that is to be kept, and why."""

    reason: Reason


def may_be_kept(headers: Headers) -> bool:
    """Tell whether the sender of a request's headers leaves it to us to keep its photos.

    Whoever says ``Cache-Control: no-store`` (RFC 9111), ``Sec-GPC: 1`` (Global Privacy Control) or ``DNT: 1`` does not.
    """
    directives = {each.strip().lower() for each in headers.get("Cache-Control", "").split(",")}
    signals = (headers.get(name, "").strip() for name in ("Sec-GPC", "DNT"))
    return "no-store" not in directives and "1" not in signals


def choose(answered: Answered, margin: float, uniform_percent: float) -> Chosen | None:
    """Choose a photo by chance, which asks first so that it is fair to every photo, or as one of the unsure."""
    is_drawn = random.random() * 100 < uniform_percent
    scores, thresholds = answered.labelling.scores, answered.labelling.thresholds
    if not is_drawn and sureness(scores, thresholds) > margin:
        return None
    return Chosen(**vars(answered), reason="uniform" if is_drawn else "unsure")

"""Why a model refused a photo, read from the text of the error that its graph raised."""

from __future__ import annotations

import re
from typing import NamedTuple

from scenery import contract

_REFUSAL = re.compile(rf"{contract.REFUSED}: ([a-z-]+): ([^\]\n]*)")
_DECODER = re.compile(r"\{\{node [^}]*[Dd]ecode[^}]*\}\}")


class Refusal(NamedTuple):
    """The photo is at fault; the model would refuse it again."""

    code: str
    """One of :data:`scenery.contract.REFUSALS`."""
    detail: str
    """What is wrong and what to do, as sentences."""


def refusal_in(text: str) -> Refusal | None:
    """Return the refusal that an error tells, in the graph's words or as a decoder's failure; None if it tells none."""
    match = _REFUSAL.search(text)
    if match and match[1] in contract.REFUSALS:
        return Refusal(match[1], match[2][:1].upper() + match[2][1:] + ".")
    if _DECODER.search(text):
        detail = "The photo cannot be decoded: the file is cut off or damaged. Send the whole file."
        return Refusal(contract.REFUSED_DAMAGED, detail)
    return None

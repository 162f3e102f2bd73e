"""The name that was probably meant."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def did_you_mean(wanted: str, names: Iterable[str]) -> str:
    """Return a sentence, after a space, that names the nearest of ``names``; nothing if none is near."""
    near = difflib.get_close_matches(wanted, list(names), n=1)
    return f" Did you mean `{near[0]}`?" if near else ""

"""Which version a request is sent to: a share of the callers gets the canary, the same ones every time.

And whether the other version gets it as well, later: a share of the requests, by chance.
"""

from __future__ import annotations

import hashlib
import random
from dataclasses import dataclass
from pathlib import Path

from scenery import contract
from scenery.followed import Followed
from scenery.traffic import LOOK_SECONDS, Split, parse_split

_BUCKETS = 10_000


@dataclass(frozen=True)
class Route:
    """The label of the version that answers a request, and of the one that is compared with it."""

    label: str | None
    """None for the latest version."""
    shadow_label: str | None
    """None if no other version is asked."""


class Traffic:
    """The split that a file asks for: ``{"canary_percent": 10, "shadow_percent": 5}``; followed when it changes.

    Without ``shadow_percent`` no request has a shadow. Threads share it.
    """

    def __init__(self, path: Path) -> None:
        self._split = Followed(path, _read_split, None, LOOK_SECONDS)

    def route(self, key: str | None) -> Route:
        """Return the label of the version to ask, and that of the other one if it is to be asked as well.

        Parameters
        ----------
        key
            What stands for the caller: the same key gets the same label, as long as the split is the
            same, and a growing share only adds keys. None: the request is drawn by chance. Shadows are
            drawn by chance always.
        """
        split = self._split.value()
        if split is None:
            return Route(None, None)
        labels = [contract.LABEL_STABLE, contract.LABEL_CANARY]
        place = random.randrange(_BUCKETS) if key is None else _bucket(key)
        if place < split.canary_percent / 100 * _BUCKETS:
            labels.reverse()
        label, other = labels
        return Route(label, other if random.random() < split.shadow_percent / 100 else None)

    def main_label(self) -> str | None:
        """Return the label of the version that answers most callers; None for the latest version."""
        split = self._split.value()
        if split is None:
            return None
        return contract.LABEL_CANARY if split.canary_percent > 50 else contract.LABEL_STABLE


def _read_split(path: Path) -> Split | None:
    """Return the split that a file asks for; None if there is no file."""
    try:
        return parse_split(path.read_text())
    except (FileNotFoundError, NotADirectoryError):
        return None


def _bucket(key: str) -> int:
    return int.from_bytes(hashlib.sha256(key.encode()).digest()[:8], "big") % _BUCKETS

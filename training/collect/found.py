"""What a source tells of a photo before anybody has it."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass

_STEM_CHARACTERS = 60
_ID = re.compile(r"[A-Za-z0-9_-]{1,80}")


@dataclass(frozen=True)
class Found:
    """A photo that was found."""

    id: str
    """Always the same for the same photo of a source; the name of its file, without the suffix."""
    address: str
    """A URL, or a path."""
    row: dict[str, str]
    """Columns of the table: licence, author, link and the like."""
    announce: str | None = None
    """What the source wants to be asked for when the photo is downloaded; None if it does not."""

    def __post_init__(self) -> None:
        """Refuse an id that could be a path, whoever wrote it; raises ``ValueError``."""
        if not (isinstance(self.id, str) and _ID.fullmatch(self.id)):
            raise ValueError(f"the id {self.id!r}")


def id_of(address: str) -> str:
    """Return an id that is a file name to read, and another for each URL or path."""
    last = re.split(r"[?#]", address)[0].rstrip("/").rpartition("/")[2]
    stem = re.sub(r"[^A-Za-z0-9_-]+", "-", last.rpartition(".")[0] or last).strip("-")[:_STEM_CHARACTERS]
    return f"{stem or 'photo'}-{hashlib.sha256(address.encode(errors='surrogateescape')).hexdigest()[:8]}"

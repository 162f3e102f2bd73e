"""A file that is being fetched: ``PATH.part``, and beside it what it is a part of."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass, replace
from pathlib import Path

from scenery.files import replace_text


@dataclass(frozen=True)
class Origin:
    """What a part is a part of."""

    sha256: str
    """Of the whole file, as it is expected."""
    url: str | None = None
    """Without its query, which changes with each signed address, and may be a key."""
    validator: str | None = None
    """What the server calls these very bytes: their ETag, or else the date of the last change."""
    total_bytes: int | None = None
    """Size of the whole file, if the server said it."""


class Part:
    """The bytes of a file that are here; whoever wants the same SHA-256 goes on with them."""

    def __init__(self, path: Path, sha256: str) -> None:
        """Look for what an earlier attempt left of the file that is to be ``path``; what is of another is dropped.

        Parameters
        ----------
        sha256
            Of the whole file, in hex, small letters.

        Raises
        ------
        OSError
            If what is of another file cannot be removed.
        """
        self.file = path.with_name(f"{path.name}.part")
        self._note = path.with_name(f"{path.name}.part.json")
        noted = self._noted()
        self.origin = noted or Origin(sha256)
        if noted is None or noted.sha256 != sha256:
            self.drop()
            self.origin = Origin(sha256)

    def _noted(self) -> Origin | None:
        try:
            return Origin(**json.loads(self._note.read_text()))
        except (OSError, ValueError, TypeError):
            return None

    @property
    def bytes(self) -> int:
        """How many bytes are here."""
        return self.file.stat().st_size if self.file.exists() else 0

    @property
    def is_whole(self) -> bool:
        """Whether as many bytes are here as the file has."""
        return self.bytes == self.origin.total_bytes

    def start(self, url: str, validator: str | None, total_bytes: int | None) -> None:
        """Begin anew, with the bytes that are to come; those that are here go before the note that tells of them.

        Parameters
        ----------
        url
            Without its query.
        validator
            What the server calls these bytes; None if it does not say.
        total_bytes
            Of the whole file; None if the server does not say.

        Raises
        ------
        OSError
            If it cannot be written.
        """
        self.drop()
        self._note.touch(mode=0o600)
        self.origin = replace(self.origin, url=url, validator=validator, total_bytes=total_bytes)
        replace_text(self._note, json.dumps(dataclasses.asdict(self.origin)) + "\n")
        self.file.touch()

    def drop(self) -> None:
        """Leave nothing of it."""
        self.file.unlink(missing_ok=True)
        self._note.unlink(missing_ok=True)

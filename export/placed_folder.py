"""A folder that appears whole, made of an archive."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from export.archive import unpack
from scenery.errors import ConfigurationError, ExportError
from scenery.files import flush, replace_text
from scenery.manifest import digests_in
from scenery.versions import list_versions

_KINDS = ("saved_model.pb", "run.json")


class PlacedFolder:
    """A folder, and beside it a note: the SHA-256 of the archive that it was made of, and of each file."""

    def __init__(self, path: Path) -> None:
        """Name what belongs to the folder; nothing is looked at.

        Parameters
        ----------
        path
            Of the folder, which need not exist. What is hidden beside it is named after it.
        """
        self.path = path
        self._note = path.with_name(f".{path.name}.fetched.json")
        self._staging = path.with_name(f".{path.name}.unpacking")
        self._old = path.with_name(f".{path.name}.old")

    def digest(self) -> str | None:
        """Return the SHA-256 of the archive that it was made of; None if nobody knows, or its files have changed.

        Raises
        ------
        OSError
            If its files cannot be read.
        """
        try:
            note = json.loads(self._note.read_text())
            archive, files = str(note["archive"]), note["files"]
        except (OSError, ValueError, TypeError, KeyError):
            return None
        return archive if digests_in(self.path) == files else None

    def mend(self) -> None:
        """Give back the folder that a killed process was about to replace, or remove it if it was replaced.

        Raises
        ------
        OSError
            If it cannot be given back.
        """
        if self.path.exists():
            shutil.rmtree(self._old, ignore_errors=True)
        elif self._old.exists():
            self._old.rename(self.path)

    def require_replaceable(self) -> None:
        """Raise :class:`ConfigurationError` if the folder is anything but one model: it would be gone."""
        is_model = any((self.path / name).is_file() for name in _KINDS)
        if list_versions(self.path) or not (is_model or not any(self.path.iterdir())):
            raise ConfigurationError(
                f"{self.path} is no model's own folder, and --replace would delete all that is in it. Name a folder "
                f"that does not exist, such as {self.path.name}-fetched; or delete this one yourself."
            )

    def place(self, archive: Path, digest: str, max_bytes: int) -> None:
        """Unpack an archive beside the folder, and rename it into place.

        A folder that is there is kept until then, and given back if the last step fails or is broken off.

        Parameters
        ----------
        digest
            SHA-256 of the archive, in hex.
        max_bytes
            Of all files together, unpacked.

        Raises
        ------
        ExportError
            If the archive cannot be unpacked, or holds neither a SavedModel nor a run.
        OSError
            If the folder cannot be written.
        """
        shutil.rmtree(self._staging, ignore_errors=True)
        self._staging.mkdir()
        try:
            new = self._staging / "new"
            unpack(archive, new, max_bytes)
            _require_model(new)
            for path in [*new.rglob("*"), new]:
                flush(path)
            self._exchange(new, json.dumps({"archive": digest, "files": digests_in(new)}, indent=1) + "\n")
        finally:
            shutil.rmtree(self._staging, ignore_errors=True)

    def _exchange(self, new: Path, note: str) -> None:
        """Put the new folder in the place of the old one; :meth:`mend` knows each state between these steps."""
        try:
            if self.path.exists():
                self.path.rename(self._old)
            replace_text(self._note, note)
            new.rename(self.path)
            flush(self.path.parent)
        finally:
            self.mend()


def _require_model(folder: Path) -> None:
    if not any((folder / name).is_file() for name in _KINDS):
        found = ", ".join(sorted(path.name for path in folder.iterdir())[:5]) or "nothing"
        raise ExportError(
            "The archive holds neither a SavedModel (saved_model.pb) nor a run (run.json). Leave out --unpack to keep "
            f"the archive itself. Received: {found}"
        )

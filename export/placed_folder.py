"""A folder that appears whole, made of an archive."""

from __future__ import annotations

import shutil
from pathlib import Path

from export.archive import unpack
from scenery.errors import ExportError
from scenery.files import flush, replace_text

_KINDS = ("saved_model.pb", "run.json")


class PlacedFolder:
    """A folder, and beside it the SHA-256 of the archive that it was made of."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._note = path.with_name(f".{path.name}.sha256")
        self._staging = path.with_name(f".{path.name}.unpacking")

    def digest(self) -> str | None:
        """Return the SHA-256 of the archive that it was made of; None if nobody knows."""
        try:
            return self._note.read_text().strip()
        except (OSError, UnicodeDecodeError):
            return None

    def place(self, archive: Path, digest: str, max_bytes: int) -> None:
        """Unpack an archive beside the folder, and rename it into place.

        A folder that is there is kept until then, and given back if the last step fails.

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
            self._exchange(new)
            replace_text(self._note, f"{digest}\n")
        finally:
            shutil.rmtree(self._staging, ignore_errors=True)

    def _exchange(self, new: Path) -> None:
        self._note.unlink(missing_ok=True)
        old = self._staging / "old"
        if self.path.exists():
            self.path.rename(old)
        try:
            new.rename(self.path)
        except OSError:
            if old.exists():
                old.rename(self.path)
            raise
        flush(self.path.parent)


def _require_model(folder: Path) -> None:
    if not any((folder / name).is_file() for name in _KINDS):
        found = ", ".join(sorted(path.name for path in folder.iterdir())[:5]) or "nothing"
        raise ExportError(
            "The archive holds neither a SavedModel (saved_model.pb) nor a run (run.json). Leave out --unpack to keep "
            f"the archive itself. Received: {found}"
        )

"""A model from an address: on this disk under its name if, and only if, its bytes are the expected ones."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from pathlib import Path

from export.download import Tell, download
from export.part import Part
from export.placed_folder import PlacedFolder
from export.source import check_url, shown
from scenery.errors import ConfigurationError, ExportError
from scenery.files import flush
from scenery.locks import alone
from scenery.manifest import sha256_of
from scenery.versions import version_number

_SHA256 = re.compile(r"(?:sha256:)?([0-9a-f]{64})", re.IGNORECASE)


@dataclass(frozen=True)
class Wanted:
    """What is fetched, and where it goes."""

    url: str
    sha256: str
    """In hex, small letters; see :func:`read_sha256`."""
    path: Path
    max_bytes: int
    """Of the file, and of all that an archive holds."""
    is_archive: bool = False
    """Whether ``path`` is to be the folder that the file holds."""
    may_replace: bool = False
    """Whether ``path`` may be something else now."""


@dataclass(frozen=True)
class Fetched:
    """What became of it."""

    path: Path
    sha256: str
    bytes: int | None
    """Of the file that was fetched; None if nothing was."""


def read_sha256(text: str) -> str:
    """Return a SHA-256 in small letters; raises :class:`ConfigurationError` if it is none."""
    match = _SHA256.fullmatch(text.strip())
    if match is None:
        raise ConfigurationError(f"A SHA-256 is 64 hexadecimal digits, as sha256sum prints it. Received: {text!r}")
    return match[1].lower()


def fetch(wanted: Wanted, tell: Tell = lambda *_: None) -> Fetched:
    """Fetch a file, or the rest of it, and place it once its SHA-256 was computed from the disk and is the wanted one.

    Killed at any moment, ``path`` is what it was or the new file whole, and the next call goes on.

    Raises
    ------
    ConfigurationError
        If the address or the place cannot be used, or the place is taken by something else.
    ExportError
        If the file does not come, is another one, or is no archive of a model.
    """
    check_url(wanted.url)
    wanted = replace(wanted, path=_resolved(wanted.path))
    _require_place(wanted)
    path = wanted.path
    busy = ConfigurationError(f"Another command is fetching {path}. Wait until it has ended.")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with alone(path.with_name(f".{path.name}.lock"), busy):
            if wanted.is_archive:
                PlacedFolder(path).mend()
            if _is_there(wanted):
                return Fetched(path, wanted.sha256, None)
            return _fetch(wanted, Part(path, wanted.sha256), tell)
    except OSError as error:
        raise ConfigurationError(
            f"{path} cannot be written: {error.strerror or error}. Make room, correct the permissions, or name another."
        ) from error


def _fetch(wanted: Wanted, part: Part, tell: Tell) -> Fetched:
    download(wanted.url, part, wanted.max_bytes, tell)
    flush(part.file)
    size, received = part.bytes, sha256_of(part.file)
    if received != wanted.sha256:
        part.drop()
        raise ExportError(
            f"{shown(wanted.url)} gave {size} bytes that are not those with the expected SHA-256; they are deleted, "
            f"and {wanted.path} is as it was. Try again, or ask who publishes it for the digest. "
            f"Expected: {wanted.sha256}. Received: {received}"
        )
    if wanted.is_archive:
        PlacedFolder(wanted.path).place(part.file, wanted.sha256, wanted.max_bytes)
    else:
        part.file.replace(wanted.path)
        flush(wanted.path.parent)
    part.drop()
    return Fetched(wanted.path, wanted.sha256, size)


def _is_there(wanted: Wanted) -> bool:
    """Tell whether the place holds what is wanted; raises if it holds something that must stay."""
    if not wanted.path.exists():
        return False
    digest = PlacedFolder(wanted.path).digest() if wanted.is_archive else sha256_of(wanted.path)
    if digest == wanted.sha256:
        return True
    if not wanted.may_replace:
        raise ConfigurationError(
            f"{wanted.path} is there, and is not what was asked for. Add --replace to have it replaced, or name "
            f"another path. Expected: {wanted.sha256}. "
            f"Received: {digest or 'a folder from elsewhere, or changed since'}"
        )
    if wanted.is_archive:
        PlacedFolder(wanted.path).require_replaceable()
    return False


def _resolved(path: Path) -> Path:
    """Return where a path leads: ``.`` has no name that others could be named after, and links stay."""
    try:
        resolved = path.resolve()
    except (OSError, RuntimeError) as error:
        raise ConfigurationError(f"{path} leads nowhere: {error}. Name another path.") from error
    if not resolved.name:
        raise ConfigurationError(f"A model cannot take the place of {resolved}. Name a path in a folder.")
    return resolved


def _require_place(wanted: Wanted) -> None:
    path = wanted.path
    if _is_in_version(path):
        raise ConfigurationError(
            f"{path} is a version, or in one, and model servers would serve it unasked. Name a folder elsewhere, then "
            "let the gate check it: scenery publish FOLDER"
        )
    if path.exists() and path.is_dir() != wanted.is_archive:
        cure = "Name a folder" if wanted.is_archive else "Name a file, or unpack an archive into a folder by --unpack"
        raise ConfigurationError(f"{path} is a {'file' if wanted.is_archive else 'folder'}. {cure}.")


def _is_in_version(path: Path) -> bool:
    """Tell whether a path leads into ``models/NAME/N``, or into such a folder under another name than ``models``."""
    numbered = [folder.parent for folder in (path, *path.parents) if version_number(folder.name) is not None]
    return any(each.parent.name == "models" or any(each.glob("[0-9]*/saved_model.pb")) for each in numbered)

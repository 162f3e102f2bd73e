"""Numbered version folders: what a model server watches, and the only safe way to add one.

A model server serves ``models/NAME/N`` as soon as it sees it, so a version must appear
complete or not at all. A version is therefore written under a name that is not a number, on the
same file system, flushed to disk and then renamed, which POSIX makes atomic.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from scenery.errors import VersionError
from scenery.files import flush, replace_text
from scenery.locks import alone

_STAGING_PREFIX = ".publishing-"
_LAST_VERSION = ".last-version"
_LOCK = ".publishing.lock"
_MAX_DIGITS = 64


MAX_VERSION = 2**63 - 1


def version_number(name: str) -> int | None:
    """Return the version that a folder's name means, or None if it is no version."""
    if not (name.isascii() and name.isdecimal()) or len(name) > _MAX_DIGITS:
        return None
    return number if (number := int(name)) <= MAX_VERSION else None


def list_versions(model_dir: Path) -> list[int]:
    """Return the version numbers in ``model_dir``, lowest first; none if it does not exist."""
    if not model_dir.is_dir():
        return []
    numbers = (version_number(child.name) for child in model_dir.iterdir() if child.is_dir())
    return sorted(number for number in numbers if number is not None)


def version_folder(model_dir: Path, version: int) -> Path:
    """Return a version's folder, whose name may begin with zeros; raises :class:`VersionError` if there is none."""
    for child in model_dir.iterdir():
        if child.is_dir() and version_number(child.name) == version:
            return child
    raise VersionError(f"There is no version {version} in {model_dir}.")


def next_version(model_dir: Path) -> int:
    """Return one more than the highest version that ``model_dir`` has, or ever had as far as is known.

    A number that was taken back is not given to another model: clients remember what a version was.
    """
    return max([*list_versions(model_dir), _last_published(model_dir)]) + 1


def _last_published(model_dir: Path) -> int:
    try:
        return version_number((model_dir / _LAST_VERSION).read_text().strip()) or 0
    except (OSError, UnicodeDecodeError):
        return 0


@contextmanager
def staged_version(model_dir: Path) -> Iterator[Path]:
    """Yield an empty folder inside ``model_dir`` whose name no model server reads as a version.

    The folder is removed on leaving, unless :func:`publish` has renamed it away; one that a killed
    process left is removed too. One process at a time stages versions of a model.

    Raises
    ------
    VersionError
        If another process does, or the folder cannot be made.
    """
    try:
        model_dir.mkdir(parents=True, exist_ok=True)
        busy = VersionError(f"Another command is writing a version into {model_dir}. Wait until it has ended.")
        with alone(model_dir / _LOCK, busy):
            _remove_staged(model_dir)
            try:
                folder = Path(tempfile.mkdtemp(prefix=_STAGING_PREFIX, dir=model_dir))
                folder.chmod(0o755)
                yield folder
            finally:
                _remove_staged(model_dir)
    except OSError as error:
        raise VersionError(
            f"No version can be written into {model_dir}: {error}. Nothing was published and what serves goes on; "
            "make room or correct the permissions, then try again."
        ) from error


def _remove_staged(model_dir: Path) -> None:
    for folder in model_dir.glob(f"{_STAGING_PREFIX}*"):
        shutil.rmtree(folder, ignore_errors=True)


def publish(folder: Path, version: int | None = None) -> Path:
    """Flush ``folder`` to disk, readable by all, and rename it to a number beside it, in one step.

    Parameters
    ----------
    folder
        A complete version from :func:`staged_version`, inside of whose context this is called.
    version
        The number to take; one more than the highest present if None.

    Raises
    ------
    VersionError
        If the asked number is taken. Nothing was changed then.
    """
    number = version or next_version(folder.parent)
    target = folder.parent / str(number)
    # Renaming onto an existing empty folder would succeed, and zeros may stand before the number.
    if number in list_versions(folder.parent) or target.exists():
        raise VersionError(
            f"Version {number} of {folder.parent} exists already, and versions are never overwritten. "
            "Try again for the next number, or name another."
        )
    _settle(folder)
    # Before the rename: killed in between, a number is lost, and none is given twice.
    remember(folder.parent, number)
    folder.rename(target)
    flush(target.parent)
    return target


def remember(model_dir: Path, version: int) -> None:
    """Note that a number was in use, so that :func:`next_version` does not give it again.

    Raises
    ------
    VersionError
        If the folder cannot be written to.
    """
    if version <= _last_published(model_dir):
        return
    try:
        replace_text(model_dir / _LAST_VERSION, f"{version}\n")
    except OSError as error:
        raise VersionError(
            f"{model_dir} cannot be written to: {error.strerror}. Make room, or correct its permissions."
        ) from error


def _settle(folder: Path) -> None:
    """Let servers of other users read what is in a folder, and have it on disk."""
    for path in [*sorted(folder.rglob("*"), reverse=True), folder]:
        path.chmod(0o755 if path.is_dir() else 0o644)
        flush(path)

"""An archive of a folder, unpacked so that nothing of it can land elsewhere, or fill the disk."""

from __future__ import annotations

import lzma
import shutil
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Generator, Iterator
from contextlib import closing
from pathlib import Path, PurePosixPath
from typing import IO, Final

from scenery.errors import ExportError

MAX_MEMBERS: Final = 1000
_CHUNK_BYTES = 2**20
_ZIP = b"PK"
_ENCRYPTED = 1
_DAMAGED = (tarfile.TarError, zipfile.BadZipFile, lzma.LZMAError, zlib.error, EOFError, NotImplementedError)

Member = tuple[PurePosixPath, IO[bytes] | None]
"""A path in the archive, and the bytes of a file; None: a folder."""


def unpack(archive: Path, folder: Path, max_bytes: int) -> None:
    """Write the files of a tar (compressed or not) or zip archive into a new folder.

    A single folder that holds all the others is left out. Of the archive only names and bytes count: owners and
    permissions do not.

    Parameters
    ----------
    max_bytes
        Of all files together, unpacked.

    Raises
    ------
    ExportError
        If the archive is damaged, is too large, or holds links, devices or a name that leads out of it. What was
        written until then is left in the folder.
    """
    folder.mkdir()
    try:
        with closing(_members(archive)) as members:
            _write(members, folder, max_bytes)
    except _DAMAGED as error:
        raise ExportError(
            f"{archive} is no .tar, .tar.gz, .tar.bz2, .tar.xz or .zip archive, or is damaged: {error}. "
            "Leave out --unpack if it is none."
        ) from error
    except (FileExistsError, NotADirectoryError) as error:
        raise ExportError(
            f"The archive holds {Path(str(error.filename)).name!r} twice, or as a file and as a folder. "
            "Ask who publishes it for another."
        ) from error
    except OSError as error:
        raise ExportError(f"{archive} cannot be unpacked: {error.strerror or error}. Make room, then try again.") from (
            error
        )
    _strip(folder)


def _members(archive: Path) -> Generator[Member, None, None]:
    with archive.open("rb") as file:
        is_zip = file.read(len(_ZIP)) == _ZIP
    return _zip_members(archive) if is_zip else _tar_members(archive)


def _tar_members(archive: Path) -> Generator[Member, None, None]:
    with tarfile.open(archive, "r|*") as tar:
        for member in tar:
            if not (member.isdir() or member.isreg()):
                raise _refused(member.name, "is a link or a device")
            yield _inside(member.name), tar.extractfile(member) if member.isreg() else None


def _zip_members(archive: Path) -> Generator[Member, None, None]:
    with zipfile.ZipFile(archive) as packed:
        for member in packed.infolist():
            kind = stat.S_IFMT(member.external_attr >> 16)
            if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
                raise _refused(member.filename, "is a link or a device")
            if member.flag_bits & _ENCRYPTED:
                raise _refused(member.filename, "is encrypted")
            yield _inside(member.filename), None if member.is_dir() else packed.open(member)


def _write(members: Iterator[Member], folder: Path, max_bytes: int) -> None:
    left = max_bytes
    for count, (inside, content) in enumerate(members):
        if count == MAX_MEMBERS:
            raise ExportError(f"The archive has more than {MAX_MEMBERS} files and folders; a SavedModel has a few.")
        path = folder / inside
        if content is None:
            path.mkdir(parents=True, exist_ok=True)
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        with content, path.open("xb") as file:
            while chunk := content.read(_CHUNK_BYTES):
                left -= len(chunk)
                if left < 0:
                    raise ExportError(f"Unpacked, it has more than {max_bytes} bytes. Raise --max-bytes if it may.")
                file.write(chunk)


def _inside(name: str) -> PurePosixPath:
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or "\\" in name or "\0" in name:
        raise _refused(name, "leads out of the archive")
    return path


def _refused(name: str, why: str) -> ExportError:
    return ExportError(f"The archive's {name!r} {why}; only plain files and folders are unpacked. Nothing was placed.")


def _strip(folder: Path) -> None:
    """Put what the only thing in a folder holds in its place, if that is a folder."""
    inside = list(folder.iterdir())
    if len(inside) == 1 and inside[0].is_dir():
        aside = folder.with_name(f"{folder.name}.inner")
        inside[0].rename(aside)
        folder.rmdir()
        aside.rename(folder)
    shutil.rmtree(folder.with_name(f"{folder.name}.inner"), ignore_errors=True)

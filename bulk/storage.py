"""Files on this disk, or wherever Beam's file systems reach: ``gs://``, ``s3://``, ``hdfs://``."""

from __future__ import annotations

import errno
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from apache_beam.io.filesystem import CompressionTypes, FileSystem
from apache_beam.io.filesystems import FileSystems

from scenery.errors import ConfigurationError
from scenery.files import replaced


def is_local(path: str) -> bool:
    """Return whether a path is one of this machine's, and no address."""
    return "://" not in path


def require_reachable(address: str) -> None:
    """Raise :class:`ConfigurationError` if no file system here has addresses of that scheme."""
    schemes = {each.scheme() for each in FileSystem.get_all_subclasses()} - {None}
    if FileSystems.get_scheme(address) not in schemes:
        raise ConfigurationError(
            f"{address} cannot be reached. Install apache-beam[gcp], [aws] or [hadoop], or correct the address. "
            f"It may begin with: {', '.join(f'{scheme}://' for scheme in sorted(schemes))}"
        )


def join(folder: str, name: str) -> str:
    """Return the path of a file in a folder."""
    return f"{folder.rstrip('/')}/{name}"


def read(path: str) -> bytes:
    """Return a file's bytes, as they are, compressed or not.

    Raises
    ------
    OSError
        If it cannot be read; ``FileNotFoundError`` and its like if nobody could.
    """
    if is_local(path):
        return Path(path).read_bytes()
    with _as_os_error(path), FileSystems.open(path, compression_type=CompressionTypes.UNCOMPRESSED) as stream:
        content: bytes = stream.read()
    return content


def write(path: str, content: bytes) -> None:
    """Write a file that appears whole or not at all, in the place of one that is there; raises ``OSError``."""
    if is_local(path):
        with replaced(Path(path)) as staged:
            staged.write_bytes(content)
        return
    folder, _, name = path.rpartition("/")
    staged_path = join(folder, f".{secrets.token_hex(4)}.{name}")
    with _as_os_error(path):
        with FileSystems.create(staged_path, compression_type=CompressionTypes.UNCOMPRESSED) as stream:
            stream.write(content)
        if FileSystems.exists(path):  # some file systems rename onto nothing that is there
            FileSystems.delete([path])
        FileSystems.rename([staged_path], [path])


def remove(path: str) -> None:
    """Remove a file, if it is there; raises ``OSError``."""
    if is_local(path):
        Path(path).unlink(missing_ok=True)
        return
    with _as_os_error(path):
        if FileSystems.exists(path):
            FileSystems.delete([path])


def exists(path: str) -> bool:
    """Return whether there is such a file; raises ``OSError`` if nobody can tell."""
    if is_local(path):
        return Path(path).exists()
    with _as_os_error(path):
        return bool(FileSystems.exists(path))


def names_in(folder: str) -> list[str]:
    """Return the names of a folder's files; none if there is no such folder; raises ``OSError``."""
    if is_local(folder):
        try:
            return [file.name for file in Path(folder).iterdir()]
        except FileNotFoundError:
            return []
    return [path.rpartition("/")[2] for path in matching(join(folder, "*"))]


def matching(pattern: str) -> list[str]:
    """Return the addresses that one of Beam's patterns matches, in order; raises ``OSError``.

    Parameters
    ----------
    pattern
        ``*`` matches within a name, ``**`` over any number of folders, but see :mod:`bulk.found`.
    """
    with _as_os_error(pattern):
        (result,) = FileSystems.match([pattern])
        return sorted(file.path for file in result.metadata_list if not file.path.endswith("/"))


@contextmanager
def _as_os_error(path: str) -> Iterator[None]:
    """Let what a file system raises, each its own errors, be an ``OSError``."""
    try:
        yield
    except Exception as error:
        if not _is_there(path):
            raise FileNotFoundError(errno.ENOENT, "there is no such file", path) from error
        raise OSError(errno.EIO, str(error), path) from error


def _is_there(path: str) -> bool:
    """Return whether there is such a file, or whether that cannot be told."""
    try:
        return bool(FileSystems.exists(path))
    except Exception:
        return True

"""The SHA-256 of every file of a version, so that a later reader can tell whether it is what was published.

The format is that of coreutils: ``cd models/scenery/2 && sha256sum --check assets.extra/manifest.sha256``.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

from scenery import contract
from scenery.errors import VersionError


def write_manifest(version: Path) -> None:
    """Write the manifest of a version's files as they are now."""
    lines = [f"{digest}  {name}\n" for name, digest in _digests(version).items()]
    path = version / contract.MANIFEST_FILE
    path.parent.mkdir(exist_ok=True)
    path.write_text("".join(lines))


def verify_manifest(version: Path) -> int | None:
    """Compare a version's files with its manifest.

    Returns
    -------
    How many files it names, or None if the version has no manifest.

    Raises
    ------
    VersionError
        If a file is missing, changed or one too many.
    """
    try:
        text = (version / contract.MANIFEST_FILE).read_text()
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise VersionError(
            f"{version / contract.MANIFEST_FILE} cannot be read: {error}. Copy the version again."
        ) from error
    promised = {line[66:]: line[:64] for line in text.splitlines()}
    there = _digests(version)
    differing = sorted(name for name in promised.keys() | there.keys() if promised.get(name) != there.get(name))
    if differing:
        names = ", ".join(differing[:3]) + (" and others" if len(differing) > 3 else "")
        raise VersionError(
            f"{version} is not what its manifest says: {names} changed, is missing or was added. "
            "Copy or publish it again."
        )
    return len(promised)


def _digests(version: Path) -> dict[str, str]:
    """Return the SHA-256 of each file but the manifest, by its path in the version."""
    digests = digests_in(version)
    digests.pop(contract.MANIFEST_FILE, None)
    return digests


def digests_in(folder: Path) -> dict[str, str]:
    """Return the SHA-256, in hex, of each file in a folder and below, by its path there; raises ``OSError``."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): sha256_of(path) for path in files}


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file's bytes, in hex; raises ``OSError``."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while chunk := stream.read(2**20):
            digest.update(chunk)
    return digest.hexdigest()

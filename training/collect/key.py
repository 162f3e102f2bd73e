"""The access key of a source: from the environment or a file, and nowhere else."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from scenery.errors import ConfigurationError

VARIABLE: Final = "UNSPLASH_ACCESS_KEY"
ENTRY: Final = "unsplash"

_READABLE_BY_OTHERS = 0o077


def read_key(environment: Mapping[str, str], tokens_file: Path, warn: Callable[[str], None]) -> str:
    """Return Unsplash's access key: the variable's, or else the file's ``{"unsplash": "…"}``.

    Parameters
    ----------
    warn
        Is told if others may read the file, or if git keeps it.

    Raises
    ------
    ConfigurationError
        If there is none, or it cannot be one. The message never holds it.
    """
    key = environment.get(VARIABLE, "").strip()
    if key:
        return _checked(key, VARIABLE)
    if not tokens_file.exists():
        raise ConfigurationError(
            "Unsplash asks for an access key. Get one at https://unsplash.com/developers, then set "
            f'{VARIABLE}, or write {{"{ENTRY}": "the key"}} into {tokens_file}.'
        )
    key = _checked(_from(tokens_file), str(tokens_file))
    if tokens_file.stat().st_mode & _READABLE_BY_OTHERS:
        warn(f"Others on this machine may read {tokens_file}. Mend it: chmod 600 {tokens_file}")
    if _is_tracked(tokens_file):
        warn(f"git keeps {tokens_file}, key and all. Mend it: git rm --cached {tokens_file}, then ask for a new key.")
    return key


def _from(tokens_file: Path) -> str:
    try:
        tokens = json.loads(tokens_file.read_text())
    except (OSError, ValueError) as error:
        # Not what the parser says of it: that may quote the key.
        raise ConfigurationError(f"{tokens_file} cannot be read as JSON ({type(error).__name__}).") from None
    key = tokens.get(ENTRY) if isinstance(tokens, dict) else None
    if not isinstance(key, str):
        raise ConfigurationError(f'{tokens_file} must hold {{"{ENTRY}": "the key"}}; it has no such text.')
    return key.strip()


def _checked(key: str, place: str) -> str:
    if not (key and key.isascii() and key.isprintable() and " " not in key):
        raise ConfigurationError(f"{place}: the key is empty, or has characters that no key has. Copy it again, whole.")
    return key


def _is_tracked(path: Path) -> bool:
    command = ["git", "ls-files", "--error-unmatch", path.name]
    try:
        return subprocess.run(command, cwd=path.absolute().parent, capture_output=True, check=False).returncode == 0
    except OSError:
        return False  # no git

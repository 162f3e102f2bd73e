"""Who may ask: API keys, each known by its hash, in a file with one a line.

A line is a name, a space and ``sha256:`` with the digest in hexadecimal; ``#`` begins a comment.

A key is 256 bits from the system's random source, made by :func:`new_key` and never chosen by people, so one round
of SHA-256 without a salt keeps it: nobody can try 2^256 keys, and no two are equal. Salts and slow hashes are for
what can be guessed. NIST SP 800-63B-3, section 5.1.2.2, asks the same of look-up secrets: from 112 bits on, an
approved hash; below, salt and a slow one.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from proxy.problems import problem
from scenery.errors import ConfigurationError
from scenery.followed import Followed

if TYPE_CHECKING:
    from flask import Request

LOOK_SECONDS = 1.0
"""How old the last look at the file may be: a key that is revoked opens nothing for longer."""

PREFIX = "scenery_"
"""What every key begins with, so that programs that look for secrets in the wrong place know one."""

_HASH = "sha256:"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,63}")
_DIGEST = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class KnownKey:
    """A key as the file has it."""

    name: str
    """Whose it is."""
    digest: str
    """SHA-256 of the key, 64 hexadecimal digits."""

    def line(self) -> str:
        """Return the line of the file, without its end."""
        return f"{self.name} {_HASH}{self.digest}"


def new_key(name: str) -> tuple[str, KnownKey]:
    """Make a key; returns it, to be told once, and what the file keeps of it.

    Raises
    ------
    ConfigurationError
        If the name cannot be one.
    """
    if not _NAME.fullmatch(name):
        raise ConfigurationError(
            "The name of a key has 1 to 64 letters, digits and . _ @ - and begins with a letter or digit. "
            f"Received: {name!r}"
        )
    key = PREFIX + secrets.token_urlsafe(32)
    return key, KnownKey(name, digest_of(key))


def digest_of(key: str) -> str:
    """Return a key's SHA-256 in hexadecimal."""
    return hashlib.sha256(key.encode(errors="replace")).hexdigest()


def parse_line(line: str) -> KnownKey | None:
    """Read a line of the file; None if nothing but a comment stands there. Raises ``ValueError``, without the line."""
    words = line.partition("#")[0].split()
    if not words:
        return None
    name, kept = words if len(words) == 2 else ("", "")
    digest = kept.removeprefix(_HASH).lower()
    if not _NAME.fullmatch(name) or not kept.startswith(_HASH) or not _DIGEST.fullmatch(digest):
        raise ValueError("expected a name, a space and sha256: with 64 hexadecimal digits")
    return KnownKey(name, digest)


def read_keys(path: Path) -> tuple[KnownKey, ...]:
    """Read the keys of a file.

    Raises
    ------
    ConfigurationError
        If it cannot be read or a line is wrong: the line's number, never what it holds, which may be a key.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise _wrong(path, f"cannot be read: {error.strerror}. Make it with: scenery api-key NAME") from error
    except ValueError as error:
        raise _wrong(path, "is no text in UTF-8. Write it with: scenery api-key NAME") from error
    known: dict[str, KnownKey] = {}
    for number, line in enumerate(lines, start=1):
        try:
            key = parse_line(line)
        except ValueError as error:
            raise _wrong(path, f"line {number}: {error}. Mend the line or take it out.") from error
        if key is not None and known.setdefault(key.name, key) is not key:
            raise _wrong(path, f"line {number}: the name stands in a line above too. Give each key its own name.")
    return tuple(known.values())


def _wrong(path: Path, what: str) -> ConfigurationError:
    return ConfigurationError(f"SCENERY_API_KEYS_FILE: {path} {what}")


class Keys:
    """The keys of a file, followed when it changes, so that none needs a restart to be revoked. Threads share it."""

    def __init__(self, path: Path) -> None:
        """Read the file; raises :class:`ConfigurationError` if it is wrong or missing."""
        self._known = Followed(path, read_keys, read_keys(path), LOOK_SECONDS)

    def holder(self, presented: str) -> str | None:
        """Return the name of a key; None if there is no such key.

        Every digest is compared, and each in constant time, so that the time taken tells nothing of them.
        """
        digest, found = digest_of(presented), None
        for key in self._known.value():
            if hmac.compare_digest(key.digest, digest):
                found = key.name
        return found


def require_key(request: Request, keys: Keys) -> str:
    """Return the name of the key that a request presents, as ``Authorization: Bearer KEY`` or ``X-API-Key: KEY``.

    Raises
    ------
    ProblemError
        ``unauthorized``, if there is no key or an unknown one. Nothing of it is told.
    """
    presented = _presented(request)
    holder = keys.holder(presented) if presented else None
    if holder is None:
        what = "is unknown or was revoked" if presented else "is missing"
        detail = f"The API key {what}. Send the key that you were given: Authorization: Bearer KEY"
        raise problem("unauthorized", detail, WWW_Authenticate="Bearer")
    return holder


def _presented(request: Request) -> str:
    """Return the key of a request, empty if it has none."""
    scheme, _, credentials = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        return credentials.strip()
    return request.headers.get("X-API-Key", "").strip()

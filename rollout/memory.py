"""Which versions were stable before, and which is tried, so that a rollback needs no number."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from scenery import contract
from scenery.errors import RolloutError
from scenery.files import replace_text


class Memory:
    """The versions that were stable, the latest last: a small file in the model's folder."""

    def __init__(self, model_dir: Path) -> None:
        self._path = model_dir / contract.ROLLOUT_FILE

    def last_good(self, stable: int | None, present: list[int]) -> int | None:
        """Return the version to go back to: the latest but the ``stable`` one that is still ``present``."""
        return next((each for each in reversed(self._read()) if each != stable and each in present), None)

    @contextmanager
    def remembered(self, version: int | None) -> Iterator[None]:
        """Note a version that is about to be replaced; as it was if that fails.

        Noted before, so that a command that is killed in between has lost nothing.
        """
        before, canary = self._read(), self.canary
        try:
            if version is not None:
                self._write([each for each in before if each != version] + [version], canary)
            yield
        except BaseException:
            self._write(before, canary)
            raise

    @property
    def canary(self) -> int | None:
        """The version that a command made the canary, or was about to when it was killed."""
        canary = self._content().get("canary")
        return canary if isinstance(canary, int) else None

    @contextmanager
    def trying(self, version: int) -> Iterator[None]:
        """Note a version that is about to be the canary; not if that fails."""
        try:
            self._write(self._read(), version)
            yield
        except BaseException:
            self._write(self._read())
            raise

    def forget_canary(self) -> None:
        """Note that there is no canary any more."""
        self._write(self._read())

    def forget_from(self, version: int) -> None:
        """Forget a version that is the stable one again, and what was noted after it."""
        noted = self._read()
        if version in noted:
            self._write(noted[: noted.index(version)])

    def _read(self) -> list[int]:
        stable_before = self._content().get("stable_before")
        return [each for each in stable_before if isinstance(each, int)] if isinstance(stable_before, list) else []

    def _content(self) -> dict[str, Any]:
        try:
            content = json.loads(self._path.read_text())
        except (OSError, ValueError):
            return {}
        return content if isinstance(content, dict) else {}

    def _write(self, stable_before: list[int], canary: int | None = None) -> None:
        try:
            replace_text(self._path, json.dumps({"stable_before": stable_before, "canary": canary}) + "\n")
        except OSError as error:
            raise RolloutError(f"{self._path} cannot be written: {error.strerror}. Make room and try again.") from error

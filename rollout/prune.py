"""Removing old versions, never one that is of use."""

from __future__ import annotations

import shutil
from pathlib import Path

from scenery import versions
from scenery.errors import RolloutError

_PREFIX = ".pruned-"


def prune(model_dir: Path, keep: int, needed: set[int], failed: set[int]) -> list[int]:
    """Remove versions but for the ``keep`` highest and those ``needed``; returns the removed ones.

    Versions that ``failed`` to load are neither counted nor removed: somebody may want to know why.

    Each goes in one step: it is renamed to a name that no model server reads, then deleted.

    Raises
    ------
    RolloutError
        If a folder cannot be removed.
    """
    for left in model_dir.glob(f"{_PREFIX}*"):  # by a process that was killed
        shutil.rmtree(left, ignore_errors=True)
    present = [version for version in versions.list_versions(model_dir) if version not in failed]
    removed = [version for version in present[: max(0, len(present) - keep)] if version not in needed]
    for version in removed:
        gone = model_dir / f"{_PREFIX}{version}"
        try:
            versions.version_folder(model_dir, version).rename(gone)
            shutil.rmtree(gone)
        except OSError as error:
            raise RolloutError(f"Version {version} cannot be removed: {error}. Remove {gone} by hand.") from error
    return removed

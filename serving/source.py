"""The file-system source: which versions of a model its base path and its policy ask for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

_DEFAULT_COUNT = 1


def aspired_versions(base_path: Path, policy: Any) -> dict[int, Path]:
    """List the versions to serve.

    Parameters
    ----------
    base_path
        The folder whose sub-folders with whole numbers for names are versions.
    policy
        A ``ServableVersionPolicy``: ``latest`` (by default the latest one), ``all`` or
        ``specific``.

    Returns
    -------
    The folder of each version; empty if there is none, or ``base_path`` is missing.
    """
    present = _present_versions(base_path)
    kind = policy.WhichOneof("policy_choice")
    if kind == "all":
        return present
    if kind == "specific":
        return {version: present[version] for version in policy.specific.versions if version in present}
    count = policy.latest.num_versions or _DEFAULT_COUNT
    return {version: present[version] for version in sorted(present)[-count:]}


def _present_versions(base_path: Path) -> dict[int, Path]:
    try:
        children = sorted(base_path.iterdir())
    except OSError:
        return {}
    return {int(child.name): child for child in children if child.name.isdecimal() and child.is_dir()}

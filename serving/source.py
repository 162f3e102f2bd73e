"""The file-system source: which versions of a model its base path and its policy ask for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from scenery.versions import version_number

_DEFAULT_COUNT = 1


def aspired_versions(base_path: Path, policy: Any) -> dict[int, Path] | None:
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
    The folder of each version; None if ``base_path`` cannot be read, which says nothing about
    what is wanted.
    """
    present = _present_versions(base_path)
    if present is None:
        return None
    kind = policy.WhichOneof("policy_choice")
    if kind == "all":
        return present
    if kind == "specific":
        return {version: present[version] for version in policy.specific.versions if version in present}
    count = policy.latest.num_versions or _DEFAULT_COUNT
    return {version: present[version] for version in sorted(present)[-count:]}


def _present_versions(base_path: Path) -> dict[int, Path] | None:
    try:
        folders = [child for child in sorted(base_path.iterdir()) if child.is_dir()]
    except OSError:
        return None
    numbered = ((version_number(folder.name), folder) for folder in folders)
    return {number: folder for number, folder in numbered if number is not None}

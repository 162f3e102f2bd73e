"""A version from its folder, in the process that scores: no server, no wire."""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from bulk.part import FAILED, Floats
from bulk.scorer import Identity, RefusedError
from scenery.errors import VersionError
from scenery.manifest import digests_in
from scenery.refusals import refusal_in
from scenery.versions import list_versions, version_folder, version_number

if TYPE_CHECKING:
    from scenery.loaded import LoadedVersion


@dataclass(frozen=True)
class StoredModel:
    """A version's folder, which every worker must have under the same name."""

    folder: Path

    def identity(self) -> Identity:
        """Return the number that its folder has, and the digest of its graph and weights."""
        number = version_number(self.folder.name)
        if number is None or not (self.folder / "saved_model.pb").is_file():
            raise VersionError(
                f"{self.folder} is no version. Name a folder like models/scenery/2, with a saved_model.pb inside."
            )
        files = {
            name: digest for name, digest in digests_in(self.folder).items() if not name.startswith("assets.extra/")
        }
        return Identity(number, hashlib.sha256(json.dumps(files, sort_keys=True).encode()).hexdigest())

    def open(self) -> StoredScorer:
        """Load it; a version that does not describe itself is refused."""
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
        from scenery.loaded import LoadedVersion

        return StoredScorer(LoadedVersion(self.folder), self.identity().version)


class StoredScorer:
    """A loaded version."""

    def __init__(self, loaded: LoadedVersion, version: int) -> None:
        description = loaded.describe()
        self._loaded = loaded
        self.version = version
        self.labels = tuple(description.labels)
        self.thresholds = tuple(description.thresholds)

    def score(self, photo: bytes) -> Floats:
        """Return the scores of an encoded photo; see :class:`bulk.scorer.Scorer`."""
        try:
            return self._loaded.classify(photo)
        except VersionError as error:
            refusal = refusal_in(str(error.__cause__))
            raise RefusedError(*(refusal or (FAILED, str(error)))) from error


def newest_version(model_dir: Path) -> Path:
    """Return the folder of the highest version; raises :class:`VersionError` if there is none."""
    versions = list_versions(model_dir)
    if not versions:
        raise VersionError(f"There is no version in {model_dir}. Publish one, or name another folder with --model.")
    return version_folder(model_dir, versions[-1])

"""A version from its folder, in the process that scores: no server, no wire."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from bulk.part import FAILED, Floats
from bulk.scorer import PHOTO_STATUSES, Identity, RefusedError
from scenery.errors import ScoringError, VersionError
from scenery.manifest import digests_in
from scenery.onednn import prefer_onednn
from scenery.refusals import refusal_in
from scenery.versions import list_versions, version_folder, version_number

if TYPE_CHECKING:
    from scenery.loaded import LoadedVersion

_ERRORS_ONLY = "3"


@dataclass(frozen=True)
class StoredModel:
    """A version's folder, which every worker must have under the same name."""

    folder: Path

    def identity(self) -> Identity:
        """Return the number that its folder has, and the digest of its graph and weights."""
        number = self._number()
        files = {
            name: digest for name, digest in digests_in(self.folder).items() if not name.startswith("assets.extra/")
        }
        return Identity(number, hashlib.sha256(json.dumps(files, sort_keys=True).encode()).hexdigest())

    def open(self) -> StoredScorer:
        """Load it; a version that does not describe itself is refused."""
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", _ERRORS_ONLY)
        prefer_onednn()
        try:
            with _without_greeting():
                from scenery.loaded import LoadedVersion

                return StoredScorer(LoadedVersion(self.folder), self._number())
        except VersionError as error:
            raise VersionError(
                f"{self.folder} cannot score. Copy or export it again, or name another with --model. Received: {error}"
            ) from error

    def _number(self) -> int:
        number = version_number(self.folder.name)
        if number is None or not (self.folder / "saved_model.pb").is_file():
            raise VersionError(
                f"{self.folder} is no version. Name a folder like models/scenery/2, with a saved_model.pb inside."
            )
        return number


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
            if getattr(error.__cause__, "error_code", None) not in PHOTO_STATUSES:
                raise ScoringError(
                    f"{self._loaded.folder} cannot score, whatever the photo. Export it again, name another with "
                    f"--model, or ask fewer photos at a time with --jobs. Received: {error}"
                ) from error
            refusal = refusal_in(str(error.__cause__))
            raise RefusedError(*(refusal or (FAILED, str(error)))) from error


@contextmanager
def _without_greeting() -> Iterator[None]:
    """Keep from standard error what TensorFlow's libraries write there by themselves, unless more was asked for.

    For one thread at a time: standard error is the process's.
    """
    if os.environ["TF_CPP_MIN_LOG_LEVEL"] != _ERRORS_ONLY:
        yield
        return
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


def newest_version(model_dir: Path) -> Path:
    """Return the folder of the highest version; raises :class:`VersionError` if there is none."""
    versions = list_versions(model_dir)
    if not versions:
        raise VersionError(f"There is no version in {model_dir}. Publish one, or name another folder with --model.")
    return version_folder(model_dir, versions[-1])

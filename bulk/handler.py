"""How Beam's RunInference scores a part: several photos at a time, each read, scored and let go."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator, Sequence
from contextlib import closing
from functools import partial
from typing import Any, Final

from apache_beam.ml.inference.base import ModelHandler

from bulk import seen, storage
from bulk.part import NOT_READABLE, Failure, Floats, Photos, ScoredPart, key_of, written
from bulk.patience import patiently
from bulk.scorer import Identity, RefusedError, Scorer, Source, UnavailableError
from scenery.errors import ScoringError
from scenery.in_order import in_order

MAX_PHOTO_BYTES: Final = 256 * 2**20
"""Of a file on this disk; what is larger is no photo that a model takes."""

_FILES_FAULT = {
    errno.EACCES,
    errno.EISDIR,
    errno.ELOOP,
    errno.ENAMETOOLONG,
    errno.ENODEV,
    errno.ENOENT,
    errno.ENOTDIR,
    errno.ENXIO,
    errno.EPERM,
}
"""What nobody can read, wherever and whenever; any other error is the machine's."""


class PartHandler(ModelHandler[bytes, ScoredPart, Scorer]):  # type: ignore[misc]  # Beam's is untyped
    """Takes parts, each the paths of its photos; its batches are parts, and Beam makes none."""

    def __init__(self, source: Source, identity: Identity, jobs: int, patience_seconds: float) -> None:
        """Remember how to score.

        Parameters
        ----------
        identity
            The model that must be found there, on every worker.
        jobs
            Photos at a time.
        patience_seconds
            How long a file system or a server may fail for one photo.
        """
        super().__init__()
        self._source = source
        self._identity = identity
        self._jobs = jobs
        self._patience_seconds = patience_seconds

    def load_model(self) -> Scorer:
        """Make the model ready, once in each process.

        Raises
        ------
        SceneryError
            If it cannot be, or is another.
        """
        found = patiently(self._source.identity, self._patience_seconds)
        if found != self._identity:
            raise ScoringError(
                f"A worker has another model than the command: {found}, expected {self._identity}. Give all of them "
                "the same files."
            )
        return patiently(self._source.open, self._patience_seconds)

    def run_inference(
        self,
        batch: Sequence[bytes],
        model: Scorer,
        inference_args: dict[str, Any] | None = None,  # noqa: ARG002  Beam's signature
    ) -> Iterator[ScoredPart]:
        """Score one part; raises ``SceneryError`` if it has no scores and its photos are not at fault."""
        photos = [os.fsdecode(path) for path in batch]
        with closing(in_order(partial(self._outcome, model), photos, self._jobs)) as outcomes:
            yield _gather(photos, model, list(outcomes))

    def should_skip_batching(self) -> bool:
        """Parts are batches already."""
        return True

    def get_num_bytes(self, batch: Sequence[bytes]) -> int:
        """Return what goes in: the names."""
        return sum(map(len, batch))

    def get_metrics_namespace(self) -> str:
        """Return where Beam shows how long parts take."""
        return "scenery"

    def _outcome(self, model: Scorer, path: str) -> Floats | Failure:
        try:
            content = patiently(partial(_read, path), self._patience_seconds)
            return _as_expected(patiently(partial(model.score, content), self._patience_seconds), model)
        except RefusedError as error:
            return Failure(written(path), error.code, str(error))
        finally:
            seen.add()


def _read(path: str) -> bytes:
    try:
        if storage.is_local(path):
            _require_photo(os.stat(path))
        return storage.read(path)
    except OSError as error:
        if error.errno in _FILES_FAULT:
            reason = f"The file cannot be read: {error.strerror}. Correct its path or permissions."
            raise RefusedError(NOT_READABLE, reason) from error
        raise UnavailableError(f"{path} cannot be read. Mend the file system it is on. Received: {error}.") from error


def _require_photo(found: os.stat_result) -> None:
    """Refuse what would be read for ever, or into more memory than there is."""
    if not stat.S_ISREG(found.st_mode):
        raise RefusedError(NOT_READABLE, "It is no regular file. Name the photo itself.")
    if found.st_size > MAX_PHOTO_BYTES:
        raise RefusedError(
            NOT_READABLE,
            f"The file is too large to be read: {found.st_size:,} bytes, at most {MAX_PHOTO_BYTES:,} are. "
            "Make the photo smaller.",
        )


def _as_expected(scores: Floats, model: Scorer) -> Floats:
    if scores.shape != (len(model.labels),):
        raise ScoringError(
            f"Version {model.version} gives scores of shape {list(scores.shape)}, and has {len(model.labels)} labels. "
            "Export it again, or score with another version."
        )
    return scores


def _gather(photos: Photos, model: Scorer, outcomes: list[Floats | Failure]) -> ScoredPart:
    scored = [
        (written(path), outcome)
        for path, outcome in zip(photos, outcomes, strict=True)
        if not isinstance(outcome, Failure)
    ]
    return ScoredPart(
        key_of(photos),
        model.version,
        model.labels,
        model.thresholds,
        [name for name, _ in scored],
        [scores for _, scores in scored],
        [outcome for outcome in outcomes if isinstance(outcome, Failure)],
    )

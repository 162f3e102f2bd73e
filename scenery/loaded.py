"""A version in a ``Session``, called by signature: what TensorFlow Serving does with it.

A SavedModel that ``tf.saved_model.load`` runs can still fail there.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from scenery import contract
from scenery.errors import VersionError, first_line

Floats = npt.NDArray[np.float32]

_TIMEOUT_MILLISECONDS = 60_000
"""A graph may loop for ever."""


@dataclass(frozen=True)
class Description:
    """What a version says of itself."""

    labels: list[str]
    thresholds: list[float]
    provenance: Any
    """Parsed JSON."""
    card: str | None = None
    """Markdown; None if it has none."""


class LoadedVersion:
    """A version that answers until it is closed; a context manager."""

    def __init__(self, folder: Path) -> None:
        """Load a version; raises :class:`VersionError` if a model server could not."""
        self.folder = folder
        graph = tf.Graph()
        # One thread an operation, as `scenery serve` runs it.
        config = tf.compat.v1.ConfigProto(intra_op_parallelism_threads=1)
        self.session = tf.compat.v1.Session(graph=graph, config=config)
        try:
            with graph.as_default():
                meta_graph = tf.compat.v1.saved_model.load(self.session, [tf.saved_model.SERVING], str(folder))
        except Exception as error:  # the loader raises whatever it met
            self.session.close()
            raise VersionError(f"It cannot be loaded: {first_line(error)}") from error
        self.signatures = meta_graph.signature_def

    def __enter__(self) -> LoadedVersion:
        """Return itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Free the session."""
        self.session.close()

    def predict(self, signature: str, inputs: Mapping[str, Any]) -> dict[str, Any]:
        """Answer inputs, arrays by name, with the signature's outputs.

        Raises
        ------
        VersionError
            If there is no such signature or input, or the graph fails.
        """
        if signature not in self.signatures:
            raise VersionError(f"It has no signature {signature!r}. Received: {', '.join(sorted(self.signatures))}")
        definition = self.signatures[signature]
        try:
            feeds = {definition.inputs[name].name: value for name, value in inputs.items()}
            fetches = {name: info.name for name, info in definition.outputs.items()}
            options = tf.compat.v1.RunOptions(timeout_in_ms=_TIMEOUT_MILLISECONDS)
            answer: dict[str, Any] = self.session.run(fetches, feeds, options=options)
        except (tf.errors.OpError, ValueError, TypeError, KeyError) as error:
            raise VersionError(f"Its signature {signature!r} fails: {first_line(error)}") from error
        return answer

    def classify(self, photo: bytes) -> Floats:
        """Return the scores of an encoded photo, float32 [labels]; raises as :meth:`predict` does."""
        answer = self.predict(contract.SIGNATURE_CLASSIFY, {contract.INPUT_IMAGE_BYTES: np.array([photo], object)})
        if contract.OUTPUT_SCORES not in answer:
            raise VersionError(f"Its signature has no output 'scores'. Received: {', '.join(sorted(answer))}")
        scores: Floats = answer[contract.OUTPUT_SCORES]
        if scores.dtype != np.float32 or scores.ndim != 2 or len(scores) != 1:
            raise VersionError(
                f"Its scores of one photo must be float32 [1, labels]. Received: {scores.dtype} {list(scores.shape)}"
            )
        one: Floats = scores[0]
        return one

    def describe(self) -> Description:
        """Return what the version says of itself; raises :class:`VersionError` if that is not well formed."""
        answer = self.predict(contract.SIGNATURE_DESCRIBE, {})
        try:
            labels = [label.decode() for label in answer[contract.OUTPUT_LABELS].tolist()]
            thresholds = [float(each) for each in answer[contract.OUTPUT_THRESHOLDS].tolist()]
            provenance = json.loads(np.asarray(answer[contract.OUTPUT_PROVENANCE], object).item())
            card = answer.get(contract.OUTPUT_MODEL_CARD)
            text = None if card is None else np.asarray(card, object).item().decode()
        except (KeyError, ValueError, AttributeError, TypeError) as error:
            raise VersionError(
                f"It does not describe itself with labels, thresholds and provenance as the contract "
                f"has them: {error!r}"
            ) from error
        _require_sense(labels, thresholds, provenance)
        return Description(labels, thresholds, provenance, text)


def _require_sense(labels: list[str], thresholds: list[float], provenance: Any) -> None:
    if not labels or len(set(labels)) < len(labels) or not all(labels):
        raise VersionError(f"Its labels must be different names, one at least. Received: {labels}")
    if len(thresholds) != len(labels) or not all(0 <= each <= 1 for each in thresholds):
        raise VersionError(f"It must have a threshold in [0, 1] for each of {labels}. Received: {thresholds}")
    if not isinstance(provenance, dict):
        raise VersionError(f"Its provenance must be a JSON object. Received: {type(provenance).__name__}")

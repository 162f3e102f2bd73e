"""Scores of photos by a model that was trained here: a run folder, or a version that was exported."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from scenery import contract
from scenery.errors import ConfigurationError, DataError
from training.dataset import reason_of
from training.run import FILE_NAME, Run

_ScoreOne = Callable[[bytes], npt.NDArray[np.float32]]


@dataclass(frozen=True)
class Scorer:
    """A model that scores encoded photos, on this machine and without a server."""

    labels: list[str]
    thresholds: list[float]
    """A label is given where its score reaches its threshold."""
    _score: _ScoreOne

    def score(self, photos: Iterable[Path], count: int) -> npt.NDArray[np.float32]:
        """Score ``count`` photos: float32 [count, labels], in [0, 1].

        Raises
        ------
        DataError
            Naming the photo that cannot be read or decoded.
        """
        import tensorflow as tf

        scores = np.empty((count, len(self.labels)), np.float32)
        for place, photo in enumerate(photos):
            try:
                scores[place] = self._score(photo.read_bytes())
            except OSError as error:
                raise DataError(f"{photo} cannot be read ({error.strerror}).") from error
            except tf.errors.InvalidArgumentError as error:
                raise DataError(f"{photo} cannot be decoded: {reason_of(error.message)}") from error
        return scores


def load_scorer(model: Path) -> Scorer:
    """Load the model of a run folder (``runs/…``) or of a version's folder (``models/scenery/1``).

    Raises
    ------
    ConfigurationError
        If the folder is neither.
    """
    try:
        if (model / FILE_NAME).is_file():
            return _of_run(model)
        if (model / "saved_model.pb").is_file():
            return _of_version(model)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ConfigurationError(f"{model} cannot be loaded: {error}. Train or export it again.") from error
    raise ConfigurationError(
        f"{model} is no model: it has neither {FILE_NAME} nor saved_model.pb. "
        "Name a folder that `scenery train` wrote, or a version such as models/scenery/1."
    )


def _of_run(folder: Path) -> Scorer:
    import keras
    import tensorflow as tf

    from scenery import preprocess

    run = Run.read(folder)
    network = keras.models.load_model(folder / run.model_path, compile=False, safe_mode=True)
    height, width = run.size

    @tf.function(input_signature=[tf.TensorSpec([], tf.string)])  # type: ignore[untyped-decorator]
    def score(image: preprocess.Tensor) -> preprocess.Tensor:
        pixels = preprocess.decode(image, (height, width), pad_to_aspect_ratio=run.pad_to_aspect_ratio)
        return network(preprocess.scale(pixels)[None], training=False)[0]

    return Scorer(run.labels, run.thresholds, lambda photo: np.asarray(score(tf.constant(photo)), np.float32))


def _of_version(folder: Path) -> Scorer:
    import tensorflow as tf

    loaded: Any = tf.saved_model.load(str(folder))
    describe = loaded.signatures[contract.SIGNATURE_DESCRIBE]()
    classify = loaded.signatures[contract.SIGNATURE_CLASSIFY]

    def score(photo: bytes) -> npt.NDArray[np.float32]:
        outputs = classify(**{contract.INPUT_IMAGE_BYTES: tf.constant([photo])})
        first: npt.NDArray[np.float32] = outputs[contract.OUTPUT_SCORES].numpy()[0]
        return first

    labels = [label.decode() for label in describe[contract.OUTPUT_LABELS].numpy()]
    thresholds = [float(threshold) for threshold in describe[contract.OUTPUT_THRESHOLDS].numpy()]
    # The signatures die with what they were loaded from.
    return _Kept(labels, thresholds, score, loaded)


@dataclass(frozen=True)
class _Kept(Scorer):
    """A scorer that keeps what its signatures belong to."""

    _loaded: Any

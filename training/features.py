"""What a network that was never trained here sees in a photo: a few thousand numbers, kept for the next time.

The features are those of the frozen MobileNetV2 that training starts from. Photos that show alike
things have alike features, so a linear model on them learns a label from few photos, in seconds.
"""

from __future__ import annotations

import functools
import hashlib
import os
import uuid
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import numpy.typing as npt

from scenery.errors import DataError
from training.dataset import reason_of

Features = npt.NDArray[np.float16]

WEIGHTS = Path(__file__).parent / "weights" / "mobilenet_v2_imagenet_no_top.weights.h5"

SIZE = (192, 192)
"""Height and width, in pixels, that photos are fitted into: half the time of 224, and nearly as good here."""

WIDTH = 2560
"""Numbers a photo: the maxima of 1,280 channels and then their averages, a mean of the photo and its mirror image."""

_RECIPE = "mobilenet-v2-192-2"
"""Features of another recipe are other numbers: raise the last figure with any change here."""

_Extract = Callable[[bytes], Features]


def cache_folder() -> Path:
    """Return where features are kept: ``$XDG_CACHE_HOME/scenery/features``, or below ``~/.cache``."""
    root = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(root) / "scenery" / "features"


def features_of(photos: Iterable[Path], count: int, folder: Path | None = None) -> Features:
    """Return the features of ``count`` photos, computing those that ``folder`` does not hold yet.

    About 40 photos a second on two cores; each takes 5 KB in the folder, under the digest of its
    bytes. A run that is interrupted goes on where it was; the folder may be deleted at any time.

    Returns
    -------
    float16 [count, WIDTH].

    Raises
    ------
    DataError
        Naming the photo that cannot be read or decoded.
    """
    folder = (folder or cache_folder()) / _RECIPE
    features: Features = np.empty((count, WIDTH), np.float16)
    for place, path in enumerate(photos):
        photo = _bytes_of(path)
        file = folder / f"{hashlib.sha256(photo).hexdigest()}.npy"
        kept = _kept(file)
        if kept is None:
            kept = _extracted(photo, path)
            _keep(file, kept)
        features[place] = kept
    return features


def _bytes_of(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror}).") from error


def _kept(file: Path) -> Features | None:
    try:
        features: Features = np.load(file)
    except (OSError, ValueError, EOFError):  # there is none, or it is damaged
        return None
    return features if features.shape == (WIDTH,) and features.dtype == np.float16 else None


def _keep(file: Path, features: Features) -> None:
    """Keep features for the next time, in one step; a folder that cannot be written only costs time."""
    staged = file.with_name(f".{uuid.uuid4().hex}")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with staged.open("wb") as stream:
            np.save(stream, features)
        staged.replace(file)
    except OSError:
        return


def _extracted(photo: bytes, path: Path) -> Features:
    import tensorflow as tf

    try:
        return _extractor()(photo)
    except tf.errors.InvalidArgumentError as error:
        raise DataError(f"{path} cannot be decoded: {reason_of(error.message)}") from error


@functools.cache
def _extractor() -> _Extract:
    import keras
    import tensorflow as tf

    from scenery import preprocess

    backbone = keras.applications.MobileNetV2(input_shape=(*SIZE, 3), include_top=False, weights=str(WEIGHTS))

    @tf.function(input_signature=[tf.TensorSpec([], tf.string)])  # type: ignore[untyped-decorator]
    def extract(image: preprocess.Tensor) -> preprocess.Tensor:
        pixels = preprocess.scale(preprocess.decode(image, SIZE))
        seen = backbone(tf.stack([pixels, pixels[:, ::-1]]), training=False)
        pooled = tf.concat([tf.reduce_max(seen, (1, 2)), tf.reduce_mean(seen, (1, 2))], -1)
        return tf.reduce_mean(pooled, 0)

    return lambda photo: np.asarray(extract(tf.constant(photo)), np.float16)

"""Small SavedModels for the model server's tests."""

from __future__ import annotations

from pathlib import Path

import tensorflow as tf

_V1 = tf.compat.v1


def write_half_plus(folder: Path, offset: float) -> Path:
    """Write a model that answers ``x / 2 + offset``, so that the answer tells the version."""
    with tf.Graph().as_default(), _V1.Session() as session:
        x = _V1.placeholder(tf.float32, [None], name="x")
        y = tf.identity(x / 2 + offset, name="y")
        _V1.saved_model.simple_save(session, str(folder), {"x": x}, {"y": y})
    return folder

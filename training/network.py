"""The network: a backbone that knows photos, and a head that scores every label on its own."""

from __future__ import annotations

import inspect
import sys
from typing import Any

import keras
import numpy as np
import numpy.typing as npt

from scenery.errors import ConfigurationError
from training.config import IMAGENET, RANDOM, TrainingConfig
from training.nearest import did_you_mean

BACKBONE = "backbone"
"""The name of the backbone's layer in the network."""

FEATURES = "features"
"""The name of the layer whose output the head judges."""

SCORES = "scores"
"""The name of the last layer: a sigmoid a label."""


def build_network(size: tuple[int, int], labels: int, config: TrainingConfig) -> Any:
    """Build the classifier, its backbone loaded.

    The backbone (by default MobileNetV2: Sandler et al. 2018, arXiv:1801.04381) is followed by dropout,
    global maximum and average pooling side by side, dropout, and one sigmoid a label. The first
    dropout drops whole channels: single values dropped and scaled would shift every maximum.

    Parameters
    ----------
    size
        Height and width of the input, in pixels.
    labels
        The number of labels.
    config
        Names the backbone, its weights, and the share of features that dropout takes.

    Raises
    ------
    ConfigurationError
        If there is no such backbone, or its weights cannot be loaded.

    Returns
    -------
    A ``keras.Model``: float32 [n, height, width, 3] in [-1, 1] → float32 [n, labels] in [0, 1].
    """
    inputs = keras.Input((*size, 3), name="pixels")
    features = _backbone(size, config)(_as_the_backbone_expects(inputs, config.backbone))
    features = keras.layers.SpatialDropout2D(config.dropout)(features)
    largest = keras.layers.GlobalMaxPooling2D()(features)
    average = keras.layers.GlobalAveragePooling2D()(features)
    pooled = keras.layers.Concatenate(name=FEATURES)([largest, average])
    pooled = keras.layers.Dropout(config.dropout)(pooled)
    # In full precision, where the rest is mixed: a loss of half-precision scores underflows.
    scores = keras.layers.Dense(labels, activation="sigmoid", name=SCORES, dtype="float32")(pooled)
    return keras.Model(inputs, scores, name="scenery")


def choose_trained(network: Any, head_only: bool, frozen_until: str | None = None) -> None:
    """Choose what the next compilation trains: the head alone, or the backbone's convolutions too.

    Batch normalisation stays frozen either way, and so in inference mode: the shipped weights
    have it folded away, and small batches would teach it wrong statistics. (Calling the backbone
    with ``training=False`` does not hold in Keras 3: ``fit`` overrides it.)

    Parameters
    ----------
    frozen_until
        The last layer of the backbone, from the input on, that is not trained: what edges and textures are
        needs no learning anew, and no gradient has to be carried so far.

    Raises
    ------
    ConfigurationError
        If the backbone has no such layer.
    """
    layers = network.get_layer(BACKBONE).layers
    first = 0 if frozen_until is None else 1 + _place([layer.name for layer in layers], frozen_until)
    for place, layer in enumerate(layers):
        is_norm = isinstance(layer, keras.layers.BatchNormalization)
        layer.trainable = not head_only and place >= first and not is_norm


def _place(names: list[str], wanted: str) -> int:
    if wanted in names:
        return names.index(wanted)
    raise ConfigurationError(f"frozen_until: the backbone has no layer `{wanted}`.{did_you_mean(wanted, names)}")


def _backbone(size: tuple[int, int], config: TrainingConfig) -> Any:
    build = getattr(keras.applications, config.backbone, None)
    known = [name for name, value in vars(keras.applications).items() if inspect.isfunction(value)]
    if config.backbone not in known or build is None:
        hint = did_you_mean(config.backbone, known)
        raise ConfigurationError(f"backbone: keras.applications has no `{config.backbone}`.{hint}")
    weights = None if config.backbone_weights == RANDOM else config.backbone_weights
    try:
        return build(input_shape=(*size, 3), include_top=False, weights=weights, name=BACKBONE)
    except Exception as error:  # Keras downloads and reads them with half a dozen libraries
        raise ConfigurationError(
            f"backbone_weights: {weights} cannot be loaded into {config.backbone}: {error}. Name a weights file of "
            f"{config.backbone} without its top, or {IMAGENET} where a network is there, or {RANDOM}."
        ) from error


def _as_the_backbone_expects(inputs: Any, backbone: str) -> Any:
    """Turn pixels in [-1, 1] into what a backbone's ImageNet weights were trained on.

    Each of keras.applications brings its own scaling, some with the channels turned around; all of them
    are affine in a pixel's three values, and so one frozen 1 × 1 convolution, or nothing.
    """
    kernel, bias = _affine(backbone)
    if np.allclose(kernel, np.eye(3)) and np.allclose(bias, 0):
        return inputs
    convolution = keras.layers.Conv2D(3, 1, name="scaling", trainable=False)
    outputs = convolution(inputs)
    convolution.set_weights([kernel[None, None], bias])
    return outputs


def _affine(backbone: str) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Return kernel [3, 3] and bias [3] of a backbone's scaling, found by asking it."""
    preprocess_input = sys.modules[getattr(keras.applications, backbone).__module__].preprocess_input
    colours = np.concatenate([np.zeros((1, 3)), 255 * np.eye(3)]).astype(np.float32)
    black, *primaries = preprocess_input(colours[:, None, None])[:, 0, 0]
    kernel = np.array([(primary - black) / 2 for primary in primaries], np.float32)  # [-1, 1] is 2 wide
    return kernel, (black + kernel.sum(axis=0)).astype(np.float32)

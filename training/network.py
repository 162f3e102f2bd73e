"""The network: MobileNetV2 and a head that scores every label on its own."""

from __future__ import annotations

from typing import Any

import keras

from scenery.errors import ConfigurationError

BACKBONE = "backbone"
"""The name of the backbone's layer in the network."""


def build_network(size: tuple[int, int], labels: int, backbone_weights: str, dropout: float) -> Any:
    """Build the classifier, its backbone loaded.

    The backbone (Sandler et al. 2018, arXiv:1801.04381) is followed by dropout, global maximum
    and average pooling side by side, dropout, and one sigmoid a label. The first dropout drops
    whole channels: single values dropped and scaled would shift every maximum.

    Parameters
    ----------
    size
        Height and width of the input, in pixels.
    labels
        The number of labels.
    backbone_weights
        ``imagenet``, or the path of a weights file for MobileNetV2 without its top.
    dropout
        The share of features dropped in training, before and after the pooling.

    Raises
    ------
    ConfigurationError
        If the weights cannot be loaded.

    Returns
    -------
    A ``keras.Model``: float32 [n, height, width, 3] in [-1, 1] → float32 [n, labels] in [0, 1].
    """
    inputs = keras.Input((*size, 3), name="pixels")
    try:
        backbone = keras.applications.MobileNetV2(
            input_shape=(*size, 3), include_top=False, weights=backbone_weights, name=BACKBONE
        )
    except (ValueError, OSError, KeyError) as error:
        raise ConfigurationError(
            f"backbone_weights: {backbone_weights} cannot be loaded into MobileNetV2: {error}. "
            "Name a weights file of MobileNetV2 without its top, or imagenet where a network is there."
        ) from error
    features = keras.layers.SpatialDropout2D(dropout)(backbone(inputs))
    largest = keras.layers.GlobalMaxPooling2D()(features)
    average = keras.layers.GlobalAveragePooling2D()(features)
    pooled = keras.layers.Dropout(dropout)(keras.layers.Concatenate()([largest, average]))
    scores = keras.layers.Dense(labels, activation="sigmoid", name="scores")(pooled)
    return keras.Model(inputs, scores, name="scenery")


def freeze_backbone(network: Any, frozen: bool) -> None:
    """Choose what the next compilation trains: the head alone, or the backbone's convolutions too.

    Batch normalisation stays frozen either way, and so in inference mode: the shipped weights
    have it folded away, and small batches would teach it wrong statistics. (Calling the backbone
    with ``training=False`` does not hold in Keras 3: ``fit`` overrides it.)
    """
    for layer in network.get_layer(BACKBONE).layers:
        layer.trainable = not frozen and not isinstance(layer, keras.layers.BatchNormalization)

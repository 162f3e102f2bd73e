"""A network with fewer operations is the same function."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from export.freeze import fold_paddings, freeze


@pytest.fixture
def images() -> np.ndarray:
    return np.random.default_rng(1).normal(size=(2, 8, 8, 3)).astype(np.float32)


def padded_network(pads, **convolution) -> keras.Model:
    keras.utils.set_random_seed(1)
    inputs = keras.Input((8, 8, 3))
    x = keras.layers.ZeroPadding2D(pads, name="pad")(inputs)
    return keras.Model(inputs, keras.layers.DepthwiseConv2D(3, name="convolution", **convolution)(x))


@pytest.mark.parametrize(("pads", "strides"), [(((0, 1), (0, 1)), 2), (((1, 1), (1, 1)), 1)], ids=["behind", "around"])
def test_a_convolution_pads_by_itself(pads, strides, images):
    """Zeros that ``same`` would add, too, need no layer of their own."""
    network = padded_network(pads, strides=strides)
    folded = fold_paddings(network)
    assert folded.get_layer("convolution").padding == "same"
    assert not isinstance(folded.get_layer("pad"), keras.layers.ZeroPadding2D)
    np.testing.assert_allclose(folded(images), network(images), atol=1e-5)


@pytest.mark.parametrize(
    ("pads", "convolution"),
    [
        (((1, 1), (1, 1)), {"strides": 2}),
        (((1, 1), (1, 1)), {"padding": "same"}),
        (((2, 2), (2, 2)), {"dilation_rate": 2}),
    ],
    ids=["elsewhere", "twice", "dilated"],
)
def test_other_zeros_stay(pads, convolution, images):
    """Zeros that ``same`` would put elsewhere, or a second time, are a layer still."""
    network = padded_network(pads, **convolution)
    folded = fold_paddings(network)
    assert isinstance(folded.get_layer("pad"), keras.layers.ZeroPadding2D)
    np.testing.assert_allclose(folded(images), network(images), atol=1e-5)


def read_twice(inputs, pad, convolution):
    padded = pad(inputs)
    return [convolution(padded), keras.layers.GlobalMaxPooling2D()(padded)]


def an_answer_too(inputs, pad, convolution):
    padded = pad(inputs)
    return [convolution(padded), padded]


def convolved_unpadded_too(inputs, pad, convolution):
    return [convolution(pad(inputs)), convolution(inputs)]


@pytest.mark.parametrize("build", [read_twice, an_answer_too, convolved_unpadded_too])
def test_zeros_that_are_no_convolutions_own_stay(build, images):
    """A layer of zeros that something else needs, or whose convolution needs none elsewhere, is a layer still."""
    inputs = keras.Input((8, 8, 3))
    layers = keras.layers.ZeroPadding2D(((0, 1), (0, 1))), keras.layers.DepthwiseConv2D(3, strides=2)
    network = keras.Model(inputs, build(inputs, *layers))
    for folded, original in zip(fold_paddings(network)(images), network(images), strict=True):
        np.testing.assert_allclose(folded, original, atol=1e-5)


def test_a_frozen_mobilenet_only_convolves():
    """Nothing of its batch normalisation, its padding or its variables is left."""
    backbone = keras.applications.MobileNetV2((32, 32, 3), include_top=False, weights=None)
    network = keras.Sequential([backbone, keras.layers.GlobalAveragePooling2D(), keras.layers.Dense(3)])
    operations = {node.op for node in freeze(network, (32, 32)).graph_def.node}
    assert {"Conv2D", "DepthwiseConv2dNative"} < operations
    assert not {name for name in operations if "Norm" in name or "Pad" in name or "Rsqrt" in name or "Var" in name}

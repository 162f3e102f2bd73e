"""Biases that make up for what rounding kernels to int8 takes from each channel on average.

A channel of a rounded convolution is off by a constant and by noise; the noise evens out, the constants add up
from layer to layer. Measured on the shipped model, constants made one decision in thirteen another one.
Source: Nagel et al., Data-Free Quantization Through Weight Equalization and Bias Correction, 2019
(https://arxiv.org/abs/1906.04721, section 4.2); here the means are measured on photos.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from export.freeze import FrozenNetwork

_V1 = tf.compat.v1
_CHANNEL_AXIS = {"Conv2D": 3, "DepthwiseConv2dNative": 2}
"""Where a kernel has its output channels, by the convolution's operation."""
_LARGEST = 127

Floats = npt.NDArray[np.float32]


def correct_biases(network: FrozenNetwork, pixels: npt.NDArray[np.uint8]) -> FrozenNetwork:
    """Return the network with the bias of each convolution raised by what rounding its kernel will take away.

    Parameters
    ----------
    pixels
        Photos to measure on, uint8 [n, height, width, 3].
    """
    graph_def = _V1.GraphDef()
    graph_def.CopyFrom(network.graph_def)
    nodes = {node.name: node for node in graph_def.node}
    for name, bias in _corrected(network, pixels).items():
        constant = tf.make_tensor_proto(bias)
        node = graph_def.node.add(name=f"{name}/corrected", op="Const")
        node.attr["dtype"].type = constant.dtype
        node.attr["value"].tensor.CopyFrom(constant)
        nodes[name].input[1] = node.name
    return FrozenNetwork(graph_def, network.input_name, network.output_name)


def _corrected(network: FrozenNetwork, pixels: npt.NDArray[np.uint8]) -> dict[str, Floats]:
    """Return the new bias of each ``BiasAdd`` that follows a convolution, by its name."""
    with tf.Graph().as_default() as graph, _V1.Session(graph=graph) as session:
        tf.import_graph_def(network.graph_def, name="")
        adds = [each for each in graph.get_operations() if each.type == "BiasAdd"]
        adds = [each for each in adds if each.inputs[0].op.type in _CHANNEL_AXIS]
        biases, kernels = session.run(
            [[each.inputs[1] for each in adds], [each.inputs[0].op.inputs[1] for each in adds]]
        )
        lost = [_lost(each.inputs[0].op, kernel) for each, kernel in zip(adds, kernels, strict=True)]
        means = [session.run(lost, {network.input_name: photo[None]}) for photo in pixels]
        return {
            each.name: bias + np.mean(mean, axis=0)
            for each, bias, mean in zip(adds, biases, zip(*means, strict=True), strict=True)
        }


def _lost(convolution: Any, kernel: Floats) -> Any:
    """Return the tensor of what a convolution loses by rounding its kernel: float32 [channels], the mean of a photo."""
    inputs = [convolution.inputs[0], tf.constant(kernel - rounded(kernel, _CHANNEL_AXIS[convolution.type]))]
    attributes = dict(convolution.node_def.attr)
    of_the_rest = convolution.graph.create_op(convolution.type, inputs, [tf.float32], attrs=attributes)
    return tf.reduce_mean(of_the_rest.outputs[0], axis=[0, 1, 2])


def rounded(kernel: Floats, channel_axis: int) -> Floats:
    """Return a kernel as int8 holds it: 255 steps for each channel, as many below zero as above."""
    others = tuple(axis for axis in range(kernel.ndim) if axis != channel_axis)
    step = np.abs(kernel).max(axis=others, keepdims=True) / _LARGEST
    result: Floats = np.round(kernel / np.where(step, step, 1)) * step
    return result

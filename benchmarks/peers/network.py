"""The trained Keras network, rebuilt from the constants of the version that is served."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
import tensorflow as tf

from scenery.errors import ExportError
from scenery.loaded import LoadedVersion
from training.config import RANDOM, load_training_config
from training.network import BACKBONE, SCORES, build_network

TRAINING_CONFIG = Path("examples/training_config.yaml")
NETWORK = "network/"
"""What the names of the network's operations begin with, in a version's graph."""

Array = npt.NDArray[np.float32]


def rebuilt(version: LoadedVersion, size: tuple[int, int], labels: int) -> Any:
    """Rebuild the network with the weights of a version: float32 [n, height, width, 3] → float32 [n, labels].

    Batch normalisation is folded into the version's convolutions; here it becomes an identity with the bias in beta,
    which computes as much as any other (``training/weights/README.md`` has the same).

    Raises
    ------
    ExportError
        If the version is not the network of ``examples/training_config.yaml``.
    """
    config = replace(load_training_config(TRAINING_CONFIG), backbone_weights=RANDOM)
    network = build_network(size, labels, config)
    layers = network.get_layer(BACKBONE).layers
    weights = iter(_weights(version))
    try:
        for layer in layers:
            if isinstance(layer, keras.layers.Conv2D | keras.layers.DepthwiseConv2D):
                layer.set_weights([next(weights)])
            elif isinstance(layer, keras.layers.BatchNormalization):
                layer.set_weights(_identity(next(weights), layer.epsilon))
        network.get_layer(SCORES).set_weights(list(weights))
    except (StopIteration, ValueError) as error:
        raise ExportError(
            f"{version.folder} is not the network of {TRAINING_CONFIG} ({error}). "
            "Name the training run that it was exported from: --run"
        ) from error
    return network


def _weights(version: LoadedVersion) -> list[Array]:
    """Return the network's float constants, scalars aside, in the order in which they are used."""
    nodes = version.session.graph.as_graph_def().node
    constants = (node for node in nodes if node.op == "Const" and node.name.startswith(NETWORK))
    arrays = (tf.make_ndarray(node.attr["value"].tensor) for node in constants)
    return [array for array in arrays if array.ndim and array.dtype == np.float32]


def _identity(bias: Array, epsilon: float) -> list[Array]:
    """Return gamma, beta, mean and variance of a normalisation that adds a bias and nothing else."""
    return [np.ones_like(bias), bias, np.zeros_like(bias), np.full_like(bias, 1 - epsilon)]

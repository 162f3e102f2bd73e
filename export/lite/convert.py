"""``model.tflite``: the signature ``pixels`` of a version, for LiteRT."""

from __future__ import annotations

import warnings
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from export.freeze import FrozenNetwork
from export.lite.biases import correct_biases
from scenery import contract
from scenery.errors import ExportError, first_line
from scenery.lite import FILE_NAME

Precision = Literal["float32", "int8"]

_KEPT_FLOAT = ["MEAN", "REDUCE_MAX", "CONCATENATION", "FULLY_CONNECTED", "LOGISTIC"]
"""What follows the convolutions costs next to nothing, and much if it is rounded: mean and maximum, side by side, would
share one range."""


def write_lite(
    folder: Path, network: FrozenNetwork, size: tuple[int, int], calibration: npt.NDArray[np.uint8] | None
) -> None:
    """Write a network into a version's folder.

    Parameters
    ----------
    size
        Height and width of its input, in pixels.
    calibration
        Photos to measure int8's ranges on, uint8 [n, height, width, 3]; None: it stays float32.

    Raises
    ------
    ExportError
        If LiteRT has no operation for one of the network's.
    """
    if calibration is not None:
        network = correct_biases(network, calibration)
    with TemporaryDirectory() as aside:
        tf.saved_model.save(tf.Module(), aside, {contract.SIGNATURE_PIXELS: _signature(network, size)})
        try:
            converter = tf.lite.TFLiteConverter.from_saved_model(aside, signature_keys=[contract.SIGNATURE_PIXELS])
            content = converter.convert() if calibration is None else _in_int8(converter, calibration)
        except Exception as error:  # the converter raises whatever it met
            raise ExportError(
                f"The network cannot be written as {FILE_NAME}: {first_line(error)}. Export it without --precision."
            ) from error
    (folder / FILE_NAME).write_bytes(content)


def _signature(network: FrozenNetwork, size: tuple[int, int]) -> Any:
    @tf.function(input_signature=[tf.TensorSpec([None, *size, 3], tf.uint8, contract.INPUT_IMAGE)])  # type: ignore[untyped-decorator]
    def score(image: Any) -> dict[str, Any]:
        (scores,) = tf.import_graph_def(network.graph_def, {network.input_name: image}, [network.output_name])
        return {contract.OUTPUT_SCORES: scores}

    return score


def _in_int8(converter: Any, calibration: npt.NDArray[np.uint8]) -> bytes:
    """Convert by the one interface of the converter's that can leave operations as they are."""
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = lambda: ({contract.INPUT_IMAGE: photo[None]} for photo in calibration)
    options = tf.lite.experimental.QuantizationDebugOptions(denylisted_ops=_KEPT_FLOAT)
    with warnings.catch_warnings():
        # It opens an interpreter of TensorFlow's, which says that it will go; nothing is run in it.
        warnings.simplefilter("ignore", UserWarning)
        debugger = tf.lite.experimental.QuantizationDebugger(converter=converter, debug_options=options)
    content: bytes = debugger.get_nondebug_quantized_model()
    return content

"""The loss: one binary decision a label, in which rare labels may count more."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import numpy.typing as npt


def label_weights(targets: npt.NDArray[np.float32], balance: float) -> list[float]:
    """Return what a photo with a label weighs against one without: (without / with it) to the power of ``balance``.

    ``targets`` is float32 [n, labels]; 0 weighs all alike, 1 gives both sides of a label the same weight.
    """
    positives = targets.sum(axis=0)
    weights: list[float] = (np.maximum(len(targets) - positives, 1) / np.maximum(positives, 1)) ** balance
    return [float(weight) for weight in weights]


@keras.saving.register_keras_serializable(package="scenery")
class WeightedCrossentropy(keras.losses.Loss):  # type: ignore[misc]
    """Binary cross-entropy, the positives of each label weighted, 0 and 1 moved towards ½ by ``label_smoothing``."""

    def __init__(self, weights: list[float], label_smoothing: float = 0.0, name: str = "loss", **rest: Any) -> None:
        super().__init__(name=name, **rest)
        self.weights = weights
        self.label_smoothing = label_smoothing

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """Return the loss of each photo: [n, labels] and [n, labels] → [n]."""
        y_true = keras.ops.cast(y_true, y_pred.dtype)
        weights = 1 + y_true * (keras.ops.convert_to_tensor(self.weights, y_pred.dtype) - 1)
        smooth = y_true * (1 - self.label_smoothing) + self.label_smoothing / 2
        return keras.ops.mean(weights * keras.ops.binary_crossentropy(smooth, y_pred), axis=-1)

    def get_config(self) -> dict[str, Any]:
        """Return what a saved network needs to have the loss again."""
        return {**super().get_config(), "weights": self.weights, "label_smoothing": self.label_smoothing}

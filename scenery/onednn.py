"""How TensorFlow computes on a CPU, wherever a version is run: by oneDNN's operations."""

from __future__ import annotations

import os

VARIABLE = "TF_ENABLE_ONEDNN_OPTS"
"""TensorFlow's own switch; read once, before it computes anything."""


def prefer_onednn() -> None:
    """Have TensorFlow use oneDNN, unless the environment says otherwise; to be called before TensorFlow is opened.

    TensorFlow does so by itself only on processors with AVX512-VNNI, AVX512-BF16 or AMX. On one with AVX2 alone
    MobileNetV2 takes three quarters of the time all the same (docs/performance.md).
    """
    os.environ.setdefault(VARIABLE, "1")

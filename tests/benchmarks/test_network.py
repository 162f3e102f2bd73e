"""The Keras network that all contenders share."""

from __future__ import annotations

import numpy as np

from benchmarks.peers.network import rebuilt
from scenery import contract
from scenery.loaded import LoadedVersion
from tests.processes import ROOT


def test_the_rebuilt_network_is_the_one_that_is_served(monkeypatch):
    """It scores pixels as the shipped version does, and its batch normalisation is still there to be computed."""
    monkeypatch.chdir(ROOT)
    pixels = np.random.default_rng(1).integers(0, 256, (2, 224, 224, 3)).astype(np.uint8)
    with LoadedVersion(ROOT / "models/scenery/1") as version:
        network = rebuilt(version, (224, 224), 4)
        served = version.predict(contract.SIGNATURE_PIXELS, {contract.INPUT_IMAGE: pixels})[contract.OUTPUT_SCORES]
    scores = network(pixels / np.float32(127.5) - 1, training=False)
    np.testing.assert_allclose(scores, served, atol=1e-4)
    assert sum("BatchNormalization" in type(layer).__name__ for layer in network.get_layer("backbone").layers) == 52

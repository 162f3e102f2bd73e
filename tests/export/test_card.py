"""The model card's way into a version."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

from export.card import with_version
from export.export import export
from export.gate.answers import check_describe
from scenery import contract, preprocess
from scenery.errors import ExportError
from scenery.loaded import LoadedVersion
from scenery.manifest import verify_manifest
from tests.processes import PHOTOS

SIZE = (16, 16)
CARD = "# A card\n\nFor tests — and nothing else.\n"


@pytest.fixture(scope="module")
def small_run(tmp_path_factory) -> Path:
    """A run of a network that is made in a moment; it has no card."""
    run = tmp_path_factory.mktemp("run")
    inputs = keras.Input((*SIZE, 3))
    keras.utils.set_random_seed(1)
    scores = keras.layers.Dense(2, "sigmoid")(keras.layers.GlobalAveragePooling2D()(inputs))
    network = keras.Model(inputs, scores)
    network.save(run / "model.keras")
    (run / "golden").mkdir()
    shutil.copy(PHOTOS / "0003.jpg", run / "golden")
    pixels = preprocess.decode_batch(tf.constant([(PHOTOS / "0003.jpg").read_bytes()]), SIZE).numpy()
    golden = network.predict(preprocess.scale(pixels), verbose=0)[0]
    (run / "golden/scores.json").write_text(json.dumps({"0003.jpg": np.asarray(golden).tolist()}))
    told = {"model_path": "model.keras", "labels": ["a", "b"], "thresholds": [0.5, 0.5], "size": SIZE}
    (run / "run.json").write_text(json.dumps(told | {"metrics": {}, "provenance": {}}))
    return run


@pytest.fixture
def run(small_run, tmp_path) -> Path:
    return shutil.copytree(small_run, tmp_path / "run")


@pytest.fixture(scope="module")
def with_card(small_run, tmp_path_factory) -> Path:
    """Version 3 of a model, exported from a run with a card."""
    work = tmp_path_factory.mktemp("carded")
    run = shutil.copytree(small_run, work / "run")
    (run / "model_card.md").write_text(CARD)
    return export(run, work / "scenery", version=3).path


def test_the_card_travels_inside_the_version(with_card):
    """It is a file that the manifest names, and what ``describe`` answers; it says which version it is of."""
    told = "# A card\n\nVersion 3 of the model `scenery`.\n\nFor tests — and nothing else.\n"
    assert (with_card / contract.MODEL_CARD_FILE).read_text() == told
    assert contract.MODEL_CARD_FILE in (with_card / contract.MANIFEST_FILE).read_text()
    verify_manifest(with_card)
    with LoadedVersion(with_card) as loaded:
        assert loaded.describe().card == told
        info = loaded.signatures["describe"].outputs["model_card"]
        assert (tf.dtypes.as_dtype(info.dtype), list(info.tensor_shape.dim)) == (tf.string, [])
        assert check_describe(loaded).figures["model_card_bytes"] == len(told.encode())


def test_a_run_without_a_card_is_exported_as_ever(run, tmp_path):
    """There is no empty card: neither a file nor an output."""
    version = export(run, tmp_path / "scenery").path
    assert not (version / contract.MODEL_CARD_FILE).exists()
    with LoadedVersion(version) as loaded:
        assert set(loaded.signatures["describe"].outputs) == {"labels", "thresholds", "provenance"}
        assert loaded.describe().card is None
        assert check_describe(loaded).detail == "a from 0.50, b from 0.50; no model card"


def test_two_cards_that_differ_are_refused(with_card, tmp_path):
    """The gate does not let a file say what the version itself does not."""
    version = shutil.copytree(with_card, tmp_path / "3")
    (version / contract.MODEL_CARD_FILE).write_text("# A better card\n")
    with LoadedVersion(version) as loaded, pytest.raises(ExportError, match="is not what 'describe' answers"):
        check_describe(loaded)


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"x" * 65_537, "may have 65536 bytes.* Received: 65537 bytes"), (b"\xff\xfe", "must be text in UTF-8")],
    ids=["too long", "no text"],
)
def test_a_card_that_cannot_travel_is_told(run, tmp_path, content, message):
    """Nothing is exported, and the file is named."""
    (run / "model_card.md").write_bytes(content)
    with pytest.raises(ExportError, match=message):
        export(run, tmp_path / "scenery")
    assert not (tmp_path / "scenery").exists()


@pytest.mark.parametrize(
    ("card", "told"),
    [
        ("# Title\nText", "# Title\n\nVersion 2 of the model `m`.\n\nText"),
        ("Text\n", "Version 2 of the model `m`.\n\nText\n"),
        ("", "Version 2 of the model `m`.\n\n"),
    ],
)
def test_the_version_stands_below_the_heading(card, told):
    """A card without a heading begins with it."""
    assert with_version(card, "m", 2) == told

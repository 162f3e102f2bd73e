"""The version that is shipped in models/scenery."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest
import tensorflow as tf

from scenery import contract, versions
from tests.photographs import bombs
from tests.processes import PHOTOS, ROOT

MODEL_DIR = ROOT / "models" / contract.MODEL_NAME
MOST_BYTES = 15e6


@pytest.fixture(scope="module")
def version():
    return versions.list_versions(MODEL_DIR)[-1]


@pytest.fixture(scope="module")
def session_and_signatures(version):
    session = tf.compat.v1.Session(graph=tf.Graph())
    with session.graph.as_default():
        meta_graph = tf.compat.v1.saved_model.load(session, ["serve"], str(MODEL_DIR / str(version)))
    yield session, meta_graph.signature_def
    session.close()


@pytest.fixture(scope="module")
def description(session_and_signatures):
    session, signatures = session_and_signatures
    names = ("labels", "thresholds", "provenance")
    values = session.run([signatures["describe"].outputs[name].name for name in names])
    return [label.decode() for label in values[0]], values[1], json.loads(values[2])


def test_it_is_small(version):
    """The whole version weighs at most 15 MB."""
    files = [path for path in (MODEL_DIR / str(version)).rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) <= MOST_BYTES


def test_its_readme_tells_its_figures(description):
    """The figures in its README are those it carries."""
    readme = (MODEL_DIR / "README.md").read_text()
    test = description[2]["metrics"]["test"]
    for name in ("binary_accuracy", "macro_f1", "exact_match", "macro_average_precision"):
        assert f"{test[name]:.3f}" in readme, name
    for label, figures in test["labels"].items():
        row = re.search(rf"^\| {label} \|.*$", readme, re.MULTILINE)
        assert f"{figures['f1']:.3f}" in row[0]


def test_it_beats_the_floor(description):
    """Fine-tuned, it is better than a frozen backbone with a logistic regression a label."""
    test = description[2]["metrics"]["test"]
    assert test["binary_accuracy"] > 0.907
    assert test["macro_f1"] > 0.72
    assert test["exact_match"] > 0.675


def test_its_scores_mean_what_they_say(description):
    """Its calibration error on photos that chose nothing is small."""
    assert description[2]["metrics"]["test"]["ece"] <= 0.05


def test_it_carries_its_model_card(version, session_and_signatures):
    """The card is in the graph, as it is in the file, and is of this version."""
    session, signatures = session_and_signatures
    card = session.run(signatures["describe"].outputs["model_card"].name).decode()
    assert card == (MODEL_DIR / str(version) / contract.MODEL_CARD_FILE).read_text()
    assert f"Version {version} of the model `scenery`." in card


def test_it_was_trained_on_the_shipped_photos(description, photo_rows):
    """The data it names is all of the table."""
    assert sum(description[2]["photos"].values()) == len(photo_rows)


def test_it_labels_the_shipped_photos(session_and_signatures, description, photo_rows):
    """Served, it is right about far more single decisions than always answering no (79.6 %)."""
    session, signatures = session_and_signatures
    labels, thresholds, _ = description
    signature = signatures["serving_default"]
    chosen = photo_rows[::7]
    scores = session.run(
        signature.outputs["scores"].name,
        {signature.inputs["image_bytes"].name: [(PHOTOS / row["name"]).read_bytes() for row in chosen]},
    )
    truth = np.array([[int(row[label]) for label in labels] for row in chosen])
    assert ((scores >= thresholds) == truth).mean() > 0.92


def test_it_refuses_bombs(session_and_signatures):
    """The pixel limit is in the shipped graph."""
    session, signatures = session_and_signatures
    signature = signatures["serving_default"]
    for bomb in bombs().values():
        with pytest.raises(tf.errors.InvalidArgumentError, match="refused: "):
            session.run(signature.outputs["scores"].name, {signature.inputs["image_bytes"].name: [bomb]})

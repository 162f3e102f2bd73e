"""A run folder, which may have come from elsewhere."""

from __future__ import annotations

import json
from pathlib import Path

import keras
import pytest

from export.export import export
from export.trained_run import read_run
from scenery.errors import ExportError

TOLD = {"labels": ["a"], "thresholds": [0.5], "size": [8, 8], "metrics": {}, "provenance": {}}


def write_run(folder: Path, model_path: object = "model.keras") -> Path:
    (folder / "golden").mkdir(parents=True)
    (folder / "golden" / "scores.json").write_text("{}")
    (folder / "run.json").write_text(json.dumps(TOLD | {"model_path": model_path}))
    return folder


@pytest.mark.parametrize("name", ["../model.keras", "/etc/passwd", "golden/scores.json", "..", "", 7])
def test_the_network_is_a_file_of_the_run(tmp_path, name):
    """``run.json`` cannot have a file read that is not beside it."""
    (tmp_path / "model.keras").touch()
    with pytest.raises(ExportError, match="cannot be read as a training run"):
        read_run(write_run(tmp_path / "run", name))


@pytest.mark.parametrize("name", ["model.keras", "model.h5"])
@pytest.mark.filterwarnings("ignore::UserWarning")  # Keras calls HDF5 old
def test_a_network_with_code_of_its_own_is_not_run(tmp_path, name):
    """Python in a network's file is refused, whichever of the two formats it is in, and no version appears."""
    run = write_run(tmp_path / "run", name)
    inputs = keras.Input((8, 8, 3))
    keras.Model(inputs, keras.layers.Lambda(lambda pixels: pixels)(inputs)).save(run / name)
    with pytest.raises(ExportError, match="cannot be read as a Keras network"):
        export(run, tmp_path / "scenery")
    assert not list((tmp_path / "scenery").glob("[0-9]*"))


def test_a_network_that_is_none_is_told(tmp_path):
    """A damaged file is one line, and no traceback."""
    run = write_run(tmp_path / "run")
    (run / "model.keras").write_bytes(b"no network")
    with pytest.raises(ExportError, match="cannot be read as a Keras network"):
        export(run, tmp_path / "scenery")

"""The server computes by oneDNN's operations."""

from __future__ import annotations

import pytest

from scenery.onednn import VARIABLE
from tests.processes import ROOT, model_server

SHIPPED = ("--model_name=scenery", f"--model_base_path={ROOT / 'models/scenery'}")


@pytest.mark.parametrize(("value", "on"), [(None, True), ("0", False)], ids=["by itself", "unless told otherwise"])
def test_the_server_computes_by_onednn(value, on, tmp_path, monkeypatch):
    """TensorFlow says so itself, in its log."""
    monkeypatch.setenv("TF_CPP_MIN_LOG_LEVEL", "0")
    monkeypatch.delenv(VARIABLE, raising=False)
    if value is not None:
        monkeypatch.setenv(VARIABLE, value)
    with model_server(tmp_path, *SHIPPED) as server:
        assert ("oneDNN custom operations are on" in server.log.read_text()) is on

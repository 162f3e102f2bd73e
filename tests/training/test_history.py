"""What is read of a training's history, and drawn."""

from __future__ import annotations

import pandas as pd
import pytest
from matplotlib.figure import Figure

from scenery.errors import DataError
from training.history import curves_in, draw, read_history

VALUES = [2.0, 1.5, 1.0]
HISTORY = pd.DataFrame({"loss": VALUES, "val_loss": VALUES, "binary_accuracy": VALUES, "val_binary_accuracy": VALUES})


@pytest.mark.parametrize(
    ("phases", "begins"),
    [(["head", "all", "all"], [1.5]), (["all"] * 3, []), (["head"] * 3, []), (None, [])],
)
def test_a_line_is_where_fine_tuning_begins(phases, begins):
    """It is drawn only if the head was trained first, and fine-tuning came."""
    figure = Figure()
    draw(figure, HISTORY if phases is None else HISTORY.assign(phase=phases))
    assert [axes.get_title() for axes in figure.axes] == ["loss", "binary accuracy"]
    for axes in figure.axes:
        assert [line.get_xdata()[0] for line in axes.lines if line.get_label() == "fine-tuning begins"] == begins


def test_only_what_both_parts_have_is_drawn():
    """A column without its counterpart of the validation part, or without an epoch, is no curve."""
    assert curves_in(HISTORY.drop(columns="val_loss")) == ["binary_accuracy"]
    assert curves_in(HISTORY.head(0)) == []


def test_a_damaged_history_is_named(tmp_path):
    """No history is no error; one that is no table says what to do."""
    assert read_history(tmp_path) is None
    (tmp_path / "history.csv").write_text("")
    with pytest.raises(DataError, match=r"history\.csv cannot be read.* Remove it"):
        read_history(tmp_path)

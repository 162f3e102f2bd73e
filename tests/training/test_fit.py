"""What a training that goes on begins with."""

from __future__ import annotations

import numpy as np
import pandas as pd

from training.fit import _History


def test_a_history_is_read_to_the_last_bit(tmp_path):
    """Whatever pandas makes of floats, the rows are those that were written, less what has no checkpoint."""
    losses = np.random.default_rng(1).random(200)
    rows = pd.DataFrame({"epoch": range(200), "phase": "all", "val_loss": losses, "val_average_precision": None})
    rows.to_csv(tmp_path / "history.csv", index=False)
    read = _History(tmp_path, 199).table()
    assert list(read["val_loss"]) == list(losses[:199])
    assert read.to_csv(index=False) == rows[:199].to_csv(index=False)

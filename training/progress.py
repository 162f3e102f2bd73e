"""How a training goes, for those who watch it by TensorBoard and those who look at a picture afterwards."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import tensorflow as tf

from training.history import draw

BOARD_FOLDER = "tensorboard"
CURVES_FILE = "curves.png"


class Board:
    """Writes every number of an epoch where ``tensorboard --logdir runs`` finds it."""

    def __init__(self, run_dir: Path) -> None:
        self._writer = tf.summary.create_file_writer(str(run_dir / BOARD_FOLDER))

    def add(self, epoch: int, row: dict[str, Any]) -> None:
        """Write a row of the history."""
        with self._writer.as_default(step=epoch + 1):
            for name, value in row.items():
                if isinstance(value, float):
                    tf.summary.scalar(name, value)
        self._writer.flush()

    def close(self) -> None:
        """Close the file."""
        self._writer.close()


def draw_curves(history: pd.DataFrame, run_dir: Path) -> None:
    """Draw loss and accuracy of every epoch into ``curves.png``."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 4), layout="constrained")
    draw(figure, history)
    figure.savefig(run_dir / CURVES_FILE)

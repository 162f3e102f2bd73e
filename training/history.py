"""The history of a training: a row an epoch in ``history.csv``, and its curves."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from scenery.errors import DataError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

HISTORY_FILE = "history.csv"

_CURVES = ("loss", "binary_accuracy")


def read_history(run_dir: Path) -> pd.DataFrame | None:
    """Read the history of a run; None if it keeps none.

    Raises
    ------
    DataError
        If it cannot be read.
    """
    path = run_dir / HISTORY_FILE
    try:
        history: pd.DataFrame = pd.read_csv(path)
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise DataError(f"{path} cannot be read: {error}. Remove it; the report then has no curves.") from error
    return history


def curves_in(history: pd.DataFrame) -> list[str]:
    """Return the columns that can be drawn: those that training and validation both have."""
    return [name for name in _CURVES if {name, f"val_{name}"} <= set(history) and not history.empty]


def draw(figure: Figure, history: pd.DataFrame) -> None:
    """Draw loss and accuracy of every epoch, in the two first colours of matplotlib's cycle."""
    names = curves_in(history)
    epochs = range(1, len(history) + 1)
    of_head = int((history["phase"] == "head").sum()) if "phase" in history else 0
    for axes, name in zip(figure.subplots(1, len(names), squeeze=False)[0], names, strict=True):
        axes.plot(epochs, history[name], label="training")
        axes.plot(epochs, history[f"val_{name}"], linestyle="--", label="validation")
        if 0 < of_head < len(history):
            axes.axvline(of_head + 0.5, color="grey", linestyle=":", label="fine-tuning begins")
        axes.set(xlabel="epoch", title=name.replace("_", " "))
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.grid(True)
        axes.legend()

"""The drawings of the report: small SVGs that follow the reader's light or dark colours."""

from __future__ import annotations

import base64
import io
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import matplotlib as mpl
import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.rcsetup import cycler
from matplotlib.ticker import MaxNLocator

from training import history, wilson
from training.calibration import Bin

Floats = npt.NDArray[np.float32]

INK, SOFT, LINE = "#1c2420", "#56605b", "#d9dad2"
MAIN, OTHER, FILL = "#17695b", "#a34c00", "#a9c9c0"
_DARK = {
    INK: "#ebf0ed", SOFT: "#a5b1ab", LINE: "#323c37",
    MAIN: "#7fd4bf", OTHER: "#ffb27a", FILL: "#2f5c51",
}  # fmt: skip
"""What each colour is where the reader's system is dark."""

_STYLE = {
    "svg.fonttype": "none",
    "svg.hashsalt": "scenery",
    "font.family": "sans-serif",
    "font.size": 9,
    "text.color": INK,
    "axes.edgecolor": SOFT,
    "axes.labelcolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.prop_cycle": cycler(color=[MAIN, OTHER]),
    "axes.titlesize": 10,
    "xtick.color": SOFT,
    "ytick.color": SOFT,
    "grid.color": LINE,
    "legend.frameon": False,
    "legend.labelcolor": INK,
}

_SCORE_BINS = 20

_MARGINS = {"left": 0.17, "right": 0.97, "bottom": 0.16, "top": 0.92}
"""Of the drawings of each label: there are many, and finding the margins takes as long as drawing."""


def precision_recall(target: Floats, score: Floats, precision: float, recall: float) -> str:
    """Draw a label's precision over its recall; the dot is where its threshold cuts."""
    from sklearn.metrics import precision_recall_curve

    with _drawing((3.2, 2.7), _MARGINS) as drawn:
        axes = _axes(drawn, "recall", "precision")
        if target.any():
            curve_precision, curve_recall, _ = precision_recall_curve(target, score)
            axes.step(curve_recall, curve_precision, where="post", color=MAIN, linewidth=1.8)
        axes.axhline(float(target.mean()), color=SOFT, linestyle=":", linewidth=1)
        axes.plot([recall], [precision], "o", color=OTHER, markersize=7, clip_on=False)
        _square(axes)
    return drawn.uri


def scores_by_truth(target: Floats, score: Floats, threshold: float, label: str) -> str:
    """Draw how a label's scores spread over the photos that have it, and over those that have not."""
    with _drawing((3.2, 2.7), _MARGINS | {"hspace": 0.45}) as drawn:
        rows: list[Axes] = list(drawn.figure.subplots(2, 1, sharex=True))
        for axes, has, name in zip(rows, (True, False), ("with", "without"), strict=True):
            chosen = score[target.astype(bool) == has]
            axes.hist(chosen, bins=_SCORE_BINS, range=(0, 1), color=FILL, edgecolor=MAIN, linewidth=0.6)
            axes.axvline(threshold, color=OTHER, linewidth=1.4)
            axes.set_title(f"{len(chosen)} photos {name} {_shortened(label)}", loc="left", parse_math=False)
            axes.yaxis.set_major_locator(MaxNLocator(3, integer=True))
        rows[-1].set_xlabel("score")
    return drawn.uri


def reliability(bins: list[Bin]) -> str:
    """Draw how often photos have a label over its scores, with 95 % intervals, and how many decisions there are."""
    with _drawing((4.4, 4.2)) as drawn:
        above, below = drawn.figure.subplots(2, 1, sharex=True, height_ratios=[3, 1])
        above.plot([0, 1], [0, 1], color=SOFT, linestyle=":", linewidth=1)
        for each in bins:
            bounds = wilson.interval(round(each.share * each.count), each.count)
            above.plot([each.score] * 2, bounds, color=MAIN, linewidth=1.2)
        above.plot([each.score for each in bins], [each.share for each in bins], "o", color=MAIN, markersize=6)
        above.set(ylabel="share that has the label", ylim=(-0.03, 1.03), xlim=(0, 1))
        above.grid(True)
        places = [(each.low + each.high) / 2 for each in bins]
        width = bins[0].high - bins[0].low
        bars = below.bar(places, [each.count for each in bins], width, color=FILL, edgecolor=MAIN, linewidth=0.6)
        below.bar_label(bars, fontsize=7, color=INK)
        below.set(xlabel="score", ylabel="decisions")
        below.margins(y=0.3)
    return drawn.uri


def training_curves(table: pd.DataFrame) -> str | None:
    """Draw loss and accuracy over the epochs; None if the history has no such columns."""
    if not history.curves_in(table):
        return None
    with _drawing((7.2, 2.8)) as drawn:
        history.draw(drawn.figure, table)
    return drawn.uri


def confusion(shares: npt.NDArray[np.float64], rows: list[str], columns: list[str]) -> str:
    """Draw a table of shares: of the photos that have a row's label, how many got a column's."""
    size = 1.4 + 0.55 * len(columns), 1.1 + 0.42 * len(rows)
    with _drawing(size) as drawn:
        axes = drawn.figure.subplots()
        for (row, column), share in np.ndenumerate(shares):
            axes.add_patch(_cell(column, row, share))
            axes.text(column, row, "none" if np.isnan(share) else f"{share:.0%}", ha="center", va="center", fontsize=8)
        short = [_shortened(name) for name in columns]
        axes.set_xticks(range(len(columns)), short, rotation=35, ha="right", parse_math=False)
        axes.set_yticks(range(len(rows)), [_shortened(name) for name in rows], parse_math=False)
        axes.set(xlim=(-0.5, len(columns) - 0.5), ylim=(len(rows) - 0.5, -0.5), xlabel="got", ylabel="has")
        axes.tick_params(length=0)
        axes.spines[:].set_visible(False)
    return drawn.uri


def _cell(column: int, row: int, share: float) -> Any:
    from matplotlib.patches import Rectangle

    alpha = 0.0 if np.isnan(share) else float(share)
    return Rectangle((column - 0.5, row - 0.5), 1, 1, facecolor=(FILL, alpha), edgecolor=LINE, linewidth=0.8)


class _Drawing:
    """A figure, and the data URI that it became."""

    def __init__(self, figure: Figure) -> None:
        self.figure = figure
        self.uri = ""


@contextmanager
def _drawing(inches: tuple[float, float], margins: dict[str, float] | None = None) -> Iterator[_Drawing]:
    """Give a figure to draw on; afterwards it has its data URI."""
    with mpl.rc_context(_STYLE), warnings.catch_warnings():
        # Texts stay texts, which the reader's browser has the letters for.
        warnings.filterwarnings("ignore", "Glyph .* missing from font", UserWarning)
        drawn = _Drawing(Figure(figsize=inches, layout=None if margins else "constrained"))
        if margins:
            drawn.figure.subplots_adjust(**margins)
        yield drawn
        text = io.StringIO()
        drawn.figure.savefig(text, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    svg = _with_schemes(text.getvalue())
    drawn.uri = "data:image/svg+xml;base64," + base64.b64encode(svg.encode()).decode()


def _with_schemes(svg: str) -> str:
    """Let the colours follow the reader's light or dark scheme."""
    for place, colour in enumerate(_DARK):
        svg = svg.replace(colour, f"var(--c{place})")
    light = "".join(f"--c{place}:{colour};" for place, colour in enumerate(_DARK))
    dark = "".join(f"--c{place}:{colour};" for place, colour in enumerate(_DARK.values()))
    style = f"<style>svg{{{light}}}@media(prefers-color-scheme:dark){{svg{{{dark}}}}}</style>"
    return re.sub(r"(<svg[^>]*>)", lambda match: match[1] + style, svg, count=1)


def _axes(drawn: _Drawing, across: str, up: str) -> Axes:
    axes: Axes = drawn.figure.subplots()
    axes.set(xlabel=across, ylabel=up)
    axes.grid(True)
    return axes


def _square(axes: Axes) -> None:
    axes.set(xlim=(0, 1.02), ylim=(0, 1.03))


def _shortened(label: str, most: int = 18) -> str:
    return label if len(label) <= most else label[: most - 1] + "…"

"""Photos a second by contender and photo, as a picture."""

from __future__ import annotations

import statistics
from pathlib import Path
from typing import Any

import matplotlib

from benchmarks.rounds import EIGHT, RATE, named

COLOURS = ("#1f77b4", "#ff7f0e", "#2ca02c")
INCHES = (8.0, 4.2)


def draw(results: dict[str, Any], target: Path) -> None:
    """Write an SVG: for each contender a bar a photo. The same results give the same file."""
    matplotlib.use("svg")
    from matplotlib import pyplot

    with pyplot.rc_context({"svg.hashsalt": target.name, "svg.fonttype": "none", "font.family": "sans-serif"}):
        figure, axes = pyplot.subplots(figsize=INCHES, layout="constrained")
        names, photos = list(reversed(results["contenders"])), list(results["photos"])
        height = 0.8 / len(photos)
        for place, photo in enumerate(photos):
            rates = [_rate(results["rounds"], name, photo) for name in names]
            at = [row + 0.4 - (place + 0.5) * height for row in range(len(names))]
            bars = axes.barh(at, rates, height, label=photo, color=COLOURS[place])
            axes.bar_label(bars, [f"{rate:.0f}" if rate else "" for rate in rates], padding=3, fontsize=8)
        axes.set_yticks(range(len(names)), names)
        axes.set_xlabel(f"photos a second, {EIGHT}")
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(loc="center right")
        figure.savefig(target, metadata={"Date": None})
        pyplot.close(figure)


def _rate(rounds: list[dict[str, float]], name: str, photo: str) -> float:
    rates = [each[key] for each in rounds if (key := named(name, photo, EIGHT, RATE)) in each]
    return statistics.median(rates) if rates else 0.0

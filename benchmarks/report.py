"""The results as tables: of rounds, the median; in brackets the lowest and the highest."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from typing import Any

from benchmarks.contenders import TUTORIAL
from benchmarks.photos import SMALL
from benchmarks.rounds import (
    CPU,
    EIGHT,
    MEDIAN,
    MEMORY,
    ONE,
    RATE,
    SHARES,
    SHED,
    TAIL,
    Round,
    named,
    share_name,
)
from benchmarks.targets import TARGETS, Target, outcome


def tables(results: dict[str, Any]) -> dict[str, str]:
    """Return every table, Markdown, by the name of its place in ``docs/performance.md``."""
    rounds, names = results["rounds"], results["contenders"]
    return {
        "machine": _machine(results),
        "targets": _targets(rounds),
        "photos": _photos(rounds, names, list(results["photos"])),
        "shares": _shares(rounds, names),
    }


def _machine(results: dict[str, Any]) -> str:
    photos = [(f"photo, {name}", about) for name, about in results["photos"].items()]
    seconds = ", ".join(f"{name} {each:g}" for name, each in results["seconds"].items())
    rounds = [("rounds", str(len(results["rounds"]))), ("seconds of a load", seconds)]
    return _table(["", ""], [("measured", results["measured"]), *results["machine"].items(), *rounds, *photos])


def _targets(rounds: Sequence[Round]) -> str:
    rows = [_target_row(target, rounds) for target in TARGETS]
    return _table(["", "target", "measured", "met"], [row for row in rows if row])


def _target_row(target: Target, rounds: Sequence[Round]) -> tuple[str, ...] | None:
    judged = outcome(target, rounds)
    if judged is None:
        return None
    sign, none = ("≥" if target.at_least else "≤"), ", none failed" if target.none_of else ""
    lost = f", {judged.lost} failed or shed" if target.none_of else ""
    return (
        target.what,
        f"{sign} {target.bound:g}{none}",
        f"{_spread(judged.ratios)}{lost}",
        "yes" if judged.met else "no",
    )


def _photos(rounds: Sequence[Round], names: Sequence[str], photos: Sequence[str]) -> str:
    """One row for each contender and photo."""
    columns = ((ONE, MEDIAN), (ONE, TAIL), (EIGHT, RATE), (EIGHT, CPU), (EIGHT, MEMORY))
    rows = []
    for photo in photos:
        for name in names:
            cells = [_told(rounds, named(name, photo, *column)) for column in columns]
            if any(cells):
                rows.append((photo, name, *cells, _times(rounds, name, photo)))
    head = ["photo", "", "p50 (ms), 1 client", "p99 (ms)", "photos/s, 8 clients", CPU, MEMORY, f"over the {TUTORIAL}"]
    return _table(head, rows)


def _times(rounds: Sequence[Round], name: str, photo: str) -> str:
    """Tell the throughput as a multiple of the tutorial's, round by round."""
    figure, over = named(name, photo, EIGHT, RATE), named(TUTORIAL, photo, EIGHT, RATE)
    ratios = [each[figure] / each[over] for each in rounds if figure in each and over in each]
    return _spread(ratios) if ratios else ""


def _shares(rounds: Sequence[Round], names: Sequence[str]) -> str:
    rows = []
    for share in map(share_name, SHARES):
        for name in names:
            cells = [_told(rounds, named(name, SMALL, share, column)) for column in (MEDIAN, TAIL, SHED)]
            if any(cells):
                rows.append((share, name, *cells))
    return _table(["load", "", MEDIAN, TAIL, SHED], rows)


def _told(rounds: Sequence[Round], name: str) -> str:
    values = [each[name] for each in rounds if name in each]
    return _number(statistics.median(values)) if values else ""


def _spread(values: Sequence[float]) -> str:
    lowest, highest = _number(min(values)), _number(max(values))
    median = _number(statistics.median(values))
    return f"**{median}**" if lowest == highest else f"**{median}** ({lowest} to {highest})"


def _number(value: float) -> str:
    """Write a figure with three digits, or all those before the point."""
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(cells)} |".replace("  ", " ") for cells in lines)

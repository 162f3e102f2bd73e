"""What came of a run, for people and for programs."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict
from itertools import islice
from pathlib import Path

from training.collect.collection import LEDGER, Tally
from training.table import IMAGES, TABLE

_SHOWN_FAILURES = 5


def as_text(out: Path, tally: Tally) -> str:
    """Return counts, the first failures, and what comes next."""
    counts = {
        "new photos": tally.new,
        "had before": tally.before,
        "duplicates": len(tally.duplicates),
        "failed": len(tally.failed),
    }
    lines = [f"{name:12}{count:>7,}" for name, count in counts.items()]
    lines += [f"  {each}" for each in islice(failures(tally), _SHOWN_FAILURES)]
    if tally.failed:
        lines.append(f"  {out / LEDGER} has every failure. Run the same command again to try once more.")
    if tally.listed:
        lines += ["", f"{out / TABLE} lists {tally.listed:,} photos. Next: scenery annotate {out / IMAGES}"]
    return "\n".join(lines)


def failures(tally: Tally) -> Iterator[str]:
    """Yield a line for each photo that could not be had, without what would move a terminal's cursor."""
    for address, failure in tally.failed.items():
        times = f" (tried {failure.attempts} times)" if failure.attempts > 1 else ""
        yield "".join(each if each.isprintable() else "?" for each in f"{address}: {failure.reason}{times}")


def as_json(out: Path, tally: Tally) -> str:
    """Return an object: ``table``, ``listed``, ``new``, ``before``, and each of ``duplicates`` and ``failed``."""
    told = {
        "table": str(out / TABLE),
        "listed": tally.listed,
        "new": tally.new,
        "before": tally.before,
        "duplicates": [{"address": address, "of": name} for address, name in tally.duplicates.items()],
        "failed": [{"address": address, **asdict(failure)} for address, failure in tally.failed.items()],
    }
    return json.dumps(told)

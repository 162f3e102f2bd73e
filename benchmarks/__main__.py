"""Scenery beside its peers, and beside what the engine can do at most: ``make bench``.

Starts every contender (docs/performance.md says what each is), lets them take turns for some rounds, and prints which
targets are met: every figure there is a ratio taken within a round, its median of the rounds, and in brackets the
lowest and the highest. A whole run takes about ten minutes on two cores, keeps its figures in
benchmarks/results/latest.json and writes docs/performance.md from them; with --quick or --only nothing is kept unless
--results says where. Nothing else should compute meanwhile.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from benchmarks import chart, machine, photos, report
from benchmarks.clients import PHOTO
from benchmarks.contenders import Field, Service, running_field
from benchmarks.program import python
from benchmarks.rounds import CLIENTS, PARTS, Round, Seconds, Step, steps
from scenery.errors import SceneryError, StackError
from scenery.onednn import VARIABLE
from scenery.signals import interrupt_on_termination
from scripts.marked_tables import write_or_check

RESULTS = Path("benchmarks/results/latest.json")
DOCUMENT = Path("docs/performance.md")
CHART = Path("docs/performance.svg")
ROUNDS = 5
QUICK = Seconds(closed=1.0, shares=1.5, swaps=5.0, flood=2.0)
WARM_UP_SECONDS = 1.0
ALIKE = 0.1
"""By how much a contender's scores may differ from the Keras network's: each decodes in its own way."""
DIGITS = 3
"""Behind the point, of what is kept."""
INTERRUPTED = 130


def main() -> int:
    """Measure, print, keep; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="One short round: does everything work? Two minutes.")
    parser.add_argument("--rounds", type=_count, help=f"How many. [default: {ROUNDS}, with --quick 1]")
    parser.add_argument("--only", choices=PARTS, action="append", help="Measure this alone; may be repeated.")
    parser.add_argument("--run", type=Path, help="The training run that models/scenery/1 was exported from.")
    parser.add_argument("--results", type=Path, help="Where the figures are kept, as JSON.")
    parser.add_argument("--report", action="store_true", help=f"Measure nothing: write {DOCUMENT} from {RESULTS}.")
    parser.add_argument("--json", action="store_true", help="Print every figure of every round as JSON.")
    arguments = parser.parse_args()
    if arguments.report and len(sys.argv) > 2:
        parser.error("--report measures nothing, and goes with no other option")
    if arguments.run and not (arguments.run / "model.keras").is_file():
        parser.error(f"--run {arguments.run}: no model.keras is in it; name the folder of a finished training")
    if arguments.results and not arguments.results.parent.is_dir():
        parser.error(f"--results {arguments.results}: there is no such folder")
    try:
        return run(arguments)
    except SceneryError as error:
        print(f"\n{error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nInterrupted; everything that was started is stopped.", file=sys.stderr)
        return INTERRUPTED


def run(arguments: argparse.Namespace) -> int:
    """Do what was asked for; returns the exit status."""
    if arguments.report:
        return write_document(_kept())
    interrupt_on_termination()
    _start_clean()
    whole = not (arguments.quick or arguments.only)
    results = measure(arguments)
    kept = arguments.results or (RESULTS if whole else None)
    if kept:
        kept.write_text(json.dumps(results, indent=1, ensure_ascii=False) + "\n")
    if kept == RESULTS:
        write_document(results)
    print(json.dumps(results) if arguments.json else "\n\n".join(report.tables(results).values()))
    return 0


def write_document(results: dict[str, Any]) -> int:
    """Write tables and picture; returns the exit status."""
    chart.draw(results, CHART)
    status: int = write_or_check(DOCUMENT, report.tables(results))
    return status


def measure(arguments: argparse.Namespace) -> dict[str, Any]:
    """Run the rounds; returns every figure, and what they depend on."""
    seconds = QUICK if arguments.quick else Seconds()
    results: dict[str, Any] = {"measured": time.strftime("%Y-%m-%d", time.gmtime()), "machine": machine.describe()}
    say(f"others at work: {results['machine']['others at work']}; it should be next to nothing\n")
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        say("writing what the contenders serve")
        prepare(work, arguments.run)
        made = photos.make_photos(work)
        say("starting the contenders")
        with running_field(work, made) as field:
            warm_up(field)
            count = arguments.rounds or (1 if arguments.quick else ROUNDS)
            plan = [chosen(steps(field, seconds, number), arguments.only) for number in range(count)]
            results |= {
                "photos": {name: photos.describe(photo) for name, photo in made.items()},
                "contenders": list(field.contenders),
                "seconds": dataclasses.asdict(seconds),
                "rounds": play(plan),
            }
    return results


def prepare(work: Path, run: Path | None) -> None:
    """Write what the peers serve, in a process of its own: it needs a gigabyte for a moment."""
    command = python("benchmarks.peers.prepare", work, *(["--run", run] if run else []))
    done = subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        raise StackError(f"What the contenders serve cannot be written. {done.stderr[-2000:]}")


def warm_up(field: Field) -> None:
    """Load each contender with each photo, and hold its scores to the Keras network's: all have the same weights."""
    for contender in field.contenders.values():
        say(f"warming up: {contender.name}")
        for photo in field.photos.values():
            contender.load(photo, CLIENTS, WARM_UP_SECONDS)
        if isinstance(contender, Service):
            require_alike(contender, field)


def require_alike(service: Service, field: Field) -> None:
    """Raise :class:`StackError` if its scores of a photo are another network's."""
    name, expected = next(iter(field.reference["scores"].items()))
    scores = service.scores(PHOTO.with_name(name))
    far = {
        label: scores[label]
        for label, score in zip(field.reference["labels"], expected, strict=True)
        if abs(scores[label] - score) > ALIKE
    }
    if far:
        raise service.fail(f"scores {name} as no decoding explains: {far}; the Keras network {expected}.")


def chosen(every: Iterable[Step], parts: list[str] | None) -> list[Step]:
    """Return the steps of these parts; all, if none are named."""
    return [step for step in every if not parts or step.part in parts]


def play(plan: list[list[Step]]) -> list[Round]:
    """Take step after step; returns the figures of each round."""
    left = sum(step.seconds for each in plan for step in each)
    rounds = []
    for number, each in enumerate(plan, 1):
        figures: Round = {}
        for step in each:
            say(f"round {number} of {len(plan)}, {step.what}", left)
            figures |= step.measure(figures)
            left -= step.seconds
        rounds.append({name: round(value, DIGITS) for name, value in figures.items()})
    return rounds


def say(what: str, seconds_left: float | None = None) -> None:
    """Tell what is done now, and for how long it goes on; on a terminal over what was told before."""
    left = "" if seconds_left is None else f" (about {seconds_left / 60:.0f} min left)"
    ends = "" if sys.stderr.isatty() else "\n"
    print(f"\r\033[K{what}{left}" if not ends else f"{what}{left}", end=ends, file=sys.stderr, flush=True)


def _count(text: str) -> int:
    if (count := int(text)) < 1:
        raise argparse.ArgumentTypeError("at least one is needed")
    return count


def _kept() -> dict[str, Any]:
    try:
        results: dict[str, Any] = json.loads(RESULTS.read_text())
    except (OSError, ValueError) as error:
        raise StackError(f"{RESULTS} cannot be read: {error}. make bench writes it.") from error
    if not results.get("rounds"):
        raise StackError(f"{RESULTS} holds no figures. make bench writes it.")
    return results


def _start_clean() -> None:
    """Leave out of the environment what would change a contender; every one of them runs by its defaults."""
    for name in [name for name in os.environ if name.startswith("SCENERY_") or name == VARIABLE]:
        del os.environ[name]
    os.environ["NO_PROXY"] = "127.0.0.1"  # requests, in the naive front, would ask by way of a web proxy


if __name__ == "__main__":
    sys.exit(main())

"""What a round measures: steps, each one contender under one load, so that contenders take turns within the round."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

from benchmarks.clients import p99, rate
from benchmarks.contenders import FORM, SCENERY, Contender, Field, Service
from benchmarks.load import over_bare_socket
from benchmarks.photos import LARGE, SMALL
from benchmarks.swap import while_dropping

Round = dict[str, float]
"""Figures by name, see :func:`named`."""

CLIENTS = 8
ONE = "1 client"
EIGHT = f"{CLIENTS} clients"
SHARES = (0.3, 0.7)
"""Of a contender's peak, begun at random moments."""
SWAP_SHARE = 0.7
OVERLOAD = 3.0

MEDIAN, TAIL, RATE, CPU, MEMORY = "p50 (ms)", "p99 (ms)", "photos/s", "CPU a photo (ms)", "memory (MB)"
SHED = "shed (%)"
PARTS = ("photos", "shares", "swaps", "overload", "decisions")
FIRST = "first after a swap (ms)"
STEADY, SWAPPING, FLOODED = "steady", "swapping", "overloaded"
LOST = "failed or shed"
DECISIONS, IDENTICAL = "label decisions", "identical label decisions"


@dataclass(frozen=True)
class Seconds:
    """How long each step loads its contender."""

    closed: float = 2.0
    """Clients that wait for their answers."""
    shares: float = 3.0
    swaps: float = 8.0
    flood: float = 5.0


@dataclass(frozen=True)
class Step:
    """A measurement."""

    part: str
    what: str
    seconds: float
    """About how long it takes."""
    measure: Callable[[Round], Round]
    """Takes the round's figures so far, returns more."""


def named(contender: str, *parts: str) -> str:
    """Return the name of a figure."""
    return " | ".join((contender, *parts))


def share_name(share: float) -> str:
    """Return the name of an open load."""
    return f"{share:.0%} of the peak"


def steps(field: Field, seconds: Seconds, number: int) -> Iterator[Step]:
    """Return the steps of a round; every other round, contenders take their turns in the other order."""
    turns = list(field.contenders.values())[:: -1 if number % 2 else 1]
    yield from _photos(field, turns, seconds)
    yield from _shares(field, turns, seconds)
    yield from _swaps(field, seconds)
    yield from _overload(field, seconds)
    if number == 0:
        yield Step("decisions", "the evaluation set", 5.0, partial(decisions, field))


def _photos(field: Field, turns: list[Contender], seconds: Seconds) -> Iterator[Step]:
    """Every photo, with one client and with eight."""
    for photo in field.photos:
        for clients, measure in ((ONE, one_client), (EIGHT, eight_clients)):
            for contender in turns:
                if takes(contender, photo):
                    call = partial(measure, field, contender, photo, seconds.closed)
                    yield Step("photos", f"{photo}, {clients}: {contender.name}", seconds.closed, call)


def takes(contender: Contender, photo: str) -> bool:
    """Return whether a contender is measured with a photo: the engine's are decoded, a form is told at both ends."""
    if contender.name == FORM:
        return photo in (SMALL, LARGE)
    return isinstance(contender, Service) or photo == SMALL


def one_client(field: Field, contender: Contender, photo: str, seconds: float, _: Round) -> Round:
    """Send one photo after the other; returns latencies."""
    result = contender.load(field.photos[photo], 1, seconds)
    return latencies(result, contender.name, photo, ONE)


def eight_clients(field: Field, contender: Contender, photo: str, seconds: float, _: Round) -> Round:
    """Keep eight photos in flight; returns the peak, and what it costs."""
    before = contender.cpu_seconds()
    result = contender.load(field.photos[photo], CLIENTS, seconds)
    cost = 1e3 * (contender.cpu_seconds() - before) / len(result["milliseconds"])
    return latencies(result, contender.name, photo, EIGHT) | {
        named(contender.name, photo, EIGHT, RATE): rate(result),
        named(contender.name, photo, EIGHT, CPU): cost,
        named(contender.name, photo, EIGHT, MEMORY): contender.memory_mb(),
    }


def latencies(result: dict[str, Any], *parts: str) -> Round:
    """Return median and 99th percentile, from the moment that each photo was due."""
    milliseconds = result["milliseconds"]
    return {named(*parts, MEDIAN): statistics.median(milliseconds), named(*parts, TAIL): p99(milliseconds)}


def _shares(field: Field, turns: list[Contender], seconds: Seconds) -> Iterator[Step]:
    for share in SHARES:
        for contender in turns:
            if isinstance(contender, Service) and contender.name != FORM:
                measure = partial(at_share, field, contender, share, seconds)
                yield Step("shares", f"{share_name(share)}: {contender.name}", seconds.shares, measure)


def at_share(field: Field, contender: Service, share: float, seconds: Seconds, so_far: Round) -> Round:
    """Begin photos at random moments, whether or not others were answered; returns latencies, and what was shed."""
    figures = _with_peak(field, contender, seconds, so_far)
    per_second = share * figures[named(contender.name, SMALL, EIGHT, RATE)]
    result = contender.call(field.photos[SMALL], "--per-second", per_second, "--seconds", seconds.shares)
    shed = 100 * len(result["shed_milliseconds"]) / len(result["late_milliseconds"])
    name = share_name(share)
    return figures | latencies(result, contender.name, SMALL, name) | {named(contender.name, SMALL, name, SHED): shed}


def _with_peak(field: Field, contender: Contender, seconds: Seconds, so_far: Round) -> Round:
    """Return figures with the contender's peak in this round, measured if it is not there yet."""
    if named(contender.name, SMALL, EIGHT, RATE) in so_far:
        return so_far
    return so_far | eight_clients(field, contender, SMALL, seconds.closed, so_far)


def _swaps(field: Field, seconds: Seconds) -> Iterator[Step]:
    closed = seconds.closed + 3.0  # to load a version
    yield Step("swaps", "the first photo after a swap", closed, partial(first_after_swap, field, seconds))
    under = f"swaps at {share_name(SWAP_SHARE)}"
    yield Step("swaps", under, 2 * seconds.swaps, partial(under_swaps, field, seconds))


def first_after_swap(field: Field, seconds: Seconds, _: Round) -> Round:
    """Send one photo after the other, then drop a version in, and send one more."""
    scenery = field.service(SCENERY)
    steady = scenery.load(field.photos[SMALL], 1, seconds.closed)
    field.stack.drop(next(field.versions))
    send = over_bare_socket(scenery.address, field.photos[SMALL].read_bytes())
    begun = time.perf_counter()
    send()
    first = (time.perf_counter() - begun) * 1e3
    return latencies(steady, SCENERY, SMALL, STEADY) | {named(SCENERY, SMALL, FIRST): first}


def under_swaps(field: Field, seconds: Seconds, so_far: Round) -> Round:
    """Begin photos at a share of the peak, first with one version, then with one version after the other."""
    scenery, photo = field.service(SCENERY), field.photos[SMALL]
    figures = _with_peak(field, scenery, seconds, so_far)
    flags = ("--per-second", SWAP_SHARE * figures[named(SCENERY, SMALL, EIGHT, RATE)], "--seconds", seconds.swaps)
    steady = scenery.call(photo, *flags)
    busy = while_dropping(scenery.start(photo, *flags), field.stack.drop, field.versions)
    shed, share = len(busy["shed_milliseconds"]), share_name(SWAP_SHARE)
    return (
        figures
        | latencies(steady, SCENERY, SMALL, share, STEADY)
        | latencies(busy, SCENERY, SMALL, share, SWAPPING)
        | {named(SCENERY, SMALL, share, SWAPPING, LOST): busy["failed"] + shed}
        | {named(SCENERY, SMALL, share, SWAPPING, SHED): 100 * shed / len(busy["late_milliseconds"])}
    )


def _overload(field: Field, seconds: Seconds) -> Iterator[Step]:
    what = f"{OVERLOAD:g} times the peak: {SCENERY}"
    yield Step("overload", what, 2 * seconds.flood, partial(overload, field, seconds))


def overload(field: Field, seconds: Seconds, _: Round) -> Round:
    """Find the peak, then begin three times as many photos; returns how many are answered."""
    scenery, photo = field.service(SCENERY), field.photos[SMALL]
    peak = rate(scenery.load(photo, CLIENTS, seconds.flood))
    flood = scenery.call(photo, "--per-second", OVERLOAD * peak, "--seconds", seconds.flood)
    return {
        named(SCENERY, SMALL, STEADY, RATE): peak,
        named(SCENERY, SMALL, FLOODED, RATE): flood["in_time"] / flood["seconds"],
    } | latencies(flood, SCENERY, SMALL, FLOODED)


def decisions(field: Field, _: Round) -> Round:
    """Compare every label decision about the evaluation set with the Keras network's."""
    scenery, identical = field.service(SCENERY), 0
    labels, thresholds = field.reference["labels"], field.reference["thresholds"]
    for name, scores in field.reference["scores"].items():
        given = set(scenery.answer(field.photos[SMALL].with_name(name))["labels"])
        expected = [score >= threshold for score, threshold in zip(scores, thresholds, strict=True)]
        identical += sum((label in given) == each for label, each in zip(labels, expected, strict=True))
    return {
        named(SCENERY, DECISIONS): len(labels) * len(field.reference["scores"]),
        named(SCENERY, IDENTICAL): identical,
    }

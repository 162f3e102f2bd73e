"""Everything that a version must pass before it gets a number."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import datetime, timezone
from functools import cached_property
from pathlib import Path
from typing import Any

from export.gate.answers import TOLERANCE, check_describe, check_golden, check_warmup, read_golden
from export.gate.evaluation import Evaluation, read_evaluation
from export.gate.latency import RATIO, check_latency
from export.gate.operations import operations_of, read_saved_model, refused_operations
from export.gate.precision import MARGIN as PRECISION_MARGIN
from export.gate.precision import check_precision
from export.gate.quality import MARGIN, Serving, check_quality
from export.gate.verdict import CHECKS, Finding, Verdict, judge, not_run
from scenery import contract
from scenery.errors import ExportError, VersionError
from scenery.lite import FILE_NAME as LITE_FILE
from scenery.lite import has_lite
from scenery.loaded import LoadedVersion
from scenery.manifest import verify_manifest

_PARTS = ("saved_model.pb", "fingerprint.pb", "keras_metadata.pb", "variables", "assets", "assets.extra", LITE_FILE)
"""What a version's folder may hold; some runtimes would load other things from it, compiled code among them."""
_TOLD = 3
_LATENCY_PHOTOS = 20


@dataclass(frozen=True)
class Gate:
    """What a version is held against."""

    evaluation: Path
    """A CSV; see :func:`export.gate.evaluation.read_evaluation`."""
    photos: Path | None = None
    quality_margin: float = MARGIN
    precision_margin: float = PRECISION_MARGIN
    latency_ratio: float = RATIO
    forced: frozenset[str] = frozenset()
    """Checks whose refusal is overruled."""
    tell: Callable[[Verdict], None] = field(default=lambda _: None)
    """Called with each verdict as soon as it is known."""

    def judge(self, folder: Path, serving: Iterable[tuple[int, Path]]) -> list[Verdict]:
        """Make every check, in the order of :data:`export.gate.verdict.CHECKS`.

        Nothing of the version runs before its operations are known to be harmless.

        Parameters
        ----------
        folder
            The version, complete.
        serving
            Versions to compare with, the likeliest first: the first that can be loaded is taken.
        """
        verdicts: list[Verdict] = []

        def add(verdict: Verdict) -> bool:
            verdicts.append(verdict)
            self.tell(verdict)
            return verdict.stops

        def check(name: str, look: Callable[[], Finding]) -> bool:
            verdict = judge(name, name in self.forced, look)
            # The folder has a name of the moment; what is in it has the names that people know.
            return add(
                dataclasses.replace(verdict, detail=verdict.detail.replace(f"{folder}/", "").replace(f"{folder}", "it"))
            )

        def skip_rest(why: str) -> list[Verdict]:
            for name in CHECKS[len(verdicts) :]:
                add(not_run(name, name in self.forced, why))
            return verdicts

        if check("operations", lambda: check_operations(folder)):
            return skip_rest("it is not safe to run")
        check("manifest", lambda: check_manifest(folder))
        with ExitStack() as stack:
            try:
                candidate = stack.enter_context(LoadedVersion(folder))
            except VersionError as error:
                unloadable = Finding(False, str(error))
                check("golden", lambda: unloadable)
                return skip_rest("it cannot be loaded")
            baseline = _load_serving(serving, stack)
            check("golden", lambda: check_golden(candidate))
            check("describe", lambda: check_describe(candidate))
            check("warmup", lambda: check_warmup(candidate))
            check("precision", lambda: self.check_precision(candidate))
            check("quality", lambda: self._check_quality(candidate, baseline()))
            check("latency", lambda: self._check_latency(candidate, baseline()))
        return verdicts

    @cached_property
    def evaluation_set(self) -> Evaluation:
        """The photos to judge by, read once; raises :class:`ExportError` if they cannot be read."""
        return read_evaluation(self.evaluation, self.photos)

    def check_precision(self, candidate: LoadedVersion) -> Finding:
        """Compare a version's ``model.tflite``, if it has one, with its SavedModel; raises as the check does."""
        if not has_lite(candidate.folder):
            return Finding(True, f"it has no {LITE_FILE}")
        return check_precision(candidate, self.evaluation_set, self.precision_margin, self.quality_margin)

    def _check_quality(self, candidate: LoadedVersion, baseline: Serving | None) -> Finding:
        return check_quality(candidate, baseline, self.evaluation_set, self.quality_margin)

    def _check_latency(self, candidate: LoadedVersion, baseline: Serving | None) -> Finding:
        return check_latency(candidate, baseline, self._latency_photos(candidate.folder), self.latency_ratio)

    def _latency_photos(self, folder: Path) -> list[bytes]:
        """Return the golden photos, or else some of the evaluation set's."""
        try:
            photos = list(read_golden(folder))
        except ExportError:
            photos = self.evaluation_set.photos
        return [photo.read_bytes() for photo in photos[:_LATENCY_PHOTOS]]


def check_operations(folder: Path) -> Finding:
    """Require that every operation of the graph, in nested functions too, is on the list of harmless ones."""
    saved_model = read_saved_model(folder)
    stray = sorted(path.name for path in folder.iterdir() if path.name not in _PARTS)
    refused = [*map(str, refused_operations(saved_model)), *(f"{name!r} is no part of a SavedModel." for name in stray)]
    figures = {"operations": operations_of(saved_model), "refused": refused}
    if not refused:
        return Finding(True, f"{figures['operations']} operations, all on the list", figures)
    more = [f"And {len(refused) - _TOLD} more."] if len(refused) > _TOLD else []
    return Finding(False, " ".join([*refused[:_TOLD], *more]), figures)


def check_manifest(folder: Path) -> Finding:
    """Require that the files are those that were written, if the version says which these are."""
    files = verify_manifest(folder)
    if files is None:
        return Finding(True, "none came with it; one is written now", {})
    return Finding(True, f"{files} files are as they were written", {"files": files})


def write_report(folder: Path, told: Mapping[str, Any]) -> None:
    """Write ``assets.extra/gate.json`` into a version."""
    path = folder / contract.GATE_FILE
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(told, indent=1) + "\n")


def report(gate: Gate, source: str, verdicts: list[Verdict]) -> Mapping[str, Any]:
    """Return what ``assets.extra/gate.json`` holds."""
    return {
        "source": source,
        "checked_at": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "passed": not any(each.stops for each in verdicts),
        "forced": sorted(each.check for each in verdicts if each.verdict == "forced"),
        "limits": {
            "golden_tolerance": TOLERANCE,
            "quality_margin": gate.quality_margin,
            "precision_margin": gate.precision_margin,
            "latency_ratio": gate.latency_ratio,
        },
        "checks": [vars(each) for each in verdicts],
    }


def _load_serving(serving: Iterable[tuple[int, Path]], stack: ExitStack) -> Callable[[], Serving | None]:
    """Load the first version that can be; returns how to have it, None if there is none to load.

    What is returned raises :class:`ExportError` if there are versions, and none can be loaded.
    """
    failed: list[str] = []
    for number, folder in serving:
        try:
            loaded = Serving(number, stack.enter_context(LoadedVersion(folder)))
        except VersionError as error:
            failed.append(f"Version {number} is what it should be compared with. {error}")
            continue
        return lambda: loaded

    def nothing() -> None:
        if failed:
            raise ExportError(failed[0])

    return nothing

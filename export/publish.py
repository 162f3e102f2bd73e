"""A run or a SavedModel becomes the next version, if it passes the gate."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from export.export import Lite, write_version
from export.gate.gate import Gate, report, write_report
from export.gate.verdict import Verdict
from export.trained_run import read_run
from scenery import contract, versions
from scenery.errors import ExportError
from scenery.manifest import verify_manifest, write_manifest
from scenery.serving_config import ModelEntry, read_entry


@dataclass(frozen=True)
class Published:
    """What became of a candidate."""

    path: Path | None
    """The version's folder; None if the gate refused it."""
    verdicts: list[Verdict]
    report: Mapping[str, Any]
    """What ``assets.extra/gate.json`` holds."""
    waits: bool
    """Whether ``serving.config`` names the versions to serve, so that this one serves nobody yet."""

    @property
    def stopped_by(self) -> list[str]:
        """The checks that refused it."""
        refused = [each.check for each in self.verdicts if each.verdict == "refused"]
        return refused or [each.check for each in self.verdicts if each.stops]


def publish(
    source: Path,
    model_dir: Path,
    gate: Gate,
    config_file: Path,
    max_pixels: int = contract.MAX_PIXELS,
    lite: Lite | None = None,
) -> Published:
    """Write a candidate beside the versions, judge it there, and rename it to the next number if it passes.

    Killed at any moment, the folder has the old versions or the new one whole, never half of it.

    Parameters
    ----------
    source
        A run folder, or a SavedModel.
    model_dir
        The folder of the model's versions.
    config_file
        ``serving.config``, which tells what serves; without the file the highest version does.
    lite
        For a run: the ``model.tflite`` that is wanted.

    Raises
    ------
    ExportError
        If ``source`` is neither, or a run cannot be exported.
    VersionError
        If another command is writing a version, or the disk does not take it.
    """
    if "quality" not in gate.forced:
        _ = gate.evaluation_set  # Before all else: a misspelt name is told at once.
    entry = read_entry(config_file, model_dir.name) if config_file.is_file() else None
    waits = entry is not None and bool(entry.versions)
    serving = list(_serving(model_dir, entry))
    with versions.staged_version(model_dir) as folder:
        number = versions.next_version(model_dir)
        _write_candidate(source, folder, model_dir.name, number, max_pixels, lite)
        verdicts = gate.judge(folder, serving)
        told = report(gate, source.resolve().name, verdicts)
        if any(each.stops for each in verdicts):
            return Published(None, verdicts, told, waits)
        write_report(folder, told)
        write_manifest(folder)
        verify_manifest(folder)
        return Published(versions.publish(folder), verdicts, told, waits)


def _write_candidate(
    source: Path, folder: Path, model_name: str, number: int, max_pixels: int, lite: Lite | None
) -> None:
    if (source / "run.json").is_file():
        write_version(read_run(source), folder, model_name, number, max_pixels, lite)
    elif lite is not None:
        raise ExportError(f"{source} is no run, and only the network of a run has another precision. Name its run.")
    elif (source / "saved_model.pb").is_file():
        _copy(source, folder)
    else:
        raise ExportError(
            f"{source} is neither a run (no run.json) nor a SavedModel (no saved_model.pb). Name a folder that "
            "`scenery train` or `scenery export` wrote."
        )


def _copy(source: Path, folder: Path) -> None:
    """Copy a SavedModel's files; links are not followed."""
    for path in sorted(source.rglob("*")):
        if path.is_symlink() or not (path.is_dir() or path.is_file()):
            raise ExportError(
                f"{path} is no plain file or folder, and what a link leads to might not be meant for others. Nothing "
                f"was published. If it is, publish a copy: cp -rL {source} …"
            )
        target = folder / path.relative_to(source)
        try:
            if path.is_dir():
                target.mkdir()
            else:
                shutil.copyfile(path, target)
        except OSError as error:
            raise ExportError(
                f"{path} cannot be copied: {error.strerror}. Nothing was published; make room, or correct the "
                "permissions."
            ) from error


def _serving(model_dir: Path, entry: ModelEntry | None) -> Iterator[tuple[int, Path]]:
    """Yield the versions that may be serving now, the likeliest first."""
    present = versions.list_versions(model_dir)
    for number in entry.serving(present) if entry else sorted(present, reverse=True):
        if number in present:
            yield number, versions.version_folder(model_dir, number)

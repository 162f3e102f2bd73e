"""Which of Beam's runners a pipeline runs on, and what comes of it if it fails."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Sequence

import apache_beam as beam
import grpc
from apache_beam.io.filesystems import FileSystems
from apache_beam.options.pipeline_options import DirectOptions, PipelineOptions, WorkerOptions
from apache_beam.portability.api import beam_provision_api_pb2
from apache_beam.runners.portability.fn_api_runner import fn_runner
from apache_beam.runners.portability.portable_runner import JobServiceHandle
from apache_beam.runners.runner import PipelineRunner, create_runner

from scenery import errors
from scenery.errors import ConfigurationError, SceneryError, ScoringError

DIRECT = "DirectRunner"

_RAISED = re.compile(r"^scenery\.errors\.(\w+): (.+?)(?: \[while running '[^']*'\])?$", re.MULTILINE)
_WHILE = re.compile(r" \[while running '[^']*'\]$")


def read_options(runner: str, arguments: Sequence[str], verbose: bool, patience_seconds: float) -> PipelineOptions:
    """Return what Beam's options say, and have its file systems follow them; its workers log only if ``verbose``.

    A job server is waited for patiently, unless an option says how long.

    Raises
    ------
    ConfigurationError
        If they cannot be read, or there is no such option. Only the local runner is known to have no others.
    """
    timeout_seconds = max(1, math.ceil(patience_seconds))  # Beam has whole ones
    options = PipelineOptions([f"--runner={runner}", f"--job_server_timeout={timeout_seconds}", *arguments])
    try:
        known = options.get_all_options().keys()
        unknown = sorted(options.get_all_options(retain_unknown_options=True).keys() - known)
    except SystemExit as error:  # argparse has told on standard error what is wrong
        raise ConfigurationError("Beam cannot read the options after --. Correct them.") from error
    if unknown and runner == DIRECT:
        raise ConfigurationError(
            f"Beam has no option --{unknown[0]}. Correct what follows --, where only Beam's own options go."
        )
    if not verbose:
        options.view_as(WorkerOptions).default_sdk_harness_log_level = "CRITICAL"
    FileSystems.set_options(options)
    return options


def cores_for(runner: str, options: PipelineOptions) -> int:
    """Return how many cores a worker process has to itself: with other runners one, since they start one a core."""
    if runner != DIRECT:
        return 1
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, cores // (options.view_as(DirectOptions).direct_num_workers or cores))


def make_pipeline(runner: str, options: PipelineOptions) -> beam.Pipeline:
    """Return an empty pipeline; raises :class:`ConfigurationError` if there is no such runner."""
    try:
        made = _direct(options) if runner == DIRECT else create_runner(runner)
        return beam.Pipeline(runner=made, options=options)
    except (ValueError, ImportError, AttributeError) as error:
        raise ConfigurationError(f"The runner {runner!r} cannot be used: {error}. Correct --runner.") from error


def _direct(options: PipelineOptions) -> PipelineRunner:
    """Return the local runner itself: DirectRunner would look for Prism first, and download it."""
    direct = options.view_as(DirectOptions)
    if direct.direct_num_workers != 1 and direct.direct_running_mode == "in_memory":
        direct.direct_running_mode = "multi_processing"
    encoded = JobServiceHandle.encode_pipeline_options(options.get_all_options())
    provision = beam_provision_api_pb2.ProvisionInfo(pipeline_options=encoded)
    return fn_runner.FnApiRunner(provision_info=fn_runner.ExtendedProvisionInfo(provision))


def meant_by(error: Exception) -> SceneryError | None:
    """Return the error that a worker raised on purpose; None if this is another, a defect perhaps.

    Runners hand over a worker's error as what it is, or as a text with its traceback.
    """
    if isinstance(error, SceneryError):
        return type(error)(_WHILE.sub("", str(error)))
    if isinstance(error, grpc.FutureTimeoutError):
        return ScoringError(
            "No job server answers. Start it, correct what follows --, such as --job_endpoint, or wait longer by "
            "--patience."
        )
    match = _RAISED.search(str(error))
    kind = getattr(errors, match[1], None) if match else None
    return kind(match[2]) if match and kind else None

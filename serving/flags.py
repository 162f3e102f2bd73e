"""The command line: ``tensorflow_model_server``'s flags, in its form, ``--name=value``.

A boolean flag may stand alone, or take ``true`` or ``false``. Of a repeated flag the last counts.
An argument that is no flag is named and ignored, as the real server does.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any

from scenery import contract

PROGRAM = "scenery-model-server"
CORES = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class FlagError(ValueError):
    """A flag's value cannot be read; the message says what was expected."""


def _boolean(text: str) -> bool:
    if text not in ("true", "false"):
        raise ValueError
    return text == "true"


def _whole_number(least: int, most: int) -> Callable[[str], int]:
    def read(text: str) -> int:
        number = int(text)
        if not least <= number <= most:
            raise ValueError
        return number

    return read


_READERS: dict[str, Callable[[str], Any]] = {
    "bool": _boolean,
    "port": _whole_number(0, 65535),
    "int32": _whole_number(-(2**31), 2**31 - 1),
    "int64": _whole_number(-(2**63), 2**63 - 1),
    "float": float,
    "seconds": float,
    "string": str,
}


@dataclass(frozen=True)
class Flag:
    """One flag: its name, type, default and meaning."""

    name: str
    kind: str
    default: Any
    text: str
    ignored: bool = False
    """True for a flag of the real server that has no meaning here."""

    def read(self, text: str) -> Any:
        """Read a value; raises :class:`FlagError`."""
        try:
            return _READERS[self.kind](text)
        except ValueError:
            what = "a port, from 0 to 65535" if self.kind == "port" else f"a value of type {self.kind}"
            raise FlagError(f"--{self.name} takes {what}. Received: {text!r}") from None

    def usage(self) -> str:
        """Return the flag's lines of the usage text."""
        printed = {"string": '"{}"', "float": "{:f}"}.get(self.kind, "{}").format(self.default)
        shown = printed.lower() if self.kind == "bool" else printed
        note = " Accepted, without effect here." if self.ignored else ""
        return f"  --{self.name}={shown}\n        {self.text}{note} ({self.kind})"


FLAGS = (
    Flag("host", "string", "127.0.0.1", "Address to listen on. Not a flag of the real server, which listens on all."),
    Flag("port", "port", contract.GRPC_PORT, "TCP port for gRPC; 0 if --grpc_socket_path is given instead."),
    Flag("grpc_socket_path", "string", "", "Unix socket for gRPC, besides the port."),
    Flag("rest_api_port", "port", 0, "TCP port for REST, another than --port; 0 switches REST off."),
    Flag("rest_api_num_threads", "int32", 4 * CORES, "REST requests handled at a time."),
    Flag("rest_api_timeout_in_ms", "int32", 30000, "After how long a REST request is given up."),
    Flag("rest_api_enable_cors_support", "bool", False, "Let web pages of any origin call the REST API."),
    Flag("enable_batching", "bool", False, "Merge requests that come at a time into one run of the model."),
    Flag(
        "allow_version_labels_for_unavailable_models",
        "bool",
        False,
        "Let a new label name a version that is not available (yet).",
    ),
    Flag("batching_parameters_file", "string", "", "File of a BatchingParameters message in text format."),
    Flag(
        "enable_per_model_batching_parameters",
        "bool",
        False,
        "Read batching_params.pbtxt in a version's folder, if there is one, instead of --batching_parameters_file.",
    ),
    Flag("model_config_file", "string", "", "File of a ModelServerConfig in text format: several models."),
    Flag(
        "model_config_file_poll_wait_seconds",
        "seconds",
        0,
        "Seconds between two readings of --model_config_file; 0: it is read once.",
    ),
    Flag("model_name", "string", "default", "Name of the model, if there is no --model_config_file."),
    Flag("model_base_path", "string", "", "Absolute path of the folder of its versions."),
    Flag("num_load_threads", "int32", 0, "Threads that load versions; 0: one."),
    Flag("num_unload_threads", "int32", 0, "Threads that unload versions; 0: one."),
    Flag("max_num_load_retries", "int32", 5, "How often a failing load is tried again."),
    Flag("load_retry_interval_micros", "int64", 60_000_000, "Microseconds between two tries to load."),
    Flag(
        "file_system_poll_wait_seconds",
        "seconds",
        1,
        "Seconds between two looks for versions; 0 or less: only when a config is loaded.",
    ),
    Flag("flush_filesystem_caches", "bool", True, "Drop file caches after the first load.", ignored=True),
    Flag(
        "tensorflow_session_parallelism",
        "int64",
        0,
        "Both of the next two, where they are 0. 0: TensorFlow decides.",
    ),
    Flag("tensorflow_session_config_file", "string", "", "File of a ConfigProto in text format."),
    Flag("tensorflow_intra_op_parallelism", "int64", 0, "Threads for one operation; 0: TensorFlow decides."),
    Flag("tensorflow_inter_op_parallelism", "int64", 0, "Operations run at a time; 0: TensorFlow decides."),
    Flag("use_alts_credentials", "bool", False, "Google's ALTS for gRPC.", ignored=True),
    Flag("ssl_config_file", "string", "", "File of an SSLConfig in text format: serve gRPC over TLS."),
    Flag("platform_config_file", "string", "", "File of a PlatformConfigMap in text format.", ignored=True),
    Flag("per_process_gpu_memory_fraction", "float", 0.0, "Share of a GPU's memory to take."),
    Flag("saved_model_tags", "string", "serve", "Tags of the meta graph to load, with commas between."),
    Flag("grpc_channel_arguments", "string", "", "gRPC channel arguments, such as grpc.max_connection_age_ms=2000,..."),
    Flag("grpc_max_threads", "int32", 4 * CORES, "gRPC requests handled at a time; more are refused."),
    Flag("enable_model_warmup", "bool", True, "Replay a version's warmup requests before it serves."),
    Flag("num_request_iterations_for_warmup", "int32", 0, "How often each warmup request is replayed; 0: once."),
    Flag("version", "bool", False, "Print versions and exit."),
    Flag("monitoring_config_file", "string", "", "File of a MonitoringConfig in text format: metrics for Prometheus."),
    Flag(
        "remove_unused_fields_from_bundle_metagraph", "bool", True, "Keep the signatures only in memory.", ignored=True
    ),
    Flag(
        "prefer_tflite_model",
        "bool",
        False,
        "Where a version has a model.tflite, let LiteRT compute what is in it, and TensorFlow the rest.",
    ),
    Flag("num_tflite_pools", "int32", CORES, "Pools of interpreters for each model.tflite; 0: as many as cores."),
    Flag("num_tflite_interpreters_per_pool", "int32", 1, "Interpreters of a pool: each runs one call at a time."),
    Flag("enable_signature_method_name_check", "bool", False, "Require the method name of Classify's and Regress's."),
    Flag("xla_cpu_compilation_enabled", "bool", False, "Compile for the CPU with XLA.", ignored=True),
    Flag("xla_gpu_compilation_enabled", "bool", False, "Compile for the GPU with XLA.", ignored=True),
    Flag("enable_profiler", "bool", True, "Offer TensorFlow's profiler service.", ignored=True),
    Flag("thread_pool_factory_config_file", "string", "", "File of a ThreadPoolConfig in text format.", ignored=True),
    Flag("mixed_precision", "string", "", "Precision to rewrite models to.", ignored=True),
    Flag("skip_initialize_tpu", "bool", False, "Do not initialize a TPU.", ignored=True),
    Flag("enable_grpc_healthcheck_service", "bool", False, "Offer the standard gRPC health service."),
    Flag("enable_serialization_as_tensor_content", "bool", False, "Answer Predict with tensor_content."),
)


@dataclass(frozen=True)
class CommandLine:
    """A command line that was read."""

    values: dict[str, Any]
    """The value of every flag."""
    unknown: list[str] = field(default_factory=list)
    """Arguments that are no flags."""
    ignored: list[str] = field(default_factory=list)
    """Flags given that have no meaning here."""

    def __getattr__(self, name: str) -> Any:
        """Return a flag's value."""
        try:
            return self.values[name]
        except KeyError:
            raise AttributeError(name) from None


def parse_flags(arguments: Sequence[str]) -> CommandLine:
    """Read a command line; raises :class:`FlagError` if a value is not of its flag's type."""
    flags = {flag.name: flag for flag in FLAGS}
    line = CommandLine({flag.name: flag.default for flag in FLAGS})
    for argument in arguments:
        name, equals, text = argument.removeprefix("--").partition("=")
        flag = flags.get(name) if argument.startswith("--") else None
        if flag is None or not (equals or flag.kind == "bool"):
            line.unknown.append(argument)
            continue
        line.values[name] = flag.read(text) if equals else True
        if flag.ignored:
            line.ignored.append(name)
    return line


def suggestion(argument: str) -> str:
    """Say what an unknown argument may have been meant to be."""
    name = argument.removeprefix("--").partition("=")[0]
    names = [flag.name for flag in FLAGS]
    if argument.startswith("--") and name in names:
        return f" A flag and its value are one argument: --{name}=VALUE."
    close = get_close_matches(name, names, 1)
    return f" Did you mean --{close[0]}?" if close else ""


def usage() -> str:
    """Return the text of ``--help``."""
    lines = [flag.usage() for flag in FLAGS]
    return "\n".join(
        [
            f"usage: {PROGRAM} [--flag=value ...]",
            "Serve SavedModels over TensorFlow Serving's gRPC and REST APIs.",
            f"Example: {PROGRAM} --model_name=scenery --model_base_path=/path/to/models/scenery --rest_api_port=8501",
            "Flags:",
            *lines,
        ]
    )

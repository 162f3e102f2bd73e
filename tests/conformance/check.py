"""Play recorded conformance scenarios against a model server and compare its answers.

See README.md for the scenario format and the comparison rules; ``runs.py`` plays many at a time.
"""

from __future__ import annotations

import base64
import dataclasses
import functools
import http.client
import json
import math
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

SERVER_ENVIRONMENT = dict(os.environ)  # the server's own logging stays as it is
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("GRPC_VERBOSITY", "NONE")

import grpc  # noqa: E402
from google.protobuf import descriptor_pb2, descriptor_pool, json_format, message, message_factory  # noqa: E402
from tensorflow_serving.apis import (  # noqa: E402
    classification_pb2,
    get_model_metadata_pb2,
    get_model_status_pb2,
    inference_pb2,
    model_management_pb2,
    predict_pb2,
    regression_pb2,
)

HERE = Path(__file__).resolve().parent
HOST = "127.0.0.1"
CALL_TIMEOUT = 20.0  # seconds for one REST or gRPC call that gives none of its own
POLL_INTERVAL = 0.1  # seconds between two looks of a wait
RELATIVE_TOLERANCE, ABSOLUTE_TOLERANCE = 1e-5, 1e-6

Json = Any
Scenario = dict[str, Any]
Step = dict[str, Any]
Answer = dict[str, Any]


# --------------------------------------------------------------------- gRPC methods


def _health_messages() -> tuple[type[message.Message], type[message.Message]]:
    """grpc.health.v1 request and response, built here to need no further package."""
    file = descriptor_pb2.FileDescriptorProto(
        name="conformance/health.proto", package="grpc.health.v1", syntax="proto3"
    )
    request = file.message_type.add(name="HealthCheckRequest")
    request.field.add(name="service", number=1, type=9, label=1)
    response = file.message_type.add(name="HealthCheckResponse")
    status = response.enum_type.add(name="ServingStatus")
    for number, name in enumerate(("UNKNOWN", "SERVING", "NOT_SERVING", "SERVICE_UNKNOWN")):
        status.value.add(name=name, number=number)
    response.field.add(
        name="status", number=1, type=14, label=1, type_name=".grpc.health.v1.HealthCheckResponse.ServingStatus"
    )
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    classes = [
        message_factory.GetMessageClass(pool.FindMessageTypeByName(f"grpc.health.v1.{name}"))
        for name in ("HealthCheckRequest", "HealthCheckResponse")
    ]
    return classes[0], classes[1]


_PREDICTION, _MODEL = "tensorflow.serving.PredictionService/", "tensorflow.serving.ModelService/"
METHODS: dict[str, tuple[type[message.Message], type[message.Message]]] = {
    _PREDICTION + "Predict": (predict_pb2.PredictRequest, predict_pb2.PredictResponse),
    _PREDICTION + "Classify": (classification_pb2.ClassificationRequest, classification_pb2.ClassificationResponse),
    _PREDICTION + "Regress": (regression_pb2.RegressionRequest, regression_pb2.RegressionResponse),
    _PREDICTION + "MultiInference": (inference_pb2.MultiInferenceRequest, inference_pb2.MultiInferenceResponse),
    _PREDICTION + "GetModelMetadata": (
        get_model_metadata_pb2.GetModelMetadataRequest,
        get_model_metadata_pb2.GetModelMetadataResponse,
    ),
    _MODEL + "GetModelStatus": (
        get_model_status_pb2.GetModelStatusRequest,
        get_model_status_pb2.GetModelStatusResponse,
    ),
    _MODEL + "HandleReloadConfigRequest": (
        model_management_pb2.ReloadConfigRequest,
        model_management_pb2.ReloadConfigResponse,
    ),
    "grpc.health.v1.Health/Check": _health_messages(),
}


# --------------------------------------------------------------------- one run of a server


@dataclasses.dataclass
class Run:
    """A work folder, ports and a server process for one scenario."""

    work: Path
    store: Path
    grpc_port: int
    rest_port: int
    process: subprocess.Popen[bytes] | None = None
    removed: int = 0

    def expand(self, value: Json) -> Json:
        """Put this run's paths and ports in the place of {work}, {grpc_port}, {rest_port}."""
        return _map_strings(
            value,
            lambda text: (
                text.replace("{work}", str(self.work))
                .replace("{grpc_port}", str(self.grpc_port))
                .replace("{rest_port}", str(self.rest_port))
            ),
        )

    def mask(self, value: Json) -> Json:
        """The reverse of ``expand`` for the path, so that answers do not depend on it."""
        return _map_strings(value, lambda text: text.replace(str(self.work), "{work}"))

    # ----- process

    def start(self, command: list[str], flags: list[str]) -> None:
        """Start the server; its stdout and stderr go to files beside the work folder."""
        with self._log("stdout").open("wb") as out, self._log("stderr").open("wb") as err:
            self.process = subprocess.Popen(
                [*command, *self.expand(flags)],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                env=SERVER_ENVIRONMENT,
                start_new_session=True,
            )

    def stop(self) -> None:
        """SIGTERM, then after some seconds SIGKILL, to the process group this run began."""
        if self.process is None or self.process.poll() is not None:
            return
        os.killpg(self.process.pid, signal.SIGTERM)
        try:
            self.process.wait(5)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()

    def exited(self, timeout: float) -> Answer:
        """Wait for the server to end by itself."""
        assert self.process is not None
        try:
            code: int | str = self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            code = "still running"
        return {"code": code, **{name: self._log(name).read_text(errors="replace") for name in ("stdout", "stderr")}}

    def log_tail(self) -> str:
        """The last line of stderr, to explain a server that did not start."""
        lines = self._log("stderr").read_text(errors="replace").strip().splitlines()
        return lines[-1][:300] if lines else ""

    def _log(self, name: str) -> Path:
        return self.work.with_name(f"{self.work.name}.{name}")

    # ----- files

    def apply(self, action: dict[str, Any]) -> None:
        """Do one file action; what appears or goes does so by a rename, never half done."""
        if "mkdir" in action:
            (self.work / action["mkdir"]).mkdir(parents=True, exist_ok=True)
        elif "remove" in action:
            self.removed += 1
            gone = self.work / f".removed-{self.removed}"
            (self.work / action["remove"]).rename(gone)
            shutil.rmtree(gone) if gone.is_dir() else gone.unlink()
        elif "rename" in action:
            (self.work / action["rename"]).rename(self.work / action["to"])
        else:
            target = self.work / action["to"]
            target.parent.mkdir(parents=True, exist_ok=True)
            partial = self.work / f".partial-{target.name}"
            if "text" in action:
                partial.write_text(self.expand(action["text"]))
            elif (self.store / action["copy"]).is_dir():
                shutil.copytree(self.store / action["copy"], partial)
            else:
                shutil.copyfile(self.store / action["copy"], partial)
            partial.rename(target)

    # ----- calls

    def call(self, step: Step) -> Answer:
        """Play one call step and return its answer, masked."""
        if "rest" in step:
            return self.mask(self._rest(self.expand(step["rest"])))
        if "grpc" in step:
            return self.mask(self._grpc(self.expand(step["grpc"])))
        if "exit" in step:
            return self.mask(self.exited(step["exit"].get("timeout", 30)))
        return self._wait(step["wait"])

    def _rest(self, call: dict[str, Any]) -> Answer:
        if "b64" in call:
            body: bytes | None = base64.b64decode(call["b64"])
        elif "text" in call:
            body = call["text"].encode()
        else:
            body = json.dumps(call["body"]).encode() if "body" in call else None
        connection = http.client.HTTPConnection(HOST, self.rest_port, timeout=call.get("timeout", CALL_TIMEOUT))
        try:
            connection.request(call["method"], call["path"], body, call.get("headers", {}))
            response = connection.getresponse()
            text = response.read().decode("utf-8", "backslashreplace")
        except (OSError, http.client.HTTPException) as error:
            return {"transport": type(error).__name__}
        finally:
            connection.close()
        wanted = ("content-type", *call.get("record_headers", ()))
        answer: Answer = {"status": response.status, "headers": {name: response.getheader(name) for name in wanted}}
        if not call.get("raw"):
            try:
                return {**answer, "json": json.loads(text)}
            except ValueError:
                pass
        return {**answer, "text": text}

    def _grpc(self, call: dict[str, Any]) -> Answer:
        target = call.get("target", f"{HOST}:{self.grpc_port}")
        request_type, response_type = METHODS.get(call["method"], (None, None))
        if "request_b64" in call or request_type is None:
            request = base64.b64decode(call.get("request_b64", ""))
        else:
            request = json_format.ParseDict(call["request"], request_type()).SerializeToString()
        options = [
            ("grpc.max_receive_message_length", -1),
            ("grpc.max_send_message_length", -1),
            ("grpc.enable_http_proxy", 0),
        ]
        with grpc.insecure_channel(target, options) as channel:
            method = channel.unary_unary("/" + call["method"])
            try:
                raw = method(request, timeout=call.get("timeout", CALL_TIMEOUT))
            except grpc.RpcError as error:
                return {"code": error.code().name, "details": error.details()}
        if response_type is None:
            return {"code": "OK"}
        response = json_format.MessageToDict(response_type.FromString(raw), preserving_proto_field_name=True)
        return {"code": "OK", "response": response}

    def _wait(self, wait: dict[str, Any]) -> Answer:
        """Repeat a call until its answer holds ``until``, or read stderr until it has some texts."""
        deadline = time.monotonic() + wait.get("timeout", 30)
        while True:
            if "stderr" in wait:
                log = self._log("stderr").read_text(errors="replace")
                last: Json = [text for text in self.expand(wait["stderr"]) if text not in log]
                reached = not last
            else:
                last = self.call({key: wait[key] for key in ("rest", "grpc") if key in wait})
                reached = _holds(wait["until"], last)
            if reached:
                return {"reached": True}
            if time.monotonic() > deadline:
                return {"reached": False, "last": last}
            time.sleep(POLL_INTERVAL)

    def await_ready(self, scenario: Scenario, timeout: float) -> None:
        """Wait until the ports accept and each model, or version, of ``ready`` is available."""
        deadline = time.monotonic() + timeout
        ports = {"grpc": self.grpc_port, "rest": self.rest_port}
        for name in scenario.get("listen", ("grpc", "rest")):
            self._until(deadline, functools.partial(_accepts, ports[name]), f"the {name} port")
        for model in scenario.get("ready", ()):
            self._until(deadline, functools.partial(self._available, model), f"model {model}")

    def _available(self, model: str) -> bool:
        """True if the status of 'NAME' or 'NAME/versions/N' shows an available version."""
        answer = self._rest({"method": "GET", "path": f"/v1/models/{model}"})
        return '"AVAILABLE"' in json.dumps(answer)

    def _until(self, deadline: float, reached: Callable[[], bool], what: str) -> None:
        assert self.process is not None
        while not reached():
            if self.process.poll() is not None:
                raise RuntimeError(f"server ended with {self.process.returncode}: {self.log_tail()}")
            if time.monotonic() > deadline:
                raise RuntimeError(f"not ready in time, waiting for {what}: {self.log_tail()}")
            time.sleep(POLL_INTERVAL)


def _accepts(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex((HOST, port)) == 0


def _map_strings(value: Json, change: Callable[[str], str]) -> Json:
    if isinstance(value, str):
        return change(value)
    if isinstance(value, list):
        return [_map_strings(item, change) for item in value]
    if isinstance(value, dict):
        return {change(key): _map_strings(item, change) for key, item in value.items()}
    return value


def _free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    try:
        for probe in sockets:
            probe.bind((HOST, 0))
        return [probe.getsockname()[1] for probe in sockets]
    finally:
        for probe in sockets:
            probe.close()


# --------------------------------------------------------------------- comparison


def _same(expected: Json, got: Json) -> bool:
    """Equality of leaves: same JSON type, floats within the tolerance."""
    if isinstance(expected, float) and isinstance(got, float):
        return (math.isnan(expected) and math.isnan(got)) or math.isclose(
            expected, got, rel_tol=RELATIVE_TOLERANCE, abs_tol=ABSOLUTE_TOLERANCE
        )
    return type(expected) is type(got) and expected == got


def _holds(wanted: Json, got: Json) -> bool:
    """True if ``got`` has everything in ``wanted``: keys may be more, lists must be as long."""
    if isinstance(wanted, dict):
        return isinstance(got, dict) and all(key in got and _holds(item, got[key]) for key, item in wanted.items())
    if isinstance(wanted, list):
        return isinstance(got, list) and len(got) == len(wanted) and all(map(_holds, wanted, got))
    return _same(wanted, got)


def _differences(expected: Json, got: Json, rules: dict[str, Any], at: str = "") -> Iterator[str]:
    """Yield 'pointer: expected ... got ...' for each place where the answer is not as recorded."""
    if at in rules:
        if (why := _broken_rule(rules[at], got)) is not None:
            yield f"{at}: {why}"
    elif isinstance(expected, dict) and isinstance(got, dict):
        for key in expected.keys() | got.keys():
            place = f"{at}/{key}"
            if key not in got:
                if place not in rules or _broken_rule(rules[place], None) is not None:
                    yield f"{place}: expected {_short(expected[key])} got nothing"
            elif key not in expected:
                if place not in rules:
                    yield f"{place}: expected nothing got {_short(got[key])}"
                else:
                    yield from _differences(None, got[key], rules, place)
            else:
                yield from _differences(expected[key], got[key], rules, place)
    elif isinstance(expected, list) and isinstance(got, list) and len(expected) == len(got):
        for index, (left, right) in enumerate(zip(expected, got, strict=True)):
            yield from _differences(left, right, rules, f"{at}/{index}")
    elif not _same(expected, got):
        yield f"{at or '/'}: expected {_short(expected)} got {_short(got)}"


def _broken_rule(rule: dict[str, Any], got: Json) -> str | None:
    """Why ``got`` breaks a match rule, or None if it keeps it."""
    ((kind, wanted),) = rule.items()
    if kind == "any":
        return None
    text = got if isinstance(got, str) else ""
    if kind == "prefix":
        kept = text.startswith(wanted)
    elif kind == "contains":
        wanted = [part for part in wanted if part not in text]
        kept = not wanted
    elif kind == "families":
        found = metric_families(text)
        wanted = {name: kind for name, kind in wanted.items() if found.get(name) != kind}
        kept = not wanted
    else:
        raise ValueError(f"unknown match rule {kind}")
    return None if kept else f"expected {kind} {_short(wanted)} got {_short(got)}"


def metric_families(text: str) -> dict[str, str]:
    """Name and type of every metric family in a Prometheus text page."""
    lines = (line.split() for line in text.splitlines() if line.startswith("# TYPE "))
    return {words[2]: words[3] for words in lines if len(words) == 4}


def compare(expect: Answer, got: Answer) -> list[str]:
    """All differences between a recorded answer (with its match rules) and a new one."""
    rules = expect.get("match", {})
    recorded = {key: value for key, value in expect.items() if key != "match"}
    return sorted(_differences(recorded, got, rules))


def _short(value: Json, limit: int = 400) -> str:
    text = json.dumps(value)
    return text if len(text) <= limit else f"{text[:limit]}..."


# --------------------------------------------------------------------- scenarios


def is_call(step: Step) -> bool:
    """Calls, waits and exits are counted; file actions are not."""
    return "file" not in step


def play(
    scenario: Scenario, command: list[str], store: Path, start_timeout: float, on_answer: Callable[[Step, Answer], None]
) -> None:
    """Run one scenario on a fresh server and hand each answer to ``on_answer``."""
    with tempfile.TemporaryDirectory(prefix="tfs-") as folder:
        work = Path(folder).resolve() / "w"
        work.mkdir()
        grpc_port, rest_port = _free_ports(2)
        run = Run(work, store, grpc_port, rest_port)
        for action in scenario.get("files", ()):
            run.apply(action)
        flags = list(scenario["flags"])
        listen = scenario.get("listen", ("grpc", "rest"))
        if "grpc" in listen:
            flags.insert(0, "--port={grpc_port}")
        if "rest" in listen:
            flags.insert(0, "--rest_api_port={rest_port}")
        try:
            run.start(command, flags)
            if scenario.get("await_ready", True):
                run.await_ready(scenario, start_timeout)
            for step in scenario["steps"]:
                if is_call(step):
                    on_answer(step, run.call(step))
                else:
                    run.apply(step["file"])
        finally:
            run.stop()


def load(folder: Path) -> list[Scenario]:
    """All scenarios of the case files in ``folder``."""
    return [scenario for path in sorted(folder.glob("*.json")) for scenario in json.loads(path.read_text())]


def check(
    scenario: Scenario, command: list[str], store: Path, start_timeout: float, deadline: float
) -> list[dict[str, Any]]:
    """Play a scenario; one result (call, passed, differences) for each of its calls."""
    results: list[dict[str, Any]] = []

    def add(step: Step, differences: list[str]) -> None:
        results.append(
            {
                "call": f"{scenario['scenario']}/{step['id']}",
                "theme": scenario["theme"],
                "passed": not differences,
                "differences": differences,
            }
        )

    def on_answer(step: Step, answer: Answer) -> None:
        add(step, compare({"reached": True} if "wait" in step else step["expect"], answer))
        if time.monotonic() > deadline:
            raise TimeoutError("over the time limit")

    reason = "over the time limit"
    if time.monotonic() < deadline:
        try:
            play(scenario, command, store, start_timeout, on_answer)
        except Exception as error:  # one scenario's trouble must not stop the others
            reason = f"{type(error).__name__}: {error}"
    calls = [step for step in scenario["steps"] if is_call(step)]
    for step in calls[len(results) :]:
        add(step, [f"not played, {reason}"])
    return results

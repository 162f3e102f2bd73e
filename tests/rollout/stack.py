"""``scenery serve`` for tests of rollouts, and callers that load it."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import threading
from collections import Counter
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path

import grpc
import numpy as np

from scenery import contract, wire
from scenery.wire.tensors import to_proto
from tests.processes import ROOT, http, wait_until

SHIPPED = ROOT / "models/scenery/1"
PAUSE_SECONDS = 0.02
"""Between two requests of a caller: a load that is steady, and leaves the machine room for what is tested."""
PHOTO = (ROOT / "examples/sample.jpg").read_bytes()


@dataclass
class Stack:
    """``scenery serve``, and the commands on it."""

    url: str
    work: Path
    grpc: str
    models: Path
    version: Path
    """What it serves as version 1."""

    def command_line(self, *arguments: str) -> list[str]:
        places = ["--config", str(self.work / "serving.config"), "--models-dir", str(self.models)]
        if arguments[0] != "publish":
            places += ["--model-server", self.grpc, "--wait-seconds", "30"]
        places += ["--proxy", self.url] if arguments[0] in ("status", "canary") else []
        return [sys.executable, "-m", "scenery", *arguments, *places]

    def command(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        command = self.command_line(*arguments)
        return subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT, timeout=300)

    def run(self, *arguments: str) -> str:
        done = self.command(*arguments)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def fail(self, *arguments: str) -> str:
        done = self.command(*arguments)
        assert done.returncode == 1, done.stdout + done.stderr
        assert "Traceback" not in done.stderr
        return done.stderr

    def status(self) -> dict[int, dict]:
        return {each["version"]: each for each in json.loads(self.run("status", "--json"))["versions"]}

    def is_stable(self, version: int) -> bool:
        """Tell whether a version has the label; a server that has yet to follow serving.config is told as an error."""
        done = self.command("status", "--json")
        states = json.loads(done.stdout)["versions"] if done.returncode == 0 else []
        return any(each["version"] == version and each["labels"] == ["stable"] for each in states)

    def drop(self, version: int, source: Path | None = None) -> None:
        """Add a version: version 1 under another number, or another model."""
        staged = shutil.copytree(source or self.version, self.models / "scenery" / f".incoming-{version}")
        staged.rename(self.models / "scenery" / str(version))

    def classify(self, key: str | None = None, photo: bytes = PHOTO) -> int:
        """Return the version that answers; fails if none does."""
        headers = {"X-Request-Key": key} if key else {}
        status, answer, _ = http("POST", f"{self.url}/v1/classify", photo, "image/jpeg", headers)
        assert status == 200, answer
        return answer["photos"][0]["version"]


class Load:
    """Callers of the proxy and of the model server itself, as long as the context lasts."""

    def __init__(self, stack: Stack, photos: list[bytes]) -> None:
        self.answers: Counter[int] = Counter()
        """By the version that answered, of those who asked the proxy."""
        self.direct: Counter[int] = Counter()
        """The same, of those who asked the model server."""
        self.failures: list[object] = []
        self._stack, self._photos = stack, photos
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=each) for each in (self._proxy, self._proxy, self._model_server)]

    def __enter__(self) -> Load:
        for each in self._threads:
            each.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for each in self._threads:
            each.join()

    def more(self, count: int) -> Counter[int]:
        """Wait for so many answers from now on; returns them."""
        self.answers.clear()
        wait_until(lambda: sum(self.answers.values()) >= count, "answers")
        return Counter(self.answers)

    def _proxy(self) -> None:
        for photo in cycle(self._photos):
            if self._stop.wait(PAUSE_SECONDS):
                return
            try:
                self.answers[self._stack.classify(photo=photo)] += 1
            except AssertionError as error:
                self.failures.append(error)

    def _model_server(self) -> None:
        request = wire.PredictRequest()
        request.model_spec.name = contract.MODEL_NAME
        request.inputs[contract.INPUT_IMAGE_BYTES].CopyFrom(to_proto(np.array([PHOTO], object)))
        with grpc.insecure_channel(self._stack.grpc) as channel:
            predict = channel.unary_unary(
                f"/{wire.PREDICTION_SERVICE}/Predict",
                request_serializer=wire.PredictRequest.SerializeToString,
                response_deserializer=wire.PredictResponse.FromString,
            )
            while not self._stop.wait(PAUSE_SECONDS):
                try:
                    self.direct[predict(request, timeout=30).model_spec.version.value] += 1
                except grpc.RpcError as error:
                    self.failures.append(error)

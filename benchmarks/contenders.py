"""The set-ups that are compared: how each is started, asked, and looked at. All of them run all the time."""

from __future__ import annotations

import http.client
import json
import shutil
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

from benchmarks import clients
from benchmarks.load import CLASSIFY, as_form, post
from benchmarks.processes import free_ports
from benchmarks.program import Program, python, running_program
from benchmarks.stack import Stack, running_stack
from scenery.errors import StackError

TUTORIAL = "tutorial"
NAIVE = "naive"
SCENERY = "Scenery"
FORM = "Scenery, by a form"
REAL = "Scenery, TF Serving"
ENGINE = "engine"
ENGINE_BY_DEFAULT = "engine, by default"

FORM_PATH = "/scorefile/"
REAL_SERVER = "tensorflow_model_server"
PLAIN = "plain"
"""The name of the naive set-up's model."""


@dataclass(frozen=True)
class Contender:
    """Programs that together score photos."""

    name: str
    programs: tuple[Program, ...]
    address: str

    def load(self, photo: Path, at_a_time: int, seconds: float) -> dict[str, Any]:
        """Keep so many photos in flight; returns what :mod:`benchmarks.load` prints."""
        raise NotImplementedError

    def cpu_seconds(self) -> float:
        """Return what all its processes have computed so far."""
        return sum(program.cpu_seconds() for program in self.programs)

    def memory_mb(self) -> float:
        """Return the memory that all its processes hold."""
        return sum(program.memory_mb() for program in self.programs)

    def fail(self, what: str) -> StackError:
        """Return an error: what happened, and what each program said last."""
        words = [program.last_words() for program in self.programs]
        return StackError("\n".join([f"The contender '{self.name}' {what}", *words]))


class Engine(Contender):
    """The network without a server; photos come decoded."""

    def load(self, photo: Path, at_a_time: int, seconds: float) -> dict[str, Any]:  # noqa: ARG002  it has one
        """Have it measure itself."""
        try:
            content = json.dumps({"clients": at_a_time, "seconds": seconds}).encode()
            answer: dict[str, Any] = json.loads(post(self.address, "/", content, "application/json")())
        except (OSError, http.client.HTTPException, AssertionError) as error:
            raise self.fail(f"did not measure: {error!r}") from error
        return answer


@dataclass(frozen=True)
class Service(Contender):
    """A server that takes encoded photos over HTTP."""

    path: str = FORM_PATH
    form: bool = True

    def load(self, photo: Path, at_a_time: int, seconds: float) -> dict[str, Any]:
        """Begin a photo whenever another was answered."""
        return self.call(photo, "--clients", at_a_time, "--seconds", seconds)

    def call(self, photo: Path, *flags: object) -> dict[str, Any]:
        """Call with other flags of :mod:`benchmarks.load`; raises :class:`StackError` if any photo fails."""
        result = self.start(photo, *flags).result()
        if result["failed"]:
            raise self.fail(f"failed for {result['failed']} photos: {result['failures'][0]}")
        return result

    def start(self, photo: Path, *flags: object) -> clients.Load:
        """Begin to call."""
        form = ["--form"] if self.form else []
        return clients.Load("sockets", self.address, "--path", self.path, *form, *flags, photo=photo)

    def answer(self, photo: Path) -> dict[str, Any]:
        """Return its answer to a photo; raises :class:`StackError` if it is none."""
        content = photo.read_bytes()
        body, content_type = as_form(content) if self.form else (content, "image/jpeg")
        try:
            answer: dict[str, Any] = json.loads(post(self.address, self.path, body, content_type)())
        except (OSError, ValueError, http.client.HTTPException, AssertionError) as error:
            raise self.fail(f"does not answer a photo: {error!r}") from error
        one: dict[str, Any] = answer.get("photos", [answer])[0]
        return one

    def scores(self, photo: Path) -> dict[str, float]:
        """Return its scores of a photo, by label."""
        answer = self.answer(photo)
        scores: dict[str, float] = answer.get("scores", answer)
        return scores


@dataclass(frozen=True)
class Field:
    """Everything that takes part, warm and idle."""

    contenders: Mapping[str, Contender]
    photos: Mapping[str, Path]
    reference: Mapping[str, Any]
    """What the Keras network says: see :mod:`benchmarks.peers.prepare`."""
    stack: Stack
    """That of :data:`SCENERY`; versions can be dropped into it."""
    versions: Iterator[int] = field(default_factory=partial(count, 2))
    """Their numbers, one after the other."""

    def services(self) -> list[Service]:
        """Return those that take encoded photos."""
        return [each for each in self.contenders.values() if isinstance(each, Service)]

    def service(self, name: str) -> Service:
        """Return one of them."""
        return next(each for each in self.services() if each.name == name)


@contextmanager
def running_field(work: Path, photos: Mapping[str, Path]) -> Iterator[Field]:
    """Start every contender that this machine can; ``work`` is what :mod:`benchmarks.peers.prepare` wrote.

    Raises
    ------
    StackError
        If one cannot be started; with its last words. All others are stopped then.
    """
    reference = json.loads((work / "reference.json").read_text())
    with ExitStack() as opened:
        stack = opened.enter_context(running_stack())
        scenery = Service(SCENERY, (stack.program,), stack.proxy, CLASSIFY, form=False)
        contenders: list[Contender] = [
            opened.enter_context(_tutorial(work, reference["labels"])),
            opened.enter_context(_naive(work, reference["labels"])),
            scenery,
            Service(FORM, scenery.programs, scenery.address),
        ]
        if shutil.which(REAL_SERVER):
            real = opened.enter_context(running_stack("tensorflow"))
            contenders.append(Service(REAL, (real.program,), real.proxy, CLASSIFY, form=False))
        for name, flags in {ENGINE: (), ENGINE_BY_DEFAULT: ("--by-default",)}.items():
            contenders.append(opened.enter_context(_engine(name, work, *flags)))
        yield Field({each.name: each for each in contenders}, photos, reference, stack)


@contextmanager
def _tutorial(work: Path, labels: list[str]) -> Iterator[Service]:
    (port,) = free_ports(1)
    command = python("benchmarks.peers.tutorial", work / "model.keras", "--labels", ",".join(labels), "--port", port)
    with running_program("tutorial", command, work) as program:
        program.await_answer(f"http://127.0.0.1:{port}/")
        yield Service(TUTORIAL, (program,), f"127.0.0.1:{port}")


@contextmanager
def _naive(work: Path, labels: list[str]) -> Iterator[Service]:
    """Run a model server with its default flags, the real one if there is one, and the front."""
    port, grpc_port, rest_port = free_ports(3)
    url = f"http://127.0.0.1:{rest_port}/v1/models/{PLAIN}"
    flags = [f"--port={grpc_port}", f"--rest_api_port={rest_port}", f"--model_name={PLAIN}"]
    flags.append(f"--model_base_path={(work / PLAIN).resolve()}")
    real = shutil.which(REAL_SERVER)
    behind = [real, *flags] if real else python("serving.main", *flags)
    before = python("benchmarks.peers.naive", url, "--labels", ",".join(labels), "--port", port)
    with (
        running_program("naive model server", behind, work) as server,
        running_program("naive front", before, work) as front,
    ):
        server.await_answer(url)
        front.await_answer(f"http://127.0.0.1:{port}/")
        yield Service(NAIVE, (server, front), f"127.0.0.1:{port}")


@contextmanager
def _engine(name: str, work: Path, *flags: str) -> Iterator[Engine]:
    (port,) = free_ports(1)
    command = python("benchmarks.peers.engine", "--port", port, *flags)
    with running_program(name, command, work) as program:
        program.await_answer(f"http://127.0.0.1:{port}/")
        yield Engine(name, (program,), f"127.0.0.1:{port}")

"""The manager: no order of events leaves a version in a wrong state."""

from __future__ import annotations

import os
import sys
import threading
from pathlib import Path

import pytest

from serving.errors import ServingError
from serving.manager import LoadRetries, Manager
from serving.priority import NICENESS
from serving.servable import State
from tests.processes import wait_until

PATH = Path("unused")


class Model:
    """Stands for a loaded model; tells whether it was freed."""

    def __init__(self, problem: Exception | None = None) -> None:
        self.closed = False
        self._problem = problem

    def close(self) -> None:
        self.closed = True
        if self._problem:
            raise self._problem


class ScriptedLoader:
    """Loads what it is told to, when it is told to."""

    def __init__(self, *outcomes: Model | Exception) -> None:
        self.outcomes = list(outcomes)
        self.may_load = threading.Event()
        self.may_load.set()
        self.loads = 0
        self.niceness: int | None = None
        """Of the thread that last loaded, where threads have one of their own."""

    def load(self) -> Model:
        self.loads += 1
        if sys.platform == "linux":
            self.niceness = os.getpriority(os.PRIO_PROCESS, threading.get_native_id())
        assert self.may_load.wait(30)
        outcome = self.outcomes.pop(0)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome


@pytest.fixture
def manager_of():
    """Make managers of scripted loaders, by version; they are stopped at the end."""
    made = []

    def make(loaders: dict[int, ScriptedLoader], **options) -> Manager:
        paths = {version: Path(str(version)) for version in loaders}
        manager = Manager(lambda _, path: loaders[int(path.name)], **options)
        made.append(manager)
        manager.paths = paths
        return manager

    yield make
    for manager in made:
        manager.stop(5)


def states(manager: Manager) -> dict[int, str]:
    return {state.id.version: state.state.name for state in manager.states("m")}


def test_a_version_asked_for_again_while_it_unloads_is_loaded_again(manager_of):
    """A reload that takes a model away and one that brings it back leave it AVAILABLE."""
    first, second = Model(), Model()
    manager = manager_of({1: ScriptedLoader(first, second)})
    manager.aspire("m", manager.paths)
    assert manager.wait_until_settled(["m"], 10)
    with manager.servable("m"):
        manager.aspire("m", {})
        assert states(manager) == {1: "UNLOADING"}
        manager.aspire("m", manager.paths)
        assert not manager.wait_until_settled(["m"], 0.1)
    assert manager.wait_until_settled(["m"], 10)
    assert first.closed
    with manager.servable("m") as (version, model):
        assert (version, model) == (1, second)


def test_versions_taken_back_before_their_turn_are_not_loaded(manager_of):
    """With one slot, what is dropped while another loads is skipped if a later one takes its place."""
    loaders = {version: ScriptedLoader(Model()) for version in (1, 2, 3)}
    loaders[1].may_load.clear()
    manager = manager_of(loaders)
    for version in (1, 2, 3):
        manager.aspire("m", {version: manager.paths[version]})
    loaders[1].may_load.set()
    wait_until(lambda: states(manager).get(3) == "AVAILABLE", "the latest version", 10)
    assert loaders[2].loads == 0


def test_a_stop_begins_no_load(manager_of):
    """Loads that wait for a slot are given up."""
    loaders = {version: ScriptedLoader(Model()) for version in (1, 2, 3)}
    loaders[3].may_load.clear()
    manager = manager_of(loaders)
    manager.aspire("m", manager.paths)
    wait_until(lambda: loaders[3].loads == 1, "the first load", 10)
    threading.Timer(0.3, loaders[3].may_load.set).start()
    assert manager.stop(10)
    assert loaders[1].loads + loaders[2].loads == 0


def test_a_model_that_cannot_be_freed_is_gone_all_the_same(manager_of):
    """The version ends, and can be served again."""
    manager = manager_of({1: ScriptedLoader(Model(RuntimeError("stuck")), Model())})
    manager.aspire("m", manager.paths)
    assert manager.wait_until_settled(["m"], 10)
    manager.aspire("m", {})
    wait_until(lambda: states(manager) == {1: "END"}, "the end", 10)
    manager.aspire("m", manager.paths)
    wait_until(lambda: states(manager) == {1: "AVAILABLE"}, "the return", 10)


@pytest.mark.parametrize("count", [-1, 0])
def test_at_least_one_try_is_made(manager_of, count):
    """However few retries are asked for, nothing is AVAILABLE that was not loaded."""
    loader = ScriptedLoader(ServingError("INTERNAL", "no"))
    manager = manager_of({1: loader}, retries=LoadRetries(count, 0.01))
    manager.aspire("m", manager.paths)
    wait_until(lambda: states(manager) == {1: "END"}, "the end", 10)
    assert loader.loads == 1
    assert [str(state.error) for state in manager.failures(["m"])] == ["INTERNAL: no"]


def test_a_stop_tells_of_requests_that_go_on(manager_of):
    """What a request holds is not freed under it."""
    model = Model()
    manager = manager_of({1: ScriptedLoader(model)})
    manager.aspire("m", manager.paths)
    assert manager.wait_until_settled(["m"], 10)
    with manager.servable("m"):
        assert not manager.stop(0.1)
        assert not model.closed
    assert manager.states("m")[0].state is State.AVAILABLE


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux gives threads priorities of their own")
@pytest.mark.parametrize("gives_way", [True, False])
def test_a_load_gives_way_once_a_version_serves(gives_way, manager_of):
    """The first is loaded as fast as can be; none is where threads that a load starts would stay slow."""
    loaders = {1: ScriptedLoader(Model()), 2: ScriptedLoader(Model())}
    manager = manager_of(loaders, loads_give_way=gives_way)
    for version in loaders:
        manager.aspire("m", {each: manager.paths[each] for each in range(1, version + 1)})
        wait_until(lambda version=version: states(manager).get(version) == "AVAILABLE", "the version")
    own = os.getpriority(os.PRIO_PROCESS, 0)
    assert loaders[1].niceness == own
    assert loaders[2].niceness == (max(own, NICENESS) if gives_way else own)

"""The manager: brings what is served in line with what is aspired, one step at a time.

Threads: any thread may call :meth:`Manager.servable`, :meth:`Manager.aspire` and
:meth:`Manager.states`. Each load and unload has a thread of its own, never one that answers
requests, and takes one of a few slots while it works; waiting, for the next try to load or for the
last request that holds a version, takes none.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from serving.errors import ServingError, not_found
from serving.loader import Loader
from serving.policy import Load, Snapshot, next_action
from serving.priority import give_way
from serving.saved_model import SavedModel
from serving.servable import ServableId, ServableState, State

log = logging.getLogger(__name__)


@dataclass
class _Harness:
    """One version's place in its life; guarded by the manager's lock."""

    loader: Loader
    state: State = State.START
    aspired: bool = True
    error: ServingError | None = None
    model: SavedModel | None = None
    in_use: int = 0

    @property
    def failed_as_aspired(self) -> bool:
        """True if it was wanted all along and could not be loaded: then it is not tried again."""
        return self.aspired and self.error is not None


@dataclass(frozen=True)
class LoadRetries:
    """How often a failing load is tried again, and how long to wait between."""

    count: int = 5
    interval_seconds: float = 60.0


@dataclass
class Manager:
    """Loads and unloads versions and hands them out."""

    make_loader: Callable[[str, Path], Loader]
    """Called with a model's name and a version's folder; must return at once."""
    retries: LoadRetries = field(default_factory=LoadRetries)
    load_threads: int = 1
    unload_threads: int = 1
    loads_give_way: bool = False
    """Whether a load takes what time requests leave, once a version serves. Threads that it starts would keep that."""

    def __post_init__(self) -> None:
        self._changed = threading.Condition()
        self._harnesses: dict[ServableId, _Harness] = {}
        self._load_slots = threading.BoundedSemaphore(self.load_threads)
        self._unload_slots = threading.BoundedSemaphore(self.unload_threads)
        self._steps: list[threading.Thread] = []
        self._stopping = threading.Event()

    def aspire(self, name: str, versions: Mapping[int, Path]) -> None:
        """Say which versions of a model are wanted, each with its folder; the others will go."""
        with self._changed:
            for version, path in versions.items():
                servable_id = ServableId(name, version)
                known = self._harnesses.get(servable_id)
                if known is None or (known.state is State.END and not known.failed_as_aspired):
                    self._harnesses[servable_id] = _Harness(self.make_loader(name, path))
            for servable_id, harness in self._harnesses.items():
                if servable_id.name == name:
                    harness.aspired = servable_id.version in versions
            self._changed.notify_all()
        self._advance(name)

    def states(self, name: str) -> list[ServableState]:
        """Return the state of every version ever aspired, highest version first."""
        with self._changed:
            found = [
                ServableState(servable_id, harness.state, harness.error)
                for servable_id, harness in self._harnesses.items()
                if servable_id.name == name
            ]
        return sorted(found, key=lambda state: state.id, reverse=True)

    @contextmanager
    def servable(self, name: str, version: int | None = None) -> Iterator[tuple[int, SavedModel]]:
        """Hold a version, by default the latest AVAILABLE one, for the length of a request.

        Raises
        ------
        ServingError
            ``NOT_FOUND`` if it is not AVAILABLE.
        """
        with self._changed:
            servable_id = self._resolve(name, version)
            harness = self._harnesses[servable_id]
            assert harness.model is not None
            harness.in_use += 1
        try:
            yield servable_id.version, harness.model
        finally:
            with self._changed:
                harness.in_use -= 1
                self._changed.notify_all()

    def names(self) -> list[str]:
        """Return the names of the models of which a version is, or was, aspired."""
        with self._changed:
            return sorted({servable_id.name for servable_id in self._harnesses})

    def gauge(self) -> dict[tuple[str, ...], float]:
        """Return 1 for the state that each version is in, by name, version and state."""
        with self._changed:
            return {
                (servable_id.name, str(servable_id.version), harness.state.name): 1
                for servable_id, harness in self._harnesses.items()
            }

    def wait_until_settled(self, names: list[str], timeout_seconds: float) -> bool:
        """Wait until each model has a version that is AVAILABLE, or all have failed; False if that took too long."""

        def settled(name: str) -> bool:
            aspired = [harness for harness in self._of(name) if harness.aspired]
            if any(harness.state is State.AVAILABLE for harness in aspired):
                return True
            return bool(aspired) and all(harness.state is State.END and harness.error for harness in aspired)

        with self._changed:
            return self._changed.wait_for(lambda: all(map(settled, names)), timeout_seconds)

    def failures(self, names: list[str]) -> list[ServableState]:
        """Return the versions that failed of those models of which none is AVAILABLE."""
        failed = []
        for name in names:
            states = self.states(name)
            if all(state.state is not State.AVAILABLE for state in states):
                failed += [state for state in states if state.error is not None]
        return failed

    def stop(self, grace_seconds: float) -> bool:
        """Give up waiting loads and free every model that no request holds.

        Returns
        -------
        False if a load or a request was still at work after ``grace_seconds``.
        """
        deadline = time.monotonic() + grace_seconds
        self._stopping.set()
        with self._changed:
            self._changed.notify_all()
            steps = list(self._steps)
        for step in steps:
            step.join(max(0.0, deadline - time.monotonic()))
        with self._changed:
            idle = [harness for harness in self._harnesses.values() if not harness.in_use]
            models = [harness.model for harness in idle if harness.model is not None]
            for harness in idle:
                harness.model, harness.state = None, State.END
            clean = len(idle) == len(self._harnesses) and not any(step.is_alive() for step in steps)
        for model in models:
            model.close()
        return clean

    def _of(self, name: str) -> list[_Harness]:
        return [harness for servable_id, harness in self._harnesses.items() if servable_id.name == name]

    def _resolve(self, name: str, version: int | None) -> ServableId:
        available = [
            servable_id
            for servable_id, harness in self._harnesses.items()
            if servable_id.name == name and harness.state is State.AVAILABLE
        ]
        wanted = max(available, default=None) if version is None else ServableId(name, version)
        if wanted is None or wanted not in available:
            request = f"Latest({name})" if version is None else f"Specific({name}, {version})"
            raise not_found(f"Servable not found for request: {request}")
        return wanted

    def _advance(self, name: str) -> None:
        """Start every step that the policy asks for now."""
        with self._changed:
            while not self._stopping.is_set():
                action = next_action(
                    Snapshot(servable_id.version, harness.state, harness.aspired)
                    for servable_id, harness in self._harnesses.items()
                    if servable_id.name == name
                )
                if action is None:
                    return
                servable_id = ServableId(name, action.version)
                if isinstance(action, Load):
                    self._set_state(servable_id, State.LOADING)
                    self._begin(self._load, servable_id)
                else:
                    self._set_state(servable_id, State.UNLOADING)
                    self._begin(self._unload, servable_id)

    def _begin(self, step: Callable[[ServableId], None], servable_id: ServableId) -> None:
        thread = threading.Thread(target=step, args=(servable_id,), name=f"{step.__name__} {servable_id}", daemon=True)
        self._steps = [each for each in self._steps if each.is_alive()] + [thread]
        thread.start()

    def _load(self, servable_id: ServableId) -> None:
        harness = self._harnesses[servable_id]
        if self.loads_give_way and self._serves():
            give_way()
        for attempt in range(max(0, self.retries.count) + 1):
            error = self._try_to_load(harness)
            harness.error = error
            if error is None:
                break
            log.error("Loading %s failed, attempt %d: %s", servable_id, attempt + 1, error)
            if attempt >= self.retries.count or self._given_up(harness):
                break
        self._set_state(servable_id, State.END if harness.error else State.AVAILABLE)
        self._advance(servable_id.name)

    def _try_to_load(self, harness: _Harness) -> ServingError | None:
        """Load once; returns the error, whatever a model does while loading: the server goes on."""
        with self._load_slots:
            if self._is_unwanted(harness):
                return ServingError("CANCELLED", "The version was taken back before it was loaded.")
            try:
                harness.model = harness.loader.load()
            except ServingError as error:
                return error
            except Exception as error:
                log.exception("A load failed by a defect of the server")
                return ServingError("UNKNOWN", str(error))
        return None

    def _given_up(self, harness: _Harness) -> bool:
        """Wait before the next try to load; True if the version is no longer wanted meanwhile."""
        with self._changed:
            return self._changed.wait_for(lambda: self._is_unwanted(harness), self.retries.interval_seconds)

    def _serves(self) -> bool:
        with self._changed:
            return any(harness.state is State.AVAILABLE for harness in self._harnesses.values())

    def _is_unwanted(self, harness: _Harness) -> bool:
        return self._stopping.is_set() or not harness.aspired

    def _unload(self, servable_id: ServableId) -> None:
        harness = self._harnesses[servable_id]
        with self._changed:
            self._changed.wait_for(lambda: harness.in_use == 0 or self._stopping.is_set())
            if harness.in_use:
                return
            model, harness.model = harness.model, None
        try:
            if model is not None:
                with self._unload_slots:
                    model.close()
        except Exception:
            log.exception("Unloading %s failed", servable_id)
        self._set_state(servable_id, State.END)
        with self._changed:
            if harness.aspired:  # asked for again meanwhile
                self._harnesses[servable_id] = _Harness(harness.loader)
        self._advance(servable_id.name)

    def _set_state(self, servable_id: ServableId, state: State) -> None:
        with self._changed:
            self._harnesses[servable_id].state = state
            self._changed.notify_all()
        if state is State.AVAILABLE:
            log.info("Successfully loaded servable version %s", servable_id)
        else:
            log.info("Servable version %s is in state %s", servable_id, state.name)

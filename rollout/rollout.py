"""Moving the labels ``stable`` and ``canary``, and the traffic with them, so that no request is lost.

The order is always: load, then label, then send traffic; and backwards the other way round. Each
step waits until the model server really does what was asked, and a step that fails is undone.
The version that was stable before stays loaded, so that :meth:`Rollout.rollback` need not load it.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from rollout.model_server import AVAILABLE, END, ModelServers
from rollout.serving_config import write_entry, write_text
from rollout.traffic import Split, read_split, write_split
from scenery import contract, versions
from scenery.errors import ConfigurationError, RolloutError
from scenery.files import replace_text
from scenery.locks import alone_in
from scenery.manifest import verify_manifest
from scenery.serving_config import ModelEntry, read_entry, read_text

STABLE, CANARY = contract.LABEL_STABLE, contract.LABEL_CANARY

_LOOK_SECONDS = 0.1
_FOLLOW_SECONDS = 2.5
"""Longer than a server takes to see a config: a step is undone only when it has forgotten it."""
_SETTLE_SECONDS = 4.0
"""Until then an error may be that of another model under the same number: the server has not looked again yet."""
_STATE_FILE = ".rollout.json"


@dataclass(frozen=True)
class Places:
    """Where everything is."""

    config_file: Path
    models_dir: Path
    traffic_file: Path
    model_servers: tuple[str, ...] = (f"127.0.0.1:{contract.GRPC_PORT}",)
    """Every one that reads the config."""
    model_name: str = contract.MODEL_NAME
    wait_seconds: float = 60.0
    """How long a server may take to do what was asked."""


@dataclass
class Rollout:
    """One model's rollout; made for one command."""

    places: Places
    tell: Callable[[str], None] = lambda _: None
    """Called with a sentence for each step that is done."""
    servers: ModelServers = field(init=False)

    def __post_init__(self) -> None:
        self.servers = ModelServers(self.places.model_servers, self.places.model_name)
        self._model_dir = self.places.models_dir / self.places.model_name

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Hold ``serving.config`` against other commands; raises :class:`RolloutError` if one is at work."""
        folder = self.places.config_file.resolve().parent
        busy = RolloutError(f"Another command is changing {self.places.config_file}. Wait until it has ended.")
        if not folder.is_dir():
            raise ConfigurationError(f"There is no folder {folder}. Name the file with --config.")
        with alone_in(folder, busy):
            yield

    def canary(self, version: int, percent: float, shadow_percent: float = 0) -> None:
        """Give a version the label ``canary`` and a share of the callers.

        Parameters
        ----------
        percent
            Of the callers, answered by the version.
        shadow_percent
            Of the requests, sent to the other version as well and only compared.

        Raises
        ------
        RolloutError
            If the version is not there or cannot be loaded, or the server does not follow; what
            served goes on.
        VersionError
            If its files are not those that were published.
        """
        self._require_published(version)
        entry, available = self.entry(), self.servers.available()
        stable = entry.labels.get(STABLE) or max((each for each in available if each != version), default=None)
        if stable is None:
            raise RolloutError(self._no_stable(version))
        if stable == version:
            raise RolloutError(f"Version {version} is the stable one already. Name another: scenery status lists them.")
        if entry.labels.get(CANARY) != version:
            self._send(None)
        self._relabel({STABLE: stable, CANARY: version})
        self._send(Split(percent, shadow_percent))

    def promote(self, version: int | None = None) -> int:
        """Make a version, by default the canary, the stable one for all callers; returns it.

        Raises
        ------
        RolloutError
            As for :meth:`canary`, or if there is no canary to promote.
        """
        entry = self.entry()
        version = version or entry.labels.get(CANARY)
        if version is None:
            raise RolloutError("There is no canary to promote. Name a version: scenery promote N")
        self._require_published(version)
        before = entry.labels.get(STABLE) or max(self.servers.available(), default=None)
        if before == version:
            before = self.last_good()
        elif before is not None:
            # Noted first: a rollback looks for another version than the stable one, whether this succeeds or not.
            self._write_state([each for each in self._stable_before() if each != before] + [before])
        self._relabel({STABLE: version} | ({CANARY: version} if CANARY in entry.labels else {}), keep=before)
        self._send(Split(0))
        if CANARY in entry.labels:
            self._relabel({STABLE: version}, keep=before)
        return version

    def rollback(self) -> int:
        """Take the canary back, or, if there is none, make the last good version stable again; returns the stable one.

        Raises
        ------
        RolloutError
            If no earlier version is remembered, or the server does not follow.
        """
        entry = self.entry()
        stable = entry.labels.get(STABLE)
        if CANARY in entry.labels and stable is not None:
            self._send(None)
            self._relabel({STABLE: stable}, keep=self.last_good())
            return stable
        good = self.last_good()
        if good is None:
            raise RolloutError(
                "No version was stable before this one, so there is nothing to go back to. Name one: scenery promote N"
            )
        self._send(None)
        self._relabel({STABLE: good}, keep=stable)
        self._write_state([each for each in self._stable_before() if each != good])
        return good

    def entry(self) -> ModelEntry:
        """Return what ``serving.config`` says of the model; raises :class:`ConfigurationError`."""
        return read_entry(self.places.config_file, self.places.model_name)

    def split(self) -> Split | None:
        """Return how the callers are split, or None if they are not."""
        return read_split(self.places.traffic_file)

    def last_good(self) -> int | None:
        """Return the version that was stable before the one that is now, if that is known and it is still there."""
        stable = self.entry().labels.get(STABLE)
        present = versions.list_versions(self._model_dir)
        return next((each for each in reversed(self._stable_before()) if each != stable and each in present), None)

    def needed(self) -> set[int]:
        """Return the versions that must stay: those that serve anywhere, have a label, or were the last good one."""
        entry = self.entry()
        serving = {
            version for server in self.servers.each for version, each in server.states().items() if each.state != END
        }
        good = [each for each in [self.last_good()] if each is not None]
        return {*serving, *entry.labels.values(), *entry.versions, *good}

    def _no_stable(self, version: int) -> str:
        others = [each for each in versions.list_versions(self._model_dir) if each != version]
        if others:
            return (
                f"No version but {version} answers, and to all callers. Make the one that it is to be compared with "
                f"the stable one first: scenery promote {max(others)}"
            )
        return (
            f"There is no version but {version}, so there is nothing to compare it with. Publish one first, or make "
            f"{version} the stable one: scenery promote {version}"
        )

    def _require_published(self, version: int) -> None:
        """Require a version whose files are those that were published, if it says which these are."""
        self._require_present(version)
        verify_manifest(versions.version_folder(self._model_dir, version))

    def _require_present(self, version: int) -> None:
        present = versions.list_versions(self._model_dir)
        if version not in present:
            raise RolloutError(
                f"There is no version {version} in {self._model_dir}; there are "
                f"{', '.join(map(str, present)) or 'none'}. Nothing was changed."
            )

    def _relabel(self, labels: Mapping[str, int], keep: int | None = None) -> None:
        """Load what the labels name, then move them; undone if the server does not follow.

        ``keep`` stays loaded besides.
        """
        entry, text = self.entry(), read_text(self.places.config_file)
        self._require_folders(labels)
        loaded = {*labels.values(), *([] if keep is None else [keep])}
        # First load: a server refuses to move a label to a version that it has not loaded.
        serving = loaded | set(entry.labels.values()) | set(self.servers.available())
        on_disk = set(versions.list_versions(self._model_dir))
        missing = set(labels.values()) - set(self.servers.available())
        if missing:
            began = time.monotonic()
            self._step(text, serving & on_disk, entry.labels, lambda: self._all_load(missing, began))
            self.tell(f"loaded: version {', '.join(map(str, sorted(missing)))}")
        self._step(text, loaded & on_disk, labels, lambda: self._all_mean(labels))
        self.tell("labelled: " + ", ".join(f"{label} is version {version}" for label, version in labels.items()))

    def _require_folders(self, labels: Mapping[str, int]) -> None:
        """Refuse to touch a config whose labelled versions are not on disk: a server would unload them."""
        present = versions.list_versions(self._model_dir)
        for label, version in labels.items():
            if version not in present:
                raise RolloutError(
                    f"The folder of version {version}, the {label} one, is gone; a change of "
                    f"{self.places.config_file} would take it out of service. Nothing was changed. Put it back, or "
                    "promote another version: scenery promote N"
                )

    def _step(self, before: str, serve: set[int], labels: Mapping[str, int], is_done: Callable[[], bool]) -> None:
        """Write the config and wait until the server follows; else write the text that was there ``before``."""
        places = self.places
        write_entry(places.config_file, places.model_name, sorted(serve), labels)
        deadline = time.monotonic() + places.wait_seconds
        try:
            while not is_done():
                if time.monotonic() > deadline:
                    raise RolloutError(
                        f"The model server at {', '.join(places.model_servers)} does not follow "
                        f"{places.config_file} within "
                        f"{places.wait_seconds:g} s. Does it read that file, and again "
                        "(--model_config_file_poll_wait_seconds)? The file is as it was."
                    )
                time.sleep(_LOOK_SECONDS)
        except RolloutError:
            write_text(places.config_file, before)
            time.sleep(_FOLLOW_SECONDS)
            raise
        except BaseException:
            write_text(places.config_file, before)
            raise

    def _all_load(self, wanted: set[int], began: float) -> bool:
        is_news = time.monotonic() - began > _SETTLE_SECONDS
        done = True
        for server in self.servers.each:
            states = server.states()
            for version in sorted(wanted):
                state = states.get(version)
                if is_news and state is not None and state.state == END and state.error:
                    raise RolloutError(
                        f"Version {version} cannot be loaded by {server.address}: {state.error} What served goes on. "
                        "Remove the version, or publish it again."
                    )
                done &= state is not None and state.state == AVAILABLE
        return done

    def _all_mean(self, labels: Mapping[str, int]) -> bool:
        return all(self.servers.means(label, labels.get(label)) for label in (STABLE, CANARY))

    def _send(self, split: Split | None) -> None:
        """Split the callers, and give the proxies the time to see it; None takes a split back, if there is one."""
        before = self.split()
        split = split or (before and Split(0))
        if split is None or split == before:
            return
        write_split(self.places.traffic_file, split)
        time.sleep(_PROXY_SECONDS)
        share = f"{split.canary_percent:g} % of the callers to the canary"
        shadow = f"; {split.shadow_percent:g} % of the requests to both" if split.shadow_percent else ""
        self.tell(f"sent: {share if split.canary_percent else 'all callers to the stable version'}{shadow}")

    def _stable_before(self) -> list[int]:
        try:
            remembered = json.loads((self._model_dir / _STATE_FILE).read_text())["stable_before"]
            return [int(each) for each in remembered]
        except (OSError, ValueError, KeyError, TypeError):
            return []

    def _write_state(self, stable_before: list[int]) -> None:
        path = self._model_dir / _STATE_FILE
        try:
            replace_text(path, json.dumps({"stable_before": stable_before}) + "\n")
        except OSError as error:
            raise RolloutError(f"{path} cannot be written: {error.strerror}. Make room and try again.") from error


_PROXY_SECONDS = 0.5
"""Longer than a proxy takes to see the file."""

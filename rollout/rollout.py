"""Giving versions to callers, and taking them back, so that no request is lost.

The order is always: load, then label, then send callers; and backwards the other way round. Each
step waits until the model servers really do what was asked, and a step that fails is undone.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from rollout.labels import CANARY, STABLE, Labels
from rollout.memory import Memory
from rollout.model_server import END, ModelServers
from rollout.traffic import read_split, write_split
from scenery import contract, versions
from scenery.errors import RolloutError
from scenery.locks import alone
from scenery.manifest import verify_manifest
from scenery.traffic import LOOK_SECONDS, Split

_PROXY_SECONDS = LOOK_SECONDS + 0.3
"""Longer than a proxy takes to see the file."""


@dataclass(frozen=True)
class Places:
    """Where everything is."""

    config_file: Path
    models_dir: Path
    traffic_file: Path | None = None
    """``traffic.json`` in the model's folder, if None."""
    model_servers: tuple[str, ...] = (f"127.0.0.1:{contract.GRPC_PORT}",)
    """Every one that reads the config."""
    model_name: str = contract.MODEL_NAME
    wait_seconds: float = 60.0
    """How long a server may take to do what was asked."""

    @property
    def model_dir(self) -> Path:
        """The folder of the model's versions."""
        return self.models_dir / self.model_name

    @property
    def traffic(self) -> Path:
        """What the proxies read."""
        return self.traffic_file or self.model_dir / contract.TRAFFIC_FILE


@dataclass
class Rollout:
    """One model's rollout; made for one command."""

    places: Places
    tell: Callable[[str], None] = lambda _: None
    """Called with a sentence for each step that is done."""
    servers: ModelServers = field(init=False)
    labels: Labels = field(init=False)

    def __post_init__(self) -> None:
        places = self.places
        self.servers = ModelServers(places.model_servers, places.model_name)
        self.labels = Labels(self.servers, places.config_file, places.model_dir, places.wait_seconds)
        self._memory = Memory(places.model_dir)

    @contextmanager
    def alone(self, patience_seconds: float = 0) -> Iterator[None]:
        """Hold ``serving.config`` against other commands.

        Raises
        ------
        RolloutError
            If another one is at work for longer than ``patience_seconds``.
        ConfigurationError
            If the file's folder is not there or cannot be written to.
        """
        config_file = self.places.config_file.resolve()
        busy = RolloutError(f"Another command is changing {self.places.config_file}. Wait until it has ended.")
        with alone(config_file.with_name(f".{config_file.name}.lock"), busy, patience_seconds):
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
        entry = self.labels.entry()
        stable = entry.labels.get(STABLE) or self._highest_but(version)
        if stable is None:
            raise RolloutError(self._no_stable(version))
        if stable == version:
            raise RolloutError(f"Version {version} is the stable one already. Name another: scenery status lists them.")
        self.labels.require_folders({STABLE: stable})
        with self._split_kept(), self._memory.trying(version):
            if STABLE not in entry.labels or self._readable_split() is None:
                # Until labels decide, the highest version that is loaded would answer all.
                self._label({STABLE: stable})
                self._send(Split(0))
            self._load(version)
            if entry.labels.get(CANARY) != version:
                self._send(Split(0))
            self._label({STABLE: stable, CANARY: version}, keep=self.last_good())
            self._send(Split(percent, shadow_percent))

    def promote(self, version: int | None = None) -> int:
        """Make a version, by default the canary, the stable one for all callers; returns it.

        Raises
        ------
        RolloutError
            As for :meth:`canary`, or if there is no canary to promote.
        """
        labels = self.labels.entry().labels
        version = version or labels.get(CANARY)
        if version is None:
            raise RolloutError("There is no canary to promote. Name a version: scenery promote N")
        self._require_published(version)
        available = self.servers.available()
        before = labels.get(STABLE) or max(available, default=None)
        if before not in available:
            before = None  # Only what really served can be gone back to.
        keep = self.last_good() if before == version else before
        with self._memory.remembered(None if before == version else before):
            self._load(version)
            self._label({STABLE: version} | ({CANARY: version} if CANARY in labels else {}), keep)
        self._send(Split(0))
        if CANARY in labels:
            self._label({STABLE: version}, keep)
        self._memory.forget_canary()
        return version

    def rollback(self) -> int:
        """Take the canary back, or, if there is none, make the last good version stable again; returns the stable one.

        A canary that a killed command has not finished counts as one. What is taken back is
        unloaded: it is likely the highest, which callers without a label get.

        Raises
        ------
        RolloutError
            If no earlier version is remembered, or the server does not follow.
        """
        labels = self.labels.entry().labels
        stable, good = labels.get(STABLE), self.last_good()
        if stable is not None and (CANARY in labels or self._memory.canary is not None):
            self._take_back(stable, keep=good)
            return stable
        if good is None:
            raise RolloutError(
                f"{'No version' if stable is None else f'Version {stable}'} is the stable one, and none that is still "
                "there was so before: there is nothing to go back to. Name one: scenery promote N"
            )
        self._load(good)
        self._label({STABLE: good})
        self._send(Split(0))
        self._memory.forget_from(good)
        if stable is not None:
            self.tell(f"unloaded: version {stable}; scenery promote {stable} brings it back")
        return good

    def split(self) -> Split | None:
        """Return how the callers are split, or None if they are not; raises :class:`RolloutError`."""
        return read_split(self.places.traffic)

    def last_good(self) -> int | None:
        """Return the version that was stable before the one that is now, if that is known and it is still there."""
        present = versions.list_versions(self.places.model_dir)
        return self._memory.last_good(self.labels.entry().labels.get(STABLE), present)

    def needed(self) -> set[int]:
        """Return the versions that must stay: those that serve anywhere, have a label, or were the last good one."""
        entry = self.labels.entry()
        states = [server.states() for server in self.servers.each]
        serving = {version for each in states for version, state in each.items() if state.state != END}
        good = [each for each in [self.last_good()] if each is not None]
        return {*serving, *entry.labels.values(), *entry.versions, *good}

    def failed(self) -> set[int]:
        """Return the versions that a server could not load."""
        states = [server.states() for server in self.servers.each]
        return {version for each in states for version, state in each.items() if state.error}

    def _take_back(self, stable: int, keep: int | None) -> None:
        self._send(Split(0))
        try:
            self.labels.require_folders({STABLE: stable})
            self._label({STABLE: stable}, keep)
        except RolloutError as error:
            raise RolloutError(
                f"{error} No caller is sent to the canary, but it is loaded and labelled still: repeat scenery "
                "rollback when that is mended."
            ) from error
        self._memory.forget_canary()

    def _highest_but(self, version: int) -> int | None:
        return max((each for each in self.servers.available() if each != version), default=None)

    def _no_stable(self, version: int) -> str:
        others = [each for each in versions.list_versions(self.places.model_dir) if each != version]
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
        """Require a version whose files are those that were published, as far as it says which these are."""
        present = versions.list_versions(self.places.model_dir)
        if version not in present:
            raise RolloutError(
                f"There is no version {version} in {self.places.model_dir}; there are "
                f"{', '.join(map(str, present)) or 'none'}. Nothing was changed."
            )
        versions.remember(self.places.model_dir, version)
        if verify_manifest(versions.version_folder(self.places.model_dir, version)) is None:
            self.tell(f"not checked: version {version} came without a manifest, by other means than scenery publish")

    def _load(self, version: int) -> None:
        if self.labels.load(version):
            self.tell(f"loaded: version {version}")

    def _label(self, labels: dict[str, int], keep: int | None = None) -> None:
        self.labels.move(labels, keep)
        self.tell("labelled: " + ", ".join(f"{label} is version {version}" for label, version in labels.items()))

    def _send(self, split: Split) -> None:
        """Split the callers, and give the proxies the time to see it."""
        if self._readable_split() == split:
            return
        write_split(self.places.traffic, split)
        time.sleep(_PROXY_SECONDS)
        share = f"{split.canary_percent:g} % of the callers to the canary"
        shadow = f"; {split.shadow_percent:g} % of the requests to both" if split.shadow_percent else ""
        self.tell(f"sent: {share if split.canary_percent else 'all callers to the stable version'}{shadow}")

    def _readable_split(self) -> Split | None:
        """Return the split; a file that cannot be read is none, and is written anew."""
        try:
            return self.split()
        except RolloutError:
            return None

    @contextmanager
    def _split_kept(self) -> Iterator[None]:
        """Split the callers as before, if a step fails."""
        before = self._readable_split()
        try:
            yield
        except BaseException:
            if before is not None and self._readable_split() != before:
                write_split(self.places.traffic, before)
            raise

"""Loading versions and moving labels: edits of ``serving.config`` that model servers are seen to follow.

A server refuses to move a label to a version that it has not loaded, so each is a step of its own.
A step that is not followed is undone.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from rollout.model_server import AVAILABLE, END, ModelServers
from rollout.serving_config import write_entry, write_text
from scenery import contract, versions
from scenery.errors import RolloutError
from scenery.serving_config import ModelEntry, read_entry, read_text

STABLE, CANARY = contract.LABEL_STABLE, contract.LABEL_CANARY

_LOOK_SECONDS = 0.1
_FOLLOW_SECONDS = 2.5
"""Longer than a server takes to see a config: a step is undone only when it has forgotten it."""
_SETTLE_SECONDS = 4.0
"""Until then an error may be that of another model under the same number: the server has not looked again yet."""


@dataclass(frozen=True)
class Labels:
    """The labels of one model, in its config and in the servers that read it."""

    servers: ModelServers
    config_file: Path
    model_dir: Path
    wait_seconds: float
    """How long a server may take to follow."""

    def entry(self) -> ModelEntry:
        """Return what the config says of the model; raises :class:`ConfigurationError`."""
        return read_entry(self.config_file, self.model_dir.name)

    def load(self, version: int) -> bool:
        """Have a version loaded beside those that serve; returns whether it was not loaded before.

        Raises
        ------
        RolloutError
            If it cannot be loaded, or a server does not follow; the config is as it was then.
        """
        available = set(self.servers.available())
        if version in available:
            return False
        began = time.monotonic()
        present = versions.list_versions(self.model_dir)
        # A label of a version that is gone would be refused, and the whole config with it.
        labels = {label: each for label, each in self.entry().labels.items() if each in present}
        self._step({version, *available, *labels.values()}, labels, lambda: self._loads(version, began))
        return True

    def move(self, labels: dict[str, int], keep: int | None = None) -> None:
        """Give labels to versions that are loaded, and take ``stable`` and ``canary`` from others; these are unloaded.

        Labels that people gave besides stay, and so do their versions.

        Parameters
        ----------
        keep
            A version that stays if it is loaded.

        Raises
        ------
        RolloutError
            If a server does not follow; the config is as it was then.
        """
        kept = [version for version in self.servers.available() if version == keep]
        others = {label: version for label, version in self.entry().labels.items() if label not in (STABLE, CANARY)}
        every = labels | others
        self._step({*every.values(), *kept}, every, lambda: self._mean(labels))

    def require_folders(self, labels: Mapping[str, int]) -> None:
        """Refuse labels whose versions are not on disk: a server that reads its config again would unload them."""
        present = versions.list_versions(self.model_dir)
        for label, version in labels.items():
            if version not in present:
                raise RolloutError(
                    f"The folder of version {version}, the {label} one, is gone; a change of {self.config_file} would "
                    "take it out of service. Put it back, or promote another version: scenery promote N"
                )

    def _step(self, serve: set[int], labels: Mapping[str, int], is_done: Callable[[], bool]) -> None:
        """Write the config and wait until every server follows; else write the text that was there."""
        before = read_text(self.config_file)
        present = set(versions.list_versions(self.model_dir))
        try:
            write_entry(self.config_file, self.model_dir.name, sorted(serve & present), labels)
            self._await(is_done)
        except RolloutError:
            self._undo(before)
            time.sleep(_FOLLOW_SECONDS)
            raise
        except BaseException:
            self._undo(before)
            raise

    def _undo(self, before: str) -> None:
        if read_text(self.config_file) != before:
            write_text(self.config_file, before)

    def _await(self, is_done: Callable[[], bool]) -> None:
        deadline = time.monotonic() + self.wait_seconds
        while not is_done():
            if time.monotonic() > deadline:
                raise RolloutError(
                    f"The model server at {self.servers} does not follow {self.config_file} within "
                    f"{self.wait_seconds:g} s. Does it read that file, and again "
                    "(--model_config_file_poll_wait_seconds)? The file is as it was."
                )
            time.sleep(_LOOK_SECONDS)

    def _loads(self, version: int, began: float) -> bool:
        """Tell whether every server has loaded a version; raises :class:`RolloutError` if one cannot."""
        is_news = time.monotonic() - began > _SETTLE_SECONDS
        done = True
        for server in self.servers.each:
            state = server.states().get(version)
            if is_news and state is not None and state.state == END and state.error:
                raise RolloutError(
                    f"Version {version} cannot be loaded by {server.address}: {state.error} What served goes on. "
                    "Remove the version, or publish it again."
                )
            done &= state is not None and state.state == AVAILABLE
        return done

    def _mean(self, labels: Mapping[str, int]) -> bool:
        return all(self.servers.means(label, labels.get(label)) for label in (STABLE, CANARY))

"""The server core: a ``ModelServerConfig`` kept true, by polling the file system.

It owns the manager, the source's polling thread and the version labels, and is what the data
plane asks for a servable.
"""

from __future__ import annotations

import logging
import threading
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from google.protobuf import text_format

from scenery import wire
from serving.errors import invalid_argument, not_found
from serving.manager import Manager
from serving.saved_model import SavedModel
from serving.servable import ServableState
from serving.source import aspired_versions

log = logging.getLogger(__name__)

_PLATFORM = "tensorflow"
_LOOK_SECONDS = 0.5


def read_config_file(path: Path) -> wire.ModelServerConfig:
    """Read a ``ModelServerConfig`` in text format, such as ``serving.config``.

    Raises
    ------
    ServingError
        If it cannot be read or parsed.
    """
    try:
        text = path.read_text()
    except OSError as error:
        raise not_found(f"{path}; {error.strerror}") from error
    try:
        return text_format.Parse(text, wire.ModelServerConfig(), descriptor_pool=wire.pool)
    except text_format.ParseError as error:
        raise invalid_argument(f"Invalid protobuf file: '{path}': {error}") from error


def single_model_config(name: str, base_path: str) -> wire.ModelServerConfig:
    """Return the config of a server of one model, its latest version."""
    config = wire.ModelServerConfig()
    config.model_config_list.config.add(name=name, base_path=base_path, model_platform=_PLATFORM)
    return config


class ServerCore:
    """Serves what a config asks for. Public methods may be called from any thread."""

    def __init__(self, config: wire.ModelServerConfig, manager: Manager, poll_seconds: float) -> None:
        """Check ``config`` (raises :class:`ServingError`); with ``poll_seconds`` 0 it looks for versions once only."""
        self._manager = manager
        self._poll_seconds = poll_seconds
        self._stopping = threading.Event()
        self._poller = threading.Thread(target=self._poll_forever, name="file-system-poll", daemon=True)
        self._warned: set[str] = set()
        self._models = _checked_models(config)

    def start(self, stop: threading.Event) -> None:
        """Load what is there, wait until it answers or has failed for good, then go on watching.

        Waiting ends early when ``stop`` is set.
        """
        self._poll()
        while not stop.is_set() and not self._manager.wait_until_settled(list(self._models), _LOOK_SECONDS):
            pass
        if self._poll_seconds > 0:
            self._poller.start()

    def stop(self) -> None:
        """Stop watching and free every model."""
        self._stopping.set()
        if self._poller.is_alive():
            self._poller.join()
        self._manager.stop()

    def servable(self, spec: Any) -> AbstractContextManager[tuple[int, SavedModel]]:
        """Hold the version that a ``ModelSpec`` names for the length of a request.

        Raises
        ------
        ServingError
            If the spec is incomplete, its label unknown, or the version not AVAILABLE.
        """
        if not spec.name:
            raise invalid_argument("ModelSpec has no name specified.")
        kind = spec.WhichOneof("version_choice")
        if kind == "version_label":
            return self._manager.servable(spec.name, self._labelled(spec.name, spec.version_label))
        return self._manager.servable(spec.name, spec.version.value if kind == "version" else None)

    def states(self, spec: Any) -> list[ServableState]:
        """Return the states of a model's versions, or of the one that ``spec`` numbers.

        Raises
        ------
        ServingError
            ``NOT_FOUND`` if there are none.
        """
        states = self._manager.states(spec.name)
        if not spec.HasField("version"):
            if not states:
                raise not_found(f"Could not find any versions of model {spec.name}")
            return states
        found = [state for state in states if state.id.version == spec.version.value]
        if not found:
            raise not_found(f"Could not find version {spec.version.value} of model {spec.name}")
        return found

    def _labelled(self, name: str, label: str) -> int:
        config = self._models.get(name)
        if config is None or label not in config.version_labels:
            raise invalid_argument(f"Unrecognized servable version label: {label}")
        version: int = config.version_labels[label]
        return version

    def _poll_forever(self) -> None:
        while not self._stopping.wait(self._poll_seconds):
            try:
                self._poll()
            except Exception:
                log.exception("Looking for versions failed; the next look is in %s s", self._poll_seconds)

    def _poll(self) -> None:
        """Aspire what lies on disk; a folder that is empty for once takes nothing away."""
        for name, model in self._models.items():
            versions = aspired_versions(Path(model.base_path), model.model_version_policy)
            if versions:
                self._manager.aspire(name, versions)
            else:
                self._warn_once(f"No versions of servable {name} found under base path {model.base_path}")

    def _warn_once(self, message: str) -> None:
        if message not in self._warned:
            log.warning(message)
            self._warned.add(message)


def _checked_models(config: wire.ModelServerConfig) -> dict[str, Any]:
    models: dict[str, Any] = {}
    for model in config.model_config_list.config:
        if not model.base_path.startswith("/"):
            raise invalid_argument(
                f"Expected model {model.name} to have an absolute path or URI; got base_path()={model.base_path}"
            )
        if model.name in models:
            raise invalid_argument(f"Duplicate model name: {model.name}")
        models[model.name] = model
    return models

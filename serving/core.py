"""The server core: a ``ModelServerConfig`` kept true.

It owns the manager and the version labels, follows the file system and the config file, and is
what the data plane asks for a servable.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

from scenery import wire
from serving.errors import ServingError, invalid_argument, not_found
from serving.manager import Manager
from serving.model_config import checked_models, single_model_config
from serving.periodic import Periodic
from serving.saved_model import SavedModel
from serving.servable import ServableId, ServableState, State
from serving.source import aspired_versions
from serving.text_proto import parse_text_proto, read_text

log = logging.getLogger(__name__)

_LOOK_SECONDS = 0.2
"""How often a wait asks whether it is to be given up."""

GiveUp = Callable[[], bool]


@dataclass(frozen=True)
class CoreOptions:
    """Where the config comes from, and how it is followed."""

    model_name: str = "default"
    model_base_path: str = ""
    config_file: Path | None = None
    config_poll_seconds: float = 0
    """0: the config file is read once."""
    poll_seconds: float = 1
    """0: folders are looked at once; negative: only when a config is loaded."""
    allow_labels_for_unavailable: bool = False


class ServerCore:
    """Serves what a config asks for. Public methods may be called from any thread."""

    def __init__(self, options: CoreOptions, manager: Manager) -> None:
        self._options = options
        self._manager = manager
        self._reloading = threading.Lock()
        self._models: dict[str, wire.ModelConfig] = {}
        self._labels: dict[str, dict[str, int]] = {}
        self._warned: set[str] = set()
        self._config_text = ""
        self._complaint = ""
        """What was last wrong with the config file; nothing, if it was in order."""
        self._tasks: list[Periodic] = []

    def start(self, give_up: GiveUp) -> None:
        """Load what is configured, wait until it is AVAILABLE, then go on watching.

        Waiting ends early when ``give_up()`` is true.

        Raises
        ------
        ServingError
            If the config cannot be used, or a model did not become AVAILABLE.
        """
        options = self._options
        self._apply(self._first_config())
        self._wait(self._manager.names(), give_up)
        if options.poll_seconds > 0:
            self._tasks.append(Periodic("file-system-poll", options.poll_seconds, self._poll))
        if options.config_file and options.config_poll_seconds > 0:
            self._tasks.append(Periodic("config-file-poll", options.config_poll_seconds, self._follow_config_file))
        for task in self._tasks:
            task.start()

    def stop(self, grace_seconds: float) -> bool:
        """Stop watching and free every model; see :meth:`Manager.stop`."""
        for task in self._tasks:
            task.stop()
        return self._manager.stop(grace_seconds)

    def reload(self, config: wire.ModelServerConfig, give_up: GiveUp) -> None:
        """Serve another list of models, and wait until those that are new are AVAILABLE.

        Labels may only name versions that are AVAILABLE already; nothing is changed if one does not.
        Waiting ends early when ``give_up()`` is true; the new list is in force all the same.

        Raises
        ------
        ServingError
            If the config is not valid, a label cannot be set, or a new model cannot be loaded.
        """
        if config.WhichOneof("config") != "model_config_list":
            raise invalid_argument(
                "ServerModelConfig type not supported by HandleReloadConfigRequest. Only ModelConfigList is currently "
                "supported"
            )
        self._wait(self._apply(config), give_up)

    def servable(self, spec: wire.ModelSpec) -> AbstractContextManager[tuple[int, SavedModel]]:
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

    def states(self, spec: wire.ModelSpec) -> list[ServableState]:
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

    def knows(self, name: str) -> bool:
        """Return whether a model is configured."""
        return name in self._models

    def _first_config(self) -> wire.ModelServerConfig:
        options = self._options
        if options.config_file:
            self._config_text = read_text(options.config_file)
            return parse_text_proto(self._config_text, options.config_file, wire.ModelServerConfig)
        log.info(
            "Building single TensorFlow model file config:  model_name: %s model_base_path: %s",
            options.model_name,
            options.model_base_path,
        )
        return single_model_config(options.model_name, options.model_base_path)

    def _apply(self, config: wire.ModelServerConfig) -> list[str]:
        """Put a config in force; returns the names of the models that are new."""
        with self._reloading:
            models = checked_models(config, self._models)
            labels = self._checked_labels(models)
            added = [name for name in models if name not in self._models]
            removed = [name for name in self._models if name not in models]
            self._models, self._labels = models, labels
            for name in removed:
                self._manager.aspire(name, {})
            self._look()
            return added

    def _checked_labels(self, models: dict[str, wire.ModelConfig]) -> dict[str, dict[str, int]]:
        """Return the labels of each model; raises :class:`ServingError` if one cannot be set."""
        labels = {name: dict(model.version_labels) for name, model in models.items()}
        for name, versions in labels.items():
            for label, version in versions.items():
                current = self._labels.get(name, {}).get(label)
                is_free = current is None and self._options.allow_labels_for_unavailable
                if current != version and not is_free and not self._is_available(name, version):
                    raise ServingError(
                        "FAILED_PRECONDITION",
                        f"Request to assign label to version {version} of model {name}, which is not currently "
                        "available for inference",
                    )
        return labels

    def _is_available(self, name: str, version: int) -> bool:
        return any(
            state.id == ServableId(name, version) and state.state is State.AVAILABLE
            for state in self._manager.states(name)
        )

    def _wait(self, names: Iterable[str], give_up: GiveUp) -> None:
        """Wait until each model is AVAILABLE; raises :class:`ServingError` if one cannot be."""
        wanted = list(names)
        while not self._manager.wait_until_settled(wanted, _LOOK_SECONDS):
            if give_up():
                return
        failed = self._manager.failures(wanted)
        if failed:
            each = ", ".join(f"{{{state.id} due to error: {state.error}}}" for state in failed)
            raise ServingError("UNKNOWN", f"{len(failed)} servable(s) did not become available: {{{each}, }}")

    def _labelled(self, name: str, label: str) -> int:
        labels = self._labels.get(name, {})
        if label not in labels:
            raise invalid_argument(f"Unrecognized servable version label: {label}")
        return labels[label]

    def _poll(self) -> None:
        with self._reloading:
            self._look()

    def _look(self) -> None:
        """Aspire what lies on disk; a folder that cannot be read for once takes nothing away."""
        for name, model in self._models.items():
            versions = aspired_versions(Path(model.base_path), model.model_version_policy)
            if versions is not None:
                self._manager.aspire(name, versions)
            else:
                self._warn_once(
                    f"The base path {model.base_path} of servable {name} cannot be read. Correct it, or its "
                    "permissions; what is served stays."
                )
            if versions == {}:
                self._warn_once(
                    f"No versions of servable {name} found under base path {model.base_path}. "
                    "A version is a folder named by a whole number, such as 1."
                )

    def _follow_config_file(self) -> None:
        """Put the file in force again, changed or not: it wins over reloads by request, as in TF Serving."""
        assert self._options.config_file is not None
        try:
            text = read_text(self._options.config_file)
            config = parse_text_proto(text, self._options.config_file, wire.ModelServerConfig)
            if config.WhichOneof("config") is None:
                # As TF Serving does: an empty file is likely one that is being written.
                raise invalid_argument("Taking no action for empty config.")
            self._apply(config)
        except ServingError as error:
            if error.message != self._complaint:
                log.error("%s is not followed: %s", self._options.config_file, error.message)
            self._complaint = error.message
            return
        self._complaint = ""
        if text != self._config_text:
            self._config_text = text
            log.info("%s is in force", self._options.config_file)

    def _warn_once(self, message: str) -> None:
        if message not in self._warned:
            log.warning(message)
            self._warned.add(message)

"""``serving.config``, as whoever only reads it needs it: TF Serving's ``ModelServerConfig`` in text format."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from google.protobuf import text_format

from scenery import contract, wire
from scenery.errors import ConfigurationError


@dataclass(frozen=True)
class ModelEntry:
    """What ``serving.config`` says of a model."""

    name: str
    base_path: str
    labels: dict[str, int]
    """Versions by label."""
    versions: list[int]
    """Those of a ``specific`` policy; empty for any other policy."""

    def serving(self, present: list[int]) -> list[int]:
        """Return the versions of ``present`` that callers get by default, the likeliest first.

        That is the stable one alone, if there is one.
        """
        if contract.LABEL_STABLE in self.labels:
            return [self.labels[contract.LABEL_STABLE]]
        return sorted((each for each in present if not self.versions or each in self.versions), reverse=True)


def read_entry(config_file: Path, name: str) -> ModelEntry:
    """Return the entry of a model; raises :class:`ConfigurationError` if there is none."""
    model = find_model(parse(read_text(config_file), config_file), config_file, name)
    return ModelEntry(
        name, model.base_path, dict(model.version_labels), list(model.model_version_policy.specific.versions)
    )


def read_text(config_file: Path) -> str:
    """Read the file; raises :class:`ConfigurationError` if it cannot be read."""
    try:
        return config_file.read_text()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ConfigurationError(f"{config_file} cannot be read: {reason}. Name one with --config.") from error


def parse(text: str, config_file: Path) -> Any:
    """Return the text as a ``ModelServerConfig``; raises :class:`ConfigurationError` if it is none."""
    try:
        return text_format.Parse(text, wire.ModelServerConfig(), descriptor_pool=wire.pool)
    except text_format.ParseError as error:
        raise ConfigurationError(f"{config_file} is no ModelServerConfig in text format: {error}") from error


def find_model(config: Any, config_file: Path, name: str) -> Any:
    """Return the ``ModelConfig`` of that name; raises :class:`ConfigurationError` if there is none."""
    for model in config.model_config_list.config:
        if model.name == name:
            return model
    raise ConfigurationError(f"{config_file} has no model {name!r}. Name another with --model-name.")

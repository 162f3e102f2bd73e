"""``serving.config`` as a server outside a container can read it.

TensorFlow Serving takes absolute paths only, and the file names the one that containers mount:
``/models/…``. On a bare machine the same file is read with that root replaced.
"""

from __future__ import annotations

from pathlib import Path

from google.protobuf import text_format

from scenery import contract, wire
from scenery.errors import ConfigurationError
from scenery.files import Stamp, replace_text, stamp
from scenery.serving_config import parse, read_text


def localize(config_file: Path, models_dir: Path) -> str:
    """Return ``config_file`` with every base path below ``/models`` moved below ``models_dir``.

    Raises
    ------
    ConfigurationError
        If the file is missing or is no ``ModelServerConfig`` in text format, or has no model.
    """
    config = parse(read_text(config_file), config_file)
    if not config.model_config_list.config:
        raise ConfigurationError(f"{config_file} has no model. Write a model_config_list with one config at least.")
    for model in config.model_config_list.config:
        path = Path(model.base_path)
        if path.is_relative_to(contract.CONFIG_ROOT):
            model.base_path = str(models_dir.resolve() / path.relative_to(contract.CONFIG_ROOT))
    return text_format.MessageToString(config, descriptor_pool=wire.pool)


class LocalConfig:
    """A localized copy of ``serving.config`` that follows its edits."""

    def __init__(self, config_file: Path, models_dir: Path, copy: Path) -> None:
        """Write the copy; raises :class:`ConfigurationError` as :func:`localize` does."""
        self._config_file = config_file
        self._models_dir = models_dir
        self.copy = copy
        self._seen = self._stamp()
        self.text = localize(config_file, models_dir)
        self._write()

    def follow(self) -> str | None:
        """Write the copy anew if the file was edited.

        Returns
        -------
        What is wrong with the edit, if it cannot be used; the copy stays as it was then.
        """
        seen = self._stamp()
        if seen == self._seen:
            return None
        self._seen = seen
        try:
            self.text = localize(self._config_file, self._models_dir)
        except ConfigurationError as error:
            return str(error)
        self._write()
        return None

    def _stamp(self) -> Stamp | None:
        """Return the file's stamp; None if it has none to be seen, and why is told by who reads it."""
        try:
            return stamp(self._config_file)
        except OSError:
            return None

    def _write(self) -> None:
        """Replace the copy in one step: a model server may read it at any moment."""
        replace_text(self.copy, self.text)


def model_names(config_text: str) -> list[str]:
    """Return the names of the models in a ``ModelServerConfig``."""
    config = text_format.Parse(config_text, wire.ModelServerConfig(), descriptor_pool=wire.pool)
    return [model.name for model in config.model_config_list.config]

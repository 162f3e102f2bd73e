"""``serving.config`` as a server outside a container can read it.

TensorFlow Serving takes absolute paths only, and the file names the one that containers mount:
``/models/…``. On a bare machine the same file is read with that root replaced.
"""

from __future__ import annotations

from pathlib import Path

from google.protobuf import text_format

from scenery import contract, wire
from scenery.errors import ConfigurationError


def localize(config_file: Path, models_dir: Path) -> str:
    """Return ``config_file`` with every base path below ``/models`` moved below ``models_dir``.

    Raises
    ------
    ConfigurationError
        If the file is missing or is no ``ModelServerConfig`` in text format.
    """
    try:
        config = text_format.Parse(config_file.read_text(), wire.ModelServerConfig(), descriptor_pool=wire.pool)
    except OSError as error:
        raise ConfigurationError(f"{config_file} cannot be read: {error.strerror}. Name one with --config.") from error
    except text_format.ParseError as error:
        raise ConfigurationError(f"{config_file} is no ModelServerConfig in text format: {error}") from error
    for model in config.model_config_list.config:
        path = Path(model.base_path)
        if path.is_relative_to(contract.CONFIG_ROOT):
            model.base_path = str(models_dir.resolve() / path.relative_to(contract.CONFIG_ROOT))
    return text_format.MessageToString(config, descriptor_pool=wire.pool)


def model_names(config_text: str) -> list[str]:
    """Return the names of the models in a ``ModelServerConfig``."""
    config = text_format.Parse(config_text, wire.ModelServerConfig(), descriptor_pool=wire.pool)
    return [model.name for model in config.model_config_list.config]

"""``ModelServerConfig``: which models to serve, checked before anything is changed."""

from __future__ import annotations

from collections.abc import Mapping

from scenery import wire
from serving.errors import invalid_argument

PLATFORM = "tensorflow"


def single_model_config(name: str, base_path: str) -> wire.ModelServerConfig:
    """Return the config of a server of one model, its latest version."""
    config = wire.ModelServerConfig()
    config.model_config_list.config.add(name=name, base_path=base_path, model_platform=PLATFORM)
    return config


def checked_models(
    config: wire.ModelServerConfig, current: Mapping[str, wire.ModelConfig]
) -> dict[str, wire.ModelConfig]:
    """Return the models of a config by their names.

    Parameters
    ----------
    config
        What is asked for.
    current
        The models served now.

    Raises
    ------
    ServingError
        If a model is listed twice, has no absolute path, or a platform that is not TensorFlow's.
    """
    models: dict[str, wire.ModelConfig] = {}
    for model in config.model_config_list.config:
        if model.name in models:
            raise invalid_argument(f"Illegal to list model {model.name} multiple times in config list")
        _check_platform(model, model.name in current)
        _check_base_path(model)
        models[model.name] = model
    return models


def _check_platform(model: wire.ModelConfig, served: bool) -> None:
    platform = model.model_platform
    if model.model_type:
        if platform:
            raise invalid_argument(
                "Illegal setting both ModelServerConfig::model_type (deprecated) and ModelServerConfig::model_platform."
            )
        platform = (
            PLATFORM if model.model_type == wire.enum_values("tensorflow.serving.ModelType")["TENSORFLOW"] else "other"
        )
    if not platform:
        raise invalid_argument(
            "Illegal setting neither ModelServerConfig::model_type (deprecated) nor ModelServerConfig::model_platform, "
            f"model name is {model.name}"
        )
    if platform == PLATFORM:
        return
    if served:
        raise invalid_argument(
            f"Illegal to change a model's platform. For model {model.name} platform was {PLATFORM} and new platform "
            f"requested is {platform}"
        )
    raise invalid_argument(f"Model {model.name} requests unsupported platform {platform}")


def _check_base_path(model: wire.ModelConfig) -> None:
    if "://" in model.base_path:
        raise invalid_argument(
            f"Model {model.name} has the URI {model.base_path} for a base path. This server reads local folders only."
        )
    if not model.base_path.startswith("/"):
        raise invalid_argument(
            f"Expected model {model.name} to have an absolute path or URI; got base_path()={model.base_path}"
        )

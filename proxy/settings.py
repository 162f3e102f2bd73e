"""The proxy's settings: one typed table, read from ``SCENERY_…`` environment variables."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import Field, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from scenery import contract
from scenery.errors import ConfigurationError

PREFIX = "SCENERY_"
FIGURES_FOLDER = "PROMETHEUS_MULTIPROC_DIR"
"""prometheus_client's own name for the folder that several workers share; set by the server, not by people."""


class Settings(BaseSettings):
    """Every setting has a default that works; a field's name in capitals, prefixed, is its variable."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True)

    listen_host: str = Field("127.0.0.1", description="Address that the proxy listens on; 0.0.0.0 is every one.")
    listen_port: int = Field(contract.PROXY_PORT, ge=0, le=65535, description="TCP port that the proxy listens on.")
    model_server: str = Field(
        f"127.0.0.1:{contract.GRPC_PORT}", description="gRPC address of the model server, as gRPC names addresses."
    )
    model_name: str = Field(contract.MODEL_NAME, min_length=1, description="Name of the servable to ask.")
    timeout_seconds: float = Field(10.0, gt=0, le=3600, description="Longest wait for the model server, a photo.")
    max_body_bytes: int = Field(16 * 2**20, gt=0, description="Largest request body that is read.")
    max_photos: int = Field(32, gt=0, description="Most photos in one multipart request.")
    traffic_file: Path = Field(
        Path("models", contract.MODEL_NAME, contract.TRAFFIC_FILE),
        description="The canary's share; without the file the latest version answers all.",
    )
    workers: int = Field(1, ge=1, description="Processes that answer requests.")
    threads: int = Field(32, ge=1, description="Requests that one process answers at a time.")


def load_settings(**given: Any) -> Settings:
    """Read the settings from the environment; ``given`` ones win over it.

    Raises
    ------
    ConfigurationError
        Naming the variable and what it may hold.
    """
    try:
        return Settings(**given)
    except ValidationError as error:
        first = error.errors()[0]
        variable = PREFIX + str(first["loc"][0]).upper()
        raise ConfigurationError(f"{variable}: {first['msg']}. Received: {first['input']!r}") from error

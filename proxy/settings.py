"""The proxy's settings: one typed table, read from ``SCENERY_…`` environment variables."""

from __future__ import annotations

import difflib
import os
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from scenery import contract
from scenery.errors import ConfigurationError

PREFIX = "SCENERY_"
FIGURES_FOLDER = "PROMETHEUS_MULTIPROC_DIR"
"""prometheus_client's own name for the folder that several workers share; set by the server, not by people."""

Names = Annotated[tuple[str, ...], NoDecode]
"""Several names in one variable, with commas between them."""


class Settings(BaseSettings):
    """Every setting has a default that works; a field's name in capitals, prefixed, is its variable."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True, env_ignore_empty=True)

    listen_host: str = Field("127.0.0.1", description="Address that the proxy listens on; 0.0.0.0 is every one.")
    listen_port: int = Field(contract.PROXY_PORT, ge=0, le=65535, description="TCP port that the proxy listens on.")
    model_server: str = Field(
        f"127.0.0.1:{contract.GRPC_PORT}",
        min_length=1,
        description="gRPC address of the model server, as gRPC names addresses: dns:///name:8500 takes turns "
        "between all that the name stands for, and so does ipv4:10.0.0.1:8500,10.0.0.2:8500.",
    )
    model_name: str = Field(contract.MODEL_NAME, min_length=1, description="Name of the servable to ask.")
    labels: Names = Field(
        (), description="Labels of a model that has no describe signature, in the order of its scores: beach,city,…"
    )
    timeout_seconds: float = Field(
        10.0, gt=0, le=3600, description="Longest wait for the answer to a request; X-Request-Timeout may ask for less."
    )
    max_body_bytes: int = Field(16 * 2**20, gt=0, description="Largest request body, or photo by URL, that is read.")
    max_photos: int = Field(32, gt=0, description="Most photos in one request.")
    max_pixels: int = Field(contract.MAX_PIXELS, gt=0, description="Largest photo, width times height.")
    max_frames: int = Field(1000, gt=0, description="Most frames of an animation; only the first is read.")
    url_hosts: Names = Field(
        (), description="Hosts that photos are fetched from by URL: example.org,*.example.org; none if empty."
    )
    traffic_file: Path = Field(
        Path("models", contract.MODEL_NAME, contract.TRAFFIC_FILE),
        description="The canary's share; without the file the latest version answers all.",
    )
    workers: int = Field(1, ge=1, description="Processes that answer requests.")
    threads: int = Field(32, ge=1, description="Requests that one process reads and answers at a time.")
    max_in_flight: int | None = Field(
        None,
        ge=1,
        description="Requests that the model server is asked to work on at a time; half as many wait for a moment, and "
        "what comes on top is told to come again. None: 4 for each core.",
    )
    model_server_tls: bool = Field(False, description="Speak TLS to the model server.")
    model_server_ca_file: Path | None = Field(
        None, description="Certificates that may sign the model server's, PEM. None: those that gRPC brings."
    )
    model_server_certificate_file: Path | None = Field(
        None, description="The proxy's own certificate, PEM, for a model server that asks for one."
    )
    model_server_key_file: Path | None = Field(None, description="The key of that certificate, PEM.")
    model_server_tls_name: str | None = Field(
        None, description="Name in the model server's certificate, where its address is another."
    )
    api_keys_file: Path | None = Field(
        None, description="Hashes of the keys that may classify, written by scenery api-key. None: everybody may."
    )
    rate_limit: str | None = Field(
        None, description="Most requests of one key, or one address without keys: 10/second;300/minute. None: no limit."
    )
    rate_limit_storage: str = Field(
        "memory://", description="Where they are counted; several processes need one that they share: redis://host."
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="What is logged: debug, info, warning or error."
    )
    log_photos: bool = Field(False, description="Log the file names, labels and scores of photos too.")
    otlp_endpoint: str | None = Field(
        None, description="OpenTelemetry collector that gets traces: http://host:4318. None: no traces."
    )
    sample_folder: Path | None = Field(
        None, description="Where some photos are kept, made small, for scenery review. None: no photo is kept."
    )
    sample_max_photos: int = Field(500, ge=10, le=10_000, description="Most photos kept.")
    sample_max_megabytes: int = Field(100, ge=1, description="Most room that kept photos take.")
    sample_days: int = Field(30, ge=1, le=3650, description="Days after which a kept photo is removed.")
    sample_uniform_percent: float = Field(
        1.0, ge=0, le=100, description="Share of all photos that is kept whatever their scores, to estimate accuracy."
    )
    sample_margin: float = Field(
        0.2,
        ge=0,
        le=1,
        description="A photo is unsure, and kept, if a score has gone at most this share of the way from its threshold "
        "to 0 or 1.",
    )

    @field_validator("labels", "url_hosts", mode="before")
    @classmethod
    def _split(cls, value: Any) -> Any:
        return tuple(name.strip() for name in value.split(",") if name.strip()) if isinstance(value, str) else value

    @model_validator(mode="after")
    def _fit(self) -> Settings:
        names = ("model_server_ca_file", "model_server_certificate_file", "model_server_tls_name")
        given = [name for name in names if getattr(self, name) is not None]
        if given and not self.model_server_tls:
            raise ValueError(f"{PREFIX}{given[0].upper()} needs {PREFIX}MODEL_SERVER_TLS=true")
        if (self.model_server_certificate_file is None) != (self.model_server_key_file is None):
            raise ValueError(
                f"{PREFIX}MODEL_SERVER_CERTIFICATE_FILE and {PREFIX}MODEL_SERVER_KEY_FILE go together; one is missing"
            )
        return self


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
        if not first["loc"]:
            raise ConfigurationError(first["msg"].removeprefix("Value error, ") + ".") from error
        variable = PREFIX + str(first["loc"][0]).upper()
        raise ConfigurationError(f"{variable}: {first['msg']}. Received: {first['input']!r}") from error


def misspelt() -> list[str]:
    """Return a sentence for each variable that looks like a setting and is none.

    Not an error: Kubernetes puts variables such as ``SCENERY_PORT`` there by itself.
    """
    known = {PREFIX + name.upper() for name in Settings.model_fields}
    unknown = sorted(name for name in os.environ if name.startswith(PREFIX) and name not in known)
    close = {name: difflib.get_close_matches(name, known, 1, 0.85) for name in unknown}
    return [f"{name} is no setting; did you mean {near[0]}?" for name, near in close.items() if near]

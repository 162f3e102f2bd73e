"""The gRPC channel to the model servers: found by name, asked in turns, tried again where that is safe."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import grpc

from proxy.settings import PREFIX, Settings
from scenery import wire
from scenery.errors import ConfigurationError

KEEPALIVE_SECONDS = 10
"""A call that waits longer has the connection asked whether it still lives."""
KEEPALIVE_TIMEOUT_SECONDS = 5
"""A connection that answers nothing for so long is closed; calls on it fail, and may be tried elsewhere."""

RETRY_BUFFER_BYTES = 2**30
"""gRPC tries again only what it holds; its own default, 256 KiB, is less than a photo."""

_SERVICE_CONFIG = {
    "loadBalancingConfig": [{"round_robin": {}}],
    "methodConfig": [
        {
            "name": [{"service": wire.PREDICTION_SERVICE}],
            # gRPC retries within the call's deadline only, and these four attempts take 0.2 s at most.
            "retryPolicy": {
                "maxAttempts": 4,
                "initialBackoff": "0.02s",
                "maxBackoff": "0.1s",
                "backoffMultiplier": 2,
                "retryableStatusCodes": ["UNAVAILABLE"],
            },
        }
    ],
    # Half of the calls failing ends the retries: a server that is down is not asked four times as often.
    "retryThrottling": {"maxTokens": 10, "tokenRatio": 0.1},
}
"""Source: gRPC's service config, https://github.com/grpc/grpc/blob/master/doc/service_config.md."""

_OPTIONS: list[tuple[str, Any]] = [
    ("grpc.service_config", json.dumps(_SERVICE_CONFIG)),
    ("grpc.max_send_message_length", -1),
    ("grpc.max_receive_message_length", -1),
    ("grpc.per_rpc_retry_buffer_size", RETRY_BUFFER_BYTES),
    ("grpc.keepalive_time_ms", KEEPALIVE_SECONDS * 1000),
    ("grpc.keepalive_timeout_ms", KEEPALIVE_TIMEOUT_SECONDS * 1000),
    # The model server is a neighbour: found again within a second of its return, never behind a web proxy.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1000),
    ("grpc.dns_min_time_between_resolutions_ms", 1000),
    ("grpc.enable_http_proxy", 0),
]


def open_channel(settings: Settings) -> grpc.Channel:
    """Open the channel; in each worker, after the fork.

    Raises
    ------
    ConfigurationError
        If a certificate or key cannot be read.
    """
    if not settings.model_server_tls:
        return grpc.insecure_channel(settings.model_server, _OPTIONS)
    name = settings.model_server_tls_name
    options = _OPTIONS + ([("grpc.ssl_target_name_override", name)] if name else [])
    return grpc.secure_channel(settings.model_server, credentials(settings), options)


def credentials(settings: Settings) -> grpc.ChannelCredentials:
    """Read the certificates; raises :class:`ConfigurationError` if one cannot be used."""
    return grpc.ssl_channel_credentials(
        root_certificates=_read("model_server_ca_file", settings.model_server_ca_file),
        private_key=_read("model_server_key_file", settings.model_server_key_file),
        certificate_chain=_read("model_server_certificate_file", settings.model_server_certificate_file),
    )


def _read(setting: str, file: Path | None) -> bytes | None:
    if file is None:
        return None
    try:
        content = file.read_bytes()
    except OSError as error:
        raise ConfigurationError(f"{PREFIX}{setting.upper()}: {file} cannot be read: {error.strerror}.") from error
    if b"-----BEGIN " not in content:
        raise ConfigurationError(f"{PREFIX}{setting.upper()}: {file} is not in PEM format.")
    return content

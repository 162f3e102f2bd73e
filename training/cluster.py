"""Who trains together: the workers that ``TF_CONFIG`` names, and waiting until all of them have come."""

from __future__ import annotations

import json
import socket
import time
from dataclasses import dataclass

from scenery.errors import ConfigurationError, SceneryError

ONE = "one"
MULTI_WORKER = "multi-worker"
"""The strategies: who trains."""

EXAMPLE = '{"cluster": {"worker": ["10.0.0.1:2222", "10.0.0.2:2222"]}, "task": {"type": "worker", "index": 0}}'

_CHIEF, _WORKER = "chief", "worker"

_LOOK_SECONDS = 0.2
_CONNECT_SECONDS = 2.0


class WorkerLostError(SceneryError):
    """Another worker did not come, or is gone; none can go on without it."""


@dataclass(frozen=True)
class Cluster:
    """The workers of a training, as one of them sees it."""

    addresses: list[str]
    """``host:port`` of each, the chief's first."""
    index: int
    """The place of this one."""


def read_cluster(tf_config: str | None) -> Cluster:
    """Read the value of ``TF_CONFIG``, which TensorFlow documents and training operators set.

    Raises
    ------
    ConfigurationError
        If it is missing, no JSON, or names no place for this worker among all.
    """
    if not tf_config:
        raise _refused("it is not set")
    try:
        told = json.loads(tf_config)
        jobs, kind, index = told["cluster"], told["task"]["type"], int(told["task"]["index"])
        addresses = [address for job in (_CHIEF, _WORKER) for address in jobs.get(job, [])]
        place = index + (len(jobs.get(_CHIEF, [])) if kind == _WORKER else 0)
        known = range(len(jobs.get(kind, [])))
        ports = [_host_and_port(address)[1] for address in addresses]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise _refused(f"{tf_config!r} is not of this form") from error
    if kind not in (_CHIEF, _WORKER):
        raise _refused(f"the type is {kind!r}; those that train are {_CHIEF} and {_WORKER}")
    if index not in known:
        raise _refused(f"the index is {index}, but the cluster has {len(known)} of type {kind}")
    if len(set(addresses)) < len(addresses) or not all(0 < port < 65536 for port in ports):
        raise _refused(f"each worker needs an address of its own, host:port. Received: {', '.join(addresses)}")
    return Cluster(addresses, place)


def gather(cluster: Cluster, wait_seconds: float) -> None:
    """Wait until every other worker listens at its address, and be found at one's own meanwhile.

    TensorFlow would wait too, but for an hour, and deaf to signals.

    Raises
    ------
    ConfigurationError
        If something listens at this worker's port already.
    WorkerLostError
        If another one does not come within ``wait_seconds``.
    """
    deadline = time.monotonic() + wait_seconds
    missing = [address for address in cluster.addresses if address != cluster.addresses[cluster.index]]
    with _listening(cluster.addresses[cluster.index], len(missing)):
        while missing := [address for address in missing if not _listens(address)]:
            if time.monotonic() > deadline:
                raise WorkerLostError(
                    f"After {wait_seconds:.0f} s nobody listens at {', '.join(missing)}, where TF_CONFIG has other "
                    "workers. Start them, correct the addresses, or wait longer by --worker-wait-seconds."
                )
            time.sleep(_LOOK_SECONDS)


def _refused(reason: str) -> ConfigurationError:
    return ConfigurationError(
        f"The variable TF_CONFIG tells each worker who trains with it, but {reason}. "
        f"For the first of two workers it is {EXAMPLE}, and for the second the same with index 1."
    )


def _host_and_port(address: str) -> tuple[str, int]:
    """Take an address apart; raises ``ValueError`` if it is none."""
    host, _, port = address.rpartition(":")
    host = host.strip("[]")
    if not host.encode("idna"):  # a UnicodeError, which is a ValueError, where no host can be called so
        raise ValueError("no host")
    return host, int(port)


def _listening(address: str, peers: int) -> socket.socket:
    """Listen at this worker's port, on every interface as TensorFlow will."""
    _, port = _host_and_port(address)
    dual = socket.has_dualstack_ipv6()
    family = socket.AF_INET6 if dual else socket.AF_INET
    try:
        return socket.create_server(("", port), family=family, backlog=peers + 1, dualstack_ipv6=dual)
    except OSError as error:
        raise ConfigurationError(
            f"This worker cannot listen at port {port}, which TF_CONFIG gives it: {error.strerror}. "
            "Name a free port, or end what uses it."
        ) from error


def _listens(address: str) -> bool:
    try:
        socket.create_connection(_host_and_port(address), _CONNECT_SECONDS).close()
    except OSError:
        return False
    return True

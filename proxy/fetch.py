"""Photos by URL: fetched from hosts that were named beforehand, at public addresses, within bounds.

What a caller asks this proxy to fetch must not reach what only the proxy can reach (server-side request forgery).
Each host is resolved once; all of its addresses must be public, and the connection goes to one of those very
addresses, so that a second answer of the name server, another one, has no part in it. Redirects are not followed.
For the same reason no web proxy of the environment is asked (scenery.web_proxy): it would look the name up itself.
Source: OWASP, Server-Side Request Forgery Prevention Cheat Sheet.
"""

from __future__ import annotations

import re
import socket
import string
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import TimeoutError as FutureTimeoutError
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from http.client import HTTPException
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from typing import TYPE_CHECKING, Final
from urllib.parse import SplitResult, quote, urlsplit

from proxy.deadline import Deadline
from proxy.problems import ProblemError, problem
from scenery.errors import ConfigurationError

if TYPE_CHECKING:
    from ssl import SSLContext

    from urllib3.response import BaseHTTPResponse

Address = IPv4Address | IPv6Address

PORTS: Final = {"http": 80, "https": 443}
MAX_URL_CHARACTERS: Final = 8192
RESOLVED_AT_A_TIME: Final = 8
"""Names that are looked up at a time; the system's resolver cannot be told when to give up."""

_INSTEAD = "Try another address, or send the photo's bytes."
_CHUNK_BYTES = 2**16
_HOST = re.compile(r"[a-z0-9._:-]{1,253}")
_HEADERS = {"Accept": "image/*", "Accept-Encoding": "identity", "Connection": "close", "User-Agent": "scenery-proxy"}

_UNICAST = IPv6Network("2000::/3")
"""All that is routed in public today. Source: IANA's IPv6 address space registry."""
_NAT64 = IPv6Network("64:ff9b::/96")
"""Source: RFC 6052. The last 32 bits are an IPv4 address."""


def is_public(address: Address) -> bool:
    """Tell whether an address is one of the public Internet, as is the IPv4 address that an IPv6 one may hold."""
    if isinstance(address, IPv6Address):
        inner = _inner(address)
        if inner is not None:
            return is_public(inner)
        if address not in _UNICAST:
            return False
    return address.is_global and not address.is_multicast


def _inner(address: IPv6Address) -> IPv4Address | None:
    """Return the IPv4 address that packets to a mapped, 6to4 or NAT64 address end at."""
    if address in _NAT64:
        return IPv4Address(int(address) & 0xFFFFFFFF)
    return address.ipv4_mapped or address.sixtofour


@dataclass(frozen=True)
class Place:
    """Where a photo lies."""

    scheme: str
    host: str
    """In small letters, international names in ASCII, without the last dot."""
    port: int
    target: str
    """Path and query, in ASCII."""

    def host_header(self) -> str:
        """Return what HTTP calls the host."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == PORTS[self.scheme] else f"{host}:{self.port}"


@dataclass(frozen=True)
class HostRule:
    """A host, or all below it, that photos may be fetched from."""

    name: str
    below: bool
    """Whether it stands for every host below it, and not for itself."""
    ports: frozenset[int]

    def allows(self, place: Place) -> bool:
        """Tell whether a photo may be fetched from there."""
        named = place.host.endswith(f".{self.name}") if self.below else place.host == self.name
        return named and place.port in self.ports


def parse_rule(entry: str) -> HostRule:
    """Read ``example.org``, ``*.example.org`` or either with ``:8080``; without a port 80 and 443 are allowed.

    Raises
    ------
    ConfigurationError
        If it is something else, such as a URL.
    """
    try:
        parts = urlsplit(f"//{entry.removeprefix('*.')}")
        if parts.netloc != entry.removeprefix("*."):
            raise ValueError
        port, name = parts.port, _host(parts)
    except ValueError as error:
        raise ConfigurationError(
            "SCENERY_URL_HOSTS names hosts, with commas between them: example.org, *.example.org for all below it, "
            f"example.org:8080 for another port. Received: {entry!r}"
        ) from error
    return HostRule(name, entry.startswith("*."), frozenset(PORTS.values() if port is None else (port,)))


def parse_url(url: str) -> Place:
    """Read the URL of a photo; raises :class:`ProblemError` if it is none that is fetched."""
    if len(url) > MAX_URL_CHARACTERS or not url.isprintable() or set(url) & set(" \\"):
        raise _not_allowed(f"A URL has at most {MAX_URL_CHARACTERS} characters, none of them white space or \\.")
    try:
        parts = urlsplit(url)
        port, host = parts.port, _host(parts)
    except ValueError as error:
        raise _not_allowed("The URL cannot be read. Send one like https://example.org/photo.jpg") from error
    if parts.scheme not in PORTS:
        raise _not_allowed("Only http:// and https:// are fetched.")
    target = quote((parts.path or "/") + (f"?{parts.query}" if parts.query else ""), safe=string.punctuation)
    return Place(parts.scheme, host, PORTS[parts.scheme] if port is None else port, target)


def _host(parts: SplitResult) -> str:
    """Return the host of a URL as :class:`Place` has it; raises ``ValueError``."""
    host = (parts.hostname or "").removesuffix(".").encode("idna").decode("ascii").lower()
    if "@" in parts.netloc or not _HOST.fullmatch(host):
        raise ValueError
    return host


class Fetcher:
    """Fetches photos from the hosts that it was told. Threads share it; make it after a fork."""

    def __init__(
        self,
        hosts: Iterable[str],
        max_bytes: int,
        is_allowed: Callable[[Address], bool] = is_public,
        tls: SSLContext | None = None,
    ) -> None:
        """Remember what may be fetched.

        Parameters
        ----------
        hosts
            As :func:`parse_rule` reads them.
        max_bytes
            The largest photo.
        is_allowed
            Whether an address may be connected to.
        tls
            How hosts prove who they are; by the system's certificates if None.

        Raises
        ------
        ConfigurationError
            If a host cannot be one.
        """
        import ssl

        self._rules = [parse_rule(host) for host in hosts]
        self._max_bytes = max_bytes
        self._is_allowed = is_allowed
        self._tls = tls or ssl.create_default_context()
        self._resolving = ThreadPoolExecutor(RESOLVED_AT_A_TIME, "resolve")

    def get(self, url: str, timeout_seconds: float) -> bytes:
        """Return the bytes at a URL, whatever they are.

        Parameters
        ----------
        timeout_seconds
            For everything together: looking the name up, connecting, waiting and reading.

        Raises
        ------
        ProblemError
            ``url-not-allowed``, if the URL, its host or an address of it is not one to fetch from;
            ``url-timeout``; ``too-many-bytes``; ``url-not-fetched``, for every other failure of the host.
        """
        from urllib3.exceptions import HTTPError

        deadline, place = Deadline.after(timeout_seconds), parse_url(url)
        if not any(rule.allows(place) for rule in self._rules):
            raise _not_allowed(f"Photos are not fetched from {place.host_header()}.")
        addresses = self._addresses(place, deadline)
        try:
            with closing(self._connect(place, addresses, deadline)) as sock, _cut(sock, deadline):
                content = self._receive(sock, place, deadline)
        except (OSError, HTTPException, HTTPError) as error:
            raise _failure(place, error, deadline) from error
        if not deadline.seconds_left():
            raise _too_late(place)  # what was read may have been cut off
        return content

    def _addresses(self, place: Place, deadline: Deadline) -> list[Address]:
        """Look a host up, once; all of its addresses must be allowed."""
        looking = self._resolving.submit(socket.getaddrinfo, place.host, place.port, type=socket.SOCK_STREAM)
        try:
            found = looking.result(deadline.seconds_left())
        except FutureTimeoutError as error:
            looking.cancel()
            raise _too_late(place) from error
        except (OSError, UnicodeError) as error:
            raise _not_fetched(f"The name {place.host} is not known") from error
        addresses = list(dict.fromkeys(ip_address(each[4][0]) for each in found))
        if not all(map(self._is_allowed, addresses)):
            raise _not_allowed(f"{place.host} is not at a public address.")
        return addresses

    def _connect(self, place: Place, addresses: list[Address], deadline: Deadline) -> socket.socket:
        """Connect to the first address that answers; each gets its share of the time."""
        for left in range(len(addresses), 0, -1):
            try:
                return self._connected(place, addresses[-left], Deadline.after(deadline.seconds_left() / left))
            except OSError:
                if left == 1:
                    raise
        raise OSError("The host has no address")

    def _connected(self, place: Place, address: Address, deadline: Deadline) -> socket.socket:
        """Connect to an address and shake hands; the host's certificate is held against the host's name."""
        sock = socket.create_connection((str(address), place.port), _patience_seconds(deadline))
        if place.scheme == "http":
            return sock
        with closing(sock):  # which no longer has the connection, once TLS took it over
            sock.settimeout(_patience_seconds(deadline))  # for the whole handshake
            return self._tls.wrap_socket(sock, server_hostname=place.host)

    def _receive(self, sock: socket.socket, place: Place, deadline: Deadline) -> bytes:
        """Ask for a photo and read it; never more than its bound, and as it was sent."""
        from urllib3.connection import HTTPConnection

        headers = _HEADERS | {"Host": place.host_header()}
        connection = HTTPConnection(place.host, place.port, timeout=_patience_seconds(deadline))
        connection.sock = sock
        connection.request("GET", place.target, headers=headers, preload_content=False, decode_content=False)
        with closing(connection.getresponse()) as response:
            _check(place, response)
            content = bytearray()
            if (response.length_remaining or 0) > self._max_bytes:
                raise self._too_large(place)
            while chunk := response.read(_CHUNK_BYTES):
                content += chunk
                if len(content) > self._max_bytes:
                    raise self._too_large(place)
        return bytes(content)

    def _too_large(self, place: Place) -> ProblemError:
        detail = f"The photo at {place.host} has more than {self._max_bytes} bytes. Choose a smaller one."
        return problem("too-many-bytes", detail)


@contextmanager
def _cut(sock: socket.socket, deadline: Deadline) -> Iterator[None]:
    """Break a connection off at the deadline, however slowly bytes come: each read alone may be in time."""
    sock.settimeout(_patience_seconds(deadline))
    timer = threading.Timer(deadline.seconds_left(), _shut, [sock])
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def _patience_seconds(deadline: Deadline) -> float:
    return max(deadline.seconds_left(), 0.001)  # 0 would mean something else


def _shut(sock: socket.socket) -> None:
    with suppress(OSError):  # it is closed already
        socket.socket.shutdown(sock, socket.SHUT_RDWR)  # not TLS's own, which another thread must not call


def _check(place: Place, response: BaseHTTPResponse) -> None:
    """Raise :class:`ProblemError` if an answer holds no photo as it is."""
    status = response.status
    if status in (404, 410):
        raise _not_fetched(f"{place.host} has no such photo")
    if status in (401, 403):
        raise _not_fetched(f"{place.host} does not give the photo to everybody")
    if 300 <= status < 400:
        raise _not_fetched(f"{place.host} redirects to another address, which is not followed")
    if status != 200:
        raise _not_fetched(f"{place.host} answered with status {status}")
    if response.headers.get("Content-Encoding", "identity").lower() != "identity":
        raise _not_fetched(f"{place.host} sent the photo compressed, though it was asked not to")


def _failure(place: Place, error: Exception, deadline: Deadline) -> ProblemError:
    """Tell why a connection failed, without an address."""
    from ssl import SSLError

    from urllib3.exceptions import NewConnectionError
    from urllib3.exceptions import SSLError as WrappedSSLError
    from urllib3.exceptions import TimeoutError as WrappedTimeoutError

    late = isinstance(error, TimeoutError | WrappedTimeoutError) and not isinstance(error, NewConnectionError)
    if late or not deadline.seconds_left():
        return _too_late(place)
    if isinstance(error, SSLError | WrappedSSLError):
        return _not_fetched(f"{place.host} cannot be trusted: TLS failed, perhaps for its certificate")
    return _not_fetched(f"{place.host} cannot be connected to, or broke off")


def _not_allowed(sentence: str) -> ProblemError:
    return problem("url-not-allowed", f"{sentence} {_INSTEAD}")


def _not_fetched(reason: str) -> ProblemError:
    return problem("url-not-fetched", f"{reason}. {_INSTEAD}")


def _too_late(place: Place) -> ProblemError:
    return problem("url-timeout", f"{place.host} did not give the photo in time. {_INSTEAD}")

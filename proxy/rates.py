"""How often one caller may ask: no more in any window of time than the limits allow.

``limits`` reads the notation and keeps the windows of several processes in Redis or Valkey. Those of one process
are kept here, in :class:`Windows`.
"""

from __future__ import annotations

import ipaddress
import logging
import math
import threading
import time
from array import array
from bisect import bisect_left
from collections import OrderedDict, defaultdict
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Final, TypeVar, cast

import limits
from limits import RateLimitItem
from limits.errors import StorageError
from limits.storage import MovingWindowSupport, RedisStorage, storage_from_string

from proxy.problems import problem
from scenery.errors import ConfigurationError

log = logging.getLogger(__name__)

MEMORY: Final = "memory://"
"""The storage that each process has for itself."""

MAX_BYTES = 32 * 2**20
"""What the windows of one length may take in memory; the callers who asked longest ago are forgotten first."""

STORAGE_SECONDS = 0.25
"""How long a shared storage may take to connect, and to answer."""
PAUSE_SECONDS = 1.0
"""How long a storage that failed is not asked again."""
COMPLAINT_SECONDS = 60.0
"""How often the log tells of one that fails."""

_HIT_BYTES = 8
_CALLER_BYTES = 400
"""Name, array and place in the dictionary, measured in CPython 3.11."""
_SHARED = tuple(RedisStorage.STORAGE_SCHEME or ())

_Answer = TypeVar("_Answer")


class Windows(MovingWindowSupport):
    """The moments at which each caller asked, in this process. Threads share it.

    In the place of limits' own memory storage, which (5.8) never forgets the name of a caller in a moving window,
    and looks through all callers up to a hundred times a second. This one looks at the oldest only.
    """

    def __init__(self, max_bytes: int = MAX_BYTES) -> None:
        self._max_bytes = max_bytes
        self._counting = threading.Lock()
        self._callers: dict[int, OrderedDict[str, array[float]]] = defaultdict(OrderedDict)
        self._bytes: dict[int, int] = defaultdict(int)

    def acquire_entry(self, key: str, limit: int, expiry: int, amount: int = 1) -> bool:
        """Count ``amount`` if that makes no more than ``limit`` in the last ``expiry`` seconds; tell whether it did."""
        with self._counting:
            now = time.monotonic()
            hits = self._current(key, expiry, now)
            if len(hits) + amount > limit:
                return False
            callers = self._callers[expiry]
            self._bytes[expiry] += _HIT_BYTES * amount + (0 if key in callers else _CALLER_BYTES)
            hits.extend([now] * amount)
            callers[key] = hits
            callers.move_to_end(key)
            self._forget(expiry, now)
            return True

    def get_moving_window(self, key: str, limit: int, expiry: int) -> tuple[float, int]:  # noqa: ARG002  limits' protocol
        """Return when the first of what counts now was counted, in seconds since 1970, and how many there are."""
        with self._counting:
            now = time.monotonic()
            hits = self._current(key, expiry, now)
            return time.time() - (now - hits[0] if hits else 0), len(hits)

    def __len__(self) -> int:
        """Return how many callers are remembered."""
        return sum(map(len, self._callers.values()))

    def _current(self, key: str, expiry: int, now: float) -> array[float]:
        """Return a caller's moments, oldest first, without those that count no longer."""
        hits = self._callers[expiry].get(key)
        if hits is None:
            return array("d")
        old = bisect_left(hits, now - expiry)
        del hits[:old]
        self._bytes[expiry] -= _HIT_BYTES * old
        return hits

    def _forget(self, expiry: int, now: float) -> None:
        """Drop callers of whom nothing counts any more, and more where they take too much memory."""
        callers = self._callers[expiry]
        while callers:
            key, hits = next(iter(callers.items()))
            if hits and hits[-1] >= now - expiry and self._bytes[expiry] <= self._max_bytes:
                return
            del callers[key]
            self._bytes[expiry] -= _CALLER_BYTES + _HIT_BYTES * len(hits)


@dataclass(frozen=True)
class Window:
    """What a limit leaves to a caller."""

    limit: RateLimitItem
    left: int
    """How much may be counted now."""
    seconds: int
    """Until the first of what counts now will count no longer, at least 1; the whole window if nothing does."""

    @property
    def name(self) -> str:
        """Tell this limit from others: what it allows in how many seconds."""
        return f"{self.limit.amount}/{self.limit.get_expiry()}s"

    def less(self, cost: int) -> Window:
        """Return what it leaves when so much was counted."""
        return replace(self, left=self.left - cost)


class Rates:
    """Counts what callers ask for, and refuses what is too much. Threads share it.

    A shared storage that cannot be reached refuses nobody: photos matter more than the count of them.
    """

    def __init__(self, rate_limit: str, storage_uri: str = MEMORY) -> None:
        """Read the limits; a shared storage is connected to when it is first asked.

        Parameters
        ----------
        rate_limit
            In limits' notation: ``600/minute``, or several that all hold: ``10/second;600/minute``.
        storage_uri
            ``memory://``, or ``redis://host`` and the like.

        Raises
        ------
        ConfigurationError
            If one of the two cannot be used.
        """
        self._limits = _parsed(rate_limit)
        self._storage = _opened(storage_uri)
        self._ask_from = self._complain_from = -math.inf

    def take(self, who: str, cost: int = 1) -> dict[str, str]:
        """Count ``cost`` for a caller, such as the name of a key or what :func:`caller` returns.

        Returns
        -------
        The headers that tell the caller the limits and what they leave now; none if nobody knows.

        Raises
        ------
        ProblemError
            ``rate-limited``, if that is more than one of the limits leaves; then nothing is counted.
        """
        counted = self._asked(lambda: self._counted(who, cost))
        if counted is None:
            return {}
        windows, full = counted
        if full is None:
            return _headers(windows)
        detail = f"At most {full.limit.amount} are answered in {full.limit.get_expiry()} seconds. "
        if cost > full.limit.amount:
            detail += f"This counts {cost} times: send less at a time."
        else:
            detail += f"Come again in {full.seconds} s."
        raise problem("rate-limited", detail, Retry_After=str(full.seconds), **_headers(windows))

    def _counted(self, who: str, cost: int) -> tuple[list[Window], Window | None]:
        """Count, if every limit leaves enough; return what they leave, and the full one to wait for longest."""
        windows = self._windows(who)
        full = [window for window in windows if window.left < cost]
        if not full:  # yet one may be, if another thread or process comes in between
            full = [window for window in windows if not self._storage.acquire_entry(*_place(window.limit, who), cost)]
            windows = self._windows(who) if full else [window.less(cost) for window in windows]
        return windows, max(full, key=lambda window: window.seconds, default=None)

    def _windows(self, who: str) -> list[Window]:
        return [self._window(limit, who) for limit in self._limits]

    def _window(self, limit: RateLimitItem, who: str) -> Window:
        begun, count = self._storage.get_moving_window(*_place(limit, who))
        seconds = math.ceil(begun + limit.get_expiry() - time.time())
        return Window(limit, max(0, limit.amount - count), max(1, seconds))

    def _asked(self, question: Callable[[], _Answer]) -> _Answer | None:
        """Return what the storage says; None if it cannot be reached, or could not a moment ago."""
        now = time.monotonic()
        if now < self._ask_from:
            return None
        try:
            return question()
        except StorageError as error:
            self._ask_from = now + PAUSE_SECONDS
            if now >= self._complain_from:
                self._complain_from = now + COMPLAINT_SECONDS
                log.error("SCENERY_RATE_LIMIT_STORAGE fails, nobody is limited meanwhile: %s", error.storage_error)
            return None


def check_workers(rate_limit: str | None, storage_uri: str, workers: int) -> None:
    """Raise :class:`ConfigurationError` if several processes would each allow the whole rate."""
    if rate_limit is not None and storage_uri == MEMORY and workers > 1:
        raise ConfigurationError(
            f"With {workers} workers SCENERY_RATE_LIMIT needs a storage that they share, "
            "SCENERY_RATE_LIMIT_STORAGE=redis://host; or SCENERY_WORKERS=1."
        )


def caller(address: str | None) -> str:
    """Return what stands for whoever asks from an IP address: the address, or the /64 that one has in IPv6."""
    try:
        parsed = ipaddress.ip_address(address or "")
    except ValueError:
        return address or "unknown"
    if parsed.version == 4 or parsed.ipv4_mapped:
        return str(parsed.ipv4_mapped if parsed.version == 6 else parsed)
    return str(ipaddress.ip_network((parsed, 64), strict=False))


def _headers(windows: list[Window]) -> dict[str, str]:
    """Return the headers that tell a caller the limits and what they leave.

    Source: draft-ietf-httpapi-ratelimit-headers-11, https://github.com/ietf-wg-httpapi/ratelimit-headers.
    """
    policies = (f'"{each.name}";q={each.limit.amount};w={each.limit.get_expiry()}' for each in windows)
    left = (f'"{each.name}";r={each.left};t={each.seconds}' for each in windows)
    return {"RateLimit-Policy": ", ".join(policies), "RateLimit": ", ".join(left)}


def _place(limit: RateLimitItem, who: str) -> tuple[str, int, int]:
    return limit.key_for(who), limit.amount, limit.get_expiry()


def _parsed(rate_limit: str) -> list[RateLimitItem]:
    try:
        found = limits.parse_many(rate_limit)
    except ValueError:
        found = []
    if not found or min(limit.amount for limit in found) < 1:
        raise ConfigurationError(
            "SCENERY_RATE_LIMIT is a number above 0 and second, minute, hour or day, such as 600/minute, or several "
            f"that all hold: 10/second;600/minute. Received: {rate_limit!r}"
        )
    return found


def _opened(storage_uri: str) -> MovingWindowSupport:
    scheme = storage_uri.partition("://")[0]
    if storage_uri == MEMORY:
        return Windows()
    if scheme not in _SHARED:
        raise ConfigurationError(
            f"SCENERY_RATE_LIMIT_STORAGE is {MEMORY}, or the address of a Redis or Valkey: redis://host:6379. "
            f"Received one that begins with {scheme!r}"
        )
    patience: dict[str, Any] = {
        "socket_connect_timeout": STORAGE_SECONDS,
        "socket_timeout": STORAGE_SECONDS,
        "retry": None,
    }
    try:
        return cast(RedisStorage, storage_from_string(storage_uri, wrap_exceptions=True, **patience))
    except limits.errors.ConfigurationError as error:
        package = "valkey" if scheme.startswith("valkey") else "redis"
        raise ConfigurationError(
            f"SCENERY_RATE_LIMIT_STORAGE needs the package {package}: pip install {package}"
        ) from error
    except ValueError as error:
        # Not in the error's words: they may hold a piece of the password.
        raise ConfigurationError(f"SCENERY_RATE_LIMIT_STORAGE is no address such as {scheme}://host:6379/0.") from error

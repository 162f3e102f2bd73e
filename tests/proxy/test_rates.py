"""How often a caller may ask: in one process, in several by way of Redis, and with a Redis that is gone."""

from __future__ import annotations

import logging
import re
import shutil
import socket
import subprocess
import sys
import threading
import time
import tracemalloc
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy import rates
from proxy.problems import ProblemError
from proxy.rates import Rates, Windows, caller, check_workers
from scenery.errors import ConfigurationError
from tests.processes import free_ports, wait_until


def granted(limited: Rates, who: str = "anna", cost: int = 1) -> bool:
    """Tell whether a caller gets what it asks for."""
    try:
        limited.take(who, cost)
    except ProblemError:
        return False
    return True


def refusal(limited: Rates, who: str = "anna", cost: int = 1) -> ProblemError:
    """Return how a caller is refused."""
    with pytest.raises(ProblemError) as raised:
        limited.take(who, cost)
    assert (raised.value.status, raised.value.name) == (429, "rate-limited")
    return raised.value


def test_no_more_than_the_limit():
    """Each caller has its own count, and what comes on top is told when to come again."""
    limited = Rates("3/minute")
    assert [granted(limited) for _ in range(5)] == [True, True, True, False, False]
    assert granted(limited, "ben")
    problem = refusal(limited)
    assert 59 <= int(problem.headers["Retry-After"]) <= 60
    assert "At most 3 are answered in 60 seconds. Come again in" in problem.detail


def test_the_wait_is_as_told():
    """Who comes again after Retry-After is answered."""
    limited = Rates("2/second")
    assert granted(limited)
    assert granted(limited)
    wait_seconds = int(refusal(limited).headers["Retry-After"])
    assert wait_seconds == 1
    time.sleep(wait_seconds)
    assert granted(limited)


def test_several_limits_all_hold():
    """What one limit refuses is not counted by the others, and the longest wait is told."""
    limited = Rates("2/second;5/minute")
    assert [granted(limited) for _ in range(20)].count(True) == 2
    assert "r=3;t=60" in refusal(limited).headers["RateLimit"]
    wait_until(lambda: not granted(limited) and '"5/60s";r=0' in refusal(limited).headers["RateLimit"], "five", 20)
    assert int(refusal(limited).headers["Retry-After"]) > 50


def test_photos_may_count_each():
    """A request of several photos counts as many times, whole or not at all."""
    limited = Rates("10/minute")
    assert granted(limited, cost=8)
    assert not granted(limited, cost=3)
    assert granted(limited, cost=2)
    assert "This counts 11 times: send less at a time" in refusal(limited, "ben", cost=11).detail


def test_the_headers_are_those_of_the_draft():
    """Lists of strings with parameters: quota and window of each policy, what is left and for how long."""
    limited = Rates("10/second; 600/2 minutes")
    headers = limited.take("anna", 4)
    assert headers["RateLimit-Policy"] == '"10/1s";q=10;w=1, "600/120s";q=600;w=120'
    assert headers["RateLimit"] == '"10/1s";r=6;t=1, "600/120s";r=596;t=120'
    assert refusal(limited, cost=700).headers.keys() == {"Retry-After", "RateLimit-Policy", "RateLimit"}


def test_what_is_left_is_told_without_another_look(monkeypatch):
    """A request that is answered reads each window once, which takes a round trip where several processes share it."""
    read, look = [], Windows.get_moving_window
    monkeypatch.setattr(Windows, "get_moving_window", lambda *asked: read.append(asked) or look(*asked))
    limited = Rates("10/second; 600/2 minutes")
    assert limited.take("anna")["RateLimit"] == '"10/1s";r=9;t=1, "600/120s";r=599;t=120'
    assert len(read) == 2
    assert limited.take("anna")["RateLimit"].startswith('"10/1s";r=8;')


def test_threads_share_the_limit():
    """Of many who ask at the same moment as many are answered as the limit says."""
    windows, together = Windows(), threading.Barrier(8)

    def ask(_: int) -> int:
        together.wait(10)
        return sum(windows.acquire_entry(f"caller-{number}", 1, 60) for number in range(2000))

    interval_seconds = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(8) as pool:
            assert sum(pool.map(ask, range(8))) == 2000
    finally:
        sys.setswitchinterval(interval_seconds)


@pytest.fixture
def clock(monkeypatch):
    """A clock that a test turns on by hand."""
    now = [1000.0]
    monkeypatch.setattr(rates.time, "monotonic", lambda: now[0])
    return now


@settings(max_examples=200, deadline=None, database=None, derandomize=True)
@given(st.lists(st.tuples(st.floats(0, 6), st.integers(1, 4), st.sampled_from("ab")), max_size=60), st.integers(1, 6))
def test_no_window_has_more_than_the_limit(steps, limit):
    """Wherever a window of ten seconds begins, a caller got no more in it; and never less than was free."""
    now, windows, got = 0.0, Windows(), []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rates.time, "monotonic", lambda: now)
        for wait, amount, who in steps:
            now += wait
            counted = sum(each for at, each, whose in got if whose == who and at >= now - 10)
            assert windows.get_moving_window(who, limit, 10)[1] == counted
            fits = counted + amount <= limit
            assert windows.acquire_entry(who, limit, 10, amount) is fits
            if fits:
                got.append((now, amount, who))


def test_callers_are_forgotten(clock):
    """Who does not come again is gone from memory when nothing of it counts any more."""
    windows = Windows()
    for number in range(1000):
        windows.acquire_entry(f"caller-{number}", 5, 60)
        windows.get_moving_window(f"nobody-{number}", 5, 60)
    assert len(windows) == 1000
    clock[0] += 61
    windows.get_moving_window("caller-0", 5, 60)
    windows.acquire_entry("another", 5, 60)
    assert len(windows) == 1


def test_many_callers_take_bounded_memory():
    """A crowd of addresses that never ends pushes out those who asked longest ago, not the process."""
    windows = Windows(max_bytes=2**20)
    tracemalloc.start()
    for number in range(20_000):
        windows.acquire_entry(f"LIMITER/2001:db8:{number:x}::/64/600/1/minute", 600, 60)
    windows.acquire_entry("who asks on and on", 10**9, 60, 500_000)
    windows.acquire_entry("the last", 600, 60)
    taken, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert taken < 1.25 * 2**20
    assert windows.get_moving_window("the last", 600, 60)[1] == 1


@pytest.mark.parametrize("notation", ["", "many", "600", "600/fortnight", "0/second", "-1/second", "10/second;x"])
def test_a_wrong_notation_is_named_at_the_start(notation):
    """The start ends with the variable, an example and what it held."""
    with pytest.raises(ConfigurationError, match=f"SCENERY_RATE_LIMIT is .*600/minute.*{re.escape(repr(notation))}"):
        Rates(notation)


@pytest.mark.parametrize("uri", ["", "disk://", "memcached://a:1", "async+redis://a", "redis://:secret@a:port"])
def test_a_wrong_storage_is_named_at_the_start(uri):
    """The start ends with the variable, and without a password that may stand in it."""
    with pytest.raises(ConfigurationError, match=r"SCENERY_RATE_LIMIT_STORAGE is ") as raised:
        Rates("1/second", uri)
    assert "secret" not in str(raised.value)


def test_several_workers_need_a_storage_that_they_share():
    """Otherwise each would allow the whole rate."""
    with pytest.raises(ConfigurationError, match=r"With 2 workers SCENERY_RATE_LIMIT needs .*SCENERY_WORKERS=1"):
        check_workers("1/second", "memory://", 2)
    check_workers("1/second", "memory://", 1)
    check_workers("1/second", "redis://host", 2)
    check_workers(None, "memory://", 2)


@pytest.mark.parametrize(
    ("address", "who"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        (None, "unknown"),
        ("", "unknown"),
    ],
)
def test_an_address_stands_for_its_owner(address, who):
    """A household has one address in the old Internet, and 2^64 of them in the new one."""
    assert caller(address) == who


def test_a_storage_that_is_gone_refuses_nobody(caplog):
    """Everybody is answered, at once, and the log says so once, not for each."""
    limited = Rates("1/minute", f"redis://:secret@127.0.0.1:{free_ports(1)[0]}")
    with caplog.at_level(logging.ERROR):
        assert all(granted(limited) for _ in range(50))
    assert limited.take("anna") == {}
    assert len(caplog.records) == 1
    assert "SCENERY_RATE_LIMIT_STORAGE fails, nobody is limited meanwhile" in caplog.text
    assert "secret" not in caplog.text


def test_a_storage_that_is_silent_holds_up_one_request_only():
    """A storage that takes connections and says nothing costs part of a second, once in a while."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        limited = Rates("1/minute", f"redis://127.0.0.1:{silent.getsockname()[1]}")
        begun = time.monotonic()
        assert all(granted(limited) for _ in range(50))
        assert time.monotonic() - begun < 2 * rates.STORAGE_SECONDS + rates.PAUSE_SECONDS


@pytest.mark.skipif(shutil.which("redis-server") is None, reason="needs a redis-server on PATH")
def test_processes_share_a_limit(monkeypatch, tmp_path):
    """What one process granted counts for the others; when the storage is back, the limit is too."""
    (port,) = free_ports(1)
    command = ["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", str(tmp_path)]
    uri = f"redis://127.0.0.1:{port}"
    monkeypatch.setattr("proxy.rates.PAUSE_SECONDS", 0.05)
    first, second = Rates("4/minute", uri), Rates("4/minute", uri)
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as server:
        try:
            wait_until(lambda: first.take("nobody") != {}, "redis-server", 20)
            assert [granted(each) for each in (first, second) * 3] == [True] * 4 + [False] * 2
            assert 58 <= int(refusal(second).headers["Retry-After"]) <= 60
            assert refusal(second).headers["RateLimit"].startswith('"4/60s";r=0;t=')
            assert granted(second, "ben", cost=3)
            assert not granted(first, "ben", cost=2)
        finally:
            server.terminate()
    assert granted(first)

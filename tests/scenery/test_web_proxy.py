"""The web proxy that the environment names."""

from __future__ import annotations

import base64

import pytest

from scenery.errors import ConfigurationError
from scenery.web_proxy import pool_for, web_proxy_for


@pytest.fixture(autouse=True)
def environment(monkeypatch):
    """No web proxy but the test's own."""
    for name in ("http", "https", "all", "no"):
        monkeypatch.delenv(f"{name}_proxy", raising=False)
        monkeypatch.delenv(f"{name}_proxy".upper(), raising=False)
    return monkeypatch


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("http://example.org/a", "http://one:1"),
        ("https://example.org/a", "http://other:2"),
        ("https://inner.example.net/a", None),
        ("http://example.com:8080/a", None),
        ("http://example.com:8081/a", "http://one:1"),
        ("http://127.0.0.1:8080/a", None),
        ("http://[::1]/a", None),
        ("http://localhost/a", None),
    ],
)
def test_the_way_depends_on_the_address(environment, url, expected):
    """Each scheme has its own, ``no_proxy`` names hosts and ports that are asked themselves, as is this machine."""
    environment.setenv("http_proxy", "http://one:1")
    environment.setenv("all_proxy", "http://other:2")
    environment.setenv("no_proxy", "example.net,example.com:8080")
    assert web_proxy_for(url) == expected


@pytest.mark.parametrize(
    ("named", "host", "words"),
    [
        ("http://way:3128", "way", None),
        ("way:3128", "way", None),
        ("http://anna:s%40cret@way:3128", "way", b"anna:s@cret"),
        ("anna:secret@way:3128", "way", b"anna:secret"),
    ],
)
def test_a_web_proxy_is_read_as_curl_reads_it(environment, named, host, words):
    """A scheme may be missing, and a user's name and password are said to it."""
    environment.setenv("http_proxy", named)
    with pool_for("http://example.org/a", maxsize=3) as pool:
        assert pool.proxy.host == host
        expected = {} if words is None else {"proxy-authorization": f"Basic {base64.b64encode(words).decode()}"}
        assert pool.proxy_headers == expected


@pytest.mark.parametrize(
    ("named", "shown"),
    [
        ("socks5://anna:secret@way:1080", "socks5://way:1080"),
        ("http://", "http://"),
        ("anna:secret@way:port", "way:port"),
    ],
)
def test_what_is_no_web_proxy_is_told_without_its_password(environment, named, shown):
    """The variable is to be corrected; what it holds before the @ is not shown."""
    environment.setenv("http_proxy", named)
    with pytest.raises(ConfigurationError, match=f"http_proxy.*Received: '{shown}'") as caught:
        pool_for("http://example.org/a")
    assert "secret" not in str(caught.value)

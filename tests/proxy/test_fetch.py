"""Photos by URL, from servers that really run: honest ones, slow ones, liars, and places nobody may be sent to."""

from __future__ import annotations

import gzip
import json
import socket
import ssl
import threading
import time
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import IPv4Address, IPv6Address, ip_address

import pytest
import trustme
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.fetch import Fetcher, is_public, parse_url
from proxy.problems import ProblemError
from scenery.errors import ConfigurationError
from tests.processes import free_ports

PHOTO = b"\xff\xd8 as many bytes as a photo has " * 1000
LIMIT = 2 * len(PHOTO)
PUBLIC = "93.184.215.14"
quickly = settings(max_examples=300, deadline=None, database=None, derandomize=True)


class Site(BaseHTTPRequestHandler):
    """Answers each path in its own way."""

    def do_GET(self):
        {
            "/photo.jpg?size=%C3%A9": lambda: self.answer(200, PHOTO),
            "/headers": lambda: self.answer(200, json.dumps(dict(self.headers)).encode()),
            "/exactly": lambda: self.answer(200, bytes(LIMIT)),
            "/one-more": lambda: self.answer(200, bytes(LIMIT + 1)),
            "/endless": self.endless,
            "/says-too-much": lambda: self.answer(200, PHOTO, **{"Content-Length": str(10**15)}),
            "/breaks-off": lambda: self.answer(200, PHOTO, **{"Content-Length": str(LIMIT - 1)}),
            "/says-less": lambda: self.answer(200, PHOTO, **{"Content-Length": "10"}),
            "/bomb": lambda: self.answer(200, gzip.compress(bytes(10**7)), **{"Content-Encoding": "gzip"}),
            "/no-http": lambda: self.wfile.write(b"SSH-2.0-inside\r\n"),
            "/silent": lambda: self.server.over.wait(30),
            "/drip-headers": lambda: self.drip(b"HTTP/1.1 200 OK\r\nX-Long: " + b"x" * 999),
            "/drip-body": lambda: self.drip(b"HTTP/1.1 200 OK\r\n\r\n" + PHOTO),
            "/drip-length": lambda: self.drip(b"HTTP/1.1 200 OK\r\nContent-Length: 999\r\n\r\n" + PHOTO),
            "/drip-chunks": lambda: self.drip(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n999\r\n" + PHOTO),
        }.get(self.path, self.status)()

    def status(self):
        self.answer(int(self.path.removeprefix("/status/")), b"", Location="http://127.0.0.1/inside")

    def log_message(self, *_):
        pass

    def answer(self, status, content, **headers):
        self.send_response(status)
        for name, value in ({"Content-Length": str(len(content))} | headers).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)

    def endless(self):
        self.send_response(200)
        self.end_headers()
        while not self.server.over.is_set():
            self.wfile.write(bytes(2**16))

    def drip(self, content):
        head = content.index(b"\r\n") + 2
        self.wfile.write(content[:head])
        for byte in content[head:]:
            if self.server.over.wait(0.05):
                return
            self.wfile.write(bytes((byte,)))


class Server(ThreadingHTTPServer):
    """Tells its handlers when it is over, and takes it calmly when a client goes away."""

    daemon_threads = True

    def __init__(self, *arguments):
        self.over = threading.Event()
        super().__init__(*arguments)

    def handle_error(self, *_):
        pass


@contextmanager
def serving(context: ssl.SSLContext | None = None):
    """Run a site on a port of 127.0.0.1, which this gives; over TLS if there is a context."""
    with Server(("127.0.0.1", 0), Site) as server:
        if context:
            server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server.server_address[1]
        finally:
            server.over.set()
            server.shutdown()
            thread.join()


@pytest.fixture(scope="module")
def port():
    with serving() as open_port:
        yield open_port


@pytest.fixture
def fetch(port):
    """Fetch a path of the site that runs, wherever it lies."""
    fetcher = Fetcher((f"localhost:{port}",), LIMIT, is_allowed=lambda _: True)
    return lambda path, seconds=10.0: fetcher.get(f"http://localhost:{port}{path}", seconds)


@pytest.fixture
def names(monkeypatch):
    """Names that a test gives addresses to, as a name server would; how often each was asked for is counted."""
    known: dict[str, list[str]] = {}
    asked: list[str] = []
    real = socket.getaddrinfo

    def look_up(host, port, *arguments, **options):
        asked.append(host)
        if host in known:
            return [each for address in known[host] for each in real(address, port, *arguments, **options)]
        return real(host, port, *arguments, **options)

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    known["asked"] = asked
    return known


def problem_of(fetch, url: str, seconds: float = 10) -> ProblemError:
    """Return how a fetch fails; no address is told of which the caller did not know."""
    with pytest.raises(ProblemError) as raised:
        fetch(url, seconds)
    assert "127.0.0" in url or "127.0.0" not in raised.value.detail
    return raised.value


def test_a_photo_is_fetched(port):
    """The bytes come as they are, whatever letters the address is written in."""
    fetcher = Fetcher((f"LocalHost:{port}",), LIMIT, is_allowed=lambda _: True)
    assert fetcher.get(f"HTTP://LOCALHOST.:{port}/photo.jpg?size=é#part", 10) == PHOTO


def test_what_the_host_is_asked(fetch, port, monkeypatch):
    """It is asked by its own name for the bytes as they are, and no proxy of the environment comes in between."""
    for name in ("http_proxy", "HTTP_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{free_ports(1)[0]}")
    headers = json.loads(fetch("/headers"))
    assert headers["Host"] == f"localhost:{port}"
    assert headers["Accept-Encoding"] == "identity"
    assert not {"Cookie", "Authorization", "Forwarded"} & headers.keys()


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("/status/404", "no such photo"),
        ("/status/410", "no such photo"),
        ("/status/403", "not give the photo to everybody"),
        ("/status/301", "redirects"),
        ("/status/307", "redirects"),
        ("/status/204", "status 204"),
        ("/status/500", "status 500"),
        ("/bomb", "compressed"),
        ("/breaks-off", "broke off"),
        ("/no-http", "broke off"),
    ],
)
def test_a_photo_that_is_not_there(fetch, path, words):
    """Whatever the host does instead of giving the photo, the caller is told in words."""
    problem = problem_of(fetch, path)
    assert (problem.status, problem.name) == (422, "url-not-fetched")
    assert words in problem.detail


@pytest.mark.parametrize("path", ["/one-more", "/endless", "/says-too-much"])
def test_a_photo_is_read_up_to_its_bound(fetch, path):
    """One byte more is refused, and what is endless ends there."""
    problem = problem_of(fetch, path)
    assert (problem.status, problem.name) == (413, "too-many-bytes")


def test_a_photo_of_just_the_bound_is_read(fetch):
    """The bound itself is allowed, and bytes beyond what the host promised are not the photo's."""
    assert fetch("/exactly") == bytes(LIMIT)
    assert fetch("/says-less") == PHOTO[:10]


@pytest.mark.parametrize("path", ["/silent", "/drip-headers", "/drip-body", "/drip-length", "/drip-chunks"])
def test_a_slow_host_is_cut_off(fetch, path):
    """A host that is silent, or gives a byte now and then, takes no longer than everything may take."""
    begun = time.monotonic()
    problem = problem_of(fetch, path, 0.4)
    assert (problem.status, problem.name) == (504, "url-timeout")
    assert 0.4 <= time.monotonic() - begun < 2


def test_a_slow_name_server_is_not_waited_for(port, monkeypatch):
    """The lookup of the name counts into the time as well."""
    over = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: over.wait(30))
    fetcher = Fetcher((f"photos.example:{port}",), LIMIT, is_allowed=lambda _: True)
    try:
        assert problem_of(fetcher.get, f"http://photos.example:{port}/", 0.2).name == "url-timeout"
    finally:
        over.set()


def test_a_host_that_is_not_there():
    """A name that nobody knows and a port that nobody listens on are told apart."""
    (closed,) = free_ports(1)
    fetcher = Fetcher(("nobody.invalid", f"localhost:{closed}"), LIMIT, is_allowed=lambda _: True)
    assert "is not known" in problem_of(fetcher.get, "http://nobody.invalid/").detail
    assert "cannot be connected to" in problem_of(fetcher.get, f"http://localhost:{closed}/").detail


@pytest.mark.parametrize(
    ("url", "allowed"),
    [
        ("http://example.org/a", True),
        ("https://EXAMPLE.org.:443/a", True),
        ("http://example.org:8080/", False),
        ("http://www.example.org/", False),
        ("http://example.org.evil.test/", False),
        ("http://evilexample.org/", False),
        ("http://a.pictures.test/", True),
        ("http://a.b.pictures.test/", True),
        ("http://pictures.test/", False),
        ("http://apictures.test/", False),
        ("http://.pictures.test/", False),
        ("http://bücher.test/", True),
        ("http://xn--bcher-kva.test/", True),
        ("http://other.test:8080/", True),
        ("http://other.test/", False),
        ("http://user@example.org/", False),
        ("http://example.org@evil.test/", False),
        ("http://evil.test#@example.org/", False),
        ("http://evil.test\\@example.org/", False),
        ("http://example.org\t/", False),
        ("http://example.org:99999/", False),
        ("http://[::1", False),
        ("http:///photo.jpg", False),
        ("http://" + "a" * 64 + ".pictures.test/", False),
        ("ftp://example.org/", False),
        ("file:///etc/passwd", False),
        ("//example.org/", False),
        ("http://example.org/" + "a" * 9000, False),
        ("", False),
    ],
)
def test_only_named_hosts_are_asked(names, url, allowed):
    """What is not named, or hides where it leads, is refused before a name is looked up."""
    hosts = ("example.org", "*.pictures.test", "Bücher.test", "other.test:8080")
    for host in ("example.org", "a.pictures.test", "a.b.pictures.test", "xn--bcher-kva.test", "other.test"):
        names[host] = ["127.0.0.1"]
    problem = problem_of(Fetcher(hosts, LIMIT).get, url)
    assert (problem.status, problem.name) == (403, "url-not-allowed")
    assert ("not at a public address" in problem.detail) is allowed
    assert bool(names["asked"]) is allowed


@pytest.mark.parametrize(
    "host", ["http://example.org", "example.org/photos", "*", "*.", "a b", "user@a.test", "a:b", ""]
)
def test_a_wrong_host_is_named_at_the_start(host):
    """What can be no host in the list ends the start, and names the variable."""
    with pytest.raises(ConfigurationError, match=r"SCENERY_URL_HOSTS .*Received"):
        Fetcher((host,), LIMIT)


@pytest.mark.parametrize(
    "host",
    [
        "localhost",
        "127.0.0.1",
        "[::1]",
        "[::]",
        "0.0.0.0",
        "10.0.0.1",
        "100.64.0.1",
        "169.254.169.254",
        "172.16.0.1",
        "192.168.0.1",
        "224.0.0.1",
        "255.255.255.255",
        "2130706433",
        "0x7f000001",
        "0177.0.0.1",
        "127.1",
        "[::ffff:127.0.0.1]",
        "[::127.0.0.1]",
        "[64:ff9b::a9fe:a9fe]",
        "[64:ff9b:1::1]",
        "[2002:7f00:1::]",
        "[2001:0:7f00:1::]",
        "[fc00::1]",
        "[fe80::1]",
        "[fec0::1]",
        "[ff02::1]",
    ],
)
def test_no_inner_address_is_connected_to(port, host):
    """Even a host that the operator named is not asked at an address of the inside, however it is written."""
    problem = problem_of(Fetcher((f"{host}:{port}",), LIMIT).get, f"http://{host}:{port}/photo.jpg")
    assert (problem.status, problem.name) in ((403, "url-not-allowed"), (422, "url-not-fetched"))
    assert "not at a public address" in problem.detail or "is not known" in problem.detail


def test_one_inner_address_is_enough_to_refuse(names):
    """A name that has a public address and an inner one is not fetched from at all."""
    names["photos.example"] = [PUBLIC, "10.0.0.1"]
    problem = problem_of(Fetcher(("photos.example",), LIMIT).get, "http://photos.example/")
    assert problem.name == "url-not-allowed"


def test_the_checked_address_is_the_one_connected_to(names, port):
    """A name is looked up once: what its name server says the next time has no part in it."""
    names["photos.example"] = ["127.0.0.2", "127.0.0.1"]  # nothing listens at the first
    checked = []
    fetcher = Fetcher((f"photos.example:{port}",), LIMIT, is_allowed=lambda address: not checked.append(address))
    headers = json.loads(fetcher.get(f"http://photos.example:{port}/headers", 10))
    assert headers["Host"] == f"photos.example:{port}"
    assert checked == [ip_address("127.0.0.2"), ip_address("127.0.0.1")]
    assert names["asked"].count("photos.example") == 1


def test_tls_is_held_to_the_name(names):
    """A host proves that it is who it is called, by an authority that is trusted, though its address is asked."""
    authority = trustme.CA()
    server, client = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.create_default_context()
    authority.issue_cert("photos.example").configure_cert(server)
    authority.configure_trust(client)
    told = []
    server.sni_callback = lambda _socket, name, _context: told.append(name)
    names["photos.example"] = names["other.example"] = ["127.0.0.1"]
    with serving(server) as port:
        hosts = (f"photos.example:{port}", f"other.example:{port}")
        trusting = Fetcher(hosts, LIMIT, lambda _: True, client)
        assert json.loads(trusting.get(f"https://photos.example:{port}/headers", 10))["Host"] == hosts[0]
        assert told == ["photos.example"]
        assert names["asked"].count("photos.example") == 1
        assert "cannot be trusted" in problem_of(trusting.get, f"https://other.example:{port}/headers").detail
        strict = Fetcher(hosts, LIMIT, lambda _: True)
        assert "cannot be trusted" in problem_of(strict.get, f"https://photos.example:{port}/headers").detail


def test_a_slow_connection_and_a_silent_handshake_share_the_time(monkeypatch):
    """A host that is long in taking the connection, and then says nothing, has no second helping of the time."""
    connect = socket.socket.connect
    with socket.create_server(("127.0.0.1", 0)) as silent:
        host = f"127.0.0.1:{silent.getsockname()[1]}"
        fetcher = Fetcher((host,), LIMIT, lambda _: True)
        monkeypatch.setattr(socket.socket, "connect", lambda *asked: time.sleep(1.2) or connect(*asked))
        begun = time.monotonic()
        assert problem_of(fetcher.get, f"https://{host}/", 1.5).name == "url-timeout"
        assert 1.5 <= time.monotonic() - begun < 2.4


def test_public_addresses_are_public():
    """Addresses of the Internet are fetched from, in both families and in the forms that hold one another."""
    for address in (PUBLIC, "8.8.8.8", "2606:4700::1", "::ffff:8.8.8.8", "64:ff9b::808:808", "2002:808:808::1"):
        assert is_public(ip_address(address)), address


@quickly
@given(st.integers(0, 2**32 - 1).map(IPv4Address))
def test_an_inner_address_stays_one_inside_another(address):
    """An IPv6 address that holds an IPv4 address is as public as that is."""
    holding = (0xFFFF << 32 | int(address), 0x64FF9B << 96 | int(address), 0x2002 << 112 | int(address) << 80)
    assert {is_public(IPv6Address(each)) for each in holding} == {is_public(address)}
    assert is_public(address) <= address.is_global


@quickly
@given(
    st.text(max_size=40)
    | st.text("ab1.:/@[]%?#é\\\t", max_size=20).map("http://".__add__)
    | st.from_regex(r"https?://[a-z.:@\[\]%]*/.*")
)
def test_no_url_is_a_defect(url):
    """Whatever is sent for a URL is read, or refused as a problem."""
    try:
        place = parse_url(url)
    except ProblemError:
        return
    assert place.host
    assert place.target.isascii()
    assert place.target.startswith("/")

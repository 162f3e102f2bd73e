"""``scenery classify``, run as people run it."""

from __future__ import annotations

import csv
import json
import os
import pty
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from proxy.client.found import find_photos
from scenery.in_order import AHEAD, in_order
from tests.processes import PHOTOS, ROOT, free_ports

LABELS = ["beach", "city", "sunset", "trees"]
SCENERY = (sys.executable, "-m", "scenery", "classify")
ENVIRONMENT = {name: value for name, value in os.environ.items() if not name.startswith("SCENERY_")}
# The commands run in other folders too.
ENVIRONMENT["PYTHONPATH"] = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))


def classify(*arguments: object, cwd: Path = ROOT, stdin: bytes = b"", **variables: str):
    command = [*SCENERY, *map(str, arguments)]
    environment = ENVIRONMENT | variables
    done = subprocess.run(command, cwd=cwd, input=stdin, capture_output=True, timeout=60, env=environment, check=False)
    assert b"Traceback" not in done.stderr, done.stderr.decode()
    return done


def start(*arguments: object, **streams: object) -> subprocess.Popen[bytes]:
    command = [*SCENERY, *map(str, arguments)]
    return subprocess.Popen(command, cwd=ROOT, env=ENVIRONMENT, **({"stderr": subprocess.PIPE} | streams))


def records(done) -> list[dict]:
    return [json.loads(line) for line in done.stdout.splitlines()]


def rows(path: Path) -> list[dict]:
    with path.open(newline="") as table:
        return list(csv.DictReader(table))


@pytest.fixture
def shoot(tmp_path: Path) -> Path:
    """A folder with three photos, one of them in a folder inside, and files that are none."""
    folder = tmp_path / "shoot"
    (folder / "later").mkdir(parents=True)
    for name, photo in {"a.jpg": "0003", "b.JPEG": "0004", "later/c.jpg": "0007", ".hidden.jpg": "0001"}.items():
        (folder / name).write_bytes((PHOTOS / f"{photo}.jpg").read_bytes())
    (folder / "notes.txt").write_text("no photo")
    return folder


@pytest.fixture(params=["proxy", "grpc"])
def way(request, served, proxied) -> tuple[str, str]:
    """The options that name the server, both ways."""
    return ("--proxy", proxied.url) if request.param == "proxy" else ("--grpc", served.grpc)


LOST = (0, {}, b"")
"""The connection is closed without an answer."""


class Canned(BaseHTTPRequestHandler):
    """Gives the server's answers one after the other, the last again and again; None is silence."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        server = self.server
        while left := int(self.headers["Content-Length"]) - server.read.get(self, 0):
            server.read[self] = server.read.get(self, 0) + len(self.rfile.read(min(left, 2**16)))
        del server.read[self]
        with server.lock:
            server.requests.append((self.path, dict(self.headers)))
            answer = server.answers.pop(0) if len(server.answers) > 1 else server.answers[0]
        if answer is None:
            server.ending.wait(30)
            self.close_connection = True
            return
        if answer == LOST:
            self.close_connection = True
            return
        status, headers, body = answer
        self.send_response(status)
        for name, value in ({"Content-Length": len(body)} | headers).items():
            self.send_header(name, str(value))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """The tests read the requests instead."""


@contextmanager
def canned(*answers: tuple[int, dict, bytes] | None, port: int = 0) -> Iterator[ThreadingHTTPServer]:
    """A small HTTP server in the proxy's place, for what the proxy does rarely."""
    server = ThreadingHTTPServer(("127.0.0.1", port), Canned)
    server.answers, server.requests, server.read = list(answers), [], {}
    server.lock, server.ending = threading.Lock(), threading.Event()
    server.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield server
    finally:
        server.ending.set()
        server.shutdown()
        thread.join()
        server.server_close()


def answered(version: int = 1, **scores: float) -> tuple[int, dict, bytes]:
    scores = scores or {"beach": 0.1, "city": 0.9}
    photo = {"file": None, "version": version, "labels": ["city"], "labels_from": "model", "scores": scores}
    photo |= {"top": {"index": 1, "label": "city"}}
    return 200, {"Content-Type": "application/json"}, json.dumps({"model": "scenery", "photos": [photo]}).encode()


def refused(status: int, name: str, **headers: str) -> tuple[int, dict, bytes]:
    document = {"type": f"urn:scenery:problem:{name}", "title": name, "status": status, "detail": "Try again."}
    return status, {"Content-Type": "application/problem+json"} | headers, json.dumps(document).encode()


BUSY = refused(503, "overloaded", **{"Retry-After": "1"})


def test_a_folder_is_answered_in_the_order_of_its_names(way, shoot):
    """A folder stands for its photos and those inside, by suffix in any case, hidden ones left out."""
    done = classify("shoot", "--json", *way, cwd=shoot.parent)
    assert done.returncode == 0, done.stderr
    assert [record["file"] for record in records(done)] == ["shoot/a.jpg", "shoot/b.JPEG", "shoot/later/c.jpg"]
    for record in records(done):
        assert list(record) == ["file", "model", "version", "labels", "labels_from", "scores", "top"]
        assert list(record["scores"]) == LABELS
    assert done.stderr.startswith(b"3 photos, ")
    assert done.stderr.endswith(b" photos/s\n")


def test_both_ways_give_the_same_records(served, proxied, shoot):
    """The proxy and TensorFlow Serving itself are told of alike: answers, errors and what is shown of them."""
    (shoot / "bad.jpg").write_bytes(b"no photo")
    (shoot / "cut.jpg").write_bytes((shoot / "a.jpg").read_bytes()[:2000])
    (shoot / "empty.jpg").write_bytes(b"")
    for options in ((), ("--top", "2", "--threshold", "0.01"), ("--version", "1")):
        arguments = (shoot, shoot / "nope.jpg", "--json", *options)
        by_proxy, by_grpc = classify(*arguments, "--proxy", proxied.url), classify(*arguments, "--grpc", served.grpc)
        for one, other in zip(records(by_proxy), records(by_grpc), strict=True):
            for record in (one, other):
                record.get("error", {}).pop("detail", None)
            assert one == other
        assert by_proxy.returncode == by_grpc.returncode == 1


def test_a_version_that_is_not_served(way):
    """Who asks for a version gets no other one's answer."""
    (record,) = records(classify(PHOTOS / "0003.jpg", "--version", 99, "--json", *way))
    assert record["error"]["type"] == "urn:scenery:problem:version-unknown"
    assert record["error"]["status"] == 404


def test_one_photo_in_one_line(way):
    """Without options a photo is a line to read, and nothing else is said."""
    done = classify("examples/sample.jpg", "--threshold", 0, *way)
    assert done.returncode == 0
    assert done.stderr == b""
    name, told = done.stdout.decode().rstrip("\n").split("  ")
    assert name == "examples/sample.jpg"
    assert sorted(part.split()[0] for part in told.split(", ")) == LABELS
    assert all(part.endswith(" %") for part in told.split(", "))


def test_no_label_names_the_likeliest(way):
    """A photo without a label says which would be next, and --top how many."""
    assert classify("examples/sample.jpg", "--threshold", 1, *way).stdout.count(b" %") == 1
    three = classify("examples/sample.jpg", "--threshold", 1, "--top", 3, *way).stdout.decode()
    assert three.startswith("examples/sample.jpg  no label (")
    assert three.count(" %") == 3


def test_a_bad_file_among_good_ones(way, shoot):
    """What cannot be answered is told in words, the others go on, and the exit status says it."""
    (shoot / "bad.jpg").write_bytes(b"no photo")
    (shoot / "bare").mkdir()
    done = classify("nope.jpg", "shoot", "shoot/bare", "*.png", *way, cwd=shoot.parent)
    lines = done.stdout.decode().splitlines()
    assert [line.split()[0] for line in lines] == [
        "nope.jpg", "shoot/a.jpg", "shoot/b.JPEG", "shoot/bad.jpg", "shoot/later/c.jpg", "shoot/bare", "*.png",
    ]  # fmt: skip
    assert lines[0].endswith("nope.jpg cannot be read: No such file or directory. Correct its path or permissions.")
    assert "convert the photo" in lines[3]
    assert "has no photo" in lines[5]
    assert lines[6].endswith("*.png matches no file. Name another file, folder or pattern.")
    assert done.returncode == 1
    assert done.stderr.startswith(b"7 photos, 4 not answered, ")


def test_standard_input(way, photo):
    """A dash is the photo that is piped in."""
    (piped,) = records(classify("-", "--json", *way, stdin=photo))
    (named,) = records(classify(PHOTOS / "0003.jpg", "--json", *way))
    assert piped == named | {"file": "-"}


def test_patterns_are_found_by_the_program(shoot):
    """A pattern in quotes matches files in folders inside one another, whatever the shell could take."""
    found = [photo.name for photo in find_photos([f"{shoot}/**/*.jp*g", f"{shoot}/*.txt"])]
    assert found == [f"{shoot}/a.jpg", f"{shoot}/later/c.jpg", f"{shoot}/notes.txt"]
    (shoot / "[1].jpg").write_bytes(b"")
    assert [photo.name for photo in find_photos([f"{shoot}/[1].jpg"])] == [f"{shoot}/[1].jpg"]


def test_a_folder_that_leads_back_to_itself(shoot):
    """Links to folders are not followed, so every photo is found once."""
    (shoot / "later" / "back").symlink_to(shoot)
    assert len(list(find_photos([str(shoot)]))) == 3


@pytest.mark.parametrize("format_name", ["csv", "jsonl"])
def test_a_file_is_never_overwritten_unasked(way, shoot, format_name):
    """A file that exists is left alone without --force, and no photo is sent."""
    output = shoot / f"out.{format_name}"
    assert classify(shoot, "--output", output, *way).returncode == 0
    before = output.read_bytes()
    assert before.count(b"\n") == 3 + (format_name == "csv")
    again = classify(shoot / "a.jpg", "--output", output, *way)
    assert again.returncode == 1
    assert b"exists. Go on with it by --resume, overwrite it with --force" in again.stderr
    assert output.read_bytes() == before
    assert classify(shoot, "--output", output, "--force", *way).returncode == 0
    assert output.read_bytes() == before


@pytest.mark.parametrize("format_name", ["csv", "jsonl"])
def test_a_run_is_resumed(proxied, shoot, format_name):
    """Photos that are answered stay as they are, errors and a torn line are done again, and none is there twice."""
    output, whole = (shoot.parent / f"{name}.{format_name}" for name in ("out", "whole"))
    good = (shoot / "b.JPEG").read_bytes()
    (shoot / "b.JPEG").write_bytes(b"no photo")
    assert classify(shoot, "--output", output, "--proxy", proxied.url).returncode == 1
    (shoot / "b.JPEG").write_bytes(good)
    assert classify(shoot, "--output", whole, "--proxy", proxied.url).returncode == 0
    output.write_bytes(output.read_bytes()[:-10])
    done = classify(shoot, "--output", output, "--resume", "--proxy", proxied.url)
    assert done.returncode == 0
    assert done.stderr.startswith(b"2 photos, 1 answered before, ")
    assert sorted(output.read_text().splitlines()) == sorted(whole.read_text().splitlines())
    assert output.read_text().splitlines()[0] == whole.read_text().splitlines()[0]
    (port,) = free_ports(1)
    nobody = classify(shoot, "--output", output, "--resume", "--proxy", f"127.0.0.1:{port}")
    assert nobody.returncode == 0, "all was answered, so nothing is asked"


@pytest.mark.parametrize("format_name", ["csv", "jsonl"])
def test_another_file_is_not_resumed(shoot, format_name):
    """A file of something else is refused as it is."""
    output = shoot / "precious"
    output.write_text("name;value\na;1\n")
    done = classify(shoot, "--output", output, "--resume", "--format", format_name)
    assert done.returncode == 1
    assert b"precious cannot be taken up" in done.stderr
    assert output.read_text() == "name;value\na;1\n"
    assert {path.name for path in shoot.iterdir() if "precious" in path.name} == {"precious"}


def test_a_table(way, shoot):
    """Each label has a column; the labels share a cell; what is not answered has its reason."""
    (shoot / "0.jpg").write_bytes(b"no photo")
    done = classify(shoot, "--threshold", 0, "--top", 2, "--output", shoot / "out.csv", *way)
    bad, *good = rows(shoot / "out.csv")
    assert list(bad) == ["file", "version", "labels", "top", "error", *LABELS]
    assert bad["error"].startswith("Unsupported format: ")
    assert [bad[label] for label in ("version", "labels", "top", *LABELS)] == [""] * 7
    for row in good:
        assert row["version"] == "1"
        assert row["error"] == ""
        surest, second = row["labels"].split("|")
        assert row["top"] == surest
        assert float(row[surest]) >= float(row[second])
        assert sum(row[label] != "" for label in LABELS) == 2
    assert done.returncode == 1


def test_a_version_with_other_labels_gets_no_wrong_columns(shoot):
    """Scores stand in the column of their label or nowhere."""
    output = shoot / "out.csv"
    with canned(answered(1), answered(1, city=0.8, beach=0.2), answered(2, beach=0.1, snow=0.9)) as server:
        done = classify(shoot, "--output", output, "--jobs", 1, "--proxy", server.url)
    first, second, third = rows(output)
    assert (first["beach"], second["beach"]) == ("0.100000", "0.200000")
    assert third["error"].startswith("Other labels: version 2 has beach, snow, and this table has columns for")
    assert (third["beach"], third["city"]) == ("", "")
    assert done.returncode == 1


def test_names_that_are_no_text(served, tmp_path):
    """A name with a line's end, an escape or bytes that are no UTF-8 breaks no line and is taken up again."""
    names = [b"a\n\x1b[2J.jpg", b"b\xff.jpg", b'c,"|.jpg']
    for name in names:
        (tmp_path / os.fsdecode(name)).write_bytes((PHOTOS / "0003.jpg").read_bytes())
    arguments = (*map(os.fsdecode, names), "--grpc", served.grpc)
    text = classify(*arguments, cwd=tmp_path).stdout.decode()
    assert text.count("\n") == 3
    assert "\x1b" not in text
    for output in ("out.csv", "out.jsonl"):
        assert classify(*arguments, "--output", output, cwd=tmp_path).returncode == 0
        again = classify(*arguments, "--output", output, "--resume", cwd=tmp_path)
        assert again.stderr == b"0 photos, 3 answered before\n"


@pytest.mark.parametrize("output", ["/dev/full", "missing/out.csv"])
def test_an_output_that_cannot_be_written(shoot, output):
    """A full disk or a missing folder is one line that names the file."""
    with canned(answered()) as server:
        done = classify(shoot, "--output", output, "--format", "csv", "--quiet", "--proxy", server.url, cwd=shoot)
    assert done.returncode == 1
    (line,) = done.stderr.decode().splitlines()
    assert line.startswith(f"Error: {output} cannot be written: ")


@pytest.mark.parametrize("option", ["--proxy", "--grpc"])
def test_nobody_listens(shoot, option):
    """Without a server the run ends at once, says where it looked and what to start, and makes no file."""
    (port,) = free_ports(1)
    begun = time.monotonic()
    done = classify(shoot, option, f"127.0.0.1:{port}", "--output", shoot / "out.csv")
    assert time.monotonic() - begun < 5
    assert done.returncode == 1
    (line,) = done.stderr.decode().splitlines()
    assert f"127.0.0.1:{port}. Start one with `scenery serve`" in line
    assert not (shoot / "out.csv").exists()


@pytest.mark.parametrize("comes_back", [True, False])
def test_a_server_that_goes(shoot, comes_back):
    """One that answered before is waited for, for a photo's time; if it stays away the run ends there."""
    goodbye = answered()
    goodbye[1]["Connection"] = "close"
    with canned(goodbye) as server:
        arguments = (shoot / "a.jpg", "-", shoot / "b.JPEG", "--json", "--jobs", 1, "--timeout", 2)
        process = start(*arguments, "--proxy", server.url, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert json.loads(process.stdout.readline())["file"].endswith("a.jpg")
    process.stdin.write(b"a photo")
    process.stdin.close()
    with canned(goodbye, port=server.server_port) if comes_back else nullcontext(), process:
        others = process.stdout.readlines()
        told = process.stderr.read()
    assert process.returncode == (0 if comes_back else 1)
    assert len(others) == (2 if comes_back else 0)
    assert (b"No proxy answers at" in told) != comes_back


def test_a_busy_server_is_asked_again(shoot):
    """503 and 429 are waited out, as long as Retry-After says; all photos are answered."""
    with canned(BUSY, refused(429, "rate-limited", **{"Retry-After": "1"}), answered()) as server:
        begun = time.monotonic()
        done = classify(shoot, "--json", "--jobs", 2, "--proxy", server.url)
    assert time.monotonic() - begun >= 1
    assert done.returncode == 0
    assert [record["version"] for record in records(done)] == [1, 1, 1]
    assert len(server.requests) == 5


def test_a_connection_that_breaks_off(shoot):
    """A connection that is closed in place of an answer, as by a restart, costs no photo."""
    with canned(answered(), LOST, answered()) as server:
        done = classify(shoot, "--json", "--jobs", 1, "--proxy", server.url)
    assert done.returncode == 0
    assert [record["version"] for record in records(done)] == [1, 1, 1]
    with canned(LOST) as server:
        (record,) = records(classify(shoot / "a.jpg", "--json", "--timeout", 0.5, "--proxy", server.url))
    assert record["error"]["type"] == "urn:scenery:problem:connection-lost"
    assert "Remote end closed connection without response. " in record["error"]["detail"]


def test_a_server_that_stays_busy(shoot):
    """When its time is over a photo has the server's last words as its error."""
    with canned(BUSY) as server:
        done = classify(shoot / "a.jpg", "--json", "--timeout", 5, "--proxy", server.url)
    (record,) = records(done)
    assert record["error"] == json.loads(BUSY[2])
    assert done.returncode == 1
    assert len(server.requests) >= 2


def test_a_silent_server(shoot):
    """No answer within --timeout is an error of the photo; the server was told how long it had."""
    with canned(None) as server:
        (record,) = records(classify(shoot / "a.jpg", "--json", "--timeout", 0.5, "--proxy", server.url))
    assert record["error"]["type"] == "urn:scenery:problem:deadline-exceeded"
    _, headers = server.requests[0]
    assert 0 < float(headers["X-Request-Timeout"]) <= 0.5


@pytest.mark.parametrize(
    "answer",
    [
        (503, {"Content-Type": "text/html", "Retry-After": "3600"}, b"<h1>Back in an hour</h1>"),
        (502, {"Content-Type": "text/html"}, b"<h1>Bad gateway</h1>"),
        (200, {"Content-Type": "text/html"}, b"Welcome"),
        (200, {"Content-Type": "application/json"}, b'{"photos": []}'),
        (301, {"Location": "https://example.org/v1/classify"}, b""),
    ],
    ids=["maintenance", "gateway", "page", "shape", "redirect"],
)
def test_somebody_else_answers(shoot, answer):
    """Whatever else may stand at the address is told as an error of the photo, and no redirect is followed."""
    with canned(answer) as server:
        (record,) = records(classify(shoot / "a.jpg", "--json", "--timeout", 5, "--proxy", server.url))
    assert record["error"]["status"] == answer[0]
    assert "not as Scenery's proxy does" in record["error"]["detail"]
    assert len(server.requests) == 1


def test_the_api_key(shoot):
    """The key comes from the environment or a file and is never an argument."""
    (shoot / "key").write_text("from-a-file\n")
    with canned(answered()) as server:
        arguments = (shoot / "a.jpg", "--proxy", server.url)
        classify(*arguments)
        classify(*arguments, SCENERY_API_KEY="from-the-environment")
        classify(*arguments, "--api-key-file", shoot / "key", SCENERY_API_KEY="from-the-environment")
    sent = [headers.get("Authorization") for _, headers in server.requests]
    assert sent == [None, "Bearer from-the-environment", "Bearer from-a-file"]
    done = classify(*arguments, SCENERY_API_KEY="two\nlines")
    assert done.stderr.startswith(b"Error: The API key ")
    assert b"two" not in done.stderr


def test_the_proxys_address(shoot):
    """It may have a path and come from the environment; a web proxy of the environment is not asked for loopback."""
    with canned(answered()) as server:
        web = {"http_proxy": "http://127.0.0.1:9", "HTTP_PROXY": "http://127.0.0.1:9"}
        done = classify(shoot / "a.jpg", "--label", "stable", SCENERY_PROXY=f"{server.url}/scenery/", **web)
    assert done.returncode == 0, done.stderr
    assert server.requests[0][0] == "/scenery/v1/classify?label=stable"
    for wrong in ("ftp://example.org", "http://", "http://example.org/?a=b"):
        assert b"must look like http://host:port" in classify(shoot, "--proxy", wrong).stderr


def test_connections_are_kept(shoot):
    """Photos one after the other use one connection."""
    with canned(answered()) as server:
        seen = []
        server.process_request_thread = lambda request, address, run=server.process_request_thread: (
            seen.append(address), run(request, address)
        )  # fmt: skip
        assert classify(shoot, "--jobs", 1, "--proxy", server.url).returncode == 0
    assert len(server.requests) == 3
    assert len(seen) == 1


@pytest.mark.parametrize("option", ["--json", "--quiet"])
def test_progress_is_shown_on_a_terminal(shoot, option):
    """Several photos move a bar, on standard error alone; --quiet shows nothing."""
    terminal, end = pty.openpty()
    with canned(answered()) as server, os.fdopen(terminal, "rb", buffering=0) as shown:
        with start(shoot, option, "--proxy", server.url, stdout=subprocess.PIPE, stderr=end) as process:
            os.close(end)
            assert len(process.stdout.readlines()) == 3
        told = shown.read(2**16) if option == "--json" else b""
        if option == "--quiet":
            with pytest.raises(OSError, match="Input/output error"):  # how Linux tells that nothing was written
                shown.read(1)
    assert (b"classifying" in told and b"3/3" in told) == (option == "--json")


def test_a_reader_that_goes(way):
    """``| head`` ends the run without a word."""
    with start(PHOTOS, "--json", *way, stdout=subprocess.PIPE) as process:
        assert json.loads(process.stdout.readline())["file"].endswith("0001.jpg")
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait(30) == 1


@pytest.mark.parametrize("option", ["--proxy", "--grpc"])
def test_an_interrupt_ends_it_at_once(shoot, option):
    """Ctrl-C waits for no server, and what was written is whole lines."""
    output = shoot / "out.jsonl"
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"127.0.0.1:{silent.getsockname()[1]}"
        with start("nope.jpg", shoot, "--output", output, option, address) as process:
            silent.settimeout(30)
            connection, _ = silent.accept()
            with connection:
                wait_for_a_line(output)
                process.send_signal(signal.SIGINT)
                begun = time.monotonic()
                assert process.wait(30) == 1
                assert time.monotonic() - begun < 15  # and not the 30 that a photo may take
                told = process.stderr.read()
    assert told.splitlines() == [b"1 photo, 1 not answered", b"", b"Aborted!"]
    (line,) = output.read_text().splitlines()
    assert json.loads(line)["file"] == "nope.jpg"


def wait_for_a_line(path: Path) -> None:
    deadline = time.monotonic() + 30
    while not (path.exists() and path.read_text().endswith("\n")):
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_memory_does_not_grow_with_the_photos(tmp_path):
    """Of 300 photos of 4 MiB each, only those being sent are in memory."""
    with (tmp_path / "photo").open("wb") as photo:
        photo.truncate(4 * 2**20)
    for number in range(300):
        (tmp_path / f"{number:03}.jpg").symlink_to("photo")
    with canned(answered()) as server:
        process = start(tmp_path, "--output", os.devnull, "--jobs", 4, "--proxy", server.url, stderr=subprocess.DEVNULL)
        most_kib = 0
        while process.poll() is None:
            most_kib = largest_kib(process.pid) or most_kib
            time.sleep(0.01)
    assert process.returncode == 0
    assert len(server.requests) == 300
    assert 0 < most_kib < 128 * 1024


def largest_kib(pid: int) -> int | None:
    """Return the largest resident set that a process has had since it began; None if it has ended."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except FileNotFoundError:
        return None
    return int(status.split("VmHWM:")[1].split()[0]) if "VmHWM:" in status else None


def test_work_is_taken_as_there_is_room_and_given_back_in_order():
    """Of 2,000 items only a window is taken ahead of the slowest, and the results keep their order."""
    taken = 0

    def items() -> Iterator[int]:
        nonlocal taken
        for number in range(1, 2001):
            taken = number
            yield number

    furthest = 0
    results = []
    for result in in_order(lambda item: item if item % 100 else time.sleep(0.01) or item, items(), 4):
        results.append(result)
        furthest = max(furthest, taken - len(results))
    assert results == list(range(1, 2001))
    assert furthest < 4 * AHEAD


def test_what_is_there_is_given_before_more_is_found():
    """A slow search holds no answer back."""
    given = threading.Event()

    def items() -> Iterator[int]:
        yield 1
        time.sleep(0.2)
        yield 2
        assert given.wait(10)
        yield 3

    results = in_order(lambda item: item, items(), 2)
    assert next(results) == 1
    given.set()
    assert list(results) == [2, 3]


def test_an_error_of_the_work_is_raised():
    """What one item's work raises ends the whole at that item's place."""
    results = in_order(lambda item: 1 / item, [2, 1, 0, 5], 2)
    assert [next(results), next(results)] == [0.5, 1]
    with pytest.raises(ZeroDivisionError):
        next(results)


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("a.jpg", "--json", "--format", "csv"),
        ("a.jpg", "--version", "1", "--label", "stable"),
        ("a.jpg", "--model", "other"),
        ("a.jpg", "--grpc", "127.0.0.1:1", "--proxy", "127.0.0.1:1"),
        ("a.jpg", "--resume"),
        ("a.jpg", "--force"),
        ("a.jpg", "--output", "out.csv", "--resume", "--force"),
        ("a.jpg", "--output", "out", "--resume"),
    ],
    ids=" ".join,
)
def test_contradictions_are_usage_errors(arguments, tmp_path):
    """Options that cannot both be meant are refused before anything is sent."""
    done = classify(*arguments, cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr.startswith(b"Usage: ")
    assert list(tmp_path.iterdir()) == []


def test_what_is_imported(served):
    """The help needs click only, and --grpc neither Flask nor TensorFlow."""
    code = (
        "import sys; from click.testing import CliRunner; from proxy.client.command import classify;"
        "assert 'Label photos' in CliRunner().invoke(classify, ['--help']).output;"
        "assert not {'urllib3', 'grpc', 'pydantic'} & set(sys.modules);"
        "done = CliRunner().invoke(classify, sys.argv[1:]); assert done.exit_code == 0, done.output;"
        "assert not {'flask', 'tensorflow', 'numpy', 'urllib3'} & set(sys.modules)"
    )
    command = [sys.executable, "-c", code, "examples/sample.jpg", "--grpc", served.grpc]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr

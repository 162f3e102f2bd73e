"""The proxy as a real process in front of a real model server."""

from __future__ import annotations

import base64
import json
import signal
import socket
import time
from http import client

import pytest
from PIL import Image

from proxy.problems import KINDS
from tests.photographs import bombs, encode
from tests.processes import PHOTOS, free_ports, http, model_server, multipart, proxy, wait_until

LABELS = ["beach", "city", "sunset", "trees"]


def assert_problem(answer, status: int, name: str) -> None:
    """Every error has one shape."""
    assert set(answer) == {"type", "title", "status", "detail"}
    assert KINDS[name][0] == status
    assert answer["type"] == f"urn:scenery:problem:{name}"
    assert answer["status"] == status
    assert len(answer["detail"].split()) > 5


def test_a_raw_photo(proxied, photo):
    """A photo's bytes are answered with its labels, scores and the version that gave them."""
    status, answer, headers = proxied.classify(photo)
    assert status == 200
    assert headers["Content-Type"] == "application/json"
    assert answer["model"] == "scenery"
    (told,) = answer["photos"]
    assert told["file"] is None
    assert told["version"] == 1
    assert list(told["scores"]) == LABELS
    assert told["top"]["label"] == max(told["scores"], key=told["scores"].get)
    assert LABELS[told["top"]["index"]] == told["top"]["label"]
    assert set(told["labels"]) <= set(LABELS)
    assert told["labels_from"] == "model"


def test_a_form_with_several_photos(proxied, photo):
    """Each file of a form has its answer, and a bad one its own error."""
    other = (PHOTOS / "0004.jpg").read_bytes()
    body, content_type = multipart(("a.jpg", photo), ("bad.jpg", b"no photo"), ("b.jpg", other))
    status, answer, _ = proxied.classify(body, content_type)
    assert status == 200
    first, bad, second = answer["photos"]
    assert (first["file"], second["file"]) == ("a.jpg", "b.jpg")
    assert first["scores"] != second["scores"]
    assert_problem(bad["error"], 415, "unsupported-format")
    assert first["scores"] == proxied.classify(photo)[1]["photos"][0]["scores"]


def as_json(*photos: dict) -> bytes:
    return json.dumps({"photos": photos}).encode()


def in_base64(content: bytes) -> dict:
    return {"b64": base64.b64encode(content).decode()}


def test_photos_in_json(proxied, photo):
    """Photos in base64 are answered as if sent raw, under the names given to them; a broken one has its own error."""
    body = as_json(in_base64(photo) | {"file": "a.jpg"}, in_base64(b"no photo"), {"b64": "?"})
    status, answer, _ = proxied.classify(body, "application/json")
    assert status == 200
    first, no_photo, no_base64 = answer["photos"]
    assert first["file"] == "a.jpg"
    assert first["scores"] == proxied.classify(photo)[1]["photos"][0]["scores"]
    assert_problem(no_photo["error"], 415, "unsupported-format")
    assert_problem(no_base64["error"], 400, "bad-json")


def test_a_url_is_not_fetched_unasked(proxied):
    """Without hosts in the settings, no address is followed."""
    status, answer, _ = proxied.classify(as_json({"url": "http://127.0.0.1/a.jpg"}), "application/json")
    assert status == 403
    assert_problem(answer, 403, "url-not-allowed")


def test_only_hosts_of_the_settings_are_fetched_from(tmp_path, served, monkeypatch):
    """Another host is refused, and so is one of them that turns out to be on the inside."""
    monkeypatch.setenv("SCENERY_URL_HOSTS", "localhost")
    with proxy(tmp_path, served.grpc) as fetching:
        for url in ("https://example.org/a.jpg", "http://localhost/a.jpg"):
            status, answer, _ = fetching.classify(as_json({"url": url}), "application/json")
            assert status == 403
            assert_problem(answer, 403, "url-not-allowed")


def test_thresholds_and_the_highest_scores(proxied, photo):
    """The caller's threshold cuts every label; of the highest scores alone, the surest comes first."""
    (all_scores,) = proxied.classify(photo)[1]["photos"]
    surest = sorted(all_scores["scores"], key=all_scores["scores"].get, reverse=True)
    assert ask(proxied, photo, "threshold=0")["labels"] == surest
    assert ask(proxied, photo, "threshold=1")["labels"] == []
    two = ask(proxied, photo, "threshold=0&top=2")
    assert list(two["scores"]) == two["labels"] == surest[:2]
    assert two["top"] == all_scores["top"]


def ask(proxied, photo: bytes, query: str) -> dict:
    status, answer, _ = http("POST", f"{proxied.url}/v1/classify?{query}", photo, "image/jpeg")
    assert status == 200, answer
    return answer["photos"][0]


def test_a_version_can_be_asked_for(proxied, photo):
    """A number that is served answers; one that is not, or a label that nobody has, is told and none stands in."""
    assert ask(proxied, photo, "version=1")["version"] == 1
    for query in ("version=7", "label=canary", "label=%00"):
        status, answer, _ = http("POST", f"{proxied.url}/v1/classify?{query}", photo, "image/jpeg")
        assert status == 404
        assert_problem(answer, 404, "version-unknown")


@pytest.mark.parametrize(
    "query", ["version=x", "version=-1", "version=1&version=2", "version=1&label=a", "threshold=1.1", "top=0", "tpo=1"]
)
def test_a_wrong_parameter_is_told(proxied, photo, query):
    """Nothing of the address is ignored silently."""
    status, answer, _ = http("POST", f"{proxied.url}/v1/classify?{query}", photo, "image/jpeg")
    assert status == 400
    assert_problem(answer, 400, "bad-parameter")


@pytest.mark.parametrize(
    ("asked", "status", "name"), [("0.001", 504, "deadline-exceeded"), ("soon", 400, "bad-parameter")]
)
def test_a_request_may_have_a_deadline(proxied, photo, asked, status, name):
    """What cannot be answered in the time that the caller has is given up then."""
    got, answer, _ = http("POST", f"{proxied.url}/v1/classify", photo, "image/jpeg", {"X-Request-Timeout": asked})
    assert got == status
    assert_problem(answer, status, name)


def test_scorefile_answers_as_the_tutorial_did(proxied, photo):
    """A form with one file gives label to score, three decimals, in the labels' order."""
    body, content_type = multipart(("photo.jpg", photo))
    status, answer, _ = http("POST", f"{proxied.url}/scorefile/", body, content_type)
    assert status == 200
    assert list(answer) == LABELS
    scores = proxied.classify(photo)[1]["photos"][0]["scores"]
    assert answer == {label: round(score, 3) for label, score in scores.items()}


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "GIF", "BMP"])
def test_every_format_is_taken(proxied, kind):
    """The formats of the contract all come through."""
    status, answer, _ = proxied.classify(encode(Image.new("RGB", (64, 48), "blue"), kind), f"image/{kind.lower()}")
    assert status == 200
    assert answer["photos"][0]["scores"]


def animation(frames: int) -> bytes:
    stills = [Image.new("L", (2, 2), number % 256) for number in range(frames)]
    return encode(stills[0], "GIF", save_all=True, append_images=stills[1:])


def bad_bodies():
    photo = (PHOTOS / "0003.jpg").read_bytes()
    form, form_type = multipart()
    two, two_type = multipart(*[("a.jpg", photo)] * 33)
    return {
        "empty": (b"", "image/jpeg", 400, "empty"),
        "text named jpg": (b"I am a text", "image/jpeg", 415, "unsupported-format"),
        "truncated": (photo[: len(photo) // 2], "image/jpeg", 422, "damaged"),
        "only a header": (photo[:30], "image/jpeg", 422, "damaged"),
        "20 MB": (b"\xff\xd8\xff" + bytes(20 * 2**20), "image/jpeg", 413, "too-many-bytes"),
        "wrong content type": (photo, "text/plain", 415, "unsupported-media-type"),
        "curl's default content type": (photo, "application/x-www-form-urlencoded", 415, "unsupported-media-type"),
        "form without a file": (form, form_type, 400, "empty"),
        "too many photos": (two, two_type, 413, "too-many-photos"),
        "too many photos as JSON": (as_json(*[{"b64": ""}] * 33), "application/json", 413, "too-many-photos"),
        "no JSON": (b"{", "application/json", 400, "bad-json"),
        "other JSON": (b'{"instances": []}', "application/json", 400, "bad-json"),
        "no photo in JSON": (as_json(), "application/json", 400, "bad-json"),
        "a million values": (b'{"photos":[' + b"{}," * 10**6 + b"{}]}", "application/json", 400, "bad-json"),
        "heic": (b"\0\0\0\x18ftypheic" + bytes(40), "image/heic", 415, "unsupported-format"),
        "1001 frames": (animation(1001), "image/gif", 413, "too-many-frames"),
    } | {
        f"{kind} bomb": (bomb, "image/*", 413, "too-many-pixels")
        for kind, bomb in bombs().items()
        if "frame" not in kind
    }


@pytest.mark.parametrize(("body", "content_type", "status", "name"), bad_bodies().values(), ids=bad_bodies().keys())
def test_bad_input_gets_its_own_error_and_the_next_request_works(proxied, photo, body, content_type, status, name):
    """Whatever is sent, the answer says what is wrong and what to do, and the next photo is answered."""
    got, answer, headers = proxied.classify(body, content_type)
    assert got == status
    assert headers["Content-Type"] == "application/problem+json"
    assert_problem(answer, status, name)
    assert proxied.classify(photo)[0] == 200


def chunked(proxied, chunks: list[bytes]) -> tuple[int, dict]:
    connection = client.HTTPConnection(proxied.url.removeprefix("http://"))
    headers = {"Content-Type": "image/jpeg"}
    connection.request("POST", "/v1/classify", iter(chunks), headers, encode_chunked=True)
    response = connection.getresponse()
    answer = response.status, json.loads(response.read())
    connection.close()
    return answer


def test_a_body_without_a_length(proxied, photo):
    """A chunked photo is read whole, and one that is too large is refused, not cut off."""
    assert chunked(proxied, [photo[:1000], photo[1000:]])[0] == 200
    status, answer = chunked(proxied, [photo] + [bytes(2**20)] * 18)
    assert status == 413
    assert_problem(answer, 413, "too-many-bytes")


def exchange(proxied, request: bytes) -> bytes:
    host, port = proxied.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=60) as connection:
        connection.sendall(request)
        return connection.recv(65536)


HEAD = b"POST /v1/classify HTTP/1.1\r\nHost: x\r\nContent-Type: image/jpeg\r\n"


def test_a_malformed_chunk_is_a_bad_request(proxied):
    """What breaks HTTP itself is the client's error, not a defect."""
    assert b" 400 " in exchange(proxied, HEAD + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n")


@pytest.mark.parametrize("sent", [b"", b"5\r\nab", b"5\r\nabcde\r\n", b"5", b"5\r\n"])
def test_chunks_that_end_too_soon_are_the_clients_mistake(proxied, sent):
    """A client that goes away in the middle of its chunks is told so, and is no defect in the log."""
    host, port = proxied.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=60) as connection:
        connection.sendall(HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + sent)
        connection.shutdown(socket.SHUT_WR)
        assert connection.recv(65536).split(b" ")[1] in (b"400", b"408")
    assert "defect" not in proxied.log.read_text()


def test_what_announces_too_much_is_refused_at_once(proxied):
    """The answer does not wait for a body that its length forbids."""
    began = time.monotonic()
    assert b" 413 " in exchange(proxied, HEAD + b"Content-Length: 99999999\r\n\r\n")
    assert time.monotonic() - began < 5


def test_a_redirect_stays_here(proxied):
    """The path with its slash is named without a host: the caller's word for one may be anybody's."""
    answer = exchange(proxied, b"GET /docs HTTP/1.1\r\nHost: example.org\r\n\r\n")
    assert b"Location: docs/\r\n" in answer
    assert b"example.org" not in answer


def test_a_stalled_upload_is_given_up(proxied):
    """A client that stops sending gets an answer and frees its thread."""
    assert b" 408 " in exchange(proxied, HEAD + b"Content-Length: 10000\r\n\r\nabc")


@pytest.mark.parametrize(
    ("method", "path", "status", "name"),
    [("GET", "/none", 404, "not-found"), ("GET", "/v1/classify", 405, "method-not-allowed")],
)
def test_unknown_routes_have_the_same_shape(proxied, method, path, status, name):
    """Flask's own errors are problems too."""
    got, answer, _ = http(method, proxied.url + path)
    assert got == status
    assert_problem(answer, status, name)


def test_probes(proxied):
    """Alive is one thing, ready another: that took a real prediction."""
    assert http("GET", f"{proxied.url}/healthz")[:2] == (200, {"status": "ok"})
    status, answer, _ = http("GET", f"{proxied.url}/readyz")
    assert status == 200
    assert answer == {"status": "ready", "model": "scenery", "version": 1, "labels": LABELS}


def test_a_model_server_that_is_down(tmp_path, exported, photo):
    """Without a model server the proxy lives and says what to do; when one comes, it answers again."""
    grpc_port, rest_port = free_ports(2)
    with proxy(tmp_path, f"127.0.0.1:{grpc_port}") as alone:
        status, answer, headers = alone.classify(photo)
        assert status == 503
        assert headers["Retry-After"]
        assert_problem(answer, 503, "model-server-unavailable")
        assert str(grpc_port) not in answer["detail"]
        assert http("GET", f"{alone.url}/readyz")[0] == 503
        assert http("GET", f"{alone.url}/healthz")[0] == 200
        flags = (f"--port={grpc_port}", f"--rest_api_port={rest_port}", "--model_name=scenery")
        with model_server(tmp_path, f"--model_base_path={exported}", *flags[2:], flags[0]):
            wait_until(lambda: alone.classify(photo)[0] == 200, "the proxy to find the model server")


def test_a_model_that_is_not_served(tmp_path, served, photo, monkeypatch):
    """A wrong model name is told as such."""
    monkeypatch.setenv("SCENERY_MODEL_NAME", "other")
    with proxy(tmp_path, served.grpc) as other:
        status, answer, _ = other.classify(photo)
        assert status == 503
        assert_problem(answer, 503, "model-not-served")


def test_sigterm_ends_it_cleanly(tmp_path, served):
    """SIGTERM ends the proxy with status 0."""
    with proxy(tmp_path, served.grpc) as ended:
        ended.process.send_signal(signal.SIGTERM)
        assert ended.process.wait(30) == 0

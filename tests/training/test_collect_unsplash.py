"""``scenery collect unsplash``, against a server that speaks the documented API."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
from collections import Counter, deque
from collections.abc import Iterator
from pathlib import Path
from threading import Event
from typing import Any

import pytest
from click.testing import CliRunner, Result

from scenery.errors import ConfigurationError, DataError
from tests.processes import PHOTOS, ROOT, wait_until
from tests.training.unsplash_server import KEY, Unsplash, unsplash_server
from training.collect.api import Api, LimitReachedError
from training.collect.command import collect
from training.collect.key import read_key
from training.collect.web import Web

NAMES = sorted(PHOTOS.glob("*.jpg"))


@pytest.fixture
def service() -> Iterator[Unsplash]:
    found = {"beach": NAMES[:6], "city": NAMES[4:8], "kitchen": [*NAMES[6:9]], "indoor": NAMES[:1], "many": NAMES[:65]}
    with unsplash_server(found) as running:
        yield running


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "photos"


def search(service: Unsplash, out: Path, *arguments: str, key: str = KEY) -> Result:
    """Run the command in this process; what it raises is in the result."""
    command = ["unsplash", *arguments, "--out", str(out), "--api-url", service.url, "--json"]
    return CliRunner().invoke(collect, command, env={"UNSPLASH_ACCESS_KEY": key})


def table(out: Path) -> list[dict[str, str]]:
    with (out / "data.csv").open() as stream:
        return list(csv.DictReader(stream))


def names(out: Path) -> list[str]:
    return [row["name"] for row in table(out)]


def told(result: Result) -> Any:
    return json.loads(result.stdout)


def test_words_become_photos_and_a_table(service, out):
    """Each photo is a file and a row, in Unsplash's order, with its photographer and what found it."""
    result = search(service, out, "beach", "city")
    assert result.exit_code == 0, result.output
    assert names(out) == [f"unsplash-{path.name}" for path in NAMES[:8]]
    assert names(out) == sorted(path.name for path in (out / "images").iterdir())
    assert [row["query"] for row in table(out)] == ["beach"] * 4 + ["beach|city"] * 2 + ["city"] * 2
    row = table(out)[0]
    assert row["licence"] == "Unsplash"
    assert row["author"] == "A “Person”, person1"
    assert row["source"] == "unsplash/person1"
    assert row["author_link"] == "https://unsplash.com/@person1?utm_source=scenery&utm_medium=referral"
    assert row["link"] == "https://unsplash.com/photos/0001?utm_source=scenery&utm_medium=referral"
    assert told(result) | {"table": ""} == {
        "table": "", "listed": 8, "new": 8, "before": 0, "duplicates": [], "failed": []
    }  # fmt: skip


def test_negatives_and_exclusions(service, out):
    """``--negative`` finds photos of no label, ``--without`` leaves photos out."""
    search(service, out, "city", "--negative", "kitchen", "--without", "indoor", "--negative", "beach")
    negative = {row["name"][9:13]: row["negative"] for row in table(out)}
    assert negative["0005"] == "0"
    assert negative["0009"] == "1"
    assert "0001" not in negative


def test_photos_come_at_the_wanted_size_and_are_announced_once(service, out):
    """No photo is larger than wanted; each download is announced, once; the key goes to the API only."""
    search(service, out, "beach", "--side", "200")
    assert {max(int(row["width"]), int(row["height"])) for row in table(out)} == {200}
    assert service.count("/raw/0001.jpg?ixid=abc&w=200&h=200&fit=max&") == 1
    assert service.count("/photos/0001/download?ixid=abc") == 1
    assert service.keys == {None}


def test_pages_are_of_thirty_and_no_more_than_needed(service, out):
    """Sixty photos are two requests to search; a second run for more asks for the third page only."""
    search(service, out, "many", "--photos", "60", "--jobs", "4")
    assert service.count("/search/") == 2
    assert service.asked[0] == "/search/photos?query=many&page=1&per_page=30"
    search(service, out, "many", "--photos", "65")
    assert service.count("/search/") == 3
    assert len(set(names(out))) == len(names(out)) >= 60


def test_a_second_run_asks_for_nothing(service, out):
    """What is there is asked for neither of the API nor of the photos' server, and the table stays as it is."""
    search(service, out, "beach")
    asked, before = len(service.asked), (out / "data.csv").read_text()
    assert told(search(service, out, "beach"))["before"] == 6
    assert len(service.asked) == asked
    assert (out / "data.csv").read_text() == before


def test_labels_and_removed_rows_survive_another_search(service, out):
    """What people changed in the table, labels or rows, stays when photos are added."""
    search(service, out, "beach")
    kept = table(out)[1:]
    with (out / "data.csv").open("w") as stream:
        writer = csv.DictWriter(stream, [*kept[0], "sandy"])
        writer.writeheader()
        writer.writerows(row | {"sandy": "1"} for row in kept)
    search(service, out, "beach", "city")
    assert names(out) == [f"unsplash-{path.name}" for path in NAMES[1:8]]
    assert [row["sandy"] for row in table(out)] == ["1"] * 5 + [""] * 2


def test_photos_that_look_the_same_are_kept_once(service, out):
    """Another id with the same picture is a duplicate, which is told and not asked for again."""
    service.photos["twice"] = [NAMES[0], NAMES[1]]
    service.more["0002"] = {"urls": {"raw": f"{service.url}/raw/{NAMES[0].name}?ixid=abc"}}
    result = told(search(service, out, "twice"))
    assert result["new"] == 1
    assert [each["of"] for each in result["duplicates"]] == ["unsplash-0001.jpg"]
    assert told(search(service, out, "twice"))["before"] == 2


def test_a_foreign_ledger_gets_neither_the_key_nor_a_file_elsewhere(service, out):
    """A collect.jsonl of somebody else's names no other host for the key, and no file outside of the folder."""
    photo = {"id": "unsplash-1", "address": f"{service.url}/raw/0001.jpg", "row": {}, "announce": "x:.evil.example/a"}
    page = {"event": "page", "query": "beach", "page": 1, "pages": 1, "photos": [photo]}
    out.mkdir()
    (out / "collect.jsonl").write_text(json.dumps(page) + "\n")
    assert "begins with a slash" in str(search(service, out, "beach").exception)
    assert service.asked == []
    photo["id"] = "../../evil"
    (out / "collect.jsonl").write_text(json.dumps(page) + "\n")
    assert "line 1 is no event: ValueError(\"the id '../../evil'\")" in str(search(service, out, "beach").exception)


def test_a_limit_is_told_at_once(service):
    """A 429 of the API is asked once only: each request counts, and asking again renews nothing."""
    service.instead["/search/photos"] = deque([(429, "text/plain", b"slow down")] * 4)
    api = Api(Web(1, 10, Event(), pause_seconds=0.01), KEY, service.url)
    with pytest.raises(LimitReachedError):
        api.search("beach", 1, 30)
    assert service.count("/search/") == 1


def test_other_licences_are_left_out(service, out):
    """Photos of Unsplash+ are not taken, and one that is described otherwise does not stop the rest."""
    service.more |= {"0001": {"plus": True}, "0002": {"user": None}, "0003": {"id": "../../evil"}}
    search(service, out, "beach")
    assert names(out) == [f"unsplash-{path.name}" for path in NAMES[3:6]]


def test_a_failed_photo_is_told_and_tried_again(service, out):
    """One photo that cannot be had stops nothing, and the next run has it."""
    service.instead["/raw/0002.jpg"] = deque([(404, "text/plain", b"gone")])
    service.instead["/raw/0003.jpg"] = deque([(200, "image/jpeg", NAMES[2].read_bytes()[:5000])])
    result = search(service, out, "beach")
    assert result.exit_code == 0
    assert ["status 404" in told(result)["failed"][0]["reason"], told(result)["new"]] == [True, 4]
    assert "no photo that can be read" in told(result)["failed"][1]["reason"]
    service.instead["/raw/0003.jpg"] = deque([(404, "text/plain", b"gone")])
    assert [each["attempts"] for each in told(search(service, out, "beach"))["failed"]] == [2]
    again = told(search(service, out, "beach"))
    assert [again["new"], again["before"], again["failed"]] == [1, 5, []]
    assert service.count("/photos/0002/download") == 1


def test_a_server_that_stumbles_is_asked_again(service, out):
    """A 503 of the API or of the photos' server is no failure if the next answer comes."""
    service.instead["/search/photos"] = deque([(503, "text/plain", b"busy")])
    service.instead["/raw/0001.jpg"] = deque([(500, "text/plain", b"oops")])
    assert told(search(service, out, "beach"))["new"] == 6


def test_if_nothing_can_be_had_the_command_fails(service, out):
    """Status 1, and the first reason."""
    service.photos["indoor"] = NAMES[:1]
    service.instead["/raw/0001.jpg"] = deque([(403, "text/plain", b"no")])
    result = search(service, out, "indoor")
    assert isinstance(result.exception, DataError)
    assert "status 403" in str(result.exception)


def test_the_limit_stops_the_command_which_goes_on_later(service, out):
    """When the requests are used up no more are made; what came by then is listed, and a later run has the rest."""
    service.remaining = 4
    result = search(service, out, "beach", "--jobs", "2")
    assert isinstance(result.exception, LimitReachedError)
    assert "--wait" in str(result.exception)
    assert told(result)["listed"] == 3
    assert len([each for each in service.asked if not each.startswith("/raw/")]) == 4
    service.remaining = 50
    assert told(search(service, out, "beach"))["new"] == 3
    assert service.count("/search/") == 1


def test_waiting_for_the_limit(service):
    """Who waits is told so, and has the answer when the limit is renewed."""
    service.remaining = 0
    said: list[str] = []

    def tell(message: str) -> None:
        said.append(message)
        service.remaining = 50 if len(said) == 2 else 0

    api = Api(Web(1, 10, Event()), KEY, service.url, wait=True, tell=tell, patience_seconds=0.01)
    assert len(api.search("beach", 1, 30)["results"]) == 6
    assert len(said) == 2
    assert "Ctrl-C" in said[0]


def test_a_wrong_key_is_told_and_never_shown(service, out):
    """Neither the output nor the error nor any file has the key."""
    service.instead["/search/photos"] = deque([(401, "application/json", b'{"errors":["secret-key is invalid"]}')])
    result = search(service, out, "beach", key="secret-key")
    assert isinstance(result.exception, ConfigurationError)
    assert "Copy it again" in str(result.exception)
    search(service, out, "beach")
    written = "".join(path.read_text(errors="ignore") for path in out.rglob("*") if path.is_file())
    for key in ("secret-key", KEY):
        assert key not in result.output + str(result.exception) + written


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"<html>", "did not answer with JSON"),
        (b"[]", "does not answer as Unsplash"),
        (b'{"results": [7], "total_pages": 1}', "another way"),
    ],
)
def test_what_is_no_such_api_is_told(service, out, body, message):
    """An answer that is not Unsplash's is an error, not a traceback."""
    service.instead["/search/photos"] = deque([(200, "application/json", body)])
    result = search(service, out, "beach")
    assert isinstance(result.exception, DataError)
    assert message in str(result.exception)


def test_a_word_that_finds_nothing(service, out):
    """No photos at all is an error that says so; no word is a usage error."""
    assert "no photos of zzz" in str(search(service, out, "zzz").exception)
    assert search(service, out, " ").exit_code == 2


def test_the_key_of_a_file(tmp_path):
    """The file's key counts where the variable is not set; that others may read it is told."""
    tokens, said = tmp_path / "tokens.json", list[str]()
    tokens.write_text('{"unsplash": "abc"}')
    tokens.chmod(0o644)
    assert read_key({}, tokens, said.append) == "abc"
    assert "chmod 600" in said[0]
    assert read_key({"UNSPLASH_ACCESS_KEY": "xyz"}, tokens, said.append) == "xyz"
    tokens.chmod(0o600)
    subprocess.run(["git", "init", "-q"], cwd=tmp_path, check=True)
    subprocess.run(["git", "add", "tokens.json"], cwd=tmp_path, check=True)
    said.clear()
    read_key({}, tokens, said.append)
    assert ["git rm --cached" in each for each in said] == [True]


@pytest.mark.parametrize(
    "text", [None, "abc", '{"other": "abc"}', '{"unsplash": "a b c"}', '{"unsplash": ""}', '["abc"]']
)
def test_a_missing_or_wrong_key(tmp_path, text):
    """No key, or none that can be one, is an error before anything is asked, and is not quoted."""
    tokens = tmp_path / "tokens.json"
    if text:
        tokens.write_text(text)
    with pytest.raises(ConfigurationError) as caught:
        read_key({}, tokens, print)
    assert "abc" not in str(caught.value)
    assert "tokens.json" in str(caught.value)


def started(service: Unsplash, out: Path) -> subprocess.Popen[str]:
    """Run the command in a process of its own, until three photos are saved and the fourth hangs."""
    service.free = 3
    command = [sys.executable, "-m", "scenery", "collect", "unsplash", "beach", "--jobs", "1", "--json"]
    process = subprocess.Popen(
        [*command, "--out", str(out), "--api-url", service.url],
        cwd=ROOT,
        env=os.environ | {"UNSPLASH_ACCESS_KEY": KEY},
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    ledger = out / "collect.jsonl"
    wait_until(lambda: ledger.exists() and ledger.read_text().count('"saved"') == 3, "three photos")
    wait_until(lambda: service.count("/raw/") == 4, "the fourth photo")
    return process


def test_killed_it_goes_on_where_it_was(service, out):
    """After a SIGKILL, even one that cut the ledger's last line off, nothing is asked twice and nothing is missing."""
    process = started(service, out)
    process.kill()
    process.communicate()
    with (out / "collect.jsonl").open("a") as ledger:
        ledger.write('{"event": "sav')
    service.free = 100
    assert told(search(service, out, "beach")) | {"table": ""} == {
        "table": "", "listed": 6, "new": 3, "before": 3, "duplicates": [], "failed": []
    }  # fmt: skip
    assert names(out) == [f"unsplash-{path.name}" for path in NAMES[:6]]
    assert {path.name for path in out.iterdir()} == {
        "images", "data.csv", "collect.jsonl", ".collect.lock", ".data.csv.lock"
    }  # fmt: skip
    asked = Counter(each.split("?")[0] for each in service.asked)
    assert asked.pop("/raw/0004.jpg") == 2
    assert set(asked.values()) == {1}


def test_stopped_it_lists_what_it_has(service, out):
    """SIGTERM or Ctrl-C ends it at once, though a server is silent; meanwhile another command keeps off."""
    process = started(service, out)
    assert "Another command collects into" in str(search(service, out, "city").exception)
    process.send_signal(signal.SIGTERM)
    stdout, stderr = process.communicate(timeout=15)
    assert process.returncode == 1
    assert json.loads(stdout)["listed"] == 3
    assert stderr.strip() == "Aborted!"
    assert len(names(out)) == 3

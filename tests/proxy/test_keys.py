"""API keys: made, kept by their hash, asked for, revoked while the proxy runs."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import re
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from click.testing import CliRunner
from flask import Flask, request

from proxy.keys import Keys, new_key, parse_line, read_keys, require_key
from proxy.keys_command import api_key
from proxy.problems import ProblemError
from scenery.errors import ConfigurationError, SceneryError
from scenery.files import stamp
from tests.processes import ROOT

COMMAND = (sys.executable, "-c", "from proxy.keys_command import api_key; api_key()")


@pytest.fixture
def file(tmp_path, monkeypatch):
    """A file of keys whose edits are seen at once."""
    monkeypatch.setattr("proxy.keys.LOOK_SECONDS", 0)
    monkeypatch.delenv("SCENERY_API_KEYS_FILE", raising=False)
    return tmp_path / "keys"


def run(file, *arguments):
    """Run the command; its errors are the errors of this."""
    return CliRunner().invoke(api_key, [*arguments, "--file", str(file)], catch_exceptions=False)


def make(file, name: str) -> str:
    """Make a key as people do."""
    return run(file, name).stdout.strip()


def test_a_key_is_known_by_its_hash(file):
    """The printed key opens, the file holds its SHA-256 only, and nobody but its owner can read it."""
    key = make(file, "anna")
    assert re.fullmatch(r"scenery_[A-Za-z0-9_-]{43}", key)
    assert file.read_text() == f"anna sha256:{hashlib.sha256(key.encode()).hexdigest()}\n"
    assert file.stat().st_mode & 0o777 == 0o600
    assert Keys(file).holder(key) == "anna"


@pytest.mark.parametrize("presented", ["", "scenery_", "anna", "schlüssel", "\udcff", "x" * 100_000])
def test_anything_else_opens_nothing(file, presented):
    """Neither a guess, nor the hash itself, nor what is no text."""
    key = make(file, "anna")
    digest = hashlib.sha256(key.encode()).hexdigest()
    for wrong in (presented, key + presented + " ", presented + key[1:], digest, f"sha256:{digest}"):
        assert Keys(file).holder(wrong) is None


def test_keys_come_and_go_without_a_restart(file):
    """A key that was made is known, one that was revoked is not, and comments stay where they are."""
    file.write_text("# who may ask\n\n")
    keys = Keys(file)
    anna, ben = make(file, "anna"), make(file, "ben")
    assert (keys.holder(anna), keys.holder(ben)) == ("anna", "ben")
    run(file, "anna", "--revoke")
    assert (keys.holder(anna), keys.holder(ben)) == (None, "ben")
    run(file, "ben", "--revoke")
    assert keys.holder(ben) is None
    assert file.read_text() == "# who may ask\n\n"


@pytest.mark.parametrize("spoilt", ["nonsense", "ben sha256:12", b"\xff", None], ids=str)
def test_a_file_that_is_spoilt_changes_nothing_and_is_logged_once(file, caplog, spoilt):
    """A slip of the editor locks nobody out and lets nobody in; the repair is followed."""
    key = make(file, "anna")
    keys, good = Keys(file), file.read_text()
    if spoilt is None:
        file.unlink()
    else:
        file.write_bytes(spoilt if isinstance(spoilt, bytes) else f"{good}{spoilt}\n".encode())
    with caplog.at_level(logging.ERROR):
        assert [keys.holder(key) for _ in range(3)] == ["anna"] * 3
    assert len(caplog.records) == 1
    assert "cannot be used, everything stays as it was: SCENERY_API_KEYS_FILE" in caplog.text
    file.write_text(f"# mended\n{good.replace('anna', 'anne')}")
    assert keys.holder(key) == "anne"


def test_callers_that_come_together_see_the_same_file(file, monkeypatch):
    """While one thread reads that a key was revoked, it opens nothing for another."""
    key = make(file, "anna")
    monkeypatch.setattr("proxy.keys.LOOK_SECONDS", 0.05)
    keys = Keys(file)
    assert keys.holder(key) == "anna"
    run(file, "anna", "--revoke")
    monkeypatch.setattr("scenery.followed.stamp", lambda path: time.sleep(0.1) or stamp(path))
    time.sleep(0.05)
    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(keys.holder, [key] * 8)) == {None}


@pytest.mark.parametrize(
    "line",
    ["scenery_abcdef", "anna", "anna scenery_abcdef", "anna sha256:abc", "anna md5:" + "0" * 64,
     "anna sha256:" + "0" * 64 + " more", "an,na sha256:" + "0" * 64, "anna sha256:" + "g" * 64],
)  # fmt: skip
def test_a_wrong_line_is_named_and_not_shown(file, line):
    """What stands in a wrong line may be a key, so only its number is told."""
    file.write_text(f"# keys\n{line}\n")
    with pytest.raises(ConfigurationError, match=r"SCENERY_API_KEYS_FILE: .* line 2: expected a name") as raised:
        Keys(file)
    assert not {word for word in line.split() if word in str(raised.value).split()} - {"more"}


@pytest.mark.parametrize(
    ("text", "words"),
    [(None, "cannot be read: No such file"), (b"\xff\xfe", "is no text"), (b"a sha256:%064d\n" * 2 % (1, 2), "line 2")],
)
def test_a_file_that_cannot_be_used_stops_the_start(file, text, words):
    """A missing file, one that is no text and a name that stands there twice name the variable."""
    if text is not None:
        file.write_bytes(text)
    with pytest.raises(ConfigurationError, match=f"SCENERY_API_KEYS_FILE: .*{words}"):
        Keys(file)


def test_comments_and_spaces_are_passed_over():
    """A line may be indented, spaced and end with a comment."""
    _, known = new_key("anna")
    assert parse_line(f"  anna \t sha256:{known.digest.upper()}  # until May") == known
    assert parse_line("  # anna") is None
    assert parse_line("") is None


@pytest.mark.parametrize(
    "headers",
    [
        {"Authorization": "Bearer {key}"},
        {"Authorization": "bEARER   {key}  "},
        {"X-API-Key": "{key}"},
        {"X-API-Key": "{key}", "Authorization": "Basic YTpi"},
    ],
    ids=str,
)
def test_a_request_presents_its_key(file, headers):
    """In one of two headers."""
    key = make(file, "anna")
    sent = {name: value.format(key=key) for name, value in headers.items()}
    with Flask("test").test_request_context(headers=sent):
        assert require_key(request, Keys(file)) == "anna"


@pytest.mark.parametrize(
    ("headers", "words"),
    [
        ({}, "is missing"),
        ({"Authorization": "Bearer"}, "is missing"),
        ({"Authorization": "{key}"}, "is missing"),
        ({"Authorization": "Basic {key}"}, "is missing"),
        ({"Authorization": "Bearer another", "X-API-Key": "{key}"}, "is unknown"),
        ({"X-API-Key": "Bearer {key}"}, "is unknown"),
        ({"X-API-Key": "schlüssel"}, "is unknown"),
    ],
    ids=str,
)
def test_a_request_without_its_key_is_told_how(file, headers, words):
    """The answer says where the key goes, and tells nothing of what was sent; an address is no place for one."""
    key = make(file, "anna")
    sent = {name: value.format(key=key) for name, value in headers.items()}
    with (
        Flask("test").test_request_context(headers=sent, query_string={"api_key": key}),
        pytest.raises(ProblemError, match=words) as raised,
    ):
        require_key(request, Keys(file))
    problem = raised.value
    assert (problem.status, problem.name) == (401, "unauthorized")
    assert problem.headers == {"WWW-Authenticate": "Bearer"}
    assert key not in problem.detail


def test_only_the_key_is_on_standard_output(file):
    """A shell can catch the key; what people read goes to standard error, and has no key in it."""
    environment = os.environ | {"SCENERY_API_KEYS_FILE": str(file)}
    done = subprocess.run([*COMMAND, "anna"], cwd=ROOT, env=environment, capture_output=True, text=True, check=True)
    assert Keys(file).holder(done.stdout.removesuffix("\n")) == "anna"
    assert "shown this once" in done.stderr
    assert done.stdout.strip() not in done.stderr


def test_two_commands_at_once_lose_nothing(file):
    """Each of several commands that run together has its key in the file."""
    names = [f"caller-{number}" for number in range(6)]
    running = [
        subprocess.Popen([*COMMAND, name, "--file", str(file)], cwd=ROOT, stdout=subprocess.PIPE, text=True)
        for name in names
    ]
    made = [process.communicate(timeout=60)[0].strip() for process in running]
    keys = Keys(file)
    assert [keys.holder(key) for key in made] == names


def test_the_answers_as_json(file):
    """Programs read what was done."""
    made = json.loads(run(file, "anna", "--json").stdout)
    assert made.keys() == {"name", "key"}
    assert Keys(file).holder(made["key"]) == made["name"] == "anna"
    make(file, "ben")
    assert json.loads(run(file, "--list", "--json").stdout) == {"names": ["anna", "ben"]}
    assert run(file, "--list").stdout == "anna\nben\n"
    assert json.loads(run(file, "anna", "--revoke", "--json").stdout) == {"name": "anna", "revoked": True}
    assert [key.name for key in read_keys(file)] == ["ben"]


def test_a_link_and_its_permissions_stay(file):
    """The file may be a link, and who else may read it was somebody's decision."""
    real = file.with_name("real")
    real.write_text("# no end of line")
    real.chmod(0o640)
    file.symlink_to(real)
    make(file, "anna")
    assert file.is_symlink()
    assert real.stat().st_mode & 0o777 == 0o640
    assert [key.name for key in read_keys(real)] == ["anna"]


@pytest.fixture
def somebodys(monkeypatch):
    """A file of keys of another user, in a folder that everybody may write to."""
    if os.geteuid() != 0:
        pytest.skip("needs root, to give a file to another user")
    monkeypatch.delenv("SCENERY_API_KEYS_FILE", raising=False)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "keys")
        make(file, "anna")
        file.chmod(0o644)
        os.chown(file, 4321, 4321)
        os.chmod(folder, 0o777)
        yield file


def test_the_file_stays_its_owners(somebodys):
    """The proxy that owns the file can read it still, when root has made a key."""
    make(somebodys, "ben")
    assert [key.name for key in read_keys(somebodys)] == ["anna", "ben"]
    assert (somebodys.stat().st_uid, somebodys.stat().st_gid) == (4321, 4321)


def test_no_key_is_lost_where_the_owner_cannot_be_kept(somebodys):
    """Who may not give the file to its owner changes nothing, and is told of no key."""
    before = somebodys.read_text()
    somebodys.with_name(".keys.lock").chmod(0o666)
    os.seteuid(8765)
    try:
        with pytest.raises(ConfigurationError, match=r"keys stays as it was.*Operation not permitted.*as the owner"):
            run(somebodys, "ben")
    finally:
        os.seteuid(0)
    assert somebodys.read_text() == before
    assert {path.name for path in somebodys.parent.iterdir()} == {"keys", ".keys.lock"}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("anna",), "scenery api-key anna --revoke"),
        (("ben", "--revoke"), "no key of that name"),
        (("a name",), "1 to 64 letters"),
        (("#anna",), "1 to 64 letters"),
    ],
)
def test_what_cannot_be_done_says_what_can(file, arguments, words):
    """A taken name, an unknown one and a wrong one are errors, and the file stays as it was."""
    make(file, "anna")
    before = file.read_text()
    with pytest.raises(SceneryError, match=words):
        run(file, *arguments)
    assert file.read_text() == before


@pytest.mark.parametrize("arguments", [(), ("anna", "--list"), ("--list", "--revoke"), ("--revoke",)])
def test_options_that_do_not_go_together(file, arguments):
    """A wrong call is a usage error, and makes no file."""
    assert run(file, *arguments).exit_code == 2
    assert not file.exists()

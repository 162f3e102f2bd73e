"""``scenery fetch-model``, in front of a real HTTP server that does what servers do."""

from __future__ import annotations

import fcntl
import hashlib
import io
import json
import re
import stat
import tarfile
import threading
import zipfile
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace

import pytest
from click.testing import CliRunner

from export.fetch_command import fetch_model
from export.part import Part
from scenery.errors import ConfigurationError, ExportError
from tests.processes import free_ports

CONTENT = bytes(range(256)) * 4000


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


DIGEST = sha256(CONTENT)


@dataclass
class Site:
    """What the server gives, and how it fails."""

    content: bytes = CONTENT
    etag: str | None = '"one"'
    takes_ranges: bool = True
    minds_if_range: bool = True
    cuts: list[int] = field(default_factory=list)
    """After how many bytes the connection is cut, request by request; then no more."""
    statuses: list[int] = field(default_factory=list)
    """Errors that come first, request by request."""
    retry_after: str | None = None
    location: str | None = None
    is_chunked: bool = False
    asked: list[dict[str, str]] = field(default_factory=list)
    """The headers of each request."""
    url: str = ""

    def begin(self, headers) -> int:
        """Where an answer begins; 0: it is the whole file."""
        match = re.fullmatch(r"bytes=(\d+)-", headers.get("Range", ""))
        if not match or not self.takes_ranges:
            return 0
        return 0 if self.minds_if_range and headers.get("If-Range", self.etag) != self.etag else int(match[1])


def _handler(site: Site) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self):
            site.asked.append(dict(self.headers))
            if site.location is not None:
                return self._say(302, Location=site.location, Content_Length="0")
            if site.statuses:
                told = {"Retry_After": site.retry_after} if site.retry_after else {}
                return self._say(site.statuses.pop(0), Content_Length="0", **told)
            begin, size = site.begin(self.headers), len(site.content)
            if begin >= size > 0:
                return self._say(416, Content_Range=f"bytes */{size}", Content_Length="0")
            told = {"ETag": site.etag} if site.etag else {}
            if begin:
                told["Content_Range"] = f"bytes {begin}-{size - 1}/{size}"
            told |= {"Transfer_Encoding": "chunked"} if site.is_chunked else {"Content_Length": str(size - begin)}
            self._say(206 if begin else 200, **told)
            return self._send(site.content[begin:])

        def _say(self, status: int, **headers: str) -> None:
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name.replace("_", "-"), value)
            self.end_headers()

        def _send(self, body: bytes) -> None:
            cut = site.cuts.pop(0) if site.cuts else len(body)
            sent = body[:cut]
            with suppress(OSError):
                if not site.is_chunked:
                    self.wfile.write(sent)
                else:
                    self.wfile.write(f"{len(sent):x}\r\n".encode() + sent + b"\r\n")
                    self.wfile.write(b"0\r\n\r\n" if cut >= len(body) else b"")
            self.close_connection = cut < len(body)

        def log_message(self, *_):
            pass

    return Handler


@pytest.fixture
def site(monkeypatch):
    """A server of the file; who fetches from it does not wait long between attempts."""
    monkeypatch.setattr("export.download.FIRST_WAIT_SECONDS", 0.001)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    told = Site()
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(told))
    told.url = f"http://127.0.0.1:{server.server_port}/model.bin"
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield told
    server.shutdown()
    server.server_close()
    thread.join()


def run(*arguments):
    """Run the command as a program would; an expected error is raised, as ``scenery`` gets it."""
    done = CliRunner().invoke(fetch_model, [str(each) for each in arguments])
    if isinstance(done.exception, (ConfigurationError, ExportError)):
        raise done.exception
    return done


def fetched(*arguments) -> dict:
    done = run(*arguments, "--json")
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)


def ranges(site: Site) -> list[str | None]:
    return [headers.get("Range") for headers in site.asked]


def left_over(folder) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if not path.name.endswith(".lock"))


def test_a_file_is_placed_and_is_not_fetched_twice(site, tmp_path):
    """The file is there under its name, nothing beside it, and the second call asks nobody."""
    path = tmp_path / "new" / "model.bin"
    assert fetched(site.url, DIGEST, path) == {
        "path": str(path), "sha256": DIGEST, "bytes": len(CONTENT), "is_new": True
    }  # fmt: skip
    assert path.read_bytes() == CONTENT
    assert left_over(path.parent) == ["model.bin"]
    assert fetched(site.url, f"sha256:{DIGEST.upper()}", path)["is_new"] is False
    assert len(site.asked) == 1


def test_the_tutorials_spellings(site, tmp_path):
    """The three values may be options, or lines of a YAML file, and a word given by hand wins over the file."""
    config = tmp_path / "config.yaml"
    config.write_text(f"model_url: {site.url}\nmodel_sha256: '{DIGEST}'\nmodel_path: {tmp_path}/a\ntargets: [beach]\n")
    fetched("--config", config)
    fetched("--config", config, "--model_path", tmp_path / "b")
    fetched("--model_url", site.url, "--model-sha256", DIGEST, "--model_path", tmp_path / "c")
    assert {name: (tmp_path / name).read_bytes() == CONTENT for name in "abc"} == dict.fromkeys("abc", True)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["URL", "DIGEST"], "model_path is missing"),
        (["URL", "DIGEST", "PATH", "--model_path", "other"], "model_path is given twice"),
        (["URL", "abc", "PATH"], "64 hexadecimal digits"),
        (["ftp://host/file", "DIGEST", "PATH"], "http:// or https://"),
        (["no address", "DIGEST", "PATH"], "must be like https://host/file"),
        (["http://anna:secret@host/file", "DIGEST", "PATH"], "a user's name"),
        (["URL", "DIGEST", "FOLDER"], "is a folder. Name a file"),
        (["URL", "DIGEST", "/", "--unpack", "--replace"], "cannot take the place of /"),
        (["URL", "DIGEST", "FOLDER/models/scenery/2", "--unpack"], "scenery publish"),
        (["URL", "DIGEST", "FOLDER/models/scenery/2/assets/x"], "scenery publish"),
        (["--config", "FOLDER/none.yaml"], "cannot be read"),
    ],
)
def test_what_cannot_be_asked_is_told_before_anything_is_fetched(site, tmp_path, arguments, message):
    """A wrong word says what is expected instead; nobody is asked, and nothing is written."""
    words = {"URL": site.url, "DIGEST": DIGEST, "PATH": str(tmp_path / "model.bin"), "FOLDER": str(tmp_path)}
    arguments = [re.sub("URL|DIGEST|PATH|FOLDER", lambda found: words[found[0]], each) for each in arguments]
    done = CliRunner().invoke(fetch_model, arguments)
    assert isinstance(done.exception, (ConfigurationError, SystemExit))
    assert message in f"{done.exception} {done.output}"
    assert not site.asked
    assert left_over(tmp_path) == []


def test_another_file_than_expected_is_never_placed(site, tmp_path):
    """Both digests are named, nothing is left, and what was there before is as it was."""
    path = tmp_path / "model.bin"
    path.write_bytes(b"the old one")
    with pytest.raises(ExportError, match=f"Expected: {'0' * 64}. Received: {DIGEST}"):
        run(site.url, "0" * 64, path, "--replace")
    assert path.read_bytes() == b"the old one"
    assert left_over(tmp_path) == ["model.bin"]


def test_what_is_there_is_replaced_only_on_demand(site, tmp_path):
    """A file with another SHA-256 is kept, unless ``--replace`` is given."""
    path = tmp_path / "model.bin"
    path.write_bytes(b"the old one")
    with pytest.raises(ConfigurationError, match="Add --replace"):
        run(site.url, DIGEST, path)
    assert path.read_bytes() == b"the old one"
    fetched(site.url, DIGEST, path, "--replace")
    assert path.read_bytes() == CONTENT


@pytest.mark.parametrize("is_chunked", [False, True], ids=["with its length", "chunked"])
def test_a_broken_connection_is_gone_on_with(site, tmp_path, is_chunked):
    """Each attempt asks for what is missing, of the same bytes, and the whole is the file."""
    site.cuts, site.is_chunked = [300_000, 400_000], is_chunked
    fetched(site.url, DIGEST, tmp_path / "model.bin")
    assert (tmp_path / "model.bin").read_bytes() == CONTENT
    assert ranges(site) == [None, "bytes=300000-", "bytes=700000-"]
    assert site.asked[2]["If-Range"] == '"one"'


def test_a_server_that_stays_away_leaves_the_part_for_the_next_call(site, tmp_path):
    """After some attempts in vain the error says to run it again, and that call fetches the rest only."""
    site.cuts = [300_000] + [0] * 5
    path = tmp_path / "model.bin"
    with pytest.raises(ExportError, match="300000 bytes of it are kept; run this again"):
        run(site.url, DIGEST, path)
    assert not path.exists()
    site.asked.clear()
    fetched(site.url, DIGEST, path)
    assert ranges(site) == ["bytes=300000-"]
    assert path.read_bytes() == CONTENT


@pytest.fixture
def begun(site, tmp_path):
    """A place where the first 300 000 bytes have come."""
    site.cuts = [300_000] + [0] * 5
    with pytest.raises(ExportError):
        run(site.url, DIGEST, tmp_path / "model.bin")
    site.asked.clear()
    return tmp_path / "model.bin"


def test_a_server_without_ranges_starts_over(site, begun):
    """The whole file comes again, and is not put behind what was there."""
    site.takes_ranges = False
    fetched(site.url, DIGEST, begun)
    assert begun.read_bytes() == CONTENT


@pytest.mark.parametrize("minds_if_range", [True, False], ids=["If-Range is minded", "If-Range is ignored"])
@pytest.mark.parametrize("size", [len(CONTENT), 500_000, 200_000], ids=["as long", "shorter", "shorter than the part"])
def test_a_file_that_changes_in_between_is_not_mixed(site, begun, minds_if_range, size):
    """The old beginning and the new end never become one file."""
    site.content, site.etag, site.minds_if_range = CONTENT[::-1][:size], '"two"', minds_if_range
    with pytest.raises(ExportError, match=f"Received: {sha256(site.content)}"):
        run(site.url, DIGEST, begun)
    assert left_over(begun.parent) == []


def test_another_digest_does_not_go_on_with_the_part(site, begun):
    """What was begun for another file is dropped."""
    site.content = CONTENT[::-1]
    fetched(site.url, sha256(site.content), begun)
    assert begun.read_bytes() == site.content
    assert ranges(site) == [None]


def test_another_address_of_the_same_file_goes_on(site, begun):
    """A mirror gives the rest; what the first server called the bytes is not said to it."""
    site.etag = '"the name at the mirror"'
    fetched(site.url.replace("model.bin", "mirror.bin"), DIGEST, begun)
    assert ranges(site) == ["bytes=300000-"]
    assert "If-Range" not in site.asked[0]


def test_a_part_that_is_whole_is_not_asked_for(site, begun):
    """Killed before the last step, everything is here already."""
    begun.with_name("model.bin.part").write_bytes(CONTENT)
    fetched(site.url, DIGEST, begun)
    assert not site.asked
    assert begun.read_bytes() == CONTENT


def test_a_damaged_part_is_noticed(site, begun):
    """The digest is that of the bytes on the disk, so a part that was changed there is deleted."""
    begun.with_name("model.bin.part").write_bytes(bytes(300_000))
    with pytest.raises(ExportError, match="are deleted"):
        run(site.url, DIGEST, begun)
    fetched(site.url, DIGEST, begun)


def test_a_body_shorter_than_announced_is_noticed(site, tmp_path):
    """A connection that ends early is no file, even if nobody says so."""
    site.cuts = [1000] + [0] * 5
    with pytest.raises(ExportError, match="did not come whole"):
        run(site.url, DIGEST, tmp_path / "model.bin")


def test_a_busy_server_is_asked_again_and_a_wrong_address_is_not(site, tmp_path):
    """503 passes; 404 is told at once."""
    site.statuses = [503, 429]
    fetched(site.url, DIGEST, tmp_path / "model.bin")
    assert len(site.asked) == 3
    site.statuses = [404]
    with pytest.raises(ExportError, match="404 Not Found"):
        run(site.url, DIGEST, tmp_path / "other.bin")
    assert len(site.asked) == 4


def test_nobody_listens(tmp_path, monkeypatch):
    """A server that is not there is told after some attempts."""
    monkeypatch.setattr("export.download.FIRST_WAIT_SECONDS", 0.001)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    (port,) = free_ports(1)
    with pytest.raises(ExportError, match="did not come whole"):
        run(f"http://127.0.0.1:{port}/model.bin", DIGEST, tmp_path / "model.bin")


def test_redirects_end(site, tmp_path):
    """A few are followed; a circle, and one to another scheme, are refused."""
    site.location = "/model.bin"
    with pytest.raises(ExportError, match="more than 5 redirects"):
        run(site.url, DIGEST, tmp_path / "model.bin")
    assert len(site.asked) == 6
    site.location = "file:///etc/passwd"
    with pytest.raises(ConfigurationError, match="http:// or https://"):
        run(site.url, DIGEST, tmp_path / "model.bin")


def test_a_redirect_never_leaves_tls():
    """From https only https is followed."""
    from export.source import _next

    assert _next("https://host/a", "https://other/b") == "https://other/b"
    with pytest.raises(ExportError, match="Name an https address"):
        _next("https://host/a", "http://host/b")


def test_the_web_proxy_of_the_environment_is_used(site, tmp_path, monkeypatch):
    """Where one is named, the file is asked for there, as curl does."""
    monkeypatch.setenv("http_proxy", site.url)
    fetched("http://model.invalid/model.bin", DIGEST, tmp_path / "model.bin")
    assert site.asked[0]["Host"] == "model.invalid"


@pytest.mark.parametrize("is_chunked", [False, True], ids=["with its length", "chunked"])
def test_a_file_that_is_too_large_is_refused(site, tmp_path, is_chunked):
    """``--max-bytes`` holds, whether the server tells the size or not."""
    site.is_chunked = is_chunked
    with pytest.raises(ExportError, match="Raise --max-bytes"):
        run(site.url, DIGEST, tmp_path / "model.bin", "--max-bytes", len(CONTENT) - 1)
    fetched(site.url, DIGEST, tmp_path / "model.bin", "--max-bytes", len(CONTENT))


def test_a_disk_without_room_is_told_before_the_bytes_come(site, tmp_path, monkeypatch):
    """Nothing is written if the file cannot fit."""
    monkeypatch.setattr("shutil.disk_usage", lambda _: type("Usage", (), {"free": 1000}))
    with pytest.raises(ExportError, match="Make room"):
        run(site.url, DIGEST, tmp_path / "model.bin")
    assert (tmp_path / "model.bin.part").stat().st_size == 0


def test_two_at_once_do_not_meet(site, tmp_path):
    """The second says that another is at it, and the first is not disturbed."""
    with (tmp_path / ".model.bin.lock").open("a") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(ConfigurationError, match="Another command is fetching"):
            run(site.url, DIGEST, tmp_path / "model.bin")
    assert not site.asked


def tarred(files: dict[str, bytes | None], mode: str = "w:gz", **special) -> bytes:
    """A tar archive; None is a folder. ``special`` are attributes of a last member."""
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode=mode) as tar:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.type = tarfile.DIRTYPE if content is None else tarfile.REGTYPE
            member.size = len(content or b"")
            tar.addfile(member, io.BytesIO(content or b""))
        if special:
            member = tarfile.TarInfo("special")
            for name, value in special.items():
                setattr(member, name, value)
            tar.addfile(member)
    return target.getvalue()


def zipped(files: dict[str, bytes], mode: int = 0) -> bytes:
    """A zip archive whose members have a mode of Unix."""
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as packed:
        for name, content in files.items():
            member = zipfile.ZipInfo(name)
            member.external_attr = mode << 16
            packed.writestr(member, content, zipfile.ZIP_DEFLATED)
    return target.getvalue()


MODEL = {"saved_model.pb": b"graph", "variables/x": b"1", "assets.extra/golden/scores.json": b"{}"}


@pytest.mark.parametrize(
    "archive",
    [
        tarred(MODEL),
        tarred({"./": None} | {f"./{name}": content for name, content in MODEL.items()}, "w"),
        tarred({"model-1": None} | {f"model-1/{name}": content for name, content in MODEL.items()}, "w:xz"),
        zipped({f"model-1/{name}": content for name, content in MODEL.items()}),
    ],
    ids=["tar.gz", "tar of the folder itself", "tar.xz with a folder around", "zip with a folder around"],
)
def test_an_archive_becomes_a_folder(site, tmp_path, archive):
    """The folder has the files, without the single one around them; it is not fetched again, and publish is named."""
    site.content = archive
    path = tmp_path / "model"
    told = run(site.url, sha256(archive), path, "--unpack").stdout
    assert f"scenery publish {path}" in told
    files = {each.relative_to(path).as_posix(): each.read_bytes() for each in path.rglob("*") if each.is_file()}
    assert files == MODEL
    assert left_over(tmp_path) == [".model.fetched.json", "model"]
    assert fetched(site.url, sha256(archive), path, "--unpack")["is_new"] is False


@pytest.mark.parametrize(
    ("archive", "message"),
    [
        (tarred({"../evil": b"x"}), "'../evil' leads out"),
        (tarred({"a/../../evil": b"x"}), "leads out"),
        (tarred({"/tmp/evil": b"x"}), "leads out"),
        (tarred(MODEL, type=tarfile.SYMTYPE, linkname="/etc/passwd"), "'special' is a link or a device"),
        (tarred(MODEL, type=tarfile.LNKTYPE, linkname="saved_model.pb"), "is a link or a device"),
        (tarred(MODEL, type=tarfile.CHRTYPE), "is a link or a device"),
        (tarred(MODEL, type=tarfile.FIFOTYPE), "is a link or a device"),
        (zipped({"../evil": b"x"}), "leads out"),
        (zipped({"..\\evil": b"x"}), "leads out"),
        (zipped({"link": b"/etc/passwd"}, stat.S_IFLNK | 0o777), "is a link or a device"),
        (tarred(MODEL | {"zeros": bytes(2 * 10**6)}), "more than 1000000 bytes"),
        (zipped(MODEL | {"zeros": bytes(2 * 10**6)}), "more than 1000000 bytes"),
        (tarred(dict.fromkeys(map(str, range(1001)))), "more than 1000 files"),
        (tarred(MODEL, "w")[:515], "is damaged"),
        (zipped(MODEL)[:-20], "is damaged"),
        (b"no archive at all", "is damaged"),
        (tarred({"saved_model.pb": b"1", "saved_model.pb/x": b"2"}), "'saved_model.pb' twice, or as a file and"),
        (tarred({"saved_model.pb": b"1", "saved_model.pb/x/y": b"2"}), "twice, or as a file and as a folder"),
        (tarred(MODEL, name="saved_model.pb"), "'saved_model.pb' twice"),
        (tarred({"photo.jpg": b"x"}), "neither a SavedModel .* Received: photo.jpg"),
        (tarred({}), "Received: nothing"),
    ],
    ids=lambda value: value if isinstance(value, str) else "archive",  # an archive's bytes depend on the time of day
)
def test_an_archive_that_must_not_be_unpacked_leaves_nothing(site, tmp_path, archive, message):
    """Whatever it holds, nothing lands elsewhere, the folder does not appear, and an old one stays."""
    site.content = archive
    path = tmp_path / "inner" / "model"
    for before in ([], ["run.json"]):
        if before:
            path.mkdir()
            (path / "run.json").touch()
        with pytest.raises(ExportError, match=message):
            run(site.url, sha256(archive), path, "--unpack", "--replace", "--max-bytes", 10**6)
        assert [each.name for each in path.glob("*")] == before
    assert left_over(path.parent) == ["model", "model.part", "model.part.json"]
    assert [each.name for each in tmp_path.iterdir()] == ["inner"]


def test_a_folder_is_replaced_on_demand_only(site, tmp_path):
    """A folder of another archive stays unless ``--replace`` is given, and then is gone whole."""
    path = tmp_path / "model"
    site.content = tarred(MODEL)
    fetched(site.url, sha256(site.content), path, "--unpack")
    site.content, site.etag = tarred({"run.json": b"{}"}), '"two"'
    with pytest.raises(ConfigurationError, match="Add --replace"):
        run(site.url, sha256(site.content), path, "--unpack")
    assert (path / "saved_model.pb").exists()
    fetched(site.url, sha256(site.content), path, "--unpack", "--replace")
    assert [each.name for each in path.iterdir()] == ["run.json"]


def test_a_folder_that_is_named_by_dots(site, tmp_path, monkeypatch):
    """``.`` is the folder that it leads to: it is there, and is no model."""
    monkeypatch.chdir(tmp_path)
    for arguments, message in (([], "Add --replace"), (["--replace"], "is no model's own folder")):
        (tmp_path / "mine").touch()
        with pytest.raises(ConfigurationError, match=message):
            run(site.url, DIGEST, ".", "--unpack", *arguments)
    assert (tmp_path / "mine").exists()


@pytest.mark.parametrize("inside", ["1/saved_model.pb", "photo.jpg", "deeper/run.json"])
def test_what_is_no_model_is_never_replaced(site, tmp_path, inside):
    """``--replace`` is no way to lose versions, or a folder of anything else; nothing is fetched for it."""
    file = tmp_path / "scenery" / inside
    file.parent.mkdir(parents=True)
    file.touch()
    with pytest.raises(ConfigurationError, match=r"is no model's own folder.*Name a folder that does not exist"):
        run(site.url, DIGEST, tmp_path / "scenery", "--unpack", "--replace")
    assert file.exists()
    assert not site.asked


def test_a_folder_of_versions_stays_even_with_a_model_in_it(site, tmp_path):
    """A stray ``saved_model.pb`` beside versions makes them no model."""
    (tmp_path / "scenery" / "1").mkdir(parents=True)
    (tmp_path / "scenery" / "saved_model.pb").touch()
    with pytest.raises(ConfigurationError, match="is no model's own folder"):
        run(site.url, DIGEST, tmp_path / "scenery", "--unpack", "--replace")


@pytest.fixture
def placed(site, tmp_path):
    """A folder made of an archive; the server has another one by now. Returns the folder and the first digest."""
    site.content = tarred(MODEL)
    first = sha256(site.content)
    fetched(site.url, first, tmp_path / "model", "--unpack")
    site.content, site.etag = tarred({"run.json": b"{}"}), '"two"'
    site.asked.clear()
    return tmp_path / "model", first


@pytest.mark.parametrize("change", ["changed", "added", "removed"])
def test_a_folder_that_was_changed_is_not_what_was_fetched(site, placed, change):
    """Each file is held against its own SHA-256, so a damaged model is never called verified."""
    path, first = placed
    assert fetched(site.url, first, path, "--unpack")["is_new"] is False
    if change == "removed":
        (path / "variables/x").unlink()
    else:
        (path / ("variables/x" if change == "changed" else "variables/y")).write_bytes(b"2")
    with pytest.raises(ConfigurationError, match="or changed since"):
        run(site.url, first, path, "--unpack")


@pytest.mark.parametrize("breaks_at", ["old", "model"])
@pytest.mark.parametrize("is_done", [False, True], ids=["before it", "after it"])
def test_ctrl_c_between_the_last_steps_loses_nothing(site, placed, monkeypatch, breaks_at, is_done):
    """At whichever rename it comes, the old folder is there whole, or the new one."""
    path, _ = placed
    rename = Path.rename

    def interrupted(source: Path, target: Path) -> Path:
        if not target.name.endswith(breaks_at) or source.name == ".model.old":
            return rename(source, target)
        if is_done:
            rename(source, target)
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "rename", interrupted)
    assert run(site.url, sha256(site.content), path, "--unpack", "--replace").exit_code == 1
    monkeypatch.undo()
    is_new = breaks_at == "model" and is_done
    assert (path / "run.json").exists() is is_new
    assert (path / "saved_model.pb").exists() is not is_new
    assert not {".model.old", ".model.unpacking"} & set(left_over(path.parent))


def test_a_kill_between_the_renames_is_mended_by_the_next_call(site, placed):
    """The folder that was moved aside is given back before anything else, and is known as what it is."""
    path, first = placed
    path.rename(path.with_name(".model.old"))
    assert fetched(site.url, first, path, "--unpack")["is_new"] is False
    assert (path / "saved_model.pb").exists()
    assert not site.asked


def test_a_kill_after_the_renames_is_mended_by_the_next_call(site, placed):
    """The new folder is verified by its note, and the old one goes."""
    path, first = placed
    path.with_name(".model.old").mkdir()
    assert fetched(site.url, first, path, "--unpack")["is_new"] is False
    assert not path.with_name(".model.old").exists()


@pytest.mark.parametrize(
    ("said", "waited"), [("0.5", 0.001), ("7", 7.0), ("999999", 60.0), ("Mon, 01 Jan 2001 00:00:00 GMT", 0.001)]
)
def test_a_busy_server_is_left_alone_as_long_as_it_asks(site, tmp_path, monkeypatch, said, waited):
    """Its Retry-After counts, up to a minute; what cannot be read, or is over, does not."""
    waits = []
    monkeypatch.setattr("export.download.time", SimpleNamespace(sleep=waits.append))
    site.statuses, site.retry_after = [503], said
    fetched(site.url, DIGEST, tmp_path / "model.bin")
    assert waits == [pytest.approx(waited, abs=0.01)]


def test_a_part_that_turns_out_to_be_whole_is_not_fetched_again(site, tmp_path):
    """A server that did not say the size says that there is no more; the bytes are verified, not dropped."""
    path = tmp_path / "model.bin"
    part = Part(path, DIGEST)
    part.start(site.url, site.etag, None)
    part.file.write_bytes(CONTENT)
    fetched(site.url, DIGEST, path)
    assert ranges(site) == [f"bytes={len(CONTENT)}-"]
    assert path.read_bytes() == CONTENT


def test_a_host_that_nobody_knows_is_told_at_once(tmp_path, monkeypatch):
    """It says that the name is the trouble; a file that did not come whole would be another matter."""
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.setattr("export.download.time", None)
    with pytest.raises(ExportError, match=r"Failed to resolve 'model\.invalid'.* Correct the address"):
        run("http://model.invalid/model.bin", DIGEST, tmp_path / "model.bin")


def test_a_key_in_the_address_is_shown_to_nobody(site, tmp_path):
    """The query is sent, but is in no message and no file; a new one goes on with the same part."""
    site.cuts = [300_000] + [0] * 5
    path = tmp_path / "model.bin"
    with pytest.raises(ExportError) as caught:
        run(f"{site.url}?key=secret", DIGEST, path)
    note = tmp_path / "model.bin.part.json"
    assert "secret" not in str(caught.value) + note.read_text()
    assert stat.S_IMODE(note.stat().st_mode) == 0o600
    site.asked.clear()
    fetched(f"{site.url}?key=another", DIGEST, path)
    assert site.asked[0]["If-Range"] == '"one"'


def test_a_web_proxy_is_told_who_asks(site, tmp_path, monkeypatch):
    """The user's name and password in the variable are sent to the web proxy."""
    monkeypatch.setenv("http_proxy", site.url.replace("http://", "anna:secret@"))
    fetched("http://model.invalid/model.bin", DIGEST, tmp_path / "model.bin")
    assert site.asked[0]["proxy-authorization"] == "Basic YW5uYTpzZWNyZXQ="


def test_each_address_on_the_way_has_its_own_web_proxy(site, tmp_path, monkeypatch):
    """A redirect from a host that is asked itself to one that is not goes by way of the web proxy."""
    monkeypatch.setenv("http_proxy", site.url)
    site.location = "http://model.invalid/model.bin"
    with pytest.raises(ExportError, match="more than 5 redirects"):
        run(site.url, DIGEST, tmp_path / "model.bin")
    assert [headers["Host"] for headers in site.asked[1:]] == ["model.invalid"] * 5

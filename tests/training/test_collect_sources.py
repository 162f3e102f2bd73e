"""``scenery collect csv`` and ``folder``, and what becomes of a photo's file."""

from __future__ import annotations

import csv
import json
import shutil
import socket
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event, Thread

import pytest
from click.testing import CliRunner, Result
from PIL import Image

from scenery.errors import ConfigurationError, DataError
from tests.photographs import encode
from tests.processes import PHOTOS, free_ports
from tests.training.unsplash_server import Unsplash, unsplash_server
from training.collect import picture, web
from training.collect.command import collect
from training.collect.found import id_of
from training.collect.web import Web

NAMES = sorted(PHOTOS.glob("*.jpg"))
PHOTO = NAMES[0].read_bytes()


@pytest.fixture
def server() -> Iterator[Unsplash]:
    with unsplash_server({}) as running:
        running.files = {f"/as/{path.name}": (200, "image/jpeg", path.read_bytes()) for path in NAMES[:5]}
        yield running


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "out"


def run(*arguments: object) -> Result:
    return CliRunner().invoke(collect, [*map(str, arguments), "--json"])


def rows(out: Path) -> list[dict[str, str]]:
    with (out / "data.csv").open() as stream:
        return list(csv.DictReader(stream))


def test_a_labelled_table_stays_labelled(server, out, tmp_path):
    """The other columns come along, by whatever name the URLs' column goes; the photos are those of the URLs."""
    listed = tmp_path / "list.csv"
    listed.write_text(
        "\ufeffname,photo_url,beach,author\n"
        f"mine.jpg,{server.url}/as/0001.jpg?x=1,1,Ann\n"
        f"yours.jpg,{server.url}/as/0002.jpg,0,\n"
    )
    result = run("csv", listed, "--url-column", "photo_url", "--out", out)
    assert result.exit_code == 0, result.output
    first, second = rows(out)
    assert [first["beach"], first["author"], first["source"], first["listed_name"]] == ["1", "Ann", "Ann", "mine.jpg"]
    assert [second["beach"], second["link"]] == ["0", f"{server.url}/as/0002.jpg"]
    assert second["source"] == second["name"].removesuffix(".jpg")
    assert first["name"].startswith("0001-")
    assert (out / "images" / second["name"]).read_bytes() == NAMES[1].read_bytes()


def test_every_bad_url_is_told_and_the_others_come(server, out, tmp_path):
    """Files of this machine, missing photos, pages, endless redirects and empty cells stop nothing."""
    secret = tmp_path / "secret.jpg"
    secret.write_bytes(PHOTO)
    server.files["/as/page"] = (200, "image/jpeg", b"<html>no photo</html>")
    server.files["/as/loop"] = (302, "text/plain", f"{server.url}/as/loop".encode())
    server.files["/as/file"] = (302, "text/plain", f"file://{secret}".encode())
    server.files["/as/moved"] = (302, "text/plain", b"/as/0003.jpg")
    bad = {
        f"file://{secret}": "Only http",
        str(secret): "Only http",
        "(line 4 has no URL)": "Only http",
        f"{server.url}/as/none": "status 404",
        f"{server.url}/as/page": "no photo that can be read",
        f"{server.url}/as/loop": "redirects",
        f"{server.url}/as/file": "could not be asked",
        f"http://127.0.0.1:{free_ports(1)[0]}/a.jpg": "could not be asked",
        "http://[::1": "could not be asked",
    }
    urls = ["" if url.startswith("(") else url for url in bad]
    listed = tmp_path / "list.csv"
    listed.write_text("url\n" + "".join(f'"{url}"\n' for url in [*urls, f"{server.url}/as/moved"]))
    result = run("csv", listed, "--out", out)
    assert result.exit_code == 0, result.output
    failed = {each["address"]: each["reason"] for each in json.loads(result.stdout)["failed"]}
    assert failed.keys() == bad.keys()
    for url, reason in bad.items():
        assert reason in failed[url]
    assert [row["link"] for row in rows(out)] == [f"{server.url}/as/moved"]


def test_the_order_of_the_table_decides(server, out, tmp_path):
    """However many photos come at a time, rows are in the table's order and the first of two that look alike stays."""
    smaller = Image.open(NAMES[0]).resize((300, 200))
    server.files["/as/again.png"] = (200, "image/png", encode(smaller, "PNG"))
    order = ["0004.jpg", "0001.jpg", "again.png", "0003.jpg", "0004.jpg"]
    listed = tmp_path / "list.csv"
    listed.write_text("url\n" + "".join(f"{server.url}/as/{name}\n" for name in order))
    for jobs in (1, 8):
        result = json.loads(run("csv", listed, "--out", out / str(jobs), "--jobs", jobs).stdout)
        assert [row["name"][:4] for row in rows(out / str(jobs))] == ["0004", "0001", "0003"]
        assert [each["of"][:4] for each in result["duplicates"]] == ["0001"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("link\nx\n", "no column 'url'"),
        ("url\n", "only a header"),
        ("", "Its columns: none"),
        ("url\na,b\n", "line 2: 2 cells and 1 columns"),
        ("url\n\x00\udcff\n", "cannot be read as a CSV"),
    ],
)
def test_a_wrong_table_says_what_is_wrong(out, tmp_path, text, message):
    """A table that cannot be used is told before a folder is made."""
    (tmp_path / "list.csv").write_bytes(text.encode(errors="surrogateescape"))
    result = run("csv", tmp_path / "list.csv", "--out", out)
    assert isinstance(result.exception, DataError)
    assert message in str(result.exception)
    assert not out.exists()


def test_a_folder_is_copied_with_its_folders_as_sources(out, tmp_path):
    """Photos of a folder inside have it as their source; hidden and other files are left; nothing there changes."""
    shoot = tmp_path / "shoot"
    (shoot / "day 1").mkdir(parents=True)
    odd = b"\xff\x1b[1m.png".decode(errors="surrogateescape")
    for place, path in zip(("a.jpg", "day 1/b.JPG", "day 1/.c.jpg", "notes.txt", odd), NAMES, strict=False):
        shutil.copyfile(path, shoot / place)
    before = {path: path.read_bytes() for path in shoot.rglob("*") if path.is_file()}
    assert json.loads(run("folder", shoot, "--out", out).stdout)["new"] == 3
    told = [(row["original"], row["source"][:2]) for row in rows(out)]
    assert told == [("a.jpg", "a-"), ("?\x1b[1m.png", "1m"), ("day 1/b.JPG", "da")]
    assert {path: path.read_bytes() for path in shoot.rglob("*") if path.is_file()} == before
    assert isinstance(run("folder", shoot, "--out", shoot / "out").exception, ConfigurationError)
    (tmp_path / "empty").mkdir()
    assert "has no photo" in str(run("folder", tmp_path / "empty", "--out", out).exception)


def test_sources_fill_one_folder(server, out, tmp_path):
    """What came of one source is known to another: columns are united, photos are kept once."""
    (tmp_path / "list.csv").write_text(f"url,beach\n{server.url}/as/0001.jpg,1\n")
    run("csv", tmp_path / "list.csv", "--out", out)
    (tmp_path / "shoot").mkdir()
    for path in NAMES[:2]:
        shutil.copyfile(path, tmp_path / "shoot" / path.name)
    result = json.loads(run("folder", tmp_path / "shoot", "--out", out).stdout)
    assert [result["new"], len(result["duplicates"]), result["listed"]] == [1, 1, 2]
    assert [row["beach"] for row in rows(out)] == ["1", ""]


def test_a_folder_that_cannot_be_filled(out, tmp_path):
    """A file where the folder should be, and a table of something else, are told before anything is fetched."""
    (tmp_path / "shoot").mkdir()
    shutil.copyfile(NAMES[0], tmp_path / "shoot/a.jpg")
    (tmp_path / "file").touch()
    assert "cannot be written" in str(run("folder", tmp_path / "shoot", "--out", tmp_path / "file/out").exception)
    out.mkdir()
    (out / "data.csv").write_text("a,b\n1,2\n")
    assert "no column 'name'" in str(run("folder", tmp_path / "shoot", "--out", out).exception)
    assert (out / "data.csv").read_text() == "a,b\n1,2\n"
    assert not list((out / "images").iterdir())
    (out / "data.csv").unlink()
    run("folder", tmp_path / "shoot", "--out", out)
    assert [row["original"] for row in rows(out)] == ["a.jpg"]


def test_a_damaged_ledger_is_told(out, tmp_path):
    """A line that is no event is named; the line, not a traceback."""
    out.mkdir()
    (out / "collect.jsonl").write_text('{"event": "listed"}\nnonsense\n')
    (tmp_path / "shoot").mkdir()
    shutil.copyfile(NAMES[0], tmp_path / "shoot/a.jpg")
    assert "line 2 is no event" in str(run("folder", tmp_path / "shoot", "--out", out).exception)


def turned() -> bytes:
    """A photo that lies on its side, and tells so, and where it was taken."""
    exif = Image.Exif()
    exif[0x0112] = 6
    exif.get_ifd(0x8825)[1] = "N"
    return encode(Image.open(NAMES[0]), "JPEG", exif=exif)


@pytest.mark.parametrize(
    ("content", "suffix", "size"),
    [
        (lambda: PHOTO, ".jpg", (400, 266)),
        (lambda: encode(Image.open(NAMES[0]), "PNG"), ".png", (400, 266)),
        (lambda: encode(Image.open(NAMES[0]), "WEBP"), ".webp", (400, 266)),
        (lambda: encode(Image.open(NAMES[0]), "TIFF"), ".jpg", (400, 266)),
        (lambda: encode(Image.open(NAMES[0]), "BMP"), ".jpg", (400, 266)),
        (lambda: encode(Image.open(NAMES[0]).convert("CMYK"), "JPEG"), ".jpg", (400, 266)),
        (lambda: encode(Image.open(NAMES[0]).resize((1600, 1064)), "JPEG"), ".jpg", (400, 266)),
        (lambda: encode(Image.open(NAMES[0]), "MPO", save_all=True), ".jpg", (400, 266)),
        (turned, ".jpg", (266, 400)),
    ],
    ids=["jpeg", "png", "webp", "tiff", "bmp", "cmyk", "large", "mpo", "turned"],
)
def test_files_are_as_the_model_reads_them(tmp_path, content: Callable[[], bytes], suffix, size):
    """JPEG, PNG and WebP stay; others become upright RGB JPEGs of the wanted size, without EXIF."""
    path = tmp_path / "photo"
    path.write_bytes(content())
    settled = picture.settle(path, 400)
    assert settled == picture.Picture(suffix, *size)
    with Image.open(path) as image:
        assert (image.size, image.mode, dict(image.getexif())) == (size, "RGB", {})
    if suffix != ".jpg" or content() == PHOTO:
        assert path.read_bytes() == content()


PLACE = b"48.2082 N, 16.3738 E"


def with_text_behind_the_pixels(png: bytes) -> bytes:
    """Put a text into a PNG behind its pixels, as ImageMagick does with EXIF."""
    chunk = b"tEXtRaw profile type exif\0" + PLACE
    length, check = (len(chunk) - 4).to_bytes(4, "big"), zlib.crc32(chunk).to_bytes(4, "big")
    return png[:-12] + length + chunk + check + png[-12:]


@pytest.mark.parametrize(
    "content",
    [
        lambda: with_text_behind_the_pixels(encode(Image.open(NAMES[0]), "PNG")),
        lambda: encode(Image.open(NAMES[0]), "JPEG", comment=PLACE),
        lambda: encode(Image.open(NAMES[0]).resize((900, 600)), "JPEG", comment=PLACE),
        lambda: PHOTO[:2] + b"\xff\xeb" + (len(PLACE) + 2).to_bytes(2, "big") + PLACE + PHOTO[2:],
        lambda: encode(Image.open(NAMES[0]), "WEBP", xmp=PLACE),
        lambda: encode(Image.open(NAMES[0]), "GIF", comment=PLACE),
    ],
    ids=["png", "jpeg", "large jpeg", "unknown segment", "webp", "gif"],
)
def test_no_photo_keeps_where_it_was_taken(tmp_path, content: Callable[[], bytes]):
    """Whatever a file holds beside its pixels is not in the one that is kept."""
    path = tmp_path / "photo"
    path.write_bytes(content())
    assert PLACE in path.read_bytes()
    assert picture.settle(path, 400).suffix == ".jpg"
    assert PLACE not in path.read_bytes()


@pytest.mark.parametrize("kind", ["WEBP", "PNG", "GIF"])
def test_of_an_animation_the_first_picture_stays(tmp_path, kind):
    """An animated photo, which the model would refuse or see otherwise, becomes a still one."""
    first = Image.open(NAMES[0])
    (tmp_path / "photo").write_bytes(encode(first, kind, save_all=True, append_images=[first.rotate(90)]))
    picture.settle(tmp_path / "photo", 400)
    with Image.open(tmp_path / "photo") as image:
        assert (image.format, getattr(image, "n_frames", 1)) == ("JPEG", 1)


def bitmap(width: int, height: int) -> bytes:
    """The header of a photo that would be large."""
    size = width.to_bytes(4, "little") + height.to_bytes(4, "little")
    return b"BM" + bytes(8) + (54).to_bytes(4, "little") + (40).to_bytes(4, "little") + size + b"\1\0\x18\0" + bytes(50)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (lambda: bitmap(20_000, 20_000), "no photo that can be read: it has more than 50,331,648 pixels"),
        (lambda: bitmap(9000, 6000), "9000 x 6000 pixels, and at most 50,331,648 are read"),
        (lambda: encode(Image.new("RGB", (1, 1)), "GIF"), "too small"),
        (lambda: PHOTO[:8000], "truncated"),
        (lambda: b"", "it is none of JPEG, PNG, WEBP, BMP, GIF, TIFF, or damaged"),
        (
            lambda: b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 99 99\n",
            "it is none of JPEG, PNG, WEBP, BMP, GIF, TIFF, or damaged",
        ),
    ],
    ids=["bomb", "too many pixels", "a counter", "cut off", "empty", "a program"],
)
def test_what_is_no_photo_is_refused(tmp_path, content: Callable[[], bytes], message):
    """Refused by header where the header says enough; the message does not name a file of no interest."""
    path = tmp_path / "photo"
    path.write_bytes(content())
    with pytest.raises(DataError, match=message) as caught:
        picture.settle(path, 400)
    assert str(tmp_path) not in str(caught.value)


@contextmanager
def dripping() -> Iterator[str]:
    """A server that sends a byte now and then, for ever."""
    done = Event()

    def serve(listening: socket.socket) -> None:
        connection, _ = listening.accept()
        with connection:
            connection.recv(65536)
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: image/jpeg\r\n\r\n")
            while not done.wait(0.02):
                try:
                    connection.sendall(b"x")
                except OSError:
                    return

    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = Thread(target=serve, args=(listening,))
        thread.start()
        yield f"http://127.0.0.1:{listening.getsockname()[1]}/a.jpg"
        done.set()
        thread.join()


def test_a_server_that_drips_is_left(tmp_path):
    """Bytes that come one by one do not hold a download up for longer than was allowed."""
    with dripping() as url, pytest.raises(DataError, match=r"did not come within 0\.3 s"):
        Web(1, 0.3, Event()).download(url, tmp_path / "a.jpg")


def test_a_server_that_sends_too_much_is_left(server, tmp_path, monkeypatch):
    """No more than the limit is read."""
    monkeypatch.setattr(web, "MAX_BYTES", 2**20)
    server.files["/as/large"] = (200, "image/jpeg", bytes(2**21))
    with pytest.raises(DataError, match="more than 1 MiB"):
        Web(1, 10, Event()).download(f"{server.url}/as/large", tmp_path / "a.jpg")
    assert (tmp_path / "a.jpg").stat().st_size <= 2**20


def test_a_server_that_stays_broken_is_told(server):
    """A server is asked four times; its last answer counts."""
    server.files["/as/broken"] = (503, "text/plain", b"busy")
    assert Web(1, 10, Event(), pause_seconds=0.01).ask(f"{server.url}/as/broken", {}).status == 503
    assert len(server.asked) == 4


def test_an_answer_that_redirects_is_not_followed(server):
    """Where a key is in the headers, it goes to no other address."""
    server.files["/as/away"] = (302, "text/plain", f"{server.url}/as/0001.jpg".encode())
    assert Web(1, 10, Event()).ask(f"{server.url}/as/away", {"Authorization": "key"}).status == 302
    assert len(server.asked) == 1


@pytest.mark.parametrize(
    "address",
    ["https://a.org/", "https://a.org/x/../../etc/passwd", "/tmp/ü b.jpg", "https://a.org/%2F?a=b/c.jpg", "." * 300],
)
def test_ids_are_file_names(address):
    """An id is a short name of letters, digits, - and _, and another for each address."""
    made = id_of(address)
    assert made.replace("-", "").replace("_", "").isascii()
    assert made.replace("-", "").replace("_", "").isalnum()
    assert len(made) < 80
    assert id_of(address) == made != id_of(address + "x")

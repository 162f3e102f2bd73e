"""The sample: photos that the proxy keeps to learn from, when asked to."""

from __future__ import annotations

import io
import json
import subprocess
import sys
import threading
from datetime import date, datetime, time, timedelta, timezone
from io import BytesIO
from itertools import count
from pathlib import Path
from types import SimpleNamespace

import pytest
from flask import Flask
from PIL import Image
from playwright.sync_api import expect
from werkzeug.datastructures import Headers

from proxy.app import create_app
from proxy.figures import Figures
from proxy.labels import Description, label_scores
from proxy.sample import choice
from proxy.sample.folder import Bounds, Folder, prepare
from proxy.sample.picture import LONGEST_SIDE, MAX_PIXELS, made_small
from proxy.sample.sample import MAX_BYTES, TIDY_SECONDS, Sample
from proxy.settings import Settings
from scenery.errors import ConfigurationError
from scenery.sample import ANSWER, PICTURE, Answer, Name, names_in, parse_answer, text_of
from tests.photographs import encode
from tests.processes import PHOTOS, proxy, wait_until
from tests.proxy.browser import MISSING, PROGRAM, chromium, visit
from tests.proxy.scraped import series

LABELS = ["beach", "city", "sunset", "trees"]
TODAY = datetime.now(timezone.utc).date()
ANSWERED = text_of(Answer(1, {"beach": 0.4}, {"beach": 0.5}))
ALL_UNSURE = {"sample_margin": 1.0, "sample_uniform_percent": 0.0}
ALL_UNIFORM = {"sample_margin": 0.0, "sample_uniform_percent": 100.0}


@pytest.fixture
def sampling(served, tmp_path):
    """Make an application that keeps photos in a folder, and give both."""

    def make(**settings) -> tuple[Flask, Path]:
        folder = tmp_path / "sample"
        prepare(folder)
        return create_app(Settings(model_server=served.grpc, sample_folder=folder, **settings)), folder

    return make


def send(app: Flask, photo: bytes, path: str = "/v1/classify", content_type: str = "image/jpeg", **headers: str):
    with app.test_client().post(path, data=photo, content_type=content_type, headers=headers) as response:
        assert response.status_code == 200
        return response.json


def outcomes(app: Flask) -> dict[tuple[str, ...], float]:
    text = app.extensions["scenery"].figures.page().decode()
    return series(text, "scenery_sample_photos_total", "reason", "outcome")


def wait_for(app: Flask, expected: dict[tuple[str, ...], float]) -> None:
    wait_until(lambda: outcomes(app) == expected, f"{expected}; it is {outcomes(app)}", 20)


def shipped(number: int) -> bytes:
    return (PHOTOS / f"{number:04}.jpg").read_bytes()


def test_nothing_is_kept_unless_the_setting_asks_for_it(served):
    """Without a folder there is no sample, and a proxy without one does not load what makes pictures small."""
    assert create_app(Settings(model_server=served.grpc)).extensions["scenery"].sample is None
    code = "import sys, proxy.app, proxy.server; sys.exit('PIL' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_photo_is_kept_with_what_the_model_answered(sampling, photo):
    """Version, scores and thresholds lie beside the picture, and nothing else."""
    app, folder = sampling(**ALL_UNSURE)
    answer = send(app, photo)["photos"][0]
    wait_for(app, {("unsure", "kept"): 1})
    (name,) = names_in(folder)
    assert name.reason == "unsure"
    assert TODAY <= name.day <= TODAY + timedelta(days=1)
    text = (folder / f"{name}{ANSWER}").read_text()
    kept = parse_answer(text)
    assert json.loads(text).keys() == {"version", "scores", "thresholds"}
    assert (kept.version, kept.scores) == (answer["version"], answer["scores"])
    assert sorted(kept.labels) == sorted(answer["labels"])


def test_photos_count_however_they_are_sent(sampling):
    """The body, a form of several, JSON and /scorefile/; a photo that is none is not kept."""
    import base64

    app, folder = sampling(**ALL_UNIFORM)
    send(app, shipped(3))
    send(app, json.dumps({"photos": [{"b64": base64.b64encode(shipped(4)).decode()}]}).encode(),
         content_type="application/json")  # fmt: skip
    form = "multipart/form-data"
    send(app, {"file": (BytesIO(shipped(5)), "a.jpg")}, "/scorefile/", form)
    files = [(BytesIO(shipped(6)), "b.jpg"), (BytesIO(b"no photo"), "c.jpg"), (BytesIO(shipped(7)), "d.jpg")]
    send(app, {"file": files}, content_type=form)
    wait_for(app, {("uniform", "kept"): 5})
    assert len(names_in(folder)) == 5


@pytest.mark.parametrize(
    "headers",
    [{"Cache-Control": "no-store"}, {"Cache-Control": "max-age=0, No-Store"}, {"Sec-GPC": "1"}, {"DNT": "1"}],
    ids=str,
)
def test_who_asks_not_to_be_kept_is_not(sampling, headers):
    """Each of the signals keeps a request's photos out, and other headers do not."""
    app, folder = sampling(**ALL_UNSURE)
    send(app, shipped(3), **headers)
    send(app, shipped(4), **{"Cache-Control": "no-cache", "Sec-GPC": "0", "DNT": "0"})
    wait_for(app, {("unsure", "kept"): 1})
    (name,) = names_in(folder)
    assert (folder / f"{name}{PICTURE}").read_bytes() == made_small(shipped(4))


def test_headers_are_read_as_browsers_write_them():
    """Directives in any case and order; a missing header is no signal."""
    assert choice.may_be_kept(Headers())
    assert not choice.may_be_kept(Headers({"cache-control": "no-cache,NO-STORE"}))


def test_unsure_is_what_is_near_its_own_threshold():
    """The way from the threshold to 0 or 1 counts: a score of 0 is sure however low the threshold is."""
    description = Description(("a", "b"), (0.1, 0.8))

    def reason(*scores: float, percent: float = 0.0) -> str | None:
        chosen = choice.choose(choice.Answered(b"", 1, label_scores(description, scores)), 0.2, percent)
        return chosen and chosen.reason

    assert reason(0.0, 0.0) is None
    assert reason(1.0, 1.0) is None
    assert reason(0.085, 1.0) == "unsure"
    assert reason(0.075, 1.0) is None
    assert reason(0.0, 0.83) == "unsure"
    assert reason(0.0, 0.85) is None
    assert reason(0.1, 0.8, percent=100.0) == "uniform", "chance asks first, or it were not fair to unsure photos"


def test_only_the_pixels_of_a_file_are_kept():
    """EXIF with GPS, XMP, colour profile and comments go; the longest side is small; small photos stay their size."""
    exif = Image.Exif()
    exif[0x010F] = "A-maker"
    exif.get_ifd(0x8825)[1] = "N"
    secrets = {"exif": exif, "icc_profile": b"a-profile" * 20, "comment": b"a-comment", "xmp": b"an-xmp"}
    photo = encode(Image.open(PHOTOS / "0003.jpg").resize((1000, 500)), "JPEG", **secrets)
    assert all(word in photo for word in (b"A-maker", b"a-profile", b"a-comment", b"an-xmp"))
    with Image.open(io.BytesIO(made_small(photo))) as kept:
        assert (kept.format, kept.size) == ("JPEG", (LONGEST_SIDE, LONGEST_SIDE // 2))
        assert kept.info.keys() <= {"jfif", "jfif_version", "jfif_unit", "jfif_density"}
        assert not kept.getexif()
    with Image.open(io.BytesIO(made_small(encode(Image.new("RGB", (30, 20)), "PNG")))) as kept:
        assert kept.size == (30, 20)


@pytest.mark.parametrize(
    ("kind", "mode"),
    [("JPEG", "CMYK"), ("JPEG", "L"), ("PNG", "RGBA"), ("PNG", "P"), ("PNG", "I;16"), ("GIF", "P"), ("WEBP", "RGBA"),
     ("BMP", "RGB")],
)  # fmt: skip
def test_every_format_becomes_a_small_jpeg(kind, mode):
    """Whatever the model server reads can be kept, however thin it is."""
    with Image.open(io.BytesIO(made_small(encode(Image.new(mode, (2000, 2)), kind)))) as kept:
        assert (kept.format, kept.mode, kept.size) == ("JPEG", "RGB", (LONGEST_SIDE, 1))


def test_what_would_need_much_memory_is_not_unpacked():
    """A photo of too many pixels is refused by its header."""
    bomb = encode(Image.new("1", (MAX_PIXELS // 1000 + 1, 1000)), "PNG")
    with pytest.raises(ValueError, match="for what its header says"):
        made_small(bomb)


def test_kept_files_tell_nobody_who_and_when(sampling):
    """Their owner alone may read them, their time is the day, and their names are drawn by chance."""
    app, folder = sampling(**ALL_UNSURE)
    assert folder.stat().st_mode & 0o777 == 0o700
    send(app, shipped(3))
    wait_for(app, {("unsure", "kept"): 1})
    (name,) = names_in(folder)
    midnight = datetime.combine(name.day, time(), timezone.utc).timestamp()
    for suffix in (PICTURE, ANSWER):
        file = (folder / f"{name}{suffix}").stat()
        assert (file.st_mode & 0o777, file.st_mtime) == (0o600, midnight)


_DRAWS = count()


def add(folder: Folder, reason: str, draw: str | None = None, day: date = TODAY, picture: bytes | None = None) -> Name:
    number = next(_DRAWS)
    name = Name(day, reason, draw or f"{number:016x}")
    folder.add(name, picture or number.to_bytes(1000, "big"), ANSWERED)
    return name


def draws(path: Path, reason: str) -> list[str]:
    return sorted(name.draw for name in names_in(path) if name.reason == reason)


def test_of_too_many_photos_chance_keeps_some(tmp_path):
    """Whoever shares the folder and in whatever order photos come, the smallest draws stay; reasons have own room."""
    folders = [Folder(tmp_path, Bounds(10, 10**9, 30)) for _ in range(2)]
    order = [f"{number * 7 % 40:016x}" for number in range(40)]
    for number, draw in enumerate(order):
        add(folders[number % 2], "unsure", draw)
        add(folders[number % 2], "uniform", draw)
    assert draws(tmp_path, "unsure") == sorted(order)[:8]
    assert draws(tmp_path, "uniform") == sorted(order)[:2]
    assert not folders[0].has_room(Name(TODAY, "unsure", "f" * 16)), "it need not be made small to be passed over"
    assert folders[0].has_room(Name(TODAY, "unsure", "0" * 16))


def test_photos_that_are_passed_over_cost_next_to_nothing(tmp_path, monkeypatch):
    """However many come in a second, the folder is listed once for them all, and once more for each that is kept."""
    folder = Folder(tmp_path, Bounds(10, 10**9, 30))
    listed = []
    monkeypatch.setattr("proxy.sample.folder.names_in", lambda path: listed.append(path) or names_in(path))
    monkeypatch.setattr("proxy.sample.folder.SEEN_SECONDS", 1000.0)
    for number in range(100):
        folder.has_room(Name(TODAY, "unsure", f"{number:016x}"))
    assert len(listed) == 1
    add(folder, "unsure")
    assert len(listed) == 2
    monkeypatch.setattr("proxy.sample.folder.SEEN_SECONDS", 0.0)
    folder.has_room(Name(TODAY, "unsure", "0" * 16))
    assert len(listed) == 3


def test_the_thread_rests_longer_than_it_works(tmp_path, monkeypatch):
    """After each photo it leaves Python's lock to the requests, nine times as long as it worked itself."""
    rests: list[float] = []

    def sleep(seconds: float) -> None:
        rests.append(seconds) if seconds != TIDY_SECONDS else threading.Event().wait()

    monkeypatch.setattr("proxy.sample.sample.time", SimpleNamespace(thread_time=count().__next__, sleep=sleep))
    sample = Sample(Folder(tmp_path, Bounds(10, 10**9, 30)), Figures(), 1.0, 0.0)
    labelling = label_scores(Description(("a",), (0.5,)), (0.5,))
    sample.offer([choice.Answered(shipped(number), 1, labelling) for number in (3, 4)])
    wait_until(lambda: len(rests) == 2, "two photos", 20)
    assert rests == [9, 9]
    assert len(names_in(tmp_path)) == 2


def test_the_room_on_disk_is_bounded(tmp_path):
    """Photos of too many bytes go as those of too many do."""
    folder = Folder(tmp_path, Bounds(1000, 20_000, 30))
    for _ in range(40):
        add(folder, "unsure")
    assert 0.5 * 20_000 < sum(file.stat().st_size for file in tmp_path.iterdir()) <= 0.8 * 20_000


def test_the_same_photo_is_kept_once(sampling):
    """Sent again it is counted only, unless chance draws it: then it counts as drawn."""
    app, folder = sampling(**ALL_UNSURE)
    for _ in range(3):
        send(app, shipped(3))
    wait_for(app, {("unsure", "kept"): 1, ("unsure", "known"): 2})
    add(Folder(folder, Bounds(10, 10**9, 30)), "uniform", picture=made_small(shipped(3)))
    assert [name.reason for name in names_in(folder)] == ["uniform"]
    send(app, shipped(3))
    wait_for(app, {("unsure", "kept"): 1, ("unsure", "known"): 3})


def test_old_photos_go_though_no_new_ones_come(served, tmp_path):
    """A proxy that starts removes them, and what a killed one left half written; other files are none of its own."""
    folder = tmp_path / "sample"
    prepare(folder)
    bounds = Folder(folder, Bounds(100, 10**9, 100_000))
    fresh = add(bounds, "unsure", day=TODAY - timedelta(days=5))
    for days in (7, 9, 300):
        add(bounds, "unsure", day=TODAY - timedelta(days=days))
    half = Name(TODAY, "unsure", "a" * 16)
    others = {"mine.jpg", ".lock", "2026-11-23-holiday.jpg", ".notes.new"}
    for file in (f"{half}{PICTURE}", f".{half}{ANSWER}.new", *others):
        (folder / file).touch()
    create_app(Settings(model_server=served.grpc, sample_folder=folder, sample_days=7))
    expected = others | {f"{fresh}{PICTURE}", f"{fresh}{ANSWER}"}
    wait_until(lambda: {file.name for file in folder.iterdir()} == expected, "old photos to go", 20)


def test_a_lost_folder_fails_nobody(sampling, caplog):
    """Requests are answered, the photos counted and one warning given; photos are kept again when it is back."""
    app, folder = sampling(**ALL_UNSURE)
    wait_until((folder / ".lock").exists, "the first look")
    lost = folder.rename(folder.with_name("lost"))
    send(app, shipped(3))
    send(app, shipped(4))
    wait_for(app, {("unsure", "failed"): 2})
    assert [record.levelname for record in caplog.records if "cannot be kept" in record.message] == ["WARNING"]
    lost.rename(folder)
    send(app, shipped(5))
    wait_for(app, {("unsure", "failed"): 2, ("unsure", "kept"): 1})


def test_what_cannot_wait_is_dropped_and_what_cannot_be_unpacked_is_counted(tmp_path):
    """Neither stops the photos behind them."""
    figures = Figures()
    sample = Sample(Folder(tmp_path, Bounds(10, 10**9, 30)), figures, 1.0, 0.0)
    labelling = label_scores(Description(("a",), (0.5,)), (0.5,))
    for photo in (bytes(MAX_BYTES + 1), shipped(3)[:2000], shipped(3)):
        sample.offer([choice.Answered(photo, 1, labelling)])
    expected = {("unsure", outcome): 1 for outcome in ("dropped", "unreadable", "kept")}
    told = lambda: series(figures.page().decode(), "scenery_sample_photos_total", "reason", "outcome")  # noqa: E731
    wait_until(lambda: told() == expected, "three outcomes", 20)


def test_the_start_refuses_a_folder_that_cannot_be_used(tmp_path):
    """One that cannot be written to, or that others may look into; the message says what to do."""
    (tmp_path / "file").touch()
    command = [sys.executable, "-m", "scenery", "proxy", "--sample-folder", str(tmp_path / "file" / "sample")]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 1
    assert "SCENERY_SAMPLE_FOLDER: photos cannot be kept in" in done.stderr
    (tmp_path / "open").mkdir(mode=0o755)
    with pytest.raises(ConfigurationError, match=r"Run: chmod 700 .*open"):
        prepare(tmp_path / "open")
    assert not list((tmp_path / "open").iterdir())


@pytest.mark.skipif(PROGRAM is None, reason=MISSING)
def test_the_page_says_that_photos_are_kept_and_lets_people_refuse(tmp_path, served, monkeypatch):
    """Whoever ticks the box keeps photos out, now and when coming back; the page stays usable for everybody."""
    folder = tmp_path / "sample"
    for name, value in {"FOLDER": str(folder), "MARGIN": "1", "DAYS": "7"}.items():
        monkeypatch.setenv(f"SCENERY_SAMPLE_{name}", value)
    with proxy(tmp_path, served.grpc) as keeping, chromium() as browser:
        with visit(browser, f"{keeping.url}/", viewport={"width": 320, "height": 800}) as visited:
            page = visited.page
            expect(page.locator("#kept")).to_contain_text("removed after 7 days")
            for scheme in ("light", "dark"):
                page.emulate_media(color_scheme=scheme)
                assert visited.violations() == [], scheme
            page.get_by_label("Keep none of mine").check()
            page.reload()
            expect(page.get_by_label("Keep none of mine")).to_be_checked()
            for number, is_refused in ((3, True), (4, False)):
                page.get_by_label("Keep none of mine").set_checked(is_refused)
                page.locator("#photos").set_input_files(PHOTOS / f"{number:04}.jpg")
                expect(page.locator(".card .scores li").first).to_be_visible()
                expect(page.locator(".card")).to_have_count(number - 2)
                expect(page.locator(".card .scores:visible")).to_have_count(number - 2)
            wait_until(lambda: bool(names_in(folder)), "a photo to be kept", 20)
            assert not visited.complaints
        (name,) = names_in(folder)
        assert (folder / f"{name}{PICTURE}").read_bytes() == made_small(shipped(4))


def test_the_page_is_silent_where_nothing_is_kept(served):
    """Without a sample the page is the plain file."""
    with create_app(Settings(model_server=served.grpc)).test_client().get("/") as response:
        assert "keep-none" not in response.text

"""The page of ``scenery annotate`` as people meet it: in a real browser, before the real command."""

from __future__ import annotations

import json
import re
import shutil
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import expect

from tests.processes import DEADLINE_SECONDS, PHOTOS, ROOT, http, running, wait_until
from tests.proxy.browser import MISSING, PROGRAM, chromium, visit
from training.annotate.labelme import annotation_path, read_annotation, write_annotation

NAMES = ["0003.jpg", "0004.jpg", "0008.jpg"]
LABELS = ["beach", "city", "sunset", "trees"]
needs_browser = pytest.mark.skipif(PROGRAM is None, reason=MISSING)


@dataclass
class Started:
    """The command, while its page is served."""

    folder: Path
    url: str
    log: Path
    process: object

    def known(self, name: str):
        return read_annotation(self.folder / name)

    def given(self, name: str) -> list[str]:
        """Return the labels that a person gave a photo."""
        known = self.known(name)
        assert known.confirmed
        return [label for label, flag in known.flags.items() if flag]


@contextmanager
def started(folder: Path, *more: str) -> Iterator[Started]:
    log = folder.parent / "annotate.log"
    command = ("scenery", "annotate", str(folder), "--labels", ",".join(LABELS), "--tool", "page", "--no-browser")
    with running(*command, *more, log=log) as process:
        wait_until(lambda: "http://" in log.read_text(), "the page's address")
        yield Started(folder, re.search(r"http://\S+/", log.read_text())[0], log, process)


@pytest.fixture(scope="module")
def browser():
    """The browser; each test visits the page in a profile of its own."""
    with chromium() as running_browser:
        yield running_browser


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three shipped photos."""
    photos = tmp_path / "photos"
    photos.mkdir()
    for name in NAMES:
        shutil.copy(PHOTOS / name, photos)
    return photos


@pytest.fixture
def page_of(folder: Path):
    """The command on three photos that nobody has labelled."""
    with started(folder) as command:
        yield command


@contextmanager
def opened(browser, command: Started, **options):
    """The page, when it shows its first photo; nothing may have gone wrong or elsewhere when the test is over."""
    with visit(browser, command.url, **options) as visited:
        expect(visited.page.locator("#photo")).to_be_visible()
        yield visited
        assert not visited.complaints
        assert {urlsplit(address).netloc for address in visited.requests} == {urlsplit(command.url).netloc}


def shows(page, name: str, progress: str, *given: str) -> None:
    """Expect a photo, how far the work is, and which labels are checked."""
    expect(page.get_by_role("heading", name=name)).to_be_visible()
    expect(page.locator("#progress")).to_have_text(progress)
    for label in LABELS:
        expect(page.get_by_role("checkbox", name=label)).to_be_checked(checked=label in given)


@needs_browser
def test_labelled_by_keys_alone(browser, page_of):
    """Digits give labels, Enter saves and goes on, as fast as they are pressed; Done writes the table."""
    with opened(browser, page_of) as visited:
        page = visited.page
        shows(page, "0003.jpg", "1 of 3, 3 unlabelled")
        for key in ("2", "Enter", "1", "3", "1", "Enter", "4", "Enter"):
            page.keyboard.press(key)
        expect(page.locator("#progress")).to_have_text("3 of 3, none unlabelled")
        assert [page_of.given(name) for name in NAMES] == [["city"], ["sunset"], ["trees"]]
        page.get_by_role("button", name="Done").click()
        expect(page.get_by_role("heading", name="Done")).to_be_focused()
        assert page_of.process.wait(DEADLINE_SECONDS) == 0
    table = (page_of.folder / "data.csv").read_text()
    assert table == "name,beach,city,sunset,trees\n0003.jpg,0,1,0,0\n0004.jpg,0,0,1,0\n0008.jpg,0,0,0,1\n"


@needs_browser
def test_moving_about(browser, page_of):
    """Arrows go to either side and keep what is not saved; U goes to the next photo that nobody labelled."""
    with opened(browser, page_of) as visited:
        page = visited.page
        for key in ("2", "ArrowRight"):
            page.keyboard.press(key)
        shows(page, "0004.jpg", "2 of 3, 3 unlabelled")
        page.keyboard.press("ArrowLeft")
        shows(page, "0003.jpg", "1 of 3, 3 unlabelled", "city")
        expect(page.get_by_text("Changed, not saved yet")).to_be_visible()
        for key in ("Enter", "ArrowRight", "u"):
            page.keyboard.press(key)
        shows(page, "0004.jpg", "2 of 3, 2 unlabelled")


@needs_browser
def test_undo(browser, page_of):
    """Z takes back a label, and a save even of the photo before: it is unlabelled on disk again."""
    with opened(browser, page_of) as visited:
        page = visited.page
        page.keyboard.press("2")
        page.keyboard.press("Enter")
        shows(page, "0004.jpg", "2 of 3, 2 unlabelled")
        page.keyboard.press("Control+z")
        shows(page, "0003.jpg", "1 of 3, 3 unlabelled", "city")
        assert not page_of.known("0003.jpg").confirmed
        page.keyboard.press("z")
        shows(page, "0003.jpg", "1 of 3, 3 unlabelled")
        page.get_by_role("button", name="Undo").click()
        expect(page.get_by_role("status")).to_have_text("There is nothing to undo")


@needs_browser
def test_undo_gives_back_what_a_person_had_confirmed(browser, folder):
    """A save of a photo that lacked a label is undone whole: the others stay confirmed, and that one unknown."""
    write_annotation(folder / "0003.jpg", {"city": True}, None, confirmed=True)
    with started(folder) as command, opened(browser, command) as visited:
        visited.page.keyboard.press("Enter")
        shows(visited.page, "0004.jpg", "2 of 3, 2 unlabelled")
        assert len(command.known("0003.jpg").flags) == 4
        visited.page.keyboard.press("z")
        shows(visited.page, "0003.jpg", "1 of 3, 3 unlabelled", "city")
        assert (command.known("0003.jpg").flags, command.known("0003.jpg").confirmed) == ({"city": True}, True)


@needs_browser
def test_two_people_do_not_overwrite_one_another(browser, page_of):
    """Who saves a photo that somebody else saved meanwhile is shown those labels, and nothing is overwritten."""
    with opened(browser, page_of) as one, opened(browser, page_of) as other:
        one.page.keyboard.press("2")
        one.page.keyboard.press("Enter")
        shows(one.page, "0004.jpg", "2 of 3, 2 unlabelled")
        other.page.keyboard.press("1")
        other.page.keyboard.press("Enter")
        expect(other.page.get_by_role("alert")).to_contain_text("Somebody else changed this photo meanwhile")
        expect(other.page.get_by_role("alert")).to_contain_text("Yours were not saved: beach")
        shows(other.page, "0003.jpg", "1 of 3, 2 unlabelled", "city")
        assert page_of.given("0003.jpg") == ["city"]
        other.page.keyboard.press("1")
        other.page.keyboard.press("Enter")
        shows(other.page, "0004.jpg", "2 of 3, 2 unlabelled")
        assert page_of.given("0003.jpg") == ["beach", "city"]


@needs_browser
def test_a_models_guess_is_shown_and_confirmed(browser, folder):
    """Scores are bars beside the labels, the least sure photo comes first, and Enter alone confirms the guess."""
    for name, score in (("0003.jpg", 0.9), ("0008.jpg", 0.45)):
        scores = {"beach": 0.0, "city": score, "sunset": 0.001, "trees": 1.0}
        flags = {label: scores[label] >= 0.4 for label in LABELS}
        write_annotation(folder / name, flags, scores, confirmed=False, thresholds=dict.fromkeys(LABELS, 0.4))
    with started(folder) as command, opened(browser, command) as visited:
        page = visited.page
        shows(page, "0008.jpg", "1 of 3, 3 unlabelled", "city", "trees")
        expect(page.get_by_text("guess: correct it")).to_be_visible()
        assert page.locator(".percent").all_text_contents() == ["0 %", "45 %", "<1 %", "100 %"]
        bar = page.locator("li", has_text="city").locator(".bar")
        track, filled = bar.bounding_box(), bar.locator("span").bounding_box()
        assert filled["width"] == pytest.approx(0.45 * track["width"], abs=1)
        page.keyboard.press("Enter")
        shows(page, "0003.jpg", "2 of 3, 2 unlabelled", "city", "trees")
        assert command.given("0008.jpg") == ["city", "trees"]


@needs_browser
def test_by_touch_on_a_small_screen(browser, page_of):
    """At 320 pixels nothing is cut off, labels and buttons are large enough for a finger, and tapping works."""
    options = {"viewport": {"width": 320, "height": 640}, "has_touch": True, "is_mobile": True}
    with opened(browser, page_of, **options) as visited:
        page = visited.page
        page.get_by_text("sunset").tap()
        expect(page.get_by_role("checkbox", name="sunset")).to_be_checked()
        for target in (*page.locator("#labels .choice").all(), *page.get_by_role("button").all()):
            assert target.bounding_box()["height"] >= 44
        assert page.evaluate("document.documentElement.scrollWidth") == 320
        page.get_by_role("button", name="Save and next").tap()
        shows(page, "0004.jpg", "2 of 3, 2 unlabelled")
        assert page_of.given("0003.jpg") == ["sunset"]


@needs_browser
def test_nothing_keeps_anybody_out(browser, page_of):
    """axe-core finds no violation, by day and by night, with a label given and the list of keys open."""
    for scheme in ("light", "dark"):
        with opened(browser, page_of, color_scheme=scheme) as visited:
            visited.page.keyboard.press("1")
            visited.page.get_by_text("Keys", exact=True).click()
            expect(visited.page.get_by_role("checkbox", name="beach")).to_be_checked()
            assert visited.violations() == []


@needs_browser
def test_keys_can_be_switched_off(browser, page_of):
    """For people whose tools type for them, single keys can be made to do nothing; buttons still work."""
    with opened(browser, page_of) as visited:
        page = visited.page
        page.get_by_text("Keys", exact=True).click()
        page.get_by_label("Use these keys").uncheck()
        page.keyboard.press("2")
        page.keyboard.press("Enter")
        page.get_by_text("beach").click()
        page.get_by_role("button", name="Save and next").click()
        shows(page, "0004.jpg", "2 of 3, 2 unlabelled")
        assert page_of.given("0003.jpg") == ["beach"]


@needs_browser
def test_done_does_not_forget(browser, page_of):
    """Done with labels that are not saved says so first, and again if there are others since."""
    with opened(browser, page_of) as visited:
        page = visited.page
        page.keyboard.press("2")
        page.get_by_role("button", name="Done").click()
        expect(page.get_by_role("alert")).to_have_text(re.compile("Not saved yet: 0003.jpg"))
        page.keyboard.press("ArrowRight")
        page.keyboard.press("1")
        page.get_by_role("button", name="Done").click()
        expect(page.get_by_role("alert")).to_have_text(re.compile("Not saved yet: 0003.jpg, 0004.jpg"))
        page.get_by_role("button", name="Done").click()
        expect(page.get_by_role("heading", name="Done")).to_be_visible()
        assert page_of.process.wait(DEADLINE_SECONDS) == 1


@needs_browser
def test_what_the_page_cannot_do_it_says(browser, folder):
    """A damaged file is told and left alone; a server that has ended is told too."""
    damaged = annotation_path(folder / "0003.jpg")
    damaged.write_text("{")
    with started(folder) as command, opened(browser, command) as visited:
        page = visited.page
        expect(page.get_by_role("alert")).to_contain_text("0003.json cannot be read")
        page.keyboard.press("1")
        page.keyboard.press("Enter")
        expect(page.get_by_role("alert")).to_contain_text("go on to another one")
        assert damaged.read_text() == "{"
        page.keyboard.press("ArrowRight")
        shows(page, "0004.jpg", "2 of 3, 3 unlabelled")
        command.process.send_signal(signal.SIGINT)
        command.process.wait(DEADLINE_SECONDS)
        page.keyboard.press("Enter")
        expect(page.get_by_role("alert")).to_contain_text("The server has ended")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_what_was_saved_is_in_the_table_however_it_ends(page_of, number):
    """Ctrl-C and a kill end the page; labels saved before are in the table."""
    put(page_of, "0003.jpg", {"city": True})
    page_of.process.send_signal(number)
    assert page_of.process.wait(DEADLINE_SECONDS) == 1
    assert (page_of.folder / "data.csv").read_text() == "name,beach,city,sunset,trees\n0003.jpg,0,1,0,0\n"
    assert "2 unlabelled" in page_of.log.read_text()


def put(command: Started, name: str, given: dict, headers: dict | None = None, version: str = "") -> int:
    """Save labels as the page does; returns the status."""
    flags = dict.fromkeys(LABELS, False) | given
    body = json.dumps({"flags": flags, "confirmed": True, "version": version}).encode()
    return http("PUT", f"{command.url}annotations/{name}", body, "application/json", headers)[0]


def test_other_pages_and_people_are_kept_out(page_of):
    """Without the address's secret, from another page or by another name for this machine, nothing is told or saved."""
    here = urlsplit(page_of.url)
    assert put(page_of, "0003.jpg", {}, {"Origin": "http://evil.example"}) == 403
    assert put(page_of, "0003.jpg", {}, {"Host": f"evil.example:{here.port}"}) == 400
    assert http("GET", f"{page_of.url}task", more_headers={"Host": "evil.example"})[0] == 400
    for path in ("/", "/task", "/guess/task", "/guess/photos/0003.jpg"):
        assert http("GET", f"http://{here.netloc}{path}")[0] == 404
    assert http("GET", f"{page_of.url}photos/flags.txt")[0] == 404
    assert http("GET", f"{page_of.url}photos/..%2Fannotate.log")[0] == 404
    assert not annotation_path(page_of.folder / "0003.jpg").exists()
    assert put(page_of, "0003.jpg", {}, {"Origin": f"http://{here.netloc}"}) == 200


def test_answers_that_cannot_be_saved(page_of):
    """Unknown labels and photos, other types and stale versions are refused, each with its status."""
    assert put(page_of, "0003.jpg", {"dog": True}) == 400
    assert put(page_of, "0003.jpg", {"city": 1}) == 400
    assert put(page_of, "none.jpg", {}) == 404
    assert put(page_of, "0003.jpg", {"city": True}, version="another") == 409
    assert not annotation_path(page_of.folder / "0003.jpg").exists()


def test_a_port_in_use(folder, page_of):
    """A port that something listens on is told in one line."""
    port = urlsplit(page_of.url).port
    log, other = folder.parent / "second.log", folder.parent / "other"
    shutil.copytree(folder, other)
    with running("scenery", "annotate", str(other), "--tool", "page", "--port", str(port), log=log) as second:
        assert second.wait(DEADLINE_SECONDS) == 1
    assert f"Error: Port {port} on 127.0.0.1 cannot be used" in log.read_text()


def test_the_pages_look_alike():
    """Colours are those of the proxy's page, by day and by night."""
    colours = [
        re.findall(r":root \{.*?\}", (ROOT / page / "style.css").read_text(), re.DOTALL)
        for page in ("proxy/page/static", "training/annotate/page")
    ]
    assert colours[0] == colours[1]

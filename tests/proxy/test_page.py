"""The page at ``/`` as people meet it: in a real browser, in front of the real proxy."""

from __future__ import annotations

import base64
import re
from contextlib import ExitStack, closing, contextmanager
from http import client
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import expect

from proxy.keys import new_key
from tests.processes import PHOTOS, ROOT, free_ports, http, proxy, running, wait_until
from tests.proxy.browser import DROP, MISSING, PROGRAM, chromium, visit

pytestmark = pytest.mark.skipif(PROGRAM is None, reason=MISSING)

LABELS = ["beach", "city", "sunset", "trees"]
PAGE = ROOT / "proxy" / "page"
NO_PHOTO = b"no photo"
SCORED = {"version": 1, "labels": ["0"], "scores": {"0": 0.9, "1": 0.1}}
SCHEMES = ["light", "dark"]


@pytest.fixture(scope="module")
def browser():
    """The browser; each test visits the page in a profile of its own."""
    with chromium() as started:
        yield started


@pytest.fixture
def visited(browser, proxied):
    """The page, just opened; nothing may have been fetched from elsewhere or gone wrong when the test is over."""
    with visit(browser, f"{proxied.url}/") as visited:
        yield visited
        assert not visited.complaints
        here = urlsplit(proxied.url).netloc
        for address in visited.requests:
            assert urlsplit(address.removeprefix("blob:")).netloc == here


def picture(name: str, shown_as: str | None = None) -> dict:
    """A shipped photo, as Playwright gives files to a page."""
    return a_file(shown_as or name, (PHOTOS / name).read_bytes())


def a_file(name: str, content: bytes, kind: str = "image/jpeg") -> dict:
    return {"name": name, "mimeType": kind, "buffer": content}


def choose(page, *files: dict) -> None:
    page.locator("#photos").set_input_files(list(files))


def cards(page):
    return page.locator(".card")


def card(page, name: str):
    """The card of a file."""
    return cards(page).filter(has=page.get_by_role("heading", name=name, exact=True))


def answered(page):
    return page.locator(".card[data-state=answered]")


def let_go(page, event: str, *files: dict) -> None:
    """Drop files on the page, or paste them."""
    encoded = [[each["name"], each["mimeType"], base64.b64encode(each["buffer"]).decode()] for each in files]
    page.evaluate(DROP, [event, encoded])


@contextmanager
def listening(work: Path, port: int, model_server: str):
    """A proxy at a port that is known before."""
    command = ("scenery", "proxy", "--port", str(port), "--model-server", model_server)
    with running(*command, log=work / "proxy.log"):
        wait_until(lambda: http("GET", f"http://127.0.0.1:{port}/healthz")[0] == 200, "the proxy's /healthz")
        yield


def test_two_chosen_photos_become_two_cards(visited, proxied):
    """Each photo has a picture, a bar for every label with the server's score, and the version that answered."""
    page = visited.page
    choose(page, picture("0003.jpg"), picture("0004.jpg"))
    expect(cards(page)).to_have_count(2)
    expect(answered(page)).to_have_count(2)
    expect(page.get_by_role("heading", name="2 photos")).to_be_visible()
    for name in ("0003.jpg", "0004.jpg"):
        told = proxied.classify((PHOTOS / name).read_bytes())[1]["photos"][0]
        meters = card(page, name).get_by_role("meter")
        assert [each.get_attribute("aria-label") for each in meters.all()] == LABELS
        assert {
            each.get_attribute("aria-label"): float(each.get_attribute("aria-valuenow")) for each in meters.all()
        } == told["scores"]
        assert card(page, name).locator(".reached .label").all_text_contents() == [
            label for label in LABELS if label in told["labels"]
        ]
        expect(card(page, name)).to_contain_text("Answered by scenery, version 1.")
        picture_width = (
            card(page, name).locator("img").evaluate("image => image.decode().then(() => image.naturalWidth)")
        )
        assert picture_width > 0


def test_bars_are_as_long_as_their_scores(visited):
    """A bar shows its score's share of the track, and says it in percent; the policy against inline style holds."""
    page = visited.page
    choose(page, picture("0003.jpg"))
    expect(answered(page)).to_have_count(1)
    for row in page.locator(".scores li").all():
        meter = row.get_by_role("meter")
        score = float(meter.get_attribute("aria-valuenow"))
        track, bar = meter.bounding_box(), meter.locator("span").bounding_box()
        assert bar["width"] == pytest.approx(score * track["width"], abs=1)
        assert re.fullmatch(r"<1\xa0%|>99\xa0%|\d\d?\xa0%", row.locator(".percent").text_content())
        assert meter.get_attribute("aria-valuetext").startswith(row.locator(".percent").text_content())


@pytest.mark.parametrize("event", ["drop", "paste"])
def test_photos_dropped_or_pasted(visited, event):
    """A photo let go anywhere on the page, or pasted, is classified as a chosen one is."""
    page = visited.page
    let_go(page, event, picture("0003.jpg"), picture("0004.jpg"))
    expect(answered(page)).to_have_count(2)


def test_a_dragged_photo_shows_where_it_may_go(visited):
    """While a file is above the page, the whole page says that it takes it; afterwards no more."""
    page = visited.page
    let_go(page, "dragover", picture("0003.jpg"))
    expect(page.get_by_text("Let go to classify")).to_be_visible()
    let_go(page, "drop", picture("0003.jpg"))
    expect(page.get_by_text("Let go to classify")).to_be_hidden()


def test_what_is_no_photo_is_told_in_the_servers_words(visited, proxied):
    """A text named .jpg, and one named .json, get the problem's detail; the next photo its labels."""
    page = visited.page
    detail = proxied.classify(NO_PHOTO)[1]["detail"]
    choose(page, a_file("bad.jpg", NO_PHOTO), a_file("bad.json", b"{}", "application/json"), picture("0003.jpg"))
    expect(answered(page)).to_have_count(1)
    for name in ("bad.jpg", "bad.json"):
        expect(card(page, name).get_by_text(detail)).to_be_visible()
        expect(card(page, name).get_by_text("No preview")).to_be_visible()
        expect(card(page, name).get_by_role("button", name="Try again")).to_be_visible()


def test_what_happens_is_told_to_screen_readers(visited):
    """Answers and failures are announced with the file's name: labels with percents, or why there are none."""
    page = visited.page
    choose(page, picture("0003.jpg"), a_file("bad.jpg", NO_PHOTO))
    status = page.get_by_role("status")
    expect(status).to_contain_text(re.compile(r"0003\.jpg: ((\w+ >?\d+\s%(, )?)+|none of the labels found)"))
    expect(status).to_contain_text("bad.jpg: The bytes are no JPEG")


def test_a_server_that_is_down_is_told_and_asked_again(browser, served, tmp_path):
    """Without a server the card says so in plain words; once there is one, its button gets the labels."""
    (port,) = free_ports(1)
    with ExitStack() as stack:
        with listening(tmp_path, port, served.grpc):
            page = stack.enter_context(visit(browser, f"http://127.0.0.1:{port}/")).page
        choose(page, picture("0003.jpg"))
        words = "The server cannot be reached. Check the connection, then try again."
        expect(cards(page).get_by_text(words)).to_be_visible()
        with listening(tmp_path, port, served.grpc):
            page.get_by_role("button", name="Try again").click()
            expect(answered(page)).to_have_count(1)
            expect(page.get_by_role("button", name="Try again")).to_be_hidden()


def test_a_server_that_asks_to_wait_is_asked_again(browser, served, tmp_path, monkeypatch):
    """Photos above the rate are sent again by themselves when their time has come, and meanwhile the card says so."""
    monkeypatch.setenv("SCENERY_RATE_LIMIT", "2/second")
    with proxy(tmp_path, served.grpc) as limited, visit(browser, f"{limited.url}/") as visited:
        choose(visited.page, *(picture("0003.jpg", f"{number}.jpg") for number in range(4)))
        expect(cards(visited.page).get_by_text("The server asks to wait. Attempt 2 of 5 in 1 s.").first).to_be_visible()
        expect(answered(visited.page)).to_have_count(4, timeout=30_000)


def test_a_removed_photo_is_not_sent_again(browser, tmp_path):
    """Taking a card away ends what is under way for it: a model server that stays down is not asked on."""
    (nothing,) = free_ports(1)
    with proxy(tmp_path, f"127.0.0.1:{nothing}") as alone, visit(browser, f"{alone.url}/") as visited:
        visited.page.clock.install()
        choose(visited.page, picture("0003.jpg"))
        expect(cards(visited.page).get_by_text("The server asks to wait.")).to_be_visible(timeout=30_000)
        sent = len(visited.requests)
        visited.page.get_by_role("button", name="Remove 0003.jpg").click()
        visited.page.clock.run_for(60_000)
        assert len(visited.requests) == sent


def test_a_server_that_stays_down_is_given_up(browser, tmp_path):
    """After five attempts the card has the server's words, and a button."""
    (nothing,) = free_ports(1)
    with proxy(tmp_path, f"127.0.0.1:{nothing}") as alone, visit(browser, f"{alone.url}/") as visited:
        detail = alone.classify((PHOTOS / "0003.jpg").read_bytes())[1]["detail"]
        visited.page.clock.install()
        choose(visited.page, picture("0003.jpg"))
        for attempt in range(2, 6):
            expect(cards(visited.page).get_by_text(f"Attempt {attempt} of 5")).to_be_visible(timeout=30_000)
            visited.page.clock.run_for(10_000)
        expect(cards(visited.page).get_by_text(detail)).to_be_visible(timeout=30_000)
        expect(visited.page.get_by_role("button", name="Try again")).to_be_visible()


def test_a_key_is_asked_for_and_kept_in_the_tab(browser, served, tmp_path, monkeypatch):
    """Where keys are needed the page asks for one, says if it is wrong, and sends what waited; a reload keeps it."""
    key, known = new_key("visitor")
    (tmp_path / "keys").write_text(known.line() + "\n")
    monkeypatch.setenv("SCENERY_API_KEYS_FILE", str(tmp_path / "keys"))
    with proxy(tmp_path, served.grpc) as locked, visit(browser, f"{locked.url}/") as visited:
        page = visited.page
        choose(page, picture("0003.jpg"), picture("0004.jpg"))
        expect(cards(page).get_by_text("The server wants an API key.")).to_have_count(2)
        assert page.get_by_label("API key").get_attribute("type") == "password"
        assert visited.violations() == []
        for tried, words in (("wrong", "The server does not know this API key."), (key, "Answered by scenery")):
            page.get_by_label("API key").fill(tried)
            page.keyboard.press("Enter")
            expect(cards(page).get_by_text(words)).to_have_count(2)
        expect(page.get_by_label("API key")).to_be_hidden()
        page.reload()
        choose(page, picture("0003.jpg"))
        expect(answered(page)).to_have_count(1)
        assert page.evaluate("[localStorage.length, document.cookie]") == [0, ""]


def test_a_file_that_is_gone_is_not_the_servers_fault(visited, tmp_path):
    """Without a network the card says so; of a file that cannot be read any more it says that."""
    page, file = visited.page, tmp_path / "gone.jpg"
    file.write_bytes((PHOTOS / "0003.jpg").read_bytes())
    page.context.set_offline(True)
    page.locator("#photos").set_input_files(file)
    expect(cards(page).get_by_text("The server cannot be reached.")).to_be_visible()
    page.context.set_offline(False)
    file.unlink()
    page.get_by_role("button", name="Try again").click()
    expect(cards(page).get_by_text("The file cannot be read.")).to_be_visible()


@pytest.mark.parametrize(("source", "words"), [("setting", "the model has none"), ("index", "these are their numbers")])
def test_names_that_are_not_the_models(visited, source, words):
    """Whoever else named the labels, or nobody, is said in small words."""

    def rename(route) -> None:
        route.fulfill(json={"model": "m", "photos": [SCORED | {"labels_from": source}]})

    visited.page.route("**/v1/classify", rename)
    choose(visited.page, picture("0003.jpg"))
    expect(card(visited.page, "0003.jpg")).to_contain_text(words)


def test_the_page_works_below_a_path(browser, proxied):
    """Behind something that gives the page a path, scripts, style and photos go there as well."""
    with visit(browser, f"{proxied.url}/healthz") as visited:
        page, below = visited.page, f"{proxied.url}/photos/"

        def strip(route) -> None:
            route.fulfill(response=route.fetch(url=route.request.url.replace("/photos/", "/", 1)))

        page.route(f"{below}**", strip)
        visited.requests.clear()
        page.goto(below)
        choose(page, picture("0003.jpg"))
        expect(answered(page)).to_have_count(1)
        sent = [address for address in visited.requests if not address.startswith("blob:")]
        assert f"{below}v1/classify" in sent
        assert all(address.startswith(below) for address in sent)


def test_three_photos_are_sent_at_a_time(visited):
    """However many are chosen, no more than three are under way; the others wait for their turn, and get it."""
    page, held = visited.page, []
    page.route("**/v1/classify", lambda route: held.append(route))
    choose(page, *(picture("0003.jpg", f"{number}.jpg") for number in range(12)))
    expect(cards(page).get_by_text("Asking the model…")).to_have_count(3)
    expect(cards(page).get_by_text("Waiting for its turn")).to_have_count(9)
    assert len(held) == 3
    page.route("**/v1/classify", lambda route: route.continue_())
    for route in held:
        route.continue_()
    expect(answered(page)).to_have_count(12, timeout=30_000)


def test_the_keyboard_is_enough(visited):
    """Tab and Enter reach everything, the focus shows, and it goes to a neighbour when what had it goes."""
    page = visited.page
    page.on("filechooser", lambda _: None)  # early, or Enter may come before the browser listens
    page.keyboard.press("Tab")
    expect(page.get_by_label("Choose photos")).to_be_focused()
    assert page.locator(".drop").evaluate("zone => getComputedStyle(zone).outlineStyle") == "solid"
    with page.expect_file_chooser() as chooser:
        page.keyboard.press("Enter")
    chooser.value.set_files([picture("0003.jpg"), a_file("bad.jpg", NO_PHOTO), picture("0004.jpg")])
    expect(answered(page)).to_have_count(2)
    order = ["Clear all", "Remove 0003.jpg", "Remove bad.jpg", "Try again", "Remove 0004.jpg", "Use the API"]
    for name in order:
        page.keyboard.press("Tab")
        focused = page.locator(":focus-visible")
        expect(focused).to_have_accessible_name(name)
        assert focused.evaluate("element => getComputedStyle(element).outlineStyle") == "solid"
    for _ in range(4):
        page.keyboard.press("Shift+Tab")
    for name in ("bad.jpg", "0004.jpg"):
        page.keyboard.press("Enter")
        expect(page.get_by_role("button", name=f"Remove {name}")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.get_by_label("Choose photos")).to_be_focused()
    expect(cards(page)).to_have_count(0)


def test_clear_all(visited):
    """One button takes every photo away, and the page is as it was."""
    page = visited.page
    choose(page, picture("0003.jpg"), picture("0004.jpg"))
    expect(answered(page)).to_have_count(2)
    page.get_by_role("button", name="Clear all").click()
    expect(cards(page)).to_have_count(0)
    expect(page.get_by_role("button", name="Clear all")).to_be_hidden()


def test_a_narrow_phone(browser, proxied, tmp_path):
    """320 pixels are wide enough, for long names too: nothing lies outside, and fingers hit everything."""
    phone = {"viewport": {"width": 320, "height": 640}, "has_touch": True, "is_mobile": True}
    with visit(browser, f"{proxied.url}/", **phone) as visited:
        page = visited.page
        choose(page, picture("0003.jpg", "a" * 120 + ".jpg"), a_file("bad.jpg", NO_PHOTO))
        expect(page.locator(".card[data-state=failed]")).to_have_count(1)
        expect(answered(page)).to_have_count(1)
        assert page.evaluate("document.documentElement.scrollWidth") == 320
        for name in page.locator("h3").all():
            assert name.evaluate("name => name.scrollWidth <= name.clientWidth")
        for target in page.locator("button:visible, a:visible, .drop").all():
            box = target.bounding_box()
            assert min(box["width"], box["height"]) >= 44
            assert box["x"] >= 0
            assert box["x"] + box["width"] <= 320
        page.screenshot(path=tmp_path / "phone.png", full_page=True)


@pytest.mark.parametrize("scheme", SCHEMES)
def test_nothing_keeps_anybody_out(browser, proxied, tmp_path, scheme):
    """axe-core finds no violation: empty, filled and with a failure, by day and by night."""
    with visit(browser, f"{proxied.url}/", color_scheme=scheme) as visited:
        page = visited.page
        assert visited.violations() == []
        choose(page, picture("0003.jpg"), picture("0004.jpg"))
        expect(answered(page)).to_have_count(2)
        assert visited.violations() == []
        choose(page, a_file("bad.jpg", NO_PHOTO))
        expect(page.locator(".card[data-state=failed]")).to_have_count(1)
        assert visited.violations() == []
        page.screenshot(path=tmp_path / f"{scheme}.png", full_page=True)


def test_without_javascript_a_form_is_left(browser, proxied):
    """The page then sends a plain form, and the answer is the API's."""
    with visit(browser, f"{proxied.url}/", java_script_enabled=False) as visited:
        choose(visited.page, picture("0003.jpg"))
        visited.page.get_by_role("button", name="Send the photos").click()
        visited.page.wait_for_url("**/v1/classify")
        assert '"file":"0003.jpg"' in visited.page.content()


def test_browsers_ask_whether_the_page_changed(proxied):
    """Each file is kept by browsers and checked at each look: the same ETag is answered with 304."""
    for path in ("", *(f"page/{file.name}" for file in (PAGE / "static").iterdir())):
        status, headers = get(proxied.url, f"/{path}")
        assert status == 200
        assert headers["Cache-Control"] == "no-cache"
        assert "default-src 'none'" in headers["Content-Security-Policy"]
        assert get(proxied.url, f"/{path}", {"If-None-Match": headers["ETag"]})[0] == 304


def get(url: str, path: str, headers: dict[str, str] | None = None):
    """Fetch what need not be JSON; returns status and headers."""
    with closing(client.HTTPConnection(urlsplit(url).netloc, timeout=10)) as connection:
        connection.request("GET", path, headers=headers or {})
        response = connection.getresponse()
        response.read()
        return response.status, response.headers


def test_the_page_is_light():
    """Everything it loads is below 30 KB, and nothing of it names another host."""
    files = [PAGE / "index.html", *(PAGE / "static").iterdir()]
    assert sum(file.stat().st_size for file in files) < 30_000
    for file in files:
        hosts = set(re.findall(r"https?://([^/\s\"'<]+)", file.read_text()))
        assert hosts <= {"127.0.0.1:8080", "www.w3.org"}, file  # an example, and SVG's name

"""The console in a real browser, Debian's Chromium, in front of real web and dispatcher processes."""

import re
import shutil
import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, Request, expect, sync_playwright

from app.cluster import Cluster
from tests.contract.conftest import new_database
from tests.contract.processes import PASSWORD, USERNAME, Client, Processes, Receiver, login, receiving, set_up, until

CHROMIUM = shutil.which("chromium")
FLAGS = [  # what a browser does of its own accord needs a network; and root has no sandbox
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
]
PHONE = {"width": 360, "height": 740}
LISTS = ("dead-letters", "gists", "events", "subscriptions", "actions", "applications")
CONTRAST = (Path(__file__).parent / "contrast.js").read_text()
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs Debian's package chromium")


@dataclass
class Site:
    """A running service with a dead letter of each of two applications, and a receiver that works again since."""

    url: str
    receiver: Receiver
    admin: Client
    apikey: str
    other: str


@pytest.fixture(scope="module")
def site(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    processes = Processes(new_database(cluster), tmp_path_factory.mktemp("console"))
    with receiving(Receiver()) as receiver, socket.create_server(("127.0.0.1", 0)) as listener:
        try:
            processes.web(listener).await_ready()
            processes.dispatcher().await_ready()
            yield _set_up(listener.getsockname()[1], receiver)
        finally:
            processes.end()


def _set_up(port: int, receiver: Receiver) -> Site:
    admin = Client(port, login(port))
    set_up(admin.call, receiver.url, max_retries=0, description="with a description")
    _, key = admin.call("POST", "/v1/applications/shop/apikey")
    depot = {"application": "depot", "address": receiver.url}
    subscription = {"application": "depot", "action": "order.placed", "handler": "/depot", "max_retries": 0}
    for path, body in (("/v1/applications", depot), ("/v1/subscriptions", subscription)):
        assert admin.call("POST", path, body)[0] == 201
    site = Site(f"http://127.0.0.1:{port}", receiver, admin, key["apikey"], "")
    most = [{"action": "order.placed", "payload": {"id": 1000 + number}} for number in range(30)]
    assert admin.call("POST", "/v1/events/batch", {"events": most})[0] == 207
    until(lambda: len(gists(site, "delivered")) == 2 * len(most))  # so that a few failures open no breaker
    fail(site, 1)
    (gist,) = gists(site, "failed", application="depot")
    site.other = gist["gist"]
    return site


def fail(site: Site, number: int) -> None:
    """Publish an event whose deliveries fail, and let the next ones succeed."""
    site.receiver.answer = lambda _: 500
    before = len(gists(site, "failed"))
    status, answer = site.admin.call("POST", "/v1/events", {"action": "order.placed", "payload": {"id": number}})
    assert status == 201, answer
    until(lambda: len(gists(site, "failed")) == before + 2)
    site.receiver.answer = lambda _: 200


def gists(site: Site, status: str, **filters: str) -> list[dict[str, Any]]:
    _, answer = site.admin.call("GET", f"/v1/gists?{urlencode({'status': status, 'per_page': 100, **filters})}")
    found: list[dict[str, Any]] = answer["data"]
    return found


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield started
        started.close()


Opening = Callable[..., Page]


@pytest.fixture
def opening(browser: Browser, site: Site) -> Iterator[Opening]:
    """Opens pages in a context of their own; at the end, none of them may have complained."""
    contexts: list[BrowserContext] = []
    complaints: list[str] = []

    def open_page(*, signed_in: bool = True, **options: Any) -> Page:  # whatever a context takes
        context = browser.new_context(base_url=site.url, **options)
        context.set_default_timeout(15_000)
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda said: complaints.append(said.text) if said.type in ("error", "warning") else None)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("requestfailed", lambda request: complaints.extend(_failure(request)))
        page.on("request", lambda request: None if request.url.startswith(site.url) else complaints.append(request.url))
        if signed_in:
            sign_in(page)
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert complaints == []


def _failure(request: Request) -> list[str]:
    """A request that a click elsewhere broke off is no failure."""
    return [] if request.failure == "net::ERR_ABORTED" else [f"{request.url}: {request.failure}"]


def sign_in(page: Page, name: str = USERNAME, password: str = PASSWORD) -> None:
    page.goto("/console/sign-in")
    page.get_by_label("Name").fill(name)
    page.get_by_label("Password or API key").fill(password)
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Overview")


def each_page(page: Page) -> Iterator[str]:
    """Every kind of page: each list, and the first thing on it."""
    page.goto("/")
    yield "/"
    page.goto("/?hours=24")
    yield "/?hours=24"
    for name in LISTS:
        page.goto(f"/console/{name}")
        yield name
        page.get_by_role("main").locator("tbody th a").first.click()
        expect(page.get_by_role("heading", level=1)).not_to_have_text(re.compile(r"s$"))
        yield f"one of {name}"
    page.goto("/console/dead-letters")
    page.get_by_role("button", name="Replay all").click()
    expect(page.get_by_role("heading", level=1)).to_have_text(re.compile("Replay .*"))
    yield "the question before replaying"


def press_until(page: Page, key: str, what: str) -> None:
    """Go on with a key until an element of this text or name has the focus, which must be seen."""
    for _ in range(60):
        page.keyboard.press(key)
        focused = page.locator(":focus")
        if focused.count() and what in (
            focused.inner_text(),
            focused.get_attribute("id"),
            focused.get_attribute("value"),
        ):
            outline = focused.evaluate("each => getComputedStyle(each).outlineStyle")
            assert outline != "none", f"one does not see that {what} has the focus"
            return
    raise AssertionError(f"{what} is not reached with {key}")


def test_everything_is_done_with_the_keyboard_alone(opening: Opening, site: Site) -> None:
    fail(site, 10)
    page = opening(signed_in=False)
    page.goto("/console/dead-letters")
    expect(page.get_by_label("Name")).to_be_focused()
    page.keyboard.type(USERNAME)
    page.keyboard.press("Tab")
    page.keyboard.type(PASSWORD)
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text("Dead letters")
    page.keyboard.press("Tab")
    expect(page.locator(":focus")).to_have_text("Skip to the content")
    page.keyboard.press("Enter")
    expect(page.get_by_role("main")).to_be_focused()
    newest = page.get_by_role("checkbox").first.get_attribute("value")
    assert newest
    press_until(page, "Tab", newest)
    page.keyboard.press("Space")
    press_until(page, "Shift+Tab", "Replay the chosen …")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text("Replay 1 gist?")
    press_until(page, "Tab", "Replay 1 gist")
    page.keyboard.press("Enter")
    expect(page.get_by_role("status")).to_have_text("1 gist is due again.")
    until(lambda: newest in [each["gist"] for each in gists(site, "delivered")])
    for name in ("Gists", "Events", "Subscriptions", "Actions", "Applications", "Overview"):
        press_until(page, "Tab", name)
        page.keyboard.press("Enter")
        expect(page.get_by_role("heading", level=1)).to_have_text(name)
    press_until(page, "Tab", "Sign out")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text("Sign in")
    page.goto("/console/gists")
    expect(page.get_by_role("heading", level=1)).to_have_text("Sign in")


def test_a_dead_letter_that_is_replayed_is_delivered(opening: Opening, site: Site) -> None:
    fail(site, 20)
    page = opening()
    page.goto("/console/dead-letters?application=shop")
    page.get_by_role("main").locator("tbody th a").first.click()
    expect(page.get_by_text("No retry is left after attempt 1.")).to_be_visible()
    expect(page.get_by_role("region", name="Payload", exact=True)).to_contain_text('"id": 20')
    gist = page.url.rpartition("/")[2]
    page.get_by_role("button", name="Replay").click()
    expect(page.get_by_role("status")).to_contain_text("It was made due again.")
    until(lambda: gist in [each["gist"] for each in gists(site, "delivered")])
    page.reload()
    expect(page.get_by_text("It is delivered, with attempt 2.")).to_be_visible()
    expect(page.get_by_role("row").nth(1)).to_contain_text("500")
    expect(page.get_by_role("row").nth(2)).to_contain_text("200")
    assert [body["attempt"] for body in site.receiver.bodies if body["payload"]["id"] == 20].count(2) == 1


def test_everything_is_read_and_done_without_javascript(opening: Opening, site: Site) -> None:
    fail(site, 30)
    page = opening(java_script_enabled=False)
    assert len(list(each_page(page))) == 2 * len(LISTS) + 3
    page.goto("/")
    page.get_by_text("The same as a table").click()
    expect(page.get_by_role("columnheader", name="95th percentile")).to_be_visible()
    page.goto("/console/dead-letters")
    page.locator("summary").click()
    page.get_by_label("Application").fill("shop")
    page.get_by_role("button", name="Filter").click()
    expect(page.get_by_role("link", name="depot")).to_have_count(0)
    page.get_by_role("button", name="Replay all that the filter shows").click()
    page.get_by_role("button", name="Replay").click()
    expect(page.get_by_role("status")).to_contain_text("due again")
    until(lambda: not gists(site, "failed", application="shop"))
    assert gists(site, "failed", application="depot"), "those of the other were not meant"
    page.goto("/console/subscriptions?application=shop")
    page.get_by_role("main").locator("tbody th a").first.click()
    page.get_by_role("button", name="Switch off").click()
    page.get_by_role("button", name="Switch on").click()
    expect(page.get_by_role("button", name="Switch off")).to_be_visible()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_text_stands_out_from_its_ground(opening: Opening, scheme: str) -> None:
    page = opening(color_scheme=scheme)
    for name in each_page(page):
        assert page.evaluate(CONTRAST) == [], name


def test_light_and_dark_differ(opening: Opening) -> None:
    light, dark = (opening(color_scheme=scheme) for scheme in ("light", "dark"))
    assert light.screenshot() != dark.screenshot()
    grounds = [page.evaluate("getComputedStyle(document.body).backgroundColor") for page in (light, dark)]
    brightness = [sum(map(int, re.findall(r"\d+", ground)[:3])) for ground in grounds]
    assert brightness[0] > 600
    assert brightness[1] < 150


def test_no_page_is_wider_than_a_phone(opening: Opening) -> None:
    page = opening(viewport=PHONE, has_touch=True, is_mobile=True)
    for name in each_page(page):
        width = page.evaluate("document.documentElement.scrollWidth")
        assert width <= PHONE["width"], f"{name} is {width} wide"
    page.goto("/console/gists")
    heads = page.locator("tbody tr").first.locator("td, th")
    boxes = [heads.nth(place).bounding_box() for place in range(heads.count())]
    tops = [box["y"] for box in boxes if box]
    assert tops == sorted(tops)
    assert len(set(tops)) == len(tops), "on a phone the cells of a row are below each other"


def test_a_page_is_built_for_who_does_not_see_it(opening: Opening) -> None:
    page = opening()
    for name in each_page(page):
        for role, count in (("banner", 1), ("main", 1), ("contentinfo", 1)):
            assert page.get_by_role(role).count() == count, name  # type: ignore[arg-type]  # a role
        assert page.locator("h1").count() == 1, name
        assert page.locator("thead th:not([scope=col])").count() == 0, name
        for form in page.locator("input:not([type=hidden]), select, button").all():
            assert form.evaluate("each => each.ariaLabel || each.labels?.length || each.textContent"), name
        for table in page.get_by_role("table").all():
            assert table.locator("caption").count() == 1, name


def test_who_does_not_see_a_plot_is_told_what_it_shows(opening: Opening) -> None:
    page = opening()
    summaries = [each.get_attribute("aria-label") or "" for each in page.get_by_role("main").get_by_role("img").all()]
    assert any(re.search(r"Retries and failures, per second, \d\d:\d\d to", each) for each in summaries)


def test_the_overview_brings_itself_up_to_date_until_it_is_told_not_to(opening: Opening, site: Site) -> None:
    page = opening(signed_in=False)
    page.clock.install()
    sign_in(page)
    shown = page.get_by_role("region", name="Dead letters").get_by_role("link").first
    before = len(gists(site, "failed"))
    fail(site, 70)
    page.clock.run_for(16_000)
    expect(shown).to_contain_text(f"{before + 2} gists")
    page.get_by_role("button", name="Pause").click()
    fail(site, 71)
    with page.expect_event("close"):  # nothing is asked for any more: the only request would come before the close
        page.on("request", lambda request: pytest.fail(f"it asked for {request.url}"))
        page.clock.run_for(60_000)
        page.close()


def test_an_application_sees_its_own_and_nothing_of_another(opening: Opening, site: Site) -> None:
    fail(site, 80)
    page = opening(signed_in=False)
    sign_in(page, "shop", site.apikey)
    for name in each_page(page):
        assert "depot" not in page.get_by_role("main").inner_text(), name
    page.context.clear_cookies()
    sign_in(page, "shop", site.apikey)
    answer = page.request.get(f"/console/gists/{site.other}")
    assert answer.status == 404
    assert "<h1>Not found</h1>" in answer.text()


def test_a_form_from_elsewhere_is_refused(opening: Opening, site: Site) -> None:
    page = opening()
    for headers, token in (({"Origin": site.url}, "0" * 64), ({"Origin": "http://evil.example"}, form_token(page))):
        form: dict[str, str | float | bool] = {"which": "all", "confirmed": "yes", "form_token": token}
        answer = page.request.post("/console/requeues", form=form, headers=headers)
        assert (answer.status, "<h1>Not allowed</h1>" in answer.text()) == (403, True)


def form_token(page: Page) -> str:
    return page.locator("input[name=form_token]").first.input_value()


def test_scripts_do_not_see_the_cookie(opening: Opening) -> None:
    page = opening()
    assert page.evaluate("document.cookie") == ""
    (cookie,) = page.context.cookies()
    assert (cookie["httpOnly"], cookie["sameSite"], cookie["path"]) == (True, "Strict", "/")

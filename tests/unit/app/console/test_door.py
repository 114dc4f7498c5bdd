"""The console's door: who comes in, what a form must bring, and what every answer carries."""

import re
from collections.abc import Mapping

import pytest

from app.console.door import HEADERS
from app.console.static import address_of
from app.errors import Unavailable
from app.model import Filters, Gist, Page, Principal
from app.storage.memory import MemoryStorage
from tests.unit.app.console.client import ADMIN, HOST, Console

PAGES = (
    "/",
    *(f"/console/{name}" for name in ("dead-letters", "gists", "events", "subscriptions", "actions", "applications")),
)


@pytest.mark.parametrize("path", [*PAGES, "/console/gists?status=failed", "/console/nothing", "/console/gists/x"])
def test_who_is_not_signed_in_is_shown_the_way_in(path: str) -> None:
    for cookie in ("", "amebo_session=x", "amebo_session=a.b.c"):
        console = Console()
        console.cookie = cookie
        answer = console.get(path)
        assert (answer.status_code, answer.text) == (303, "")
        assert answer.headers["Location"].startswith("/console/sign-in")
        assert "sign in" in console.get(answer.headers["Location"]).text.lower()


def test_the_way_in_leads_back_to_the_page_that_was_wanted() -> None:
    console = Console()
    way_in = console.get("/console/gists?status=failed").headers["Location"]
    found = re.search(r'name="next" value="([^"]*)"', console.get(way_in).text)
    assert found
    assert console.sign_in(next=found[1]).headers["Location"] == "/console/gists?status=failed"


@pytest.mark.parametrize(
    "onward", ["//evil.example", "https://evil.example", "/\\evil.example", "/v1/events", "", "/console/\n"]
)
def test_the_way_in_never_leads_to_another_site(onward: str) -> None:
    assert Console().sign_in(next=onward).headers["Location"] == "/"


def test_the_administrator_and_an_application_sign_in_and_out() -> None:
    console = Console()
    key = console.application("shop")
    for name, password in (("admin", "a password"), ("shop", key)):
        assert console.sign_in(name, password).status_code == 303
        assert console.get("/").status_code == 200
        out = console.send("/console/sign-out")
        assert (out.status_code, out.cookies["amebo_session"].value) == (303, "")


def test_a_cookie_is_for_this_site_and_out_of_reach_of_scripts() -> None:
    console = Console()
    login = {"name": "admin", "password": "a password"}
    plain = console.post("/console/sign-in", login).headers["Set-Cookie"]
    assert all(word in plain for word in ("HttpOnly", "SameSite=Strict", "Path=/"))
    assert "Secure" not in plain
    behind_tls = console.post("/console/sign-in", login, {"X-Forwarded-Proto": "https"})
    assert "Secure" in behind_tls.headers["Set-Cookie"]


def test_wrong_credentials_are_refused_without_saying_which_was_wrong() -> None:
    console = Console()
    key = console.application("shop")
    console.application("other")
    texts = set()
    for name, password in (("admin", "wrong"), ("other", key), ("nobody", key), ("shop", "amebo_x"), ("a\0b", "x")):
        fresh = Console()
        answer = (console if name == "other" else fresh).sign_in(name, password)
        assert (answer.status_code, answer.cookies) == (401, {})
        texts.update(re.findall(r'role="alert"[^>]*>([^<]*)', answer.text))
    assert len(texts) == 1


def test_guessing_ends_after_some_failures() -> None:
    console = Console()
    for _ in range(3):
        assert console.sign_in(password="wrong").status_code == 401
    refused = console.sign_in(password="a password")
    assert (refused.status_code, refused.headers["Retry-After"]) == (429, "300")
    assert "Too many" in refused.text


def test_an_application_that_is_switched_off_does_not_come_in_and_does_not_stay() -> None:
    console = Console()
    key = console.application("shop")
    console.sign_in("shop", key)
    console.services.registry.switch_application(ADMIN, "shop", active=False)
    assert console.get("/").status_code == 303
    assert console.sign_in("shop", key).status_code == 403


def test_a_new_api_key_ends_an_applications_sessions() -> None:
    console = Console()
    console.sign_in("shop", console.application("shop"))
    assert console.get("/").status_code == 200
    console.services.registry.renew_apikey(Principal("shop"), "shop")
    assert console.get("/").status_code == 303


@pytest.mark.parametrize(
    ("fields", "headers"),
    [
        ({}, {}),
        ({"form_token": ""}, {}),
        ({"form_token": "0" * 64}, {}),
        ({"form_token": "right"}, {"Origin": "http://evil.example"}),
        ({"form_token": "right"}, {"Origin": "null"}),
        ({"form_token": "right"}, {"Origin": ""}),
        ({"form_token": "right"}, {"Origin": "", "Referer": "http://evil.example/"}),
        ({"form_token": "right"}, {"Origin": f"http://{HOST}.evil.example"}),
        ({"form_token": "of another session"}, {}),
    ],
)
@pytest.mark.parametrize(
    "path", ["/console/requeues", "/console/sign-out", "/console/gists/x", "/console/subscriptions/x"]
)
def test_a_form_that_is_not_from_this_session_changes_nothing(
    path: str, fields: dict[str, str], headers: Mapping[str, str]
) -> None:
    console = Console()
    console.sign_in()
    if fields.get("form_token") == "of another session":
        fields = {"form_token": console.form_token()}
        console.sign_in()
    if fields.get("form_token") == "right":
        fields = {"form_token": console.form_token()}
    answer = console.post(path, fields, headers)
    assert (answer.status_code, "Set-Cookie" in answer.headers) == (403, False)
    assert "<h1>Not allowed</h1>" in answer.text


def test_a_referer_of_this_site_does_where_a_browser_sends_no_origin() -> None:
    console = Console()
    console.sign_in()
    fields = {"form_token": console.form_token(), "which": "all"}
    answer = console.post("/console/requeues", fields, {"Origin": "", "Referer": f"http://{HOST}/console/dead-letters"})
    assert answer.status_code == 200


def test_nobody_is_signed_in_from_another_site() -> None:
    login = {"name": "admin", "password": "a password"}
    answer = Console().post("/console/sign-in", login, {"Origin": "http://evil.example"})
    assert (answer.status_code, answer.cookies) == (403, {})


@pytest.mark.parametrize(
    ("headers", "fields", "status"),
    [
        ({"Content-Type": "application/json"}, {}, 400),
        ({}, {f"field-{number}": "x" for number in range(1000)}, 400),
        ({}, {"field": "x" * 100_000}, 413),
        ({}, {"field": b"\xff\xfe"}, 400),
    ],
    ids=["JSON", "many fields", "large", "not UTF-8"],
)
def test_a_form_that_cannot_be_one_is_refused(headers: dict[str, str], fields: dict[str, object], status: int) -> None:
    console = Console()
    console.sign_in()
    answer = console.post("/console/requeues", fields, headers)
    assert answer.status_code == status
    assert "<h1>This cannot be done</h1>" in answer.text


@pytest.mark.parametrize("path", [*PAGES, "/console/sign-in", "/console/nothing", address_of("console.css")])
def test_every_answer_says_what_a_page_may_do(path: str) -> None:
    console = Console()
    for _ in range(2):
        answer = console.get(path)
        assert {name: answer.headers.get(name) for name in HEADERS} == HEADERS
        assert ("no-store" in answer.headers["Cache-Control"]) == ("/static/" not in path)
        console.sign_in()


@pytest.mark.parametrize("path", PAGES)
def test_pages_hold_no_script_and_no_style_of_their_own(path: str) -> None:
    console = Console()
    console.application("shop")
    console.fail("shop")
    console.sign_in()
    text = console.get(path).text
    for inline in (r"<style", r"\sstyle=", r"\son\w+=", r"javascript:", r"<script(?![^>]*\ssrc=\"/console/static/)"):
        assert not re.search(inline, text)
    assert not re.search(r"(src|href|action)=\"(?!/)[^\"#]", text), "it loads or names another site"
    assert text.count("<h1") == 1


@pytest.mark.parametrize(
    ("method", "path", "status", "heading"),
    [
        ("GET", "/console/nothing", 404, "Not found"),
        ("GET", "/console/gists/x", 404, "Not found"),
        ("GET", "/console/events/01a20f8a-5dd9-7399-8fa1-cb681a401b24", 404, "Not found"),
        ("GET", "/console/actions/nothing", 404, "Not found"),
        ("GET", "/console/static/nothing", 404, "Not found"),
        ("GET", "/console/gists?status=lost", 400, "This cannot be done"),
        ("GET", "/console/gists?cursor=x", 400, "This cannot be done"),
        ("GET", "/console/gists?colour=red", 400, "This cannot be done"),
        ("GET", "/?hours=5", 400, "This cannot be done"),
        ("PUT", "/console/gists", 405, "Not possible here"),
    ],
)
def test_an_error_is_a_page(method: str, path: str, status: int, heading: str) -> None:
    console = Console()
    console.sign_in()
    answer = console.client.simulate_request(method, path, headers={"Host": HOST, "Cookie": console.cookie})
    assert answer.status_code == status
    assert answer.headers["Content-Type"].startswith("text/html")
    assert f"<h1>{heading}</h1>" in answer.text
    assert answer.headers["X-Request-ID"] in answer.text


def test_errors_of_the_api_stay_json() -> None:
    console = Console()
    for path in ("/v1/gists", "/v1/nothing", "/consoles"):
        assert console.get(path).json["code"] in (401, 404)


class Gone(MemoryStorage):
    """A database that went away."""

    def gists(self, filters: Filters, page: Page) -> tuple[Gist, ...]:  # noqa: ARG002  # the port's signature
        raise Unavailable("the database does not answer; try again in a moment")


def test_a_database_that_does_not_answer_is_said_on_a_page() -> None:
    console = Console(Gone())
    console.sign_in()
    answer = console.get("/console/gists")
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "2")
    assert "The database does not answer" in answer.text


def test_an_empty_field_of_a_filter_asks_for_nothing() -> None:
    console = Console()
    console.sign_in()
    assert console.get("/console/gists?status=&action=&event=&from=&to=").status_code == 200


def test_a_file_is_kept_by_its_name_and_asked_for_again_by_its_tag() -> None:
    console = Console()
    named = console.get(address_of("console.css"))
    assert named.headers["Cache-Control"] == "public, max-age=31536000, immutable"
    bare = console.get("/console/static/console.css")
    assert bare.headers["Cache-Control"] == "public, no-cache"
    again = console.get("/console/static/console.css", **{"If-None-Match": bare.headers["ETag"]})
    assert (again.status_code, again.content) == (304, b"")

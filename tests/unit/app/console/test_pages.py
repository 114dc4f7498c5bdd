"""The console's pages: what each viewer gets to see and may do, and how lists go on."""

import html
import re
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from app.model import Filters, Minute, Page, Permission, Principal, Status
from app.registry import Wish
from tests.unit.app.console.client import ADMIN, Console

ASK = "/console/requeues"


@pytest.fixture
def console() -> Console:
    """With two applications, each of which has a dead letter."""
    made = Console()
    for name in ("shop", "depot"):
        made.application(name)
        made.fail(name)
    return made


def as_shop(console: Console) -> Console:
    console.sign_in("shop", console.services.registry.renew_apikey(ADMIN, "shop").apikey)
    return console


def status_of(console: Console, gist: UUID) -> Status:
    return console.services.broker.gist(ADMIN, gist).status


def dead_letter(console: Console, name: str) -> UUID:
    found = console.services.broker.gists(ADMIN, Filters(application=name, status=Status.FAILED), Page()).items
    return found[0].gist


def addresses(console: Console, principal: Principal) -> list[str]:
    """The pages of all that somebody sees, found as that person would: by following links from the overview."""
    found, ahead = ["/"], ["/"]
    while ahead:
        text = console.get(ahead.pop()).text
        links = {html.unescape(each) for each in re.findall(r'href="(/[^"#]*)"', text)}
        fresh = sorted(each for each in links if each not in found and "/static/" not in each)
        found += fresh
        ahead += fresh
    assert len(found) > 15, f"{principal.name} finds too little"
    return found


def test_the_administrator_finds_everything_by_following_links(console: Console) -> None:
    console.sign_in()
    answers = {path: console.get(path) for path in addresses(console, ADMIN)}
    assert {path: answer.status_code for path, answer in answers.items() if answer.status_code != 200} == {}
    everything = "".join(answer.text for answer in answers.values())
    for name in ("shop", "depot"):
        for what in (f"payload-of-{name}", f"answer-to-{name}", f"hook-of-{name}", f"key-of-{name}"):
            assert what in everything
    assert not re.search(r"the secret of|whsec_|amebo_\w{20}", everything)


def test_an_application_sees_nothing_of_another(console: Console) -> None:
    as_shop(console)
    everything = ""
    for path in addresses(console, Principal("shop")):
        answer = console.get(path)
        assert (answer.status_code == 200) or path.startswith("/console/applications/"), path
        everything += answer.text
    assert "payload-of-shop" in everything
    foreign = str(dead_letter(console, "depot"))
    for what in (foreign, "payload-of-depot", "answer-to-depot", "hook-of-depot", "key-of-depot"):
        assert what not in everything


def test_an_application_reaches_nothing_of_another_by_its_address(console: Console) -> None:
    gist = console.services.broker.gist(ADMIN, dead_letter(console, "depot"))
    as_shop(console)
    for path, status in (
        (f"/console/gists/{gist.gist}", 404),
        (f"/console/events/{gist.event}", 404),
        (f"/console/subscriptions/{gist.subscription}", 404),
        ("/console/applications/depot", 403),
        ("/console/gists?application=depot", 403),
        ("/console/dead-letters?application=depot", 403),
        ("/console/events?application=depot", 403),
        ("/console/subscriptions?application=depot", 403),
    ):
        answer = console.get(path)
        assert (answer.status_code, "of-depot" in answer.text) == (status, False), path
    for path in (f"/console/gists/{gist.gist}", f"/console/subscriptions/{gist.subscription}"):
        assert console.send(path, active="no").status_code == 404
    assert status_of(console, gist.gist) is Status.FAILED


def test_an_application_requeues_only_what_is_its_own(console: Console) -> None:
    mine, other = dead_letter(console, "shop"), dead_letter(console, "depot")
    as_shop(console)
    assert "Replay 1 gist?" in console.send(ASK, which="all").text
    assert "Replay 1 gist?" in console.send(ASK, which="chosen", gist=[mine, other]).text
    console.send(ASK, which="chosen", gist=[mine, other], confirmed="yes")
    assert (status_of(console, mine), status_of(console, other)) == (Status.PENDING, Status.FAILED)


def test_who_may_read_an_action_sees_its_events_but_not_its_owners_gists(console: Console) -> None:
    console.services.registry.grant(ADMIN, "depot.done", "shop", Permission.READ)
    gist = console.services.broker.gist(ADMIN, dead_letter(console, "depot"))
    page = as_shop(console).get(f"/console/events/{gist.event}").text
    assert "payload-of-depot" in page
    assert str(gist.gist) not in page


def test_a_payload_is_not_shown_once_the_grant_to_read_it_is_gone(console: Console) -> None:
    registry = console.services.registry
    registry.grant(ADMIN, "depot.done", "shop", Permission.READ)
    registry.subscribe(Principal("shop"), Wish("shop", "depot.done", "/other"))
    event = console.publish("depot").event
    as_shop(console)
    (gist,) = console.services.broker.gists(Principal("shop"), Filters(event=event), Page()).items
    assert "payload-of-depot" in console.get(f"/console/gists/{gist.gist}").text
    registry.revoke(ADMIN, "depot.done", "shop", Permission.READ)
    page = console.get(f"/console/gists/{gist.gist}").text
    assert "You may not read this event" in page
    assert "payload-of-depot" not in page


def test_grants_are_for_the_owner_to_see(console: Console) -> None:
    console.services.registry.grant(ADMIN, "depot.done", "shop", Permission.READ)
    page = as_shop(console).get("/console/actions/depot.done").text
    assert "Only its owner sees" in page
    console.sign_in()
    assert 'data-label="May">read' in console.get("/console/actions/depot.done").text


def test_requeueing_counts_first_then_does_it_and_says_so(console: Console) -> None:
    gists = [dead_letter(console, name) for name in ("shop", "depot")]
    console.sign_in()
    asked = console.send(ASK, which="all")
    assert "<h1>Replay 2 gists?</h1>" in asked.text
    assert [status_of(console, gist) for gist in gists] == [Status.FAILED] * 2
    done = console.send(ASK, which="all", confirmed="yes")
    assert (done.status_code, done.headers["Location"]) == (303, "/console/dead-letters?requeued=2")
    assert [status_of(console, gist) for gist in gists] == [Status.PENDING] * 2
    page = console.get(done.headers["Location"]).text
    assert "2 gists are due again." in page
    assert "None of them is a dead letter any more" in console.send(ASK, which="chosen", gist=gists).text


def test_a_filter_decides_what_all_means(console: Console) -> None:
    console.sign_in()
    page = console.get("/console/dead-letters?action=shop.done&from=2020-01-01T00:00").text
    found = re.search(r'action="(/console/requeues[^"]*)"', page)
    assert found
    address = html.unescape(found[1])
    assert "Replay 1 gist?" in console.send(address, which="all").text
    back = console.send(address, which="all", confirmed="yes").headers["Location"]
    assert back.startswith("/console/dead-letters?action=shop.done")
    assert "1 gist is due again." in console.get(back).text
    assert status_of(console, dead_letter(console, "depot")) is Status.FAILED


@pytest.mark.parametrize(("fields", "status"), [({}, 422), ({"gist": "x"}, 404), ({"gist": ["x", "y"]}, 404)])
def test_choosing_nothing_is_no_way_to_replay_everything(
    console: Console, fields: dict[str, object], status: int
) -> None:
    console.sign_in()
    assert console.send(ASK, which="chosen", confirmed="yes", **fields).status_code == status
    assert status_of(console, dead_letter(console, "shop")) is Status.FAILED


def test_what_is_no_dead_letter_is_not_requeued_by_its_id(console: Console) -> None:
    console.publish("shop")
    pending = console.services.broker.gists(ADMIN, Filters(status=Status.PENDING), Page()).items[0]
    console.sign_in()
    assert "None of them is a dead letter" in console.send(ASK, which="chosen", gist=pending.gist).text


def test_a_gist_is_replayed_from_its_page(console: Console) -> None:
    gist = dead_letter(console, "shop")
    console.sign_in()
    answer = console.send(f"/console/gists/{gist}")
    assert (answer.status_code, status_of(console, gist)) == (303, Status.PENDING)
    page = console.get(answer.headers["Location"]).text
    assert "It was made due again" in page
    assert "answer-to-shop" in page


def test_a_subscription_is_switched_off_and_on(console: Console) -> None:
    as_shop(console)
    (subscription,) = console.services.registry.subscriptions(Principal("shop"), Filters(), Page()).items
    address = f"/console/subscriptions/{subscription.subscription}"
    for active, shown in (("no", "Switch on"), ("yes", "Switch off")):
        assert console.send(address, active=active).headers["Location"] == address
        assert shown in console.get(address).text


def test_a_list_goes_on_and_back_with_its_filters() -> None:
    console = Console()
    console.application("shop")
    made = [str(console.publish("shop").event) for _ in range(5)][::-1]
    console.sign_in()
    seen, path = [], "/console/events?action=shop.done&per_page=2"
    for turn in ("next", "next", "prev"):
        page = console.get(path).text
        seen.append(re.findall(r'title="([^"]+)"', page))
        found = re.search(rf'rel="{turn}" href="([^"]+)"', page)
        assert found, f"{path} does not go on"
        path = html.unescape(found[1])
        assert "action=shop.done" in path
        path = path + "&per_page=2" if "per_page" not in path else path
    seen.append(re.findall(r'title="([^"]+)"', console.get(path).text))
    assert seen == [made[:2], made[2:4], made[4:], made[2:4]]


def test_whatever_was_published_is_text_on_a_page() -> None:
    console = Console()
    console.application("shop")
    event = console.publish("shop", "</pre><script>alert(1)</script><img src=x onerror=alert(1)>")
    console.sign_in()
    page = console.get(f"/console/events/{event.event}").text
    assert "<script>alert" not in page
    assert "&lt;script&gt;alert(1)" in page


def test_a_filter_is_text_on_a_page() -> None:
    console = Console()
    console.sign_in()
    page = console.get('/console/gists?action="><script>alert(1)</script>').text
    assert "<script>alert" not in page


def test_the_overview_puts_dead_letters_first(console: Console) -> None:
    console.sign_in()
    page = console.get("/").text
    assert page.index("2</strong> gists failed for good") < page.index("Published and delivered")
    console.send(ASK, which="all", confirmed="yes")
    assert "Nothing has failed for good" in console.get("/").text


def test_the_overview_draws_what_was_counted_of_whom_may_see_it() -> None:
    console = Console()
    key = console.application("shop")
    minute = datetime.now(UTC).replace(second=0, microsecond=0) - timedelta(minutes=10)
    console.storage.add_minutes(
        [
            Minute(minute, "shop", published=120, delivered=60, failed=6, latency=(0, 0, 0, 60)),
            Minute(minute, "depot", published=1200, retried=600, latency=()),
            Minute(minute, "", due=7, oldest_seconds=90.0),
        ]
    )
    console.sign_in()
    page = console.get("/").text
    assert "published: 0 at the end, 22 at most; delivered: 0 at the end, 1 at most" in page
    assert "median: none at the end, 8 ms at most" in page
    assert "age: 0 s at the end, 1.5 min at most" in page
    console.sign_in("shop", key)
    page = console.get("/?hours=6").text
    assert "published: 0 at the end, 0.4 at most" in page
    assert "Oldest due" not in page


def test_the_overview_names_handlers_that_deliveries_are_held_back_from(console: Console) -> None:
    for _ in range(10):
        console.fail("shop")
    console.sign_in()
    page = console.get("/").text
    assert "Handlers that fail" in page
    assert "hook-of-shop" in page
    assert "hook-of-depot" not in page


def test_pages_are_small(console: Console) -> None:
    for _ in range(60):
        console.fail("shop")
    console.sign_in()
    for path in ("/", "/?hours=24", "/console/dead-letters", "/console/gists", "/console/events"):
        assert len(console.get(path).content) < 64_000, path

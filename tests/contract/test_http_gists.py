"""Gists over HTTP: shown with each attempt, explained, and sent again."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest

from app.model import Status
from tests.contract.api import Api, bearer
from tests.contract.examples import claim, complete

Shop = tuple[dict[str, Any], str, str]
UNKNOWN = (
    "5a1f0c52-3d8e-4c0a-9b1d-0f6f2f4f7a11"  # always the same: processes that share the tests have to agree on their ids
)


@pytest.fixture
def shop(api: Api) -> Shop:
    """An application with its action and its subscription."""
    made = api.application()
    action = api.action(made["application"])
    return made, action, api.subscription(made["application"], action)["subscription"]


def end(api: Api, subscription: str, status: Status, delay: float = 0.0) -> list[str]:
    """Claim what a subscription has to deliver, and let that be what became of it."""
    claimed = [each for each in claim(api.storage, 1000, free=100_000) if str(each.subscription) == subscription]
    complete(api.storage, claimed, status, delay)
    return [str(each.gist) for each in claimed]


def test_a_gist_is_shown_with_each_attempt_and_replayed(api: Api, shop: Shop) -> None:
    owner, action, subscription = shop
    event = api.publish(action).json["event"]
    for query in (f"event={event}", f"subscription={subscription}", f"action={action}&status=pending"):
        (gist,) = api.call("GET", f"/v1/gists?{query}", None, bearer(owner)).json["data"]
    path = f"/v1/gists/{gist['gist']}"
    assert api.call("GET", path).json == {**gist, "tries": []}
    assert not {"lane", "position"} & set(gist)
    end(api, subscription, Status.FAILED)
    failed = api.call("GET", path, None, bearer(owner)).json
    assert (failed["status"], failed["attempts"]) == ("failed", 1)
    (tried,) = failed["tries"]
    assert set(tried) == {"attempt", "status", "ms", "response", "error", "timestamped"}
    assert (tried["attempt"], tried["status"], tried["ms"], tried["response"]) == (1, 500, 12, "body")
    replayed = api.call("POST", f"/v1/regists/{gist['gist']}", None, bearer(owner))
    assert (replayed.status_code, replayed.json["status"], replayed.json["retries"]) == (202, "pending", 0)


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", "/v1/gists/{}"), ("GET", "/v1/gists/{}/explain"), ("POST", "/v1/regists/{}")],
)
def test_a_gist_is_its_subscriber_s_alone(api: Api, shop: Shop, method: str, path: str) -> None:
    _, action, _ = shop
    gist = api.gist(api.publish(action).json["event"])["gist"]
    assert api.call(method, path.format(gist), None, bearer(api.application())).status_code == 404
    assert api.call(method, path.format(uuid4())).status_code == 404
    assert api.call(method, path.format("x")).status_code == 404
    assert api.call(method, path.format(gist)).status_code in (200, 202)


@pytest.mark.parametrize(
    "query", ["status=lost", "event=x", "subscription=1", "unknown=1", "sort=due", "deduper=x", "from=x"]
)
def test_filters_that_make_no_sense_are_refused(api: Api, query: str) -> None:
    assert api.call("GET", f"/v1/gists?{query}").status_code == 400


def test_explains_why_it_is_not_delivered_yet(api: Api, shop: Shop) -> None:
    owner, action, subscription = shop
    gist = api.gist(api.publish(action, sleep_until=3600).json["event"])["gist"]

    def explained() -> dict[str, Any]:
        answer = api.call("GET", f"/v1/gists/{gist}/explain", None, bearer(owner))
        assert answer.status_code == 200
        return dict(answer.json)

    sleeping = explained()
    assert sleeping["reason"] == "sleeping"
    assert sleeping["sentence"].startswith("It is due at ")
    assert (sleeping["subscription_active"], sleeping["application_active"], sleeping["before"]) == (True, True, None)
    assert sleeping["gist"]["gist"] == gist
    assert sleeping["endpoint"]["breaker"] == "closed"
    assert datetime.fromisoformat(sleeping["now"]) <= datetime.now(UTC) + timedelta(seconds=60)
    api.call("POST", f"/v1/regists/{gist}")
    assert explained()["reason"] == "due"
    end(api, subscription, Status.RETRYING, delay=60)
    assert explained()["reason"] == "waiting_for_retry"
    api.call("POST", f"/v1/regists/{gist}")
    end(api, subscription, Status.FAILED)
    failed = explained()
    assert (failed["reason"], f"/v1/regists/{gist}" in failed["sentence"]) == ("failed", True)
    api.call("POST", f"/v1/regists/{gist}")
    api.call("PUT", f"/v1/subscriptions/{subscription}", {"handler": "/hooks", "active": False})
    assert explained()["reason"] == "about_to_pause"


def test_what_failed_is_sent_again_by_ids_and_by_filter(api: Api, shop: Shop) -> None:
    owner, action, subscription = shop
    for _ in range(5):
        api.publish(action)
    failed = end(api, subscription, Status.FAILED)

    def requeue(**asked: object) -> dict[str, Any]:
        answer = api.call("POST", "/v1/requeues", asked, bearer(owner))
        assert answer.status_code == 202, answer.json
        return dict(answer.json)

    assert requeue(filter={}, dry_run=True) == {"gists": 5, "more": False, "dry_run": True}
    assert requeue(gists=failed[:2]) == {"gists": 2, "more": False, "dry_run": False}
    assert requeue(filter={"subscription": subscription}, dry_run=True)["gists"] == 3  # without a status: that failed
    assert requeue(filter={"status": "pending"}, dry_run=True)["gists"] == 2
    assert requeue(filter={"from": "2999-01-01T00:00:00Z"})["gists"] == 0
    assert requeue(filter={"to": datetime.now(UTC).isoformat(), "action": action})["gists"] == 3
    assert requeue(filter={})["gists"] == 0
    assert len(end(api, subscription, Status.DELIVERED)) == 5
    assert requeue(filter={"status": "delivered"})["gists"] == 5


def test_an_application_sends_only_its_own_again(api: Api, shop: Shop) -> None:
    owner, action, subscription = shop
    api.publish(action)
    failed = end(api, subscription, Status.FAILED)
    other = bearer(api.application())
    assert api.call("POST", "/v1/requeues", {"gists": failed}, other).json["gists"] == 0
    assert api.call("POST", "/v1/requeues", {"filter": {"subscription": subscription}}, other).json["gists"] == 0
    theirs = {"filter": {"application": owner["application"]}}
    assert api.call("POST", "/v1/requeues", theirs, other).status_code == 403
    assert api.call("POST", "/v1/requeues", theirs).json["gists"] == 1


@pytest.mark.parametrize(
    ("asked", "status"),
    [
        ({}, 422),
        ({"gists": [], "dry_run": True}, 422),
        ({"gists": ["x"]}, 422),
        ({"gists": [UNKNOWN], "filter": {}}, 422),
        ({"filter": {"status": "lost"}}, 422),
        ({"filter": {"unknown": 1}}, 422),
        ({"filter": {"from": "yesterday"}}, 422),
        ({"gists": [UNKNOWN] * 1001}, 422),
        ({"gists": [UNKNOWN]}, 202),
    ],
    ids=lambda value: str(value)[:60],
)
def test_a_requeue_says_clearly_what(api: Api, asked: object, status: int) -> None:
    assert api.call("POST", "/v1/requeues", asked).status_code == status


def test_a_subscription_receives_what_was_before_it(api: Api, shop: Shop) -> None:
    owner, action, _ = shop
    events = [api.publish(action).json for _ in range(3)]
    late = api.subscription(owner["application"], action, handler="/late")["subscription"]

    def backfill(**asked: object) -> tuple[int, bool]:
        answer = api.call("POST", "/v1/backfills", {"subscription": late, **asked}, bearer(owner))
        assert answer.status_code == 202, answer.json
        assert answer.json["more"] is False
        return answer.json["gists"], answer.json["dry_run"]

    since = {"from": events[0]["timestamped"]}
    assert backfill(**since, dry_run=True) == (3, True)
    assert backfill(**since, to=events[1]["timestamped"]) == (1, False)
    assert backfill(**since) == (2, False)
    assert backfill(**since) == (0, False)
    received = api.call("GET", f"/v1/gists?subscription={late}", None, bearer(owner)).json["data"]
    assert {each["event"] for each in received} == {each["event"] for each in events}
    assert {api.call("GET", f"/v1/events/{each['event']}").json["fanout"] for each in events} == {2}
    refused = {"subscription": late, **since}
    assert api.call("POST", "/v1/backfills", refused, bearer(api.application())).status_code == 404
    assert api.call("POST", "/v1/backfills", {**refused, "subscription": str(uuid4())}).status_code == 404
    for wrong in ({"subscription": late}, {**refused, "from": "x"}, {**refused, "unknown": 1}, {"from": "2026-01-01"}):
        assert api.call("POST", "/v1/backfills", wrong).status_code == 422

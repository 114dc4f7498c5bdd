"""Publishing over HTTP: one event or a thousand, each once for its key."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from tests.contract.api import Api, bearer, number

BALANCER = "X-Amebo-Load-Balancer-Request-Id"


def test_an_event_is_answered_with_all_that_it_is(api: Api) -> None:
    shop = api.application()
    action = api.action(shop["application"])
    made = api.publish(action, bearer(shop), metadata={"key": "a"})
    assert made.status_code == 201
    assert set(made.json) == {
        "event",
        "action",
        "application",
        "payload",
        "metadata",
        "deduper",
        "timestamped",
        "sleep_until",
        "fanout",
    }
    assert (made.json["payload"], made.json["metadata"], made.json["application"]) == (
        {"id": 1},
        {"key": "a"},
        shop["application"],
    )
    assert api.call("GET", f"/v1/events/{made.json['event']}", None, bearer(shop)).json == made.json
    assert api.call("GET", f"/v1/events/{made.json['event']}", None, bearer(api.application())).status_code == 404


def test_events_are_found_by_what_they_are(api: Api) -> None:
    shop = api.application()
    action = api.action(shop["application"])
    first = api.publish(action, deduper="k-1").json
    second = api.publish(action).json
    for query, expected in (
        (f"action={action}", [second, first]),
        (f"application={shop['application']}", [second, first]),
        (f"application={shop['application']}&deduper=k-1", [first]),
        (f"action={action}&from={second['timestamped']}".replace("+", "%2B"), [second]),
        (f"action={action}&to={second['timestamped']}", [first]),
        (f"action={action}&from=2999-01-01", []),
    ):
        assert api.call("GET", f"/v1/events?{query}").json["data"] == expected, query


def test_the_same_key_is_the_same_event(api: Api) -> None:
    shop = api.application()
    action = api.action(shop["application"])
    api.subscription(shop["application"], action)
    new = {"action": action, "payload": {"id": 1}, "deduper": "key-1", "metadata": {"trace": "t"}}
    first = api.call("POST", "/v1/events", new)
    assert (first.status_code, first.json["fanout"], first.json["sleep_until"]) == (201, 1, None)
    again = api.call("POST", "/v1/events", {**new, "payload": {"id": 1}})
    assert (again.status_code, again.json) == (200, {**first.json, "duplicate": True})
    assert api.call("POST", "/v1/events", {**new, "payload": {"id": 2}}).status_code == 409
    assert api.call("POST", "/v1/events", new, bearer(shop)).status_code == 201  # another publisher's key


def test_the_load_balancer_may_send_a_request_twice(api: Api) -> None:
    action = api.action(api.application()["application"])
    new = {"action": action, "payload": {"id": 1}}
    balanced = {**api.admin, BALANCER: f"r-{number()}", "X-Request-ID": "mine"}
    first = api.call("POST", "/v1/events", new, balanced)
    again = api.call("POST", "/v1/events", new, balanced)
    assert (first.status_code, again.status_code) == (201, 200)
    assert (first.json["event"], first.json["deduper"]) == (again.json["event"], None)
    unbalanced = {**api.admin, "X-Request-ID": "mine"}
    events = {api.call("POST", "/v1/events", new, unbalanced).json["event"] for _ in range(2)}
    assert len(events) == 2


@pytest.mark.parametrize(
    ("sleep_until", "status"),
    [
        (0, 201),
        (60, 201),
        (365 * 86400 - 60, 201),
        (366 * 86400, 422),
        ("9999-12-31T23:59:59-14:00", 422),
        (True, 422),
        (0.5, 201),
        (f"{datetime.now(UTC):%Y-%m-%d}T00:00:00Z", 201),
        ("0001-01-01T00:00:00+14:00", 422),  # a year before Christ, in UTC
        (-1, 422),
        ("soon", 422),
        (1e300, 422),
        ([], 422),
    ],
)
def test_an_event_may_sleep(api: Api, sleep_until: object, status: int) -> None:
    action = api.action(api.application()["application"])
    new = {"action": action, "payload": {"id": 1}, "sleep_until": sleep_until}
    assert api.call("POST", "/v1/events", new).status_code == status


def test_a_batch_answers_each_event_in_order(api: Api) -> None:
    shop, other = api.application(), api.application()
    action, theirs = api.action(shop["application"]), api.action(other["application"])
    api.subscription(shop["application"], action)
    before = api.publish(action, bearer(shop), deduper="old").json
    good = {"action": action, "payload": {"id": 1}}
    drafts: list[tuple[object, int]] = [
        ({**good, "deduper": "new"}, 201),
        ({**good, "payload": {"id": "one"}}, 422),
        ({**good, "deduper": "old"}, 200),
        ("nonsense", 422),
        ({**good, "deduper": "new"}, 200),
        ({**good, "deduper": "new", "payload": {"id": 2}}, 409),
        ({"action": theirs, "payload": {"id": 1}}, 403),
        ({"action": "unheard.of", "payload": {}}, 404),
        ({**good, "sleep_until": "soon"}, 422),
        ({**good, "dedupr": "k"}, 422),
        ({**good, "payload": {"id": 1, "text": "\0"}}, 201),
        (good, 201),
    ]
    answer = api.call("POST", "/v1/events/batch", {"events": [draft for draft, _ in drafts]}, bearer(shop))
    results = answer.json["events"]
    assert answer.status_code == 207
    assert [each["status"] for each in results] == [status for _, status in drafts]
    assert results[1]["details"][0]["field"] == "payload.id"
    assert results[2] == {**before, "status": 200, "duplicate": True}
    assert results[4]["event"] == results[0]["event"]
    assert {each["request_id"] for each in results if "error" in each} == {answer.headers["X-Request-ID"]}
    made = [each for each in results if each["status"] == 201]
    assert {each["fanout"] for each in made} == {1}
    assert len(api.call("GET", f"/v1/events?action={action}").json["data"]) == 4


def test_a_batch_that_the_load_balancer_sends_twice_is_stored_once(api: Api) -> None:
    action = api.action(api.application()["application"])
    batch = {"events": [{"action": action, "payload": {"id": n}} for n in range(3)]}
    balanced = {**api.admin, BALANCER: f"r-{number()}"}
    first, again = (api.call("POST", "/v1/events/batch", batch, balanced).json["events"] for _ in range(2))
    assert [each["status"] for each in first] == [201] * 3
    assert again == [{**each, "status": 200, "duplicate": True} for each in first]


def test_a_thousand_events_fit_into_a_batch(api: Api) -> None:
    action = api.action(api.application()["application"])
    events: list[Any] = [{"action": action, "payload": {"id": n}} for n in range(1000)]
    answer = api.call("POST", "/v1/events/batch", {"events": events})
    assert [(each["status"], each["payload"]["id"]) for each in answer.json["events"]] == [
        (201, n) for n in range(1000)
    ]
    too_many: list[Any] = [*events, events[0]]
    for wrong in (too_many, [], None, "events"):
        assert api.call("POST", "/v1/events/batch", {"events": wrong}).status_code == 422
    assert api.call("POST", "/v1/events/batch", {}).status_code == 422
    assert api.call("POST", "/v1/events/batch", {"events": events}, {}).status_code == 401


@pytest.mark.parametrize(
    "payload",
    [
        {"text": "\0"},
        {"id": 2**70},
        {"\0": [None, 1.5e-300]},
        {"a": [[[[]]]]},
        {"text": '\\u0000 and \\ and " and \U0001f980'},
        {"z": 1, "a": {"\u2028": True}},
    ],
    ids=ascii,
)
def test_a_payload_comes_back_as_it_was(api: Api, payload: object) -> None:
    action = api.action(api.application()["application"], {})
    made = api.raw("/v1/events", json.dumps({"action": action, "payload": payload, "metadata": payload}).encode())
    assert made.status_code == 201
    found = api.call("GET", f"/v1/events/{made.json['event']}").json
    assert (found["payload"], found["metadata"]) == (payload, payload)
    assert list(found["payload"]) == list(payload)  # type: ignore[call-overload]  # a dictionary


def test_half_a_surrogate_pair_is_no_character(api: Api) -> None:
    action = api.action(api.application()["application"], {})
    for text in (r"\ud800", r"\udc00\ud800", r"\ud800x"):
        body = f'{{"action": "{action}", "payload": {{"text": "{text}"}}}}'.encode()
        assert api.raw("/v1/events", body).status_code == 400
    whole = f'{{"action": "{action}", "payload": {{"text": "\\ud83e\\udd80"}}}}'.encode()
    assert api.raw("/v1/events", whole).json["payload"] == {"text": "\U0001f980"}

"""The HTTP contract, on memory and on PostgreSQL: what holds for every route, and that nothing sent to it breaks it."""

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.contract.api import Api, bearer


@pytest.mark.parametrize(
    "path", ["/v1/applications", "/v1/actions", "/v1/events", "/v1/subscriptions", "/v1/gists", "/v1/events/1"]
)
@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Authorization": "Bearer x"},
        {"Authorization": "Bearer amebo_x"},
        {"Authorization": "Basic eDp5"},
        {"X-Amebo-Application": "nobody", "X-Amebo-Signature": "00"},
    ],
    ids=["none", "token", "key", "basic", "signature"],
)
def test_every_route_asks_for_credentials(api: Api, path: str, headers: dict[str, str]) -> None:
    answer = api.call("GET", path, None, headers)
    assert (answer.status_code, answer.json["code"]) == (401, 401)
    assert answer.headers["WWW-Authenticate"] == "Bearer"


def test_an_application_keeps_to_what_is_its_own(api: Api) -> None:
    shop, other = api.application(), api.application()
    theirs, key = api.action(other["application"]), bearer(shop)
    assert api.call("POST", "/v1/events", {"action": theirs, "payload": {"id": 1}}, key).status_code == 403
    assert api.call("GET", f"/v1/applications/{other['application']}", None, key).status_code == 403
    assert api.call("PUT", f"/v1/actions/{theirs}", {"schemata": {}}, key).status_code == 403
    assert api.call("GET", f"/v1/gists?application={other['application']}", None, key).status_code == 403
    listed = api.call("GET", "/v1/applications", None, key).json["data"]
    assert [each["application"] for each in listed] == [shop["application"]]
    subscription = api.subscription(other["application"], theirs)["subscription"]
    assert api.call("DELETE", f"/v1/subscriptions/{subscription}", None, key).status_code == 404
    assert api.call("POST", "/v1/applications", {"application": "x", "address": "http://x"}, key).status_code == 403


def test_lists_are_walked_by_cursors_in_both_directions(api: Api) -> None:
    action = api.action(api.application()["application"])
    made = [api.call("POST", "/v1/events", {"action": action, "payload": {"id": n}}).json["event"] for n in range(5)]
    first = api.call("GET", f"/v1/events?action={action}&per_page=2&sort=event").json
    assert ([each["event"] for each in first["data"]], first["meta"]["prev"]) == (made[:2], None)
    second = api.call("GET", f"/v1/events?action={action}&per_page=2&sort=event&cursor={first['meta']['next']}").json
    assert [each["event"] for each in second["data"]] == made[2:4]
    back = api.call("GET", f"/v1/events?action={action}&per_page=2&sort=event&cursor={second['meta']['prev']}").json
    assert ([each["event"] for each in back["data"]], back["meta"]["prev"]) == (made[:2], None)
    newest = api.call("GET", f"/v1/events?action={action}").json
    assert ([each["event"] for each in newest["data"]], newest["meta"]["next"]) == (made[::-1], None)


@pytest.mark.parametrize(
    "query",
    [
        "cursor=x",
        "cursor=WyJ4IiwgZmFsc2Vd",
        "cursor=bnVsbA==",
        "per_page=0",
        "per_page=101",
        "per_page=x",
        "sort=payload",
        "from=yesterday",
        "aktion=x",
        "action=a%00b",
    ],
)
def test_parameters_that_make_no_sense_are_refused(api: Api, query: str) -> None:
    answer = api.call("GET", f"/v1/events?{query}")
    assert (answer.status_code, answer.json["code"]) == (400, 400), answer.text


@pytest.mark.parametrize(
    ("body", "kind", "status"),
    [
        (b"", "application/json", 400),
        (b"{", "application/json", 400),
        (b'{"action": "a", "action": "b", "payload": {}}', "application/json", 400),
        (b'{"payload": NaN}', "application/json", 400),
        (b'{"payload": 1e999}', "application/json", 400),
        (b'{"payload": ' + b"9" * 5000 + b"}", "application/json", 400),
        (b"\xff\xfe", "application/json", 400),
        (b"[" * 100_000, "application/json", 400),
        (b"[]", "application/json", 422),
        (b'{"action": "a\\u0000", "payload": {}}', "application/json", 422),
        (b'{"action": "a", "payload": {}, "dedupr": "k"}', "application/json", 422),
        (b'{"action": "a", "payload": {}, "deduper": "\\ud800"}', "application/json", 400),
        (b'{"action": "unheard.of", "payload": {}}', "application/json", 404),
        (b"action=a", "application/x-www-form-urlencoded", 415),
        (b"{}", "", 415),
        (b"{}" + b" " * (1024 * 1024), "application/json", 413),
    ],
)
def test_a_body_that_cannot_be_used_is_refused_with_a_reason(api: Api, body: bytes, kind: str, status: int) -> None:
    answer = api.client.simulate_post("/v1/events", body=body, headers={**api.admin, "Content-Type": kind})
    assert (answer.status_code, answer.json["code"], bool(answer.json["error"])) == (status, status, True)
    assert answer.json["request_id"] == answer.headers["X-Request-ID"]


BIG = "x" * 1024


@pytest.mark.parametrize(
    ("path", "kibibytes", "status"),
    [
        ("/v1/events", 1000, 404),
        ("/v1/events", 1025, 413),
        ("/v1/applications", 1025, 413),
        ("/v1/tokens", 1025, 413),
        ("/v1/events/batch", 1025, 207),
        ("/v1/events/batch", 5100, 207),
        ("/v1/events/batch", 5121, 413),
    ],
)
def test_a_body_has_the_limit_of_its_route(api: Api, path: str, kibibytes: int, status: int) -> None:
    draft: dict[str, Any] = {"action": "unheard.of", "payload": {"text": BIG * kibibytes}}
    if path.endswith("batch"):
        draft = {"events": [{"action": "unheard.of", "payload": {"text": BIG * (kibibytes // 10)}}] * 10}
    answer = api.call("POST", path, draft)
    assert answer.status_code == status, answer.text[:300]
    if status == 413:
        assert answer.json["code"] == 413


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("GET", "/v1/nothing", 404), ("DELETE", "/v1/events", 405), ("GET", "/v1/events/1", 404), ("GET", "/", 404)],
)
def test_what_is_not_there_is_said_in_the_same_shape(api: Api, method: str, path: str, status: int) -> None:
    answer = api.call(method, path)
    assert answer.status_code == status
    assert set(answer.json) == {"error", "code", "details", "request_id"}


def test_a_request_id_is_taken_or_made(api: Api) -> None:
    assert api.call("GET", "/health", headers={"X-Request-ID": "mine-1"}).headers["X-Request-ID"] == "mine-1"
    for useless in ("a b", "x" * 129, "é", ""):
        made = api.call("GET", "/health", headers={"X-Request-ID": useless}).headers["X-Request-ID"]
        assert made != useless
        assert len(made) == 32
    refused = api.call("GET", "/v1/events", headers={"X-Request-ID": "mine-2"})
    assert (refused.headers["X-Request-ID"], refused.json["request_id"]) == ("mine-2", "mine-2")


def test_who_asks_too_often_is_told_when_to_come_back(api: Api) -> None:
    limited = Api(api.storage, rate_limit=3)
    answers = [limited.call("GET", "/v1/actions") for _ in range(20)]
    assert {answer.status_code for answer in answers} == {200, 429}
    for answer in answers:
        assert answer.headers["X-RateLimit-Limit"] == "3"
    refused = next(answer for answer in answers if answer.status_code == 429)
    assert refused.headers["X-RateLimit-Remaining"] == "0"
    assert refused.headers["Retry-After"] == refused.headers["X-RateLimit-Reset"] == "1"
    assert refused.json["code"] == 429
    other = bearer(api.application())
    assert limited.call("GET", "/v1/actions", None, other).status_code == 200  # each credential has its own share


def test_health_and_metrics_need_no_credentials(api: Api) -> None:
    api.publish(api.action(api.application()["application"]))
    ready = api.call("GET", "/health/ready", headers={})
    assert (ready.status_code, ready.json["status"], ready.json["instance"]) == (200, "ready", "app-1:3310")
    assert set(ready.json) == {"status", "version", "instance", "schema", "since"}
    assert api.call("GET", "/health/detailed", headers={}).json["dependencies"]["database"]["reachable"]
    assert api.call("GET", "/health/database", headers={}).json["database"]["reachable"]
    assert api.call("GET", "/v1/status", headers={}).json["uptime_seconds"] >= 0
    metrics = api.call("GET", "/metrics", headers={}).text
    assert 'amebo_http_request_duration_seconds_count{method="POST",route="/v1/events",status="201"}' in metrics
    assert "amebo_events_published_total{" in metrics


@given(
    method=st.sampled_from(["GET", "POST", "PUT", "DELETE", "PATCH"]),
    resource=st.sampled_from(
        ["events", "applications", "actions", "subscriptions", "gists", "regists", "tokens", "requeues", "backfills"]
    ),
    rest=st.text(max_size=10),
    body=st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(["action", "payload", "application", "address", "schemata", "handler", "deduper", "x"]),
                inner,
                max_size=6,
            )
        ),
        max_leaves=10,
    ),
)
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_request_makes_it_fail(api: Api, method: str, resource: str, rest: str, body: object) -> None:
    path = f"/v1/{resource}/{rest}" if rest else f"/v1/{resource}"
    sent = json.dumps(body).encode()
    headers = {**api.admin, "Content-Type": "application/json"}
    answer = api.client.simulate_request(method, path.replace("?", "%3F"), body=sent, headers=headers)
    assert answer.status_code < 500, answer.text

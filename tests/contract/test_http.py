"""The HTTP contract, on memory and on PostgreSQL: what each route answers, and that nothing sent to it breaks it."""

import json
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import count
from typing import Any

import pytest
from falcon.testing import Result, TestClient
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app import rules
from app.__main__ import compose
from app.http import create_app
from app.model import Principal
from app.ports import Storage
from app.settings import EVERYWHERE, Settings
from app.storage import postgres
from app.storage.memory import MemoryStorage
from app.storage.postgres import PostgresStorage
from tests.contract.conftest import new_database

CHOSEN = Settings(
    secret="a secret of thirty-two characters",
    username="admin",
    password="a password",
    instance="app-1:3310",
    allow_private_handlers=EVERYWHERE,
)
SCHEMATA = {"type": "object", "properties": {"id": {"type": "integer"}, "to": {"format": "email"}}, "required": ["id"]}
_NUMBERS = count(1)


class Api:
    """A client of the API as one principal, and a name that nobody used before for each `name()`."""

    def __init__(self, storage: Storage) -> None:
        services = compose(CHOSEN, storage)
        token = services.tokens.issue(Principal("admin", administrator=True), datetime.now(UTC))
        self.client = TestClient(create_app(services))
        self.admin = {"Authorization": f"Bearer {token}"}
        self.health = services.health

    def call(self, method: str, path: str, body: object = None, headers: dict[str, str] | None = None) -> Result:
        headers = self.admin if headers is None else headers
        return self.client.simulate_request(method, path, json=body, headers=headers)

    def application(self, **fields: object) -> dict[str, Any]:
        new = {"application": f"shop-{next(_NUMBERS)}", "address": "http://127.0.0.1:9", **fields}
        return _made(self.call("POST", "/v1/applications", new))

    def action(self, application: str, schemata: object = SCHEMATA) -> str:
        new = {"action": f"order.placed-{next(_NUMBERS)}", "application": application, "schemata": schemata}
        return str(_made(self.call("POST", "/v1/actions", new))["action"])

    def subscription(self, application: str, action: str) -> dict[str, Any]:
        new = {"application": application, "action": action, "handler": "/hooks"}
        return _made(self.call("POST", "/v1/subscriptions", new))


@pytest.fixture(scope="module", params=["memory", "postgres"])
def api(request: pytest.FixtureRequest) -> Iterator[Api]:
    if request.param == "memory":
        yield Api(MemoryStorage())
        return
    pool = postgres.connect(new_database(request.getfixturevalue("cluster")), 4)
    yield Api(PostgresStorage(pool))
    pool.close()


def _made(answer: Result) -> dict[str, Any]:
    assert answer.status_code == 201, answer.json
    return dict(answer.json)


def bearer(application: dict[str, Any]) -> dict[str, str]:
    return {"Authorization": f"Bearer {application['apikey']}"}


def test_a_token_is_for_who_knows_the_password(api: Api) -> None:
    right = api.call("POST", "/v1/tokens", {"username": "admin", "password": "a password"}, {})
    assert (right.status_code, right.json["token_type"], right.json["expires_in"]) == (202, "Bearer", 3600)
    refreshed = api.call("POST", "/v1/tokens/refresh", None, {"Authorization": f"Bearer {right.json['token']}"})
    assert refreshed.status_code == 202
    for login in ({"username": "admin", "password": "wrong"}, {"username": "other", "password": "a password"}):
        assert api.call("POST", "/v1/tokens", login, {}).status_code == 401


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


def test_an_application_signs_what_it_publishes(api: Api) -> None:
    shop = api.application(secret="sixteen or more characters")
    action = api.action(shop["application"])
    body = json.dumps({"action": action, "payload": {"id": 1}}).encode()
    now = str(int(time.time()))
    for timestamp, secret, expected in (
        (None, shop["secret"], 201),
        (now, shop["secret"], 201),
        (str(int(now) - 301), shop["secret"], 401),
        ("soon", shop["secret"], 401),
        (now, "another", 401),
    ):
        headers = {"Content-Type": "application/json", "X-Amebo-Application": shop["application"]}
        headers["X-Amebo-Signature"] = rules.signature(secret, body, timestamp)
        headers |= {"X-Amebo-Timestamp": timestamp} if timestamp else {}
        answer = api.client.simulate_post("/v1/events", body=body, headers=headers)
        assert answer.status_code == expected, answer.json


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


def test_secrets_are_shown_once(api: Api) -> None:
    shop = api.application()
    assert shop["secret"].startswith("whsec_")
    assert shop["apikey"].startswith("amebo_")
    read = api.call("GET", f"/v1/applications/{shop['application']}").json
    assert not {"secret", "apikey", "apikey_hash"} & set(read)


def test_an_application_from_its_beginning_to_its_end(api: Api) -> None:
    name = api.application()["application"]
    again = api.call("POST", "/v1/applications", {"application": name, "address": "http://127.0.0.1:9"})
    assert (again.status_code, again.json["code"]) == (409, 409)
    changed = api.call("PUT", f"/v1/applications/{name}", {"address": "https://127.0.0.2", "description": "new"})
    assert (changed.json["address"], changed.json["description"]) == ("https://127.0.0.2", "new")
    action = api.action(name)
    assert api.call("DELETE", f"/v1/applications/{name}").status_code == 409
    assert api.call("DELETE", f"/v1/actions/{action}").status_code == 204
    assert api.call("DELETE", f"/v1/applications/{name}").status_code == 204
    assert api.call("GET", f"/v1/applications/{name}").status_code == 404


def test_a_payload_satisfies_its_schema_or_every_violation_is_listed(api: Api) -> None:
    action = api.action(api.application()["application"])
    answer = api.call("POST", "/v1/events", {"action": action, "payload": {"to": "nobody"}})
    assert answer.status_code == 422
    assert {each["field"] for each in answer.json["details"]} == {"payload.id", "payload.to"}
    assert api.call("PUT", f"/v1/actions/{action}", {"schemata": {}}).json["version"] == 2
    assert api.call("POST", "/v1/events", {"action": action, "payload": {"to": "nobody"}}).status_code == 201


@pytest.mark.parametrize(
    "schemata",
    [
        {"type": "objekt"},
        {"$schema": "http://json-schema.org/draft-03/schema#"},
        {"$schema": 7},
        {"$ref": "http://169.254.169.254/"},
        {"properties": {"a": {"$ref": "file:///etc/passwd"}}},
        {"pattern": "("},
        {"properties": {"a": 1}},
    ],
    ids=str,
)
def test_refuses_a_schema_that_cannot_be_used(api: Api, schemata: object) -> None:
    application = api.application()["application"]
    new = {"action": f"bad-{next(_NUMBERS)}", "application": application, "schemata": schemata}
    answer = api.call("POST", "/v1/actions", new)
    assert (answer.status_code, bool(answer.json["details"])) == (422, True)


@pytest.mark.parametrize("schemata", [{"$ref": "#"}, {"$ref": "#/nowhere"}, {"allOf": [{"$ref": "#"}]}], ids=str)
def test_a_schema_that_leads_nowhere_refuses_payloads(api: Api, schemata: object) -> None:
    action = api.action(api.application()["application"], schemata)
    assert api.call("POST", "/v1/events", {"action": action, "payload": {}}).status_code == 422


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
    balanced = {**api.admin, "X-Amebo-Load-Balancer-Request-Id": f"r-{next(_NUMBERS)}", "X-Request-ID": "mine"}
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
        (60, 201),
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


def test_a_gist_is_shown_and_replayed(api: Api) -> None:
    shop = api.application()
    action = api.action(shop["application"])
    subscription = api.subscription(shop["application"], action)["subscription"]
    event = api.call("POST", "/v1/events", {"action": action, "payload": {"id": 1}}).json["event"]
    for query in (f"event={event}", f"subscription={subscription}", f"action={action}&status=pending"):
        (gist,) = api.call("GET", f"/v1/gists?{query}", None, bearer(shop)).json["data"]
    assert api.call("GET", f"/v1/gists/{gist['gist']}").json == {**gist, "tries": []}
    assert api.call("POST", f"/v1/regists/{gist['gist']}").status_code == 202
    assert api.call("GET", "/v1/gists?status=lost").status_code == 400


def test_a_subscription_from_its_beginning_to_its_end(api: Api) -> None:
    shop = api.application()["application"]
    subscription = api.subscription(shop, api.action(shop))
    path = f"/v1/subscriptions/{subscription['subscription']}"
    changed = api.call("PUT", path, {"handler": "/other", "max_retries": 0, "active": False}).json
    assert (changed["handler"], changed["max_retries"], changed["active"]) == ("/other", 0, False)
    assert api.call("GET", path).json == changed
    assert api.call("DELETE", path).status_code == 204
    assert api.call("GET", path).status_code == 404
    unknown = {"application": "nobody", "action": "nothing", "handler": "/"}
    answer = api.call("POST", "/v1/subscriptions", unknown)
    assert (answer.status_code, len(answer.json["details"])) == (422, 2)


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
        (b'{"action": "a", "payload": {}, "deduper": "\\ud800"}', "application/json", 422),
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


@pytest.mark.parametrize(
    "payload",
    [{"text": "\0"}, {"text": "\ud800"}, {"id": 2**70}, {"\0": [None, 1.5e-300]}, {"a": [[[[]]]]}],
    ids=repr,
)
def test_a_payload_comes_back_as_it_was(api: Api, payload: object) -> None:
    action = api.action(api.application()["application"], {})
    body = json.dumps({"action": action, "payload": payload})
    headers = {**api.admin, "Content-Type": "application/json"}
    made = api.client.simulate_post("/v1/events", body=body, headers=headers)
    assert made.status_code == 201
    assert api.call("GET", f"/v1/events/{made.json['event']}").json["payload"] == payload


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
    assert api.call("GET", "/health", headers={"X-Request-ID": "a b"}).headers["X-Request-ID"] != "a b"


def test_health_and_metrics_need_no_credentials(api: Api) -> None:
    ready = api.call("GET", "/health/ready", headers={})
    assert (ready.status_code, ready.json["status"], ready.json["instance"]) == (200, "ready", "app-1:3310")
    assert set(ready.json) == {"status", "version", "instance", "schema", "since"}
    assert api.call("GET", "/health/detailed", headers={}).json["dependencies"]["database"]["reachable"]
    metrics = api.call("GET", "/metrics", headers={}).text
    assert 'amebo_http_request_duration_seconds_count{method="POST",route="/v1/events",status="201"}' in metrics
    assert "amebo_events_published_total{" in metrics


@given(
    method=st.sampled_from(["GET", "POST", "PUT", "DELETE", "PATCH"]),
    resource=st.sampled_from(["events", "applications", "actions", "subscriptions", "gists", "regists", "tokens"]),
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

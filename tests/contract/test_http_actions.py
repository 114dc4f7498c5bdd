"""Actions over HTTP: schemas and their compatibility, lifecycle and grants."""

import pytest

from tests.contract.api import Api, bearer, number

OPEN = {"type": "object", "properties": {"id": {"type": "integer"}}}
STRICT = {**OPEN, "required": ["id"]}


def test_a_payload_satisfies_its_schema_or_every_violation_is_listed(api: Api) -> None:
    action = api.action(api.application()["application"])
    answer = api.call("POST", "/v1/events", {"action": action, "payload": {"to": "nobody"}})
    assert answer.status_code == 422
    assert {each["field"] for each in answer.json["details"]} == {"payload.id", "payload.to"}
    assert api.call("PUT", f"/v1/actions/{action}", {"schemata": {}}).json["version"] == 2
    assert api.call("POST", "/v1/events", {"action": action, "payload": {"to": "nobody"}}).status_code == 201


def test_an_action_from_its_beginning_to_its_end(api: Api) -> None:
    shop = api.application()
    name = api.action(shop["application"], STRICT, compatibility="FULL")
    path = f"/v1/actions/{name}"
    found = api.call("GET", path).json
    assert (found["schemata"], found["version"], found["compatibility"]) == (STRICT, 1, "FULL")
    assert (found["status"], found["successor"], found["application"]) == ("active", None, shop["application"])
    listed = api.call("GET", f"/v1/actions?application={shop['application']}", None, bearer(shop)).json["data"]
    assert listed == [found]
    again = {"action": name, "application": shop["application"], "schemata": {}}
    assert api.call("POST", "/v1/actions", again).status_code == 409
    same = api.call("PUT", path, {"schemata": STRICT}, bearer(shop)).json
    assert same == found  # the same schema is no new version
    assert api.call("PUT", path, {"schemata": STRICT, "compatibility": "NONE"}).json["compatibility"] == "NONE"
    assert api.call("DELETE", path, None, bearer(shop)).status_code == 204
    for method, rest, body in (
        ("GET", "", None),
        ("PUT", "", {"schemata": {}}),
        ("PATCH", "", {"status": "retired"}),
        ("DELETE", "", None),
        ("GET", "/grants", None),
        ("POST", "/grants", {"application": shop["application"], "permission": "read"}),
        ("DELETE", f"/grants?application={shop['application']}&permission=read", None),
        ("POST", "/check", {}),
    ):
        assert api.call(method, path + rest, body).status_code == 404, (method, rest)


def test_an_action_that_is_subscribed_to_stays(api: Api) -> None:
    shop = api.application()["application"]
    action = api.action(shop)
    api.subscription(shop, action)
    assert api.call("DELETE", f"/v1/actions/{action}").status_code == 409


def test_refuses_an_action_of_nobody_or_of_amebo(api: Api) -> None:
    shop = api.application()
    new = {"action": "a", "application": "nobody", "schemata": {}}
    answer = api.call("POST", "/v1/actions", new)
    assert (answer.status_code, answer.json["details"][0]["field"]) == (422, "application")
    for headers in (api.admin, bearer(shop)):
        own = {**new, "action": "amebo.mine", "application": shop["application"]}
        assert api.call("POST", "/v1/actions", own, headers).status_code == 409
    assert api.call("POST", "/v1/actions", new, bearer(shop)).status_code == 403
    for method, path, body in (
        ("PUT", "", {"schemata": {}}),
        ("PATCH", "", {"status": "retired"}),
        ("DELETE", "", None),
    ):
        assert api.call(method, f"/v1/actions/amebo.gist.failed{path}", body).status_code == 409


@pytest.mark.parametrize(
    ("mode", "old", "new", "breaks"),
    [
        ("NONE", OPEN, STRICT, False),
        ("BACKWARD", OPEN, STRICT, True),
        ("BACKWARD", STRICT, OPEN, False),
        ("FORWARD", OPEN, STRICT, False),
        ("FORWARD", STRICT, OPEN, True),
        ("FULL", OPEN, STRICT, True),
        ("FULL", STRICT, OPEN, True),
        ("FULL", STRICT, {**STRICT, "description": "the same but for words"}, False),
    ],
)
def test_a_schema_change_that_breaks_the_promise_is_refused_with_every_break(
    api: Api, mode: str, old: object, new: object, breaks: bool
) -> None:
    action = api.action(api.application()["application"], old, compatibility=mode)
    path = f"/v1/actions/{action}"
    checked = api.call("POST", f"{path}/check", {"schemata": new})
    assert (checked.status_code, checked.json["ok"], bool(checked.json["breaks"])) == (200, not breaks, breaks)
    answer = api.call("PUT", path, {"schemata": new})
    if breaks:
        assert (answer.status_code, answer.json["details"]) == (409, checked.json["breaks"])
        assert {"field", "message"} == set(answer.json["details"][0])
        assert api.call("GET", path).json["version"] == 1
    else:
        assert (answer.status_code, answer.json["version"]) == (200, 2)


def test_a_check_says_what_would_happen_and_writes_nothing(api: Api) -> None:
    shop = api.application()
    action = api.action(shop["application"], STRICT)
    path = f"/v1/actions/{action}"
    before = (api.call("GET", path).json, api.storage.audit_head(), api.storage.revision())
    for asked, expected in (
        ({}, {"ok": True}),
        ({"payload": {"id": 1}}, {"ok": True, "payload": []}),
        ({"schemata": OPEN}, {"ok": True, "schemata": [], "breaks": []}),
        ({"schemata": OPEN, "payload": {}}, {"ok": True, "payload": [], "schemata": [], "breaks": []}),
    ):
        answer = api.call("POST", f"{path}/check", asked, bearer(api.application()))
        assert (answer.status_code, answer.json) == (200, expected)
        before = (before[0], api.storage.audit_head(), api.storage.revision())
    refused = api.call("POST", f"{path}/check", {"payload": {}, "schemata": {"type": "objekt"}}).json
    assert (refused["ok"], refused["payload"][0]["field"]) == (False, "payload.id")
    assert refused["schemata"][0]["field"].startswith("schemata")
    assert (api.call("GET", path).json, api.storage.audit_head(), api.storage.revision()) == before
    assert api.call("POST", f"{path}/check", {"payload": []}).status_code == 422


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
        {"$ref": "#"},
        {"$ref": "#/nowhere"},
        {"allOf": [{"$ref": "#"}]},
    ],
    ids=str,
)
def test_refuses_a_schema_that_cannot_be_used(api: Api, schemata: object) -> None:
    application = api.application()["application"]
    new = {"action": f"bad-{number()}", "application": application, "schemata": schemata}
    answer = api.call("POST", "/v1/actions", new)
    assert (answer.status_code, bool(answer.json["details"])) == (422, True)
    action = api.action(application, {})
    assert api.call("PUT", f"/v1/actions/{action}", {"schemata": schemata}).status_code == 422


def test_a_deprecated_action_says_so_to_who_publishes_it(api: Api) -> None:
    shop = api.application()
    old, new = api.action(shop["application"]), api.action(shop["application"])
    path = f"/v1/actions/{old}"
    assert "Deprecation" not in api.publish(old).headers
    moved = api.call("PATCH", path, {"status": "deprecated"}, bearer(shop))
    assert (moved.status_code, moved.json["status"]) == (200, "deprecated")
    published = api.publish(old, bearer(shop))
    assert (published.status_code, published.headers["Deprecation"]) == (201, "true")
    assert "Link" not in published.headers
    assert api.call("PATCH", path, {"successor": new}).json["successor"] == new
    published = api.publish(old, bearer(shop))
    assert published.headers["Link"] == f'</v1/actions/{new}>; rel="successor-version"'
    assert api.call("PATCH", path, {"status": "active"}).json["successor"] == new
    assert "Deprecation" not in api.publish(old).headers


def test_a_retired_action_takes_no_more_events(api: Api) -> None:
    shop = api.application()
    old, new = api.action(shop["application"]), api.action(shop["application"])
    assert api.publish(old).status_code == 201
    assert api.call("PATCH", f"/v1/actions/{old}", {"status": "retired", "successor": new}).status_code == 200
    refused = api.publish(old, bearer(shop))
    assert (refused.status_code, new in refused.json["error"]) == (409, True)
    retired = api.call("GET", f"/v1/actions?status=retired&application={shop['application']}").json["data"]
    assert [each["action"] for each in retired] == [old]
    assert api.call("GET", "/v1/actions?status=lost").status_code == 400


@pytest.mark.parametrize("moved", [{}, {"status": "lost"}, {"successor": "nothing"}, {"schemata": {}}], ids=str)
def test_refuses_a_move_that_leads_nowhere(api: Api, moved: object) -> None:
    action = api.action(api.application()["application"])
    assert api.call("PATCH", f"/v1/actions/{action}", moved).status_code == 422
    assert api.call("PATCH", f"/v1/actions/{action}", {"successor": action}).status_code == 422


def test_a_grant_lets_another_publish_until_it_is_taken_back(api: Api) -> None:
    shop, bank, other = api.application(), api.application(), Api(api.storage)
    action = api.action(shop["application"])
    path, named = f"/v1/actions/{action}/grants", {"application": bank["application"], "permission": "publish"}
    assert other.publish(action, bearer(bank)).status_code == 403
    given = api.call("POST", path, named, bearer(shop))
    assert (given.status_code, given.json["application"]) == (201, bank["application"])
    assert (given.json["permission"], given.json["action"]) == ("publish", action)
    published = other.publish(action, bearer(bank), deduper="k")
    assert (published.status_code, published.json["application"]) == (201, shop["application"])
    assert api.call("GET", path, None, bearer(shop)).json["data"] == [given.json]
    assert api.call("POST", path, named).json == given.json  # once more changes nothing
    assert bank_reads(api, action, bank) == (403, 0)  # to publish is not to read
    query = f"?application={bank['application']}&permission=publish"
    assert api.call("DELETE", path + query, None, bearer(bank)).status_code == 403
    assert api.call("DELETE", path + query, None, bearer(shop)).status_code == 204
    assert api.call("DELETE", path + query, None, bearer(shop)).status_code == 404
    assert other.publish(action, bearer(bank)).status_code == 403


def bank_reads(api: Api, action: str, bank: dict[str, str]) -> tuple[int, int]:
    """What subscribing answers, and how many of the action's events are listed."""
    wish = {"application": bank["application"], "action": action, "handler": "/hooks"}
    subscribed = api.call("POST", "/v1/subscriptions", wish, bearer(bank)).status_code
    return subscribed, len(api.call("GET", f"/v1/events?action={action}", None, bearer(bank)).json["data"])


def test_a_grant_lets_another_read_and_subscribe(api: Api) -> None:
    shop, bank = api.application(), api.application()
    action = api.action(shop["application"])
    event = api.publish(action).json["event"]
    path = f"/v1/actions/{action}/grants"
    assert bank_reads(api, action, bank) == (403, 0)
    assert api.call("GET", f"/v1/events/{event}", None, bearer(bank)).status_code == 404
    granted = api.call("POST", path, {"application": bank["application"], "permission": "read"})
    assert granted.status_code == 201
    assert bank_reads(api, action, bank) == (201, 1)
    assert api.call("GET", f"/v1/events/{event}", None, bearer(bank)).status_code == 200
    assert api.publish(action, bearer(bank)).status_code == 403  # to read is not to publish
    (subscription,) = api.call("GET", f"/v1/subscriptions?action={action}").json["data"]
    assert api.publish(action).json["fanout"] == 1
    assert api.call("DELETE", f"{path}?application={bank['application']}&permission=read").status_code == 204
    assert not api.call("GET", f"/v1/subscriptions/{subscription['subscription']}").json["active"]
    assert api.publish(action).json["fanout"] == 0
    assert bank_reads(api, action, bank) == (403, 0)
    revived = api.call(
        "PUT",
        f"/v1/subscriptions/{subscription['subscription']}",
        {"handler": "/hooks", "active": True},
        bearer(bank),
    )
    assert revived.status_code == 403


def test_a_grant_names_an_application_and_a_permission(api: Api) -> None:
    shop = api.application()
    path = f"/v1/actions/{api.action(shop['application'])}/grants"
    unknown = api.call("POST", path, {"application": "nobody", "permission": "read"})
    assert (unknown.status_code, unknown.json["details"][0]["field"]) == (422, "application")
    wrong = {"application": shop["application"], "permission": "write"}
    assert api.call("POST", path, wrong).status_code == 422
    for query in ("", "?application=x", "?permission=read", "?application=x&permission=write"):
        assert api.call("DELETE", path + query).status_code == 400
    assert api.call("GET", path, None, bearer(api.application())).status_code == 403

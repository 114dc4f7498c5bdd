"""Applications and credentials over HTTP: who may do what, with which key, secret or token, and for how long."""

import time
from datetime import UTC, datetime, timedelta
from typing import Any

import jwt
import pytest
from falcon.testing import Result

from app.model import Status
from tests.contract.api import CHOSEN, Api, bearer, signed
from tests.contract.examples import claim, complete


def test_a_token_is_for_who_knows_the_password(api: Api) -> None:
    right = api.call("POST", "/v1/tokens", {"username": "admin", "password": "a password"}, {})
    assert (right.status_code, right.json["token_type"], right.json["expires_in"]) == (202, "Bearer", 3600)
    refreshed = api.call("POST", "/v1/tokens/refresh", None, {"Authorization": f"Bearer {right.json['token']}"})
    assert (refreshed.status_code, refreshed.json["token_type"]) == (202, "Bearer")
    fresh = {"Authorization": f"Bearer {refreshed.json['token']}"}
    assert api.call("GET", "/v1/applications", None, fresh).status_code == 200
    for login in ({"username": "admin", "password": "wrong"}, {"username": "other", "password": "a password"}):
        assert api.call("POST", "/v1/tokens", login, {"X-Forwarded-For": "192.0.2.1"}).status_code == 401


def test_who_guesses_is_refused_for_a_while_and_others_are_not(api: Api) -> None:
    guesser, other = {"X-Forwarded-For": "192.0.2.66"}, {"X-Forwarded-For": "192.0.2.67"}
    strict = Api(api.storage, login_failures=3)
    wrong, right = ({"username": "admin", "password": password} for password in ("wrong", "a password"))
    answers = [strict.call("POST", "/v1/tokens", wrong, guesser) for _ in range(4)]
    assert [answer.status_code for answer in answers] == [401, 401, 401, 429]
    refused = strict.call("POST", "/v1/tokens", right, guesser)  # what is right now could have been guessed
    assert (refused.status_code, refused.json["code"], int(refused.headers["Retry-After"])) == (429, 429, 300)
    assert strict.call("POST", "/v1/tokens", right, other).status_code == 202


def test_who_signs_in_may_have_mistyped_before(api: Api) -> None:
    address = {"X-Forwarded-For": "192.0.2.68"}
    strict = Api(api.storage, login_failures=3)
    wrong, right = ({"username": "admin", "password": password} for password in ("wrong", "a password"))
    for _ in range(3):
        assert strict.call("POST", "/v1/tokens", wrong, address).status_code == 401
        assert strict.call("POST", "/v1/tokens", right, address).status_code == 202


def token(**claims: object) -> str:
    common = {"sub": "admin", "iss": "amebo", "exp": datetime.now(UTC) + timedelta(hours=1)}
    return jwt.encode({**common, **claims}, CHOSEN.secret, algorithm="HS256")


TOKENS = {
    "expired": token(exp=datetime.now(UTC) - timedelta(seconds=1)),
    "another's": token(iss="somebody"),
    "of another key": jwt.encode(
        {"sub": "admin", "iss": "amebo"}, "another secret of 32 characters..", algorithm="HS256"
    ),
    "unsigned": jwt.encode({"sub": "admin", "iss": "amebo", "exp": 2**33}, "", algorithm="none"),
    "without an end": jwt.encode({"sub": "admin", "iss": "amebo"}, CHOSEN.secret, algorithm="HS256"),
}


@pytest.mark.parametrize("kind", TOKENS)
def test_a_token_that_is_not_good_opens_nothing(api: Api, kind: str) -> None:
    for method, path in (("GET", "/v1/events"), ("POST", "/v1/tokens/refresh")):
        answer = api.call(method, path, None, {"Authorization": f"Bearer {TOKENS[kind]}"})
        assert (answer.status_code, answer.json["code"]) == (401, 401)


def test_an_application_s_key_is_not_refreshed(api: Api) -> None:
    assert api.call("POST", "/v1/tokens/refresh", None, bearer(api.application())).status_code == 403


def test_secrets_are_shown_once(api: Api) -> None:
    shop = api.application()
    assert shop["secret"].startswith("whsec_")
    assert shop["apikey"].startswith("amebo_")
    path = f"/v1/applications/{shop['application']}"
    listed = api.call("GET", f"/v1/applications?application={shop['application']}").json["data"]
    switched = api.call("PATCH", path, {"active": True}).json
    for read in (api.call("GET", path).json, *listed, switched):
        assert not {"secret", "previous_secret", "apikey", "apikey_hash"} & set(read)


@pytest.mark.parametrize(
    "wrong",
    [
        {"application": ""},
        {"application": "a b"},
        {"application": "x" * 129},
        {"address": "ftp://x"},
        {"address": "x"},
        {"address": "http://"},
        {"secret": "too short"},
        {"secret": 7},
        {"description": None},
        {"unknown": 1},
    ],
    ids=str,
)
def test_refuses_an_application_that_is_not_as_it_should_be(api: Api, wrong: dict[str, object]) -> None:
    answer = api.call("POST", "/v1/applications", {"application": "x", "address": "http://127.0.0.1", **wrong})
    assert (answer.status_code, bool(answer.json["details"])) == (422, True)


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
    for method, path, body in (
        ("GET", "", None),
        ("PUT", "", {"address": "http://127.0.0.1"}),
        ("PATCH", "", {"active": True}),
        ("DELETE", "", None),
        ("PUT", "/secret", {}),
        ("POST", "/apikey", None),
    ):
        assert api.call(method, f"/v1/applications/{name}{path}", body).status_code == 404, (method, path)


def test_an_inactive_application_neither_publishes_nor_receives(api: Api) -> None:
    shop = api.application()
    name, path = shop["application"], f"/v1/applications/{shop['application']}"
    action = api.action(name)
    api.subscription(name, action)
    assert api.publish(action, bearer(shop)).json["fanout"] == 1
    off = api.call("PATCH", path, {"active": False})
    assert (off.status_code, off.json["active"]) == (200, False)
    assert api.publish(action, bearer(shop)).status_code == 403
    assert publish_signed(api, name, shop["secret"], action).status_code == 403
    assert api.call("GET", "/v1/gists", None, bearer(shop)).status_code == 403
    assert api.publish(action).json["fanout"] == 0
    assert api.call("PATCH", path, {"active": True}).json["active"]
    assert api.publish(action, bearer(shop)).json["fanout"] == 1
    assert api.call("PATCH", path, {"active": False}, bearer(shop)).status_code == 403
    assert api.call("PATCH", path, {}).status_code == 422
    assert api.call("PATCH", "/v1/applications/amebo", {"active": False}).status_code == 409


def publish_signed(
    api: Api, name: str, secret: str, action: str, timestamp: str | None = None, **headers: str
) -> Result:
    body, signature = signed(name, secret, {"action": action, "payload": {"id": 1}}, timestamp)
    return api.raw("/v1/events", body, {**signature, **headers})


def test_an_application_signs_what_it_publishes(api: Api) -> None:
    shop = api.application(secret="sixteen or more characters")
    name, action = shop["application"], api.action(shop["application"])
    now = int(time.time())
    for timestamp, secret, expected in (
        (None, shop["secret"], 201),
        (str(now), shop["secret"], 201),
        (str(now - 290), shop["secret"], 201),
        (str(now + 290), shop["secret"], 201),
        (str(now - 301), shop["secret"], 401),
        (str(now + 310), shop["secret"], 401),
        ("soon", shop["secret"], 401),
        ("", shop["secret"], 401),
        (str(now), "another", 401),
        (None, "another", 401),
    ):
        answer = publish_signed(api, name, secret, action, timestamp, **{"X-Amebo-Timestamp": timestamp or ""})
        if timestamp is None:
            answer = publish_signed(api, name, secret, action)
        assert answer.status_code == expected, (timestamp, answer.json)


def test_a_signature_is_of_this_body_and_this_application(api: Api) -> None:
    shop, other = api.application(), api.application()
    action = api.action(shop["application"])
    body, headers = signed(shop["application"], shop["secret"], {"action": action, "payload": {"id": 1}})
    assert api.raw("/v1/events", body + b" ", headers).status_code == 401
    assert api.raw("/v1/events", body, {**headers, "X-Amebo-Application": other["application"]}).status_code == 401
    assert api.raw("/v1/events", body, {**headers, "X-Amebo-Application": "nobody"}).status_code == 401
    assert api.raw("/v1/events", body, {**headers, "X-Amebo-Application": "amebo"}).status_code == 401
    assert api.raw("/v1/events", body, headers).status_code == 201
    _, of_nothing = signed(shop["application"], shop["secret"], None)
    without = api.client.simulate_get("/v1/gists", headers=of_nothing)
    assert without.status_code == 401  # it signs "null", and the body is empty


def test_both_secrets_verify_and_sign_while_a_secret_is_rotated(api: Api) -> None:
    shop = api.application()
    name, path = shop["application"], f"/v1/applications/{shop['application']}/secret"
    action = api.action(name)
    api.subscription(name, action)
    assert publish_signed(api, name, shop["secret"], action).status_code == 201  # known to the process from now on
    rotated = api.call("PUT", path, {}, bearer(shop))
    assert (rotated.status_code, rotated.json["secret"] != shop["secret"]) == (200, True)
    assert rotated.json["rotated"] is not None
    for secret in (shop["secret"], rotated.json["secret"]):
        assert publish_signed(api, name, secret, action).status_code == 201
    secrets = {each.secrets for each in claim(api.storage) if each.application == name}
    assert secrets == {(rotated.json["secret"], shop["secret"])}
    chosen = api.call("PUT", path, {"secret": "a secret of my own"})
    assert chosen.json["secret"] == "a secret of my own"
    assert publish_signed(api, name, shop["secret"], action).status_code == 401  # two at a time, and no more
    assert publish_signed(api, name, rotated.json["secret"], action).status_code == 201
    assert api.call("PUT", path, {"secret": "a secret of my own"}).status_code == 409
    assert api.call("PUT", path, {"secret": "short"}).status_code == 422
    assert api.call("PUT", path, {}, bearer(api.application())).status_code == 403


def test_a_renewed_key_is_the_only_one_at_once_in_every_process(api: Api) -> None:
    shop, other = api.application(), Api(api.storage)
    action = api.action(shop["application"])
    for process in (api, other):  # each has looked the key up, and knows it
        assert process.publish(action, bearer(shop)).status_code == 201
    renewed = api.call("POST", f"/v1/applications/{shop['application']}/apikey")
    assert (renewed.status_code, renewed.json["apikey"] != shop["apikey"]) == (200, True)
    for process in (other, api):
        assert process.publish(action, bearer(shop)).status_code == 401
        assert process.call("GET", "/v1/gists", None, bearer(shop)).status_code == 401
        assert process.publish(action, bearer(renewed.json)).status_code == 201
    again = other.call("POST", f"/v1/applications/{shop['application']}/apikey", None, bearer(renewed.json))
    assert again.status_code == 200
    assert api.publish(action, bearer(renewed.json)).status_code == 401


def test_one_that_is_switched_off_publishes_in_no_process(api: Api) -> None:
    shop, other = api.application(), Api(api.storage)
    action = api.action(shop["application"])
    assert other.publish(action, bearer(shop)).status_code == 201
    api.call("PATCH", f"/v1/applications/{shop['application']}", {"active": False})
    assert other.publish(action, bearer(shop)).status_code == 403
    api.call("PATCH", f"/v1/applications/{shop['application']}", {"active": True})
    assert other.publish(action, bearer(shop)).status_code == 201


def test_what_waited_for_an_application_goes_on(api: Api) -> None:
    shop = api.application()
    name, action = shop["application"], api.action(shop["application"])
    api.subscription(name, action)
    gist = api.gist(api.publish(action).json["event"])["gist"]
    api.call("PATCH", f"/v1/applications/{name}", {"active": False})
    claimed = [each for each in claim(api.storage) if str(each.gist) == gist]
    assert [each.active for each in claimed] == [False]
    complete(api.storage, claimed, Status.PAUSED)
    assert status(api, gist) == "paused"
    api.call("PATCH", f"/v1/applications/{name}", {"active": True})
    assert status(api, gist) == "retrying"


def status(api: Api, gist: str) -> Any:
    return api.call("GET", f"/v1/gists/{gist}").json["status"]

"""Subscriptions over HTTP."""

import pytest

from tests.contract.api import Api, bearer


def test_a_subscription_from_its_beginning_to_its_end(api: Api) -> None:
    shop = api.application()
    action = api.action(shop["application"])
    made = api.subscription(shop["application"], action)
    path = f"/v1/subscriptions/{made['subscription']}"
    assert (made["max_retries"], made["rate_limit"], made["ordered"], made["active"]) == (5, None, False, True)
    change = {"handler": "/other", "max_retries": 0, "active": False, "rate_limit": 2.5, "ordered": True}
    changed = api.call("PUT", path, change, bearer(shop)).json
    assert changed == {**made, **change}
    found = api.call("GET", path).json
    endpoint = found.pop("endpoint")
    assert found == changed
    assert (endpoint["breaker"], endpoint["requests"], endpoint["failures"]) == ("closed", 0, 0)
    listed = api.call("GET", f"/v1/subscriptions?action={action}", None, bearer(shop)).json["data"]
    assert listed == [changed]
    assert api.call("PUT", path, {"handler": "/third"}).json == {**changed, "handler": "/third"}  # the rest stays
    assert api.call("PUT", path, {"handler": "/third", "rate_limit": None}).json["rate_limit"] is None
    assert api.call("DELETE", path).status_code == 204
    for method, body in (("GET", None), ("PUT", {"handler": "/x"}), ("DELETE", None)):
        assert api.call(method, path, body).status_code == 404
    revived = api.call(
        "POST", "/v1/subscriptions", {"application": shop["application"], "action": action, "handler": "/third"}
    )
    assert (revived.status_code, revived.json["subscription"]) == (201, made["subscription"])


def test_names_what_is_not_registered(api: Api) -> None:
    unknown = {"application": "nobody", "action": "nothing", "handler": "/"}
    answer = api.call("POST", "/v1/subscriptions", unknown)
    assert (answer.status_code, len(answer.json["details"])) == (422, 2)


@pytest.mark.parametrize(
    "wrong",
    [
        {"handler": "hooks"},
        {"handler": "ftp://x"},
        {"handler": "/a b"},
        {"max_retries": -1},
        {"max_retries": 101},
        {"rate_limit": 0},
        {"rate_limit": "1"},
        {"ordered": "yes"},
        {"actve": True},
    ],
    ids=str,
)
def test_refuses_a_subscription_that_is_not_as_it_should_be(api: Api, wrong: dict[str, object]) -> None:
    shop = api.application()["application"]
    wish = {"application": shop, "action": api.action(shop), "handler": "/hooks", **wrong}
    answer = api.call("POST", "/v1/subscriptions", wish)
    assert (answer.status_code, bool(answer.json["details"])) == (422, True)


def test_two_subscriptions_do_not_share_a_handler(api: Api) -> None:
    shop = api.application()["application"]
    action = api.action(shop)
    api.subscription(shop, action)
    other = api.subscription(shop, action, handler="/other")["subscription"]
    assert api.call("PUT", f"/v1/subscriptions/{other}", {"handler": "/hooks"}).status_code == 409


def test_a_handler_may_be_a_url_of_its_own(api: Api) -> None:
    shop = api.application()["application"]
    made = api.subscription(shop, api.action(shop), handler="https://127.0.0.2/hooks?x=1")
    assert made["handler"] == "https://127.0.0.2/hooks?x=1"


def test_a_handler_on_a_private_address_is_refused_where_that_is_not_allowed(api: Api) -> None:
    guarded = Api(api.storage, allow_private_handlers=())
    public = guarded.call("POST", "/v1/applications", {"application": "public", "address": "http://93.184.215.14"})
    assert public.status_code in (201, 409)
    action = api.action("public")
    for handler in (
        "http://127.0.0.1/",
        "http://10.0.0.1/",
        "http://169.254.169.254/",
        "http://[::1]/",
        "http://localhost/",
    ):
        answer = guarded.call(
            "POST", "/v1/subscriptions", {"application": "public", "action": action, "handler": handler}
        )
        assert (answer.status_code, answer.json["details"][0]["field"]) == (422, "handler")
        private = guarded.call("POST", "/v1/applications", {"application": "private", "address": handler})
        assert (private.status_code, private.json["details"][0]["field"]) == (422, "address")
        moved = guarded.call("PUT", "/v1/applications/public", {"address": handler})
        assert moved.status_code == 422

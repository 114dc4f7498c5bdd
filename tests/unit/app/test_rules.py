"""The decisions of the service, as tables of values."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from standardwebhooks.webhooks import Webhook

from app import rules
from app.errors import Forbidden
from app.model import Attempt, Delivery, Filters, Listing, Page, Principal, Status

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
DELIVERY = Delivery(
    gist=UUID(int=1),
    claim=UUID(int=2),
    event=UUID(int=3),
    action="order.placed",
    payload={"id": 1},
    metadata={},
    timestamped=NOW,
    url="http://shop.test/hooks",
    secret="whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
    attempt=1,
    retries=0,
    max_retries=5,
    active=True,
)


def attempt(status: int | None) -> Attempt:
    return Attempt(1, status, 5, "", None, NOW)


@pytest.mark.parametrize(
    ("status", "retries", "max_retries", "expected", "counted"),
    [
        (200, 0, 5, Status.DELIVERED, 0),
        (204, 5, 5, Status.DELIVERED, 5),
        (299, 0, 0, Status.DELIVERED, 0),
        (301, 0, 5, Status.RETRYING, 1),
        (400, 0, 5, Status.RETRYING, 1),
        (500, 4, 5, Status.RETRYING, 5),
        (500, 5, 5, Status.FAILED, 5),
        (None, 0, 5, Status.RETRYING, 1),
        (None, 0, 0, Status.FAILED, 0),
    ],
)
def test_decides_what_comes_after_an_attempt(
    status: int | None, retries: int, max_retries: int, expected: Status, counted: int
) -> None:
    delivery = replace(DELIVERY, retries=retries, max_retries=max_retries)
    decision = rules.retry_decision(delivery, attempt(status), luck=0.5)
    assert (decision.status, decision.retries) == (expected, counted)


@pytest.mark.parametrize(("retry", "seconds"), [(1, 0), (2, 2), (3, 4), (4, 8), (5, 16), (12, 2048), (13, 3600)])
def test_waits_twice_as_long_before_each_retry_up_to_an_hour(retry: int, seconds: float) -> None:
    assert rules.retry_delay(retry, luck=0.5) == seconds
    assert rules.retry_delay(retry, luck=0.0) == pytest.approx(seconds * 0.8)
    assert rules.retry_delay(retry, luck=1.0) == pytest.approx(seconds * 1.2)


def test_the_signature_is_that_of_standard_webhooks() -> None:
    # the example of the specification's own test suite, standardwebhooks 1.0
    body = b'{"test": 2432232314}'
    signed = rules.standard_signature(DELIVERY.secret, "msg_p5jXN8AQM9LWM0D4loKWxJek", "1614265330", body)
    assert signed == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


@pytest.mark.parametrize("secret", [DELIVERY.secret, "sixteen or more characters", "whsec_not base64, though"])
def test_the_headers_verify_with_the_key_of_the_secret(secret: str) -> None:
    delivery = replace(DELIVERY, secret=secret)
    body = rules.envelope(delivery)
    headers = rules.delivery_headers(delivery, body, datetime.now(UTC))
    assert Webhook(rules.standard_key(secret)).verify(body, headers)["payload"] == {"id": 1}
    assert headers["X-Amebo-Delivery"] == f"{delivery.gist}_1"
    assert headers["X-Amebo-Event"] == "order.placed"


@pytest.mark.parametrize(
    ("timestamp", "holds"),
    [
        (None, True),
        (str(int(NOW.timestamp())), True),
        (str(int((NOW - timedelta(seconds=300)).timestamp())), True),
        (str(int((NOW - timedelta(seconds=301)).timestamp())), False),
        (str(int((NOW + timedelta(seconds=301)).timestamp())), False),
        ("", False),
        ("nan", False),
    ],
)
def test_a_publisher_s_signature_holds_for_300_seconds(timestamp: str | None, holds: bool) -> None:
    signed = rules.signature("secret", b"body", timestamp)
    assert rules.signature_holds("secret", signed, b"body", timestamp, NOW) is holds
    assert rules.signature_holds("secret", f"sha256={signed}", b"body", timestamp, NOW) is holds
    assert not rules.signature_holds("secret", signed, b"other", timestamp, NOW)
    assert not rules.signature_holds("secret", "é", b"body", timestamp, NOW)


def test_the_order_of_keys_is_not_content() -> None:
    one = rules.content_digest("a", {"x": 1, "y": 2}, {}, None)
    assert one == rules.content_digest("a", {"y": 2, "x": 1}, {}, None)
    assert one != rules.content_digest("a", {"y": 2, "x": 1}, {}, 60)
    assert one != rules.content_digest("b", {"x": 1, "y": 2}, {}, None)


@pytest.mark.parametrize(
    ("address", "handler", "url"),
    [
        ("http://shop.test", "/hooks", "http://shop.test/hooks"),
        ("http://shop.test/base/", "/hooks", "http://shop.test/base/hooks"),
        ("http://shop.test", "https://other.test/x", "https://other.test/x"),
    ],
)
def test_a_handler_is_a_path_or_a_url(address: str, handler: str, url: str) -> None:
    assert rules.handler_url(address, handler) == url


def test_ids_sort_by_time_and_are_of_version_7() -> None:
    ids = [rules.uuid7(NOW + timedelta(microseconds=n), random) for n, random in enumerate([2**62 - 1, 5, 0, 7])]
    assert ids == sorted(ids)
    assert {(each.version, each.variant) for each in ids} == {(7, "specified in RFC 4122")}
    assert ids[0].int >> 80 == int(NOW.timestamp() * 1000)


@pytest.mark.parametrize(
    ("rows", "page", "expected"),
    [
        ("", Page(2), Listing(())),
        ("ab", Page(2), Listing(("a", "b"))),
        ("abc", Page(2), Listing(("a", "b"), "b", None)),
        ("cd", Page(2, key="b"), Listing(("c", "d"), None, "c")),
        ("cde", Page(2, key="b"), Listing(("c", "d"), "d", "c")),
        ("ba", Page(2, key="c", backwards=True), Listing(("a", "b"), "b", None)),
        ("dcb", Page(2, key="e", backwards=True), Listing(("c", "d"), "d", "c")),
    ],
)
def test_cuts_what_was_read_into_a_page(rows: str, page: Page, expected: Listing[str]) -> None:
    assert rules.listing(tuple(rows), page, str) == expected


def test_an_application_sees_only_its_own() -> None:
    everything = Filters(action="a")
    assert rules.only_own(Principal("root", administrator=True), everything) == everything
    assert rules.only_own(Principal("shop"), everything) == replace(everything, application="shop")
    with pytest.raises(Forbidden):
        rules.only_own(Principal("shop"), Filters(application="other"))

"""The decisions of the service, as tables of values."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from app import rules
from app.errors import Forbidden
from app.jsontext import dumps
from app.model import Application, Attempt, Delivery, Filters, Listing, Page, Principal, Status

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
DELIVERY = Delivery(
    gist=UUID(int=1),
    claim=UUID(int=2),
    event=UUID(int=3),
    subscription=UUID(int=4),
    action="order.placed",
    application="shop",
    payload='{"id":1}',
    metadata="{}",
    timestamped=NOW,
    wanted=NOW,
    url="http://shop.test/hooks",
    secrets=("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",),
    attempt=1,
    retries=0,
    max_retries=5,
    active=True,
)


def attempt(status: int | None, retry_after: float | None = None) -> Attempt:
    return Attempt(1, status, 5, "", None, NOW, retry_after)


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
        (410, 0, 5, Status.PAUSED, 0),
        (410, 5, 5, Status.PAUSED, 5),
    ],
)
def test_decides_what_comes_after_an_attempt(
    status: int | None, retries: int, max_retries: int, expected: Status, counted: int
) -> None:
    delivery = replace(DELIVERY, retries=retries, max_retries=max_retries)
    decision = rules.retry_decision(delivery, attempt(status), luck=0.5)
    assert (decision.status, decision.retries, decision.gone) == (expected, counted, status == 410)


@pytest.mark.parametrize(
    ("status", "asked", "retries", "delay"),
    [
        (503, 30.0, 0, 30.0),
        (429, 30.0, 0, 30.0),
        (503, 5.0, 3, 8.0),  # not sooner than by itself
        (503, 86400.0, 0, 3600.0),  # nor later than the longest delay there is
        (503, 0.0, 0, 0.0),
        (503, None, 1, 2.0),
        (500, 30.0, 0, 0.0),  # of no other answer
        (302, 30.0, 1, 2.0),
    ],
)
def test_a_handler_that_is_busy_may_ask_for_time_within_bounds(
    status: int, asked: float | None, retries: int, delay: float
) -> None:
    decision = rules.retry_decision(replace(DELIVERY, retries=retries), attempt(status, asked), luck=0.5)
    assert (decision.status, decision.delay) == (Status.RETRYING, delay)


def test_what_was_not_tried_is_paused_as_it_is() -> None:
    decision = rules.paused(replace(DELIVERY, retries=3))
    assert (decision.status, decision.attempt, decision.retries, decision.gone) == (Status.PAUSED, None, 3, False)


@pytest.mark.parametrize(("retry", "seconds"), [(1, 0), (2, 2), (3, 4), (4, 8), (5, 16), (12, 2048), (13, 3600)])
def test_waits_twice_as_long_before_each_retry_up_to_an_hour(retry: int, seconds: float) -> None:
    assert rules.retry_delay(retry, luck=0.5) == seconds
    assert rules.retry_delay(retry, luck=0.0) == pytest.approx(seconds * 0.8)
    assert rules.retry_delay(retry, luck=1.0) == pytest.approx(seconds * 1.2)


def test_the_signature_is_that_of_standard_webhooks() -> None:
    # the example of the specification's own test suite, standardwebhooks 1.0
    body = b'{"test": 2432232314}'
    signed = rules.standard_signature(DELIVERY.secrets[0], "msg_p5jXN8AQM9LWM0D4loKWxJek", "1614265330", body)
    assert signed == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


@pytest.mark.parametrize("secret", [DELIVERY.secrets[0], "sixteen or more characters", "whsec_not base64, though"])
def test_the_headers_verify_with_the_key_of_the_secret(secret: str) -> None:
    delivery = replace(DELIVERY, secrets=(secret,))
    body = rules.envelope(delivery)
    headers = rules.delivery_headers(delivery, body, datetime.now(UTC))
    assert Webhook(rules.standard_key(secret)).verify(body, headers)["payload"] == {"id": 1}
    assert headers["X-Amebo-Delivery"] == f"{delivery.gist}_1"
    assert headers["X-Amebo-Event"] == "order.placed"
    assert headers["X-Amebo-Signature"] == f"sha256={rules.signature(secret, body)}"


def test_while_a_secret_is_rotated_either_one_verifies() -> None:
    old, new = DELIVERY.secrets[0], "a secret of another kind"
    body = rules.envelope(DELIVERY)
    headers = rules.delivery_headers(replace(DELIVERY, secrets=(new, old)), body, datetime.now(UTC))
    assert len(headers["webhook-signature"].split()) == 2
    for secret in (old, new):
        assert Webhook(rules.standard_key(secret)).verify(body, headers)
    with pytest.raises(WebhookVerificationError):
        Webhook(b"another").verify(body, headers)
    assert headers["X-Amebo-Signature"] == f"sha256={rules.signature(new, body)}"


TEXTS = st.text(st.characters(exclude_categories=["Cs"]))
PAYLOADS = st.dictionaries(TEXTS, st.recursive(st.none() | st.integers() | TEXTS, st.lists, max_leaves=5))


@given(payload=PAYLOADS, metadata=PAYLOADS, action=TEXTS)
def test_an_envelope_is_json_with_all_that_is_said_of_the_event(
    payload: dict[str, object], metadata: dict[str, object], action: str
) -> None:
    delivery = replace(DELIVERY, payload=dumps(payload), metadata=dumps(metadata), action=action, attempt=7)
    assert json.loads(rules.envelope(delivery)) == {
        "event": str(DELIVERY.event),
        "action": action,
        "payload": payload,
        "metadata": metadata,
        "timestamped": NOW.isoformat(),
        "attempt": 7,
    }


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


@pytest.mark.parametrize(
    ("previous", "rotated", "expected"),
    [
        (None, None, ("new",)),
        ("old", NOW, ("new", "old")),
        ("old", NOW - timedelta(hours=24), ("new", "old")),
        ("old", NOW - timedelta(hours=24, seconds=1), ("new",)),
        (None, NOW, ("new",)),
        ("old", None, ("new",)),
    ],
)
def test_the_secret_before_counts_for_a_day(
    previous: str | None, rotated: datetime | None, expected: tuple[str, ...]
) -> None:
    shop = Application(
        "shop", "http://x", "new", b"", "", active=True, timestamped=NOW, previous_secret=previous, rotated=rotated
    )
    assert rules.secrets_of(shop, NOW) == expected


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ({"key": "a"}, {"key": "a", "trace": "t"}, True),
        ({"key": "a"}, {"key": "b"}, False),
        ({}, {"trace": "t"}, True),
        ({}, {"key": ""}, True),
        ({"key": 1}, {"key": "1"}, True),
        ({"key": {"a": 1, "b": 2}}, {"key": {"b": 2, "a": 1}}, True),
        ({"key": ["a"]}, {"key": "a"}, False),
    ],
)
def test_events_with_the_same_key_share_a_lane(one: dict[str, object], other: dict[str, object], same: bool) -> None:
    assert (rules.lane(one) == rules.lane(other)) is same


def test_lanes_fill_the_numbers_that_postgresql_has_for_them() -> None:
    lanes = {rules.lane({"key": number}) for number in range(1000)}
    assert len(lanes) == 1000
    assert all(-(2**63) <= lane < 2**63 for lane in lanes)
    assert min(lanes) < 0 < max(lanes)
    assert isinstance(rules.lane({"key": "\ud800"}), int)


@given(st.uuids(), st.uuids(), st.uuids())
def test_a_gist_s_id_begins_as_its_event_s_and_is_of_both(event: UUID, one: UUID, other: UUID) -> None:
    gist = rules.gist_of(event, one)
    assert str(gist)[:18] == str(event)[:18]
    assert gist == rules.gist_of(event, one)
    assert (gist == rules.gist_of(event, other)) is (one == other)
    lowest, highest = rules.gists_of(event)
    assert lowest <= gist <= highest
    assert gist.variant == "specified in RFC 4122"


def test_a_gist_s_id_is_the_one_that_sql_makes() -> None:
    event, subscription = "0193f2c4-7a1b-7c3d-8e4f-5a6b7c8d9e0f", "0193f2c4-0000-7000-8000-000000000001"
    # SELECT gist_of('0193f2c4-7a1b-7c3d-8e4f-5a6b7c8d9e0f', '0193f2c4-0000-7000-8000-000000000001')
    assert str(rules.gist_of(UUID(event), UUID(subscription))) == "0193f2c4-7a1b-7c3d-85b4-5dd8e5751b52"


def test_an_announcement_is_news_again_after_another_attempt() -> None:
    first, again = rules.announcement_key(DELIVERY), rules.announcement_key(replace(DELIVERY, attempt=2))
    assert first == rules.announcement_key(replace(DELIVERY, claim=UUID(int=9))) != again


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

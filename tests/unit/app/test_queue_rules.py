"""The decisions about the queue, as tables of values: shares, rate limits, breakers, and why a gist waits."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app import rules
from app.model import Breaker, Endpoint, Gist, Situation, Status, Subscription

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
CLOSED = Endpoint(UUID(int=1))
OPEN = replace(CLOSED, breaker=Breaker.OPEN, until=NOW + timedelta(seconds=10))
HALF_OPEN = replace(CLOSED, breaker=Breaker.HALF_OPEN, until=NOW + timedelta(seconds=10))


def ago(seconds: float) -> datetime:
    return NOW - timedelta(seconds=seconds)


# -- shares


@pytest.mark.parametrize(
    ("limit", "ready", "free", "held", "share"),
    [
        (256, 1, 512, 0, 256),  # alone it gets all that there is room for
        (256, 1, 512, 256, 128),
        (256, 1, 256, 128, 64),
        (256, 2, 512, 0, 128),
        (256, 3, 512, 0, 86),  # rounded up: nothing is left over
        (256, 300, 512, 0, 1),
        (10, 1, 10, 9, 1),  # one place is always worth a try
        (1, 1, 1, 0, 1),
    ],
)
def test_an_endpoint_gets_its_share_and_never_more_places_than_stay_free(
    limit: int, ready: int, free: int, held: int, share: int
) -> None:
    assert rules.quota(limit, ready, free, held) == share


@given(st.integers(1, 1000), st.integers(1, 100), st.integers(1, 2000))
def test_the_shares_together_are_at_least_what_there_is_room_for(limit: int, ready: int, free: int) -> None:
    share = rules.quota(limit, ready, free, held=0)
    assert share >= 1
    assert share * ready >= min(limit, free // 2)


@given(st.integers(1, 500), st.integers(0, 500))
def test_one_that_never_answers_comes_to_hold_no_more_than_half_of_the_places(limit: int, places: int) -> None:
    held = 0
    while (free := places - held) > held:
        held += min(rules.quota(limit, 1, free, held), free)
    assert held <= places // 2 + 1


# -- rate limits


@pytest.mark.parametrize(
    ("rate_limit", "slot", "allowed"),
    [
        (10.0, None, 10),  # never used: a second's worth
        (10.0, ago(3600), 10),
        (10.0, ago(0.35), 3),
        (10.0, NOW, 0),
        (10.0, NOW + timedelta(seconds=5), 0),
        (3.7, None, 3),
        (1.0, None, 1),
        (0.5, None, 1),  # one in two seconds
        (0.5, ago(2), 1),
        (0.5, ago(1.9), 0),
        (0.3, None, 1),  # though 1 / 0.3 s is no whole number of microseconds
        (0.7, ago(1.428571), 1),
        (0.001, None, 1),
        (0.001, ago(999), 0),
        (100_000.0, None, 100_000),
    ],
)
def test_an_allowance_is_what_added_up_since_it_was_spent(
    rate_limit: float, slot: datetime | None, allowed: int
) -> None:
    assert max(rules.allowance(rate_limit, slot, NOW), 0) == allowed


@pytest.mark.parametrize(("rate_limit", "seconds"), [(10.0, 1.0), (1.0, 1.0), (0.5, 2.0), (0.001, 1000.0)])
def test_an_allowance_adds_up_for_a_second_or_the_time_of_one_delivery(rate_limit: float, seconds: float) -> None:
    assert rules.burst(rate_limit) == timedelta(seconds=seconds)


# -- breakers


@pytest.mark.parametrize(
    ("before", "tried", "failed", "after"),
    [
        (CLOSED, 1, 0, replace(CLOSED, since=NOW, requests=1)),
        (CLOSED, 9, 9, replace(CLOSED, since=NOW, requests=9, failures=9)),
        (CLOSED, 10, 6, replace(CLOSED, since=NOW, requests=10, failures=6)),
        (CLOSED, 10, 7, replace(CLOSED, breaker=Breaker.OPEN, until=NOW + rules.BREAKER_REST)),
        (
            replace(CLOSED, since=ago(299), requests=9, failures=7),
            1,
            0,
            replace(CLOSED, breaker=Breaker.OPEN, until=NOW + rules.BREAKER_REST),
        ),
        (  # what was longer ago than the window is forgotten
            replace(CLOSED, since=ago(301), requests=9, failures=9),
            1,
            1,
            replace(CLOSED, since=NOW, requests=1, failures=1),
        ),
        (OPEN, 3, 3, replace(OPEN, since=NOW, requests=3, failures=3)),  # late answers keep it open no longer
        (HALF_OPEN, 1, 0, CLOSED),
        (HALF_OPEN, 1, 1, replace(CLOSED, breaker=Breaker.OPEN, until=NOW + rules.BREAKER_REST)),
        (HALF_OPEN, 3, 2, CLOSED),
        (replace(HALF_OPEN, requests=5, failures=5, since=ago(1)), 1, 0, CLOSED),
    ],
)
def test_a_breaker_goes_by_what_most_requests_came_to(
    before: Endpoint, tried: int, failed: int, after: Endpoint
) -> None:
    assert rules.judge(before, tried, failed, NOW) == after


@given(st.sampled_from([CLOSED, OPEN, HALF_OPEN]), st.lists(st.booleans(), min_size=1, max_size=50))
def test_a_breaker_never_opens_without_failures_and_leaves_the_rate_limit_alone(
    before: Endpoint, outcomes: list[bool]
) -> None:
    before = replace(before, slot=ago(5))
    after = rules.judge(before, len(outcomes), outcomes.count(False), NOW)
    assert after.slot == before.slot
    if all(outcomes):
        assert after.breaker is (before.breaker if before.breaker is Breaker.OPEN else Breaker.CLOSED)


# -- why a gist waits

GIST = Gist(UUID(int=2), UUID(int=3), UUID(int=1), "a", "shop", Status.PENDING, 0, 0, ago(5), ago(5))
SUBSCRIPTION = Subscription(UUID(int=1), "shop", "a", "/", 5, "", active=True, timestamped=ago(60))
SITUATION = Situation(GIST, SUBSCRIPTION, application_active=True, endpoint=CLOSED, before=None, now=NOW)
LATER = NOW + timedelta(seconds=90)
OFF = replace(SUBSCRIPTION, active=False)


def of_gist(**fields: object) -> Situation:
    return replace(SITUATION, gist=replace(GIST, **fields))  # type: ignore[arg-type]  # fields of a gist


@pytest.mark.parametrize(
    ("situation", "reason", "said"),
    [
        (of_gist(status=Status.DELIVERED, attempts=3), "delivered", "attempt 3"),
        (of_gist(status=Status.FAILED, attempts=6), "failed", f"POST /v1/regists/{GIST.gist}"),
        (replace(of_gist(status=Status.PAUSED), subscription=OFF), "paused", "Its subscription is off"),
        (replace(of_gist(status=Status.PAUSED), application_active=False), "paused", "Its application is inactive"),
        (of_gist(leased=LATER), "under_way", "12:01:30"),
        (of_gist(due=LATER), "sleeping", "in 90 s"),
        (of_gist(due=LATER, status=Status.RETRYING), "waiting_for_retry", "in 90 s"),
        (replace(SITUATION, subscription=OFF), "about_to_pause", "Its subscription is off"),
        (replace(SITUATION, application_active=False), "about_to_pause", "Its application is inactive"),
        (replace(SITUATION, before=UUID(int=9)), "in_line", str(UUID(int=9))),
        (replace(SITUATION, endpoint=OPEN), "breaker_open", "12:00:10"),
        (replace(SITUATION, endpoint=HALF_OPEN), "breaker_half_open", "12:00:10"),
        (
            replace(
                SITUATION, subscription=replace(SUBSCRIPTION, rate_limit=0.5), endpoint=replace(CLOSED, slot=ago(1))
            ),
            "rate_limited",
            "0.5 deliveries a second",
        ),
        (replace(SITUATION, subscription=replace(SUBSCRIPTION, rate_limit=0.5)), "due", "Is one running?"),
        (SITUATION, "due", "Is one running?"),
        (of_gist(leased=ago(1)), "due", "Is one running?"),  # whoever had it is dead
    ],
    ids=lambda value: value if isinstance(value, str) and " " not in value else "",
)
def test_explains_why_a_gist_is_not_delivered_yet(situation: Situation, reason: str, said: str) -> None:
    word, sentence = rules.explain(situation)
    assert word == reason
    assert said in sentence
    assert sentence.endswith((".", "?"))


def test_a_busy_endpoint_that_dies_is_found_out_by_its_next_failures() -> None:
    busy = replace(CLOSED, since=ago(60), requests=5000, failures=0)
    assert rules.judge(busy, 256, 256, NOW).breaker is Breaker.OPEN
    assert rules.judge(busy, 256, 100, NOW).breaker is Breaker.CLOSED

"""What keeps deliveries back from an endpoint, in memory and in PostgreSQL alike: its breaker and its rate limit."""

from collections.abc import Callable

import pytest

from app.model import Breaker, Delivery, Status, Subscription
from app.ports import Storage
from tests.contract.conftest import Later
from tests.contract.examples import (
    LEASE,
    claim,
    complete,
    endpoint_of,
    outcome,
    publish,
    publish_many,
    shop,
    subscription,
    take,
)


def break_open(storage: Storage) -> None:
    """Ten failures, after which the breaker is open and ten gists are to be retried."""
    publish_many(storage, 10)
    complete(storage, claim(storage), Status.RETRYING)


# -- breakers


@pytest.mark.parametrize(
    ("delivered", "failed", "state"),
    [
        (0, 9, Breaker.CLOSED),
        (0, 10, Breaker.OPEN),
        (3, 7, Breaker.OPEN),
        (4, 6, Breaker.CLOSED),
        (6, 14, Breaker.OPEN),
        (20, 0, Breaker.CLOSED),
    ],
)
def test_a_breaker_opens_when_most_of_enough_requests_fail(
    storage: Storage, subscribed: Subscription, delivered: int, failed: int, state: Breaker
) -> None:
    publish_many(storage, delivered + failed)
    claimed = claim(storage)
    done = [outcome(each, Status.DELIVERED) for each in claimed[:delivered]]
    storage.complete([*done, *(outcome(each, Status.RETRYING) for each in claimed[delivered:])], ())
    endpoint = endpoint_of(storage, subscribed)
    assert endpoint.breaker is state
    assert (endpoint.until is not None) == (state is Breaker.OPEN)
    assert len(claim(storage)) == (failed if state is Breaker.CLOSED else 0)


def test_an_open_breaker_lets_one_through_after_a_while(
    storage: Storage, subscribed: Subscription, later: Later
) -> None:
    break_open(storage)
    later(25)
    assert claim(storage) == ()
    later(6)
    found = take(storage)
    assert (len(found.deliveries), found.more) == (1, False)
    assert endpoint_of(storage, subscribed).breaker is Breaker.HALF_OPEN
    assert claim(storage) == ()
    complete(storage, found.deliveries, Status.DELIVERED)
    assert endpoint_of(storage, subscribed).breaker is Breaker.CLOSED
    assert len(claim(storage)) == 9


def test_a_probe_that_fails_opens_it_again(storage: Storage, subscribed: Subscription, later: Later) -> None:
    break_open(storage)
    later(31)
    complete(storage, claim(storage), Status.RETRYING)
    assert endpoint_of(storage, subscribed).breaker is Breaker.OPEN
    assert claim(storage) == ()
    later(31)
    assert len(claim(storage)) == 1


def test_a_probe_that_nobody_reports_of_is_followed_by_another(storage: Storage, later: Later) -> None:
    shop(storage)
    break_open(storage)
    later(31)
    assert len(claim(storage)) == 1
    later(LEASE.total_seconds() - 5)
    assert claim(storage) == ()
    later(6)
    assert len(claim(storage)) == 1


def test_a_probe_of_an_ordered_subscription_is_one_as_well(storage: Storage, later: Later) -> None:
    shop(storage, ordered=True)
    for number in range(12):
        publish(storage, metadata={"key": number})
    complete(storage, claim(storage), Status.RETRYING)
    later(31)
    assert len(claim(storage)) == 1


@pytest.mark.parametrize("ordered", [False, True])
def test_at_one_moment_there_is_one_probe(
    storage: Storage, later: Later, in_threads: Callable[..., None], ordered: bool
) -> None:
    shop(storage, ordered=ordered)
    for number in range(10):
        publish(storage, metadata={"key": number})
    complete(storage, claim(storage), Status.RETRYING)
    later(31)
    probes: list[Delivery] = []
    in_threads(*[lambda: probes.extend(claim(storage))] * 4)
    assert len(probes) == 1


def test_a_broken_handler_takes_nothing_from_the_others(storage: Storage) -> None:
    broken, other = shop(storage), storage.subscribe(subscription("/other"), "shop")
    publish_many(storage, 10)
    claimed = claim(storage)
    of_broken = [each for each in claimed if each.subscription == broken.subscription]
    complete(storage, of_broken, Status.RETRYING)
    complete(storage, [each for each in claimed if each not in of_broken], Status.DELIVERED)
    publish_many(storage, 10)
    assert [each.subscription for each in claim(storage, 10)] == [other.subscription] * 10


def test_a_handler_that_is_set_up_anew_gets_a_fresh_chance(storage: Storage, subscribed: Subscription) -> None:
    break_open(storage)
    storage.save_subscription(subscribed, "shop")
    assert endpoint_of(storage, subscribed).breaker is Breaker.CLOSED
    assert len(claim(storage)) == 10


# -- rate limits


def limited(storage: Storage, rate_limit: float) -> Subscription:
    """A subscription with a rate limit, and more for it than that lets through."""
    wanted = shop(storage, rate_limit=rate_limit)
    publish_many(storage, 50)
    return wanted


@pytest.mark.parametrize(("rate_limit", "at_once"), [(10.0, 10), (3.7, 3), (1.0, 1), (0.5, 1), (0.01, 1)])
def test_a_rate_limit_lets_a_second_s_worth_through_at_once(
    storage: Storage, later: Later, rate_limit: float, at_once: int
) -> None:
    limited(storage, rate_limit)
    assert len(claim(storage)) == at_once
    assert claim(storage) == ()
    later(max(1 / rate_limit, 1.0) + 0.01)
    assert len(claim(storage)) == at_once  # what was not used adds up, but to no more than that
    later(3600)
    assert len(claim(storage)) == at_once


@pytest.mark.parametrize("rate_limit", [0.3, 0.7])
def test_a_rate_limit_that_is_no_round_part_of_a_second_lets_one_through(
    storage: Storage, later: Later, rate_limit: float
) -> None:
    limited(storage, rate_limit)
    assert len(claim(storage)) == 1
    later(1 / rate_limit + 0.01)
    assert len(claim(storage)) == 1


def test_an_allowance_comes_back_with_time(storage: Storage, later: Later) -> None:
    limited(storage, 4.0)
    assert len(claim(storage, 3)) == 3
    later(0.1)
    assert len(claim(storage)) == 1
    later(0.4)
    assert len(claim(storage)) in (1, 2)  # its clock goes on meanwhile
    later(10)
    assert len(claim(storage)) == 4


def test_there_is_more_only_where_the_room_was_what_limited(storage: Storage) -> None:
    limited(storage, 10.0)
    assert take(storage, 5).more
    assert not take(storage).more


def test_a_rate_limit_is_for_all_dispatchers_together(storage: Storage, in_threads: Callable[..., None]) -> None:
    limited(storage, 10.0)
    claimed: list[Delivery] = []
    in_threads(*[lambda: claimed.extend(claim(storage))] * 4)
    assert len(claimed) in (10, 11)  # one more when a tenth of a second passed between


def test_a_rate_limit_and_lanes_go_together(storage: Storage, later: Later) -> None:
    shop(storage, ordered=True, rate_limit=2.0)
    for key in "aabbcc":
        publish(storage, metadata={"key": key})
    first = claim(storage)
    assert len(first) == 2
    complete(storage, first, Status.DELIVERED)
    later(1.01)
    assert len(claim(storage)) == 2


def test_a_rate_limit_stands_when_its_breaker_opened_and_closed(storage: Storage, later: Later) -> None:
    mine = shop(storage, rate_limit=10.0)
    break_open(storage)
    later(31)
    complete(storage, claim(storage), Status.DELIVERED)
    assert endpoint_of(storage, mine).breaker is Breaker.CLOSED
    publish_many(storage, 30)
    later(1.01)
    assert len(claim(storage)) == 10

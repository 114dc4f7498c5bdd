"""Claiming, in memory and in PostgreSQL alike: fair shares, leases and lanes."""

import json
from collections import Counter
from collections.abc import Callable
from datetime import timedelta
from uuid import UUID

import pytest

from app.model import Delivery, Status, Subscription
from app.ports import Storage
from app.rules import ROTATION
from tests.contract.conftest import Later
from tests.contract.examples import (
    ADMIN,
    LEASE,
    NOW,
    application,
    claim,
    complete,
    outcome,
    publish,
    publish_many,
    shop,
    subscription,
    take,
)


def many_handlers(storage: Storage, number: int) -> list[Subscription]:
    """So many subscriptions to the same action."""
    return [shop(storage), *(storage.subscribe(subscription(f"/{each}"), "shop") for each in range(1, number))]


def shares(deliveries: tuple[Delivery, ...]) -> Counter[UUID]:
    return Counter(each.subscription for each in deliveries)


def test_claims_with_all_that_a_delivery_takes(storage: Storage, subscribed: Subscription) -> None:
    event = publish(storage, metadata={"trace": "ä"}).event
    (delivery,) = claim(storage)
    assert (delivery.event, delivery.subscription) == (event.event, subscribed.subscription)
    assert (delivery.action, delivery.application) == ("order.placed", "shop")
    assert (delivery.payload, json.loads(delivery.metadata)) == ('{"z":1,"a":"same"}', {"trace": "ä"})
    assert (delivery.timestamped, delivery.wanted) == (event.timestamped, event.timestamped)
    assert (delivery.url, delivery.secrets) == ("http://shop.test/hooks", ("a secret of shop",))
    assert (delivery.attempt, delivery.retries, delivery.max_retries) == (1, 0, 5)
    assert (delivery.active, delivery.in_lane) == (True, False)


@pytest.mark.usefixtures("subscribed")
def test_while_a_secret_is_rotated_there_are_two(storage: Storage, later: Later) -> None:
    publish(storage)
    (now,) = claim(storage, lease=timedelta())
    rotated = application("shop", secret="the new one", previous_secret="the old one", rotated=now.timestamped)
    storage.save_application(rotated, ADMIN, "rotate secret")
    (delivery,) = claim(storage, lease=timedelta())
    assert delivery.secrets == ("the new one", "the old one")
    long_ago = application("shop", secret="the new one", previous_secret="the old one", rotated=NOW - ROTATION)
    storage.save_application(long_ago, ADMIN, "rotate secret")
    later(LEASE.total_seconds())
    (delivery,) = claim(storage)
    assert delivery.secrets == ("the new one",)


@pytest.mark.usefixtures("subscribed")
def test_claims_nothing_twice_while_the_lease_lasts(storage: Storage, later: Later) -> None:
    publish_many(storage, 5)
    first, second = claim(storage, 3), claim(storage, 3)
    assert (len(first), len(second), len({each.gist for each in (*first, *second)})) == (3, 2, 5)
    later(LEASE.total_seconds() - 5)
    assert claim(storage, 3) == ()


@pytest.mark.usefixtures("subscribed")
def test_the_longest_due_goes_first(storage: Storage, later: Later) -> None:
    events = []
    for _ in range(4):
        events.append(publish(storage).event.event)
        later(1)
    assert [claim(storage, 1)[0].event for _ in range(4)] == events


@pytest.mark.usefixtures("subscribed")
def test_rescues_the_gists_of_a_dead_dispatcher_when_the_lease_ends(storage: Storage, later: Later) -> None:
    publish(storage)
    (lost,) = claim(storage)
    later(LEASE.total_seconds() + 1)
    (rescued,) = claim(storage)
    assert (rescued.gist, rescued.attempt) == (lost.gist, 1)
    assert rescued.claim != lost.claim


@pytest.mark.usefixtures("subscribed")
def test_two_claimers_at_one_moment_share_and_never_wait_for_each_other(
    storage: Storage, in_threads: Callable[..., None]
) -> None:
    publish_many(storage, 400)
    claimed: list[tuple[Delivery, ...]] = []
    in_threads(*[lambda: claimed.append(claim(storage, 100))] * 4)
    gists = [each.gist for deliveries in claimed for each in deliveries]
    assert len(gists) == len(set(gists))
    while rest := claim(storage, 100):
        gists += [each.gist for each in rest]
    assert len(gists) == len(set(gists)) == 400


@pytest.mark.usefixtures("subscribed")
def test_releases_what_was_not_started(storage: Storage) -> None:
    publish(storage)
    claimed = claim(storage)
    storage.release(claimed)
    (again,) = claim(storage)
    assert (again.gist, again.attempt) == (claimed[0].gist, 1)
    storage.release(claimed)  # of another claim: no effect
    assert claim(storage) == ()
    assert complete(storage, [again], Status.DELIVERED) == 1


@pytest.mark.parametrize(
    ("due", "limit", "taken", "more"),
    [(0, 10, 0, False), (5, 10, 5, False), (10, 10, 10, True), (30, 10, 10, True)],
    ids=["nothing", "less", "just as much", "more"],
)
@pytest.mark.usefixtures("subscribed")
def test_one_alone_gets_all_that_there_is_room_for(
    storage: Storage, due: int, limit: int, taken: int, more: bool
) -> None:
    publish_many(storage, due)
    found = take(storage, limit)
    assert (len(found.deliveries), found.more) == (taken, more)


def test_several_get_equal_shares_and_the_rest_comes_after(storage: Storage) -> None:
    many_handlers(storage, 3)
    publish_many(storage, 20)
    found = take(storage, 30)
    assert sorted(shares(found.deliveries).values()) == [10, 10, 10]
    assert found.more
    found = take(storage, 30)
    assert sorted(shares(found.deliveries).values()) == [10, 10, 10]
    assert claim(storage, 30) == ()


@pytest.mark.parametrize(
    ("free", "held", "taken", "more"),
    [
        (100, 0, 50, True),  # half of the places, however much waits
        (40, 20, 10, True),
        (40, 38, 1, True),
        (40, 39, 1, True),
        (40, 40, 0, False),  # as many as are free: no more until one is done
        (40, 100, 0, False),
        (1, 0, 1, True),
    ],
)
def test_one_that_hangs_holds_at_most_as_many_as_stay_free(
    storage: Storage, subscribed: Subscription, free: int, held: int, taken: int, more: bool
) -> None:
    publish_many(storage, 60)
    busy = {subscribed.subscription: held} if held else {}
    found = take(storage, 60, free=free, busy=busy)
    assert (len(found.deliveries), found.more) == (taken, more)


def test_one_that_hangs_leaves_the_others_their_share(storage: Storage) -> None:
    hanging, *others = many_handlers(storage, 3)
    publish_many(storage, 40)
    found = shares(claim(storage, 60, free=60, busy={hanging.subscription: 60}))
    assert found[hanging.subscription] == 0
    assert all(20 <= found[each.subscription] <= 30 for each in others)


@pytest.mark.parametrize("ordered", [False, True])
def test_of_many_subscriptions_none_starves(storage: Storage, ordered: bool) -> None:
    shop(storage, ordered=ordered)
    for number in range(29):
        storage.subscribe(subscription(f"/{number}", ordered=ordered), "shop")
    for number in range(4):
        publish(storage, metadata={"key": number})
    claimed: list[Delivery] = []
    for _ in range(60):
        found = claim(storage, 5)
        assert len(found) <= 5
        complete(storage, found, Status.RETRYING)  # and due again at once: those that were served ask for more
        claimed += found
    assert len(shares(tuple(claimed))) == 30


def test_what_belongs_to_one_that_is_off_comes_out_as_not_active(storage: Storage, subscribed: Subscription) -> None:
    publish(storage)
    storage.remove_subscription(subscribed.subscription, "shop")
    (delivery,) = claim(storage)
    assert not delivery.active


# -- lanes


def lanes(storage: Storage, keys: str) -> list[UUID]:
    """An ordered subscription, and an event for each letter, which is its key."""
    shop(storage, ordered=True)
    return [publish(storage, metadata={"key": key}).event.event for key in keys]


def test_of_each_lane_only_the_first_goes_out(storage: Storage) -> None:
    events = lanes(storage, "abacab")
    first = claim(storage)
    assert {each.event for each in first} == {events[0], events[1], events[3]}
    assert all(each.in_lane for each in first)
    assert claim(storage) == ()
    complete(storage, first, Status.DELIVERED)
    second = claim(storage)
    assert {each.event for each in second} == {events[2], events[5]}
    complete(storage, second, Status.DELIVERED)
    assert [each.event for each in claim(storage)] == [events[4]]


def test_one_that_is_retried_holds_up_its_lane_and_no_other(storage: Storage, later: Later) -> None:
    events = lanes(storage, "aabb")
    a, b = sorted(claim(storage), key=lambda each: events.index(each.event))
    storage.complete([outcome(a, Status.RETRYING, delay=30), outcome(b, Status.DELIVERED)], ())
    assert [each.event for each in claim(storage)] == [events[3]]
    later(31)
    (again,) = claim(storage)
    assert (again.event, again.attempt) == (events[0], 2)
    complete(storage, [again], Status.FAILED)
    assert [each.event for each in claim(storage)] == [events[1]]


def test_a_lease_holds_its_lane_and_ends(storage: Storage, later: Later) -> None:
    events = lanes(storage, "aa")
    claim(storage)
    later(LEASE.total_seconds() + 1)
    (rescued,) = claim(storage)
    assert rescued.event == events[0]


def test_of_many_lanes_none_starves(storage: Storage) -> None:
    shop(storage, ordered=True)
    for number in range(40):
        publish(storage, metadata={"key": number})
    claimed = [each.event for _ in range(20) for each in claim(storage, 4)]
    assert len(claimed) == len(set(claimed)) == 40


def test_events_without_a_key_are_one_lane(storage: Storage) -> None:
    shop(storage, ordered=True)
    events = [publish(storage).event.event for _ in range(3)]
    for event in events:
        (delivery,) = claim(storage)
        assert delivery.event == event
        complete(storage, [delivery], Status.DELIVERED)

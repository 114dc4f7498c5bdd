"""What is published, in memory and in PostgreSQL alike: once for each key, and to whom."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from app.model import Event, Filters, Gist, Lifecycle, Page, Subscription
from app.ports import Storage
from app.rules import gist_of, lane
from tests.contract.examples import (
    ADMIN,
    action,
    application,
    claim,
    new_id,
    publication,
    publish,
    publish_many,
    shop,
    subscription,
)

InThreads = Callable[..., None]


def gists(storage: Storage, event: Event | None = None) -> tuple[Gist, ...]:
    return storage.gists(Filters(event=event.event if event else None), Page(per_page=1000))


@pytest.mark.usefixtures("subscribed")
def test_publishes_once_for_each_key(storage: Storage) -> None:
    first = publish(storage, "k")
    assert (first.duplicate, first.same_content, first.event.fanout) == (False, True, 1)
    assert list(first.event.payload) == ["z", "a"]
    again = publish(storage, "k")
    assert (again.duplicate, again.same_content, again.event) == (True, True, first.event)
    other = publish(storage, "k", content="other")
    assert (other.duplicate, other.same_content, other.event) == (True, False, first.event)
    assert not publish(storage, "k", publisher=ADMIN).duplicate
    assert len(gists(storage)) == 2


@pytest.mark.usefixtures("subscribed")
def test_without_a_key_it_is_stored_each_time(storage: Storage) -> None:
    assert len({publish(storage).event.event for _ in range(3)}) == 3
    assert len(publish_many(storage, 3)) == 3
    assert len(gists(storage)) == 6


def test_a_batch_is_answered_in_its_order_with_a_duplicate_after_the_first(
    storage: Storage, subscribed: Subscription
) -> None:
    before = publish(storage, "c").event
    wanted = [
        publication(storage, key, content=content)
        for key, content in (("b", "1"), (None, "2"), ("a", "3"), ("b", "1"), ("c", "same"), ("a", "4"))
    ]
    stored = storage.publish(wanted)
    found = [(each.event.event, each.duplicate, each.same_content) for each in stored if each]
    b, nameless, a = (each.event for each in wanted[:3])
    assert found == [
        (b, False, True),
        (nameless, False, True),
        (a, False, True),
        (b, True, True),
        (before.event, True, True),
        (a, True, False),
    ]
    assert [storage.event(each.event) for each in wanted[3:]] == [None, None, None]
    listed = storage.events(Filters(), (), Page(per_page=100))
    assert {each.event for each in listed} == {before.event, b, nameless, a}
    assert {each.event for each in gists(storage)} == {before.event, b, nameless, a}
    assert {each.subscription for each in gists(storage)} == {subscribed.subscription}


@pytest.mark.usefixtures("subscribed")
def test_what_was_checked_against_another_revision_is_not_stored(storage: Storage) -> None:
    stale = publication(storage, "stale")
    nameless = publication(storage)
    storage.save_action(action(status=Lifecycle.RETIRED), ADMIN, "set retired")
    fresh = publication(storage, "fresh")
    for early in (replace(stale, revision=fresh.revision + 1), stale, nameless):
        assert storage.publish([early]) == (None,)
    first, second, third = storage.publish([stale, fresh, nameless])
    assert first is third is None
    assert second is not None
    assert [each.event for each in storage.events(Filters(), (), Page())] == [fresh.event]
    assert len(gists(storage)) == 1
    assert not publish(storage, "stale").duplicate  # its key was not kept either


@pytest.mark.usefixtures("subscribed")
def test_one_key_at_one_moment_is_one_event(storage: Storage, in_threads: InThreads) -> None:
    results = []
    in_threads(*[lambda: results.append(publish(storage, "k"))] * 4)
    assert sorted(result.duplicate for result in results) == [False, True, True, True]
    assert len({result.event.event for result in results}) == len(gists(storage)) == 1


@pytest.mark.usefixtures("subscribed")
def test_batches_with_the_same_keys_in_opposite_order_do_not_lock_each_other_out(
    storage: Storage, in_threads: InThreads
) -> None:
    keys = [f"k-{number:03}" for number in range(200)]
    results = []

    def store(order: list[str]) -> None:
        results.append(storage.publish([publication(storage, key) for key in order]))

    in_threads(*[lambda order=order: store(order) for order in (keys, keys[::-1]) * 2])
    stored = [[each.duplicate for each in result if each] for result in results]
    assert [len(each) for each in stored] == [200] * 4
    assert sum(not duplicate for each in stored for duplicate in each) == len(gists(storage)) == 200


def test_goes_only_to_active_subscriptions_of_active_applications(storage: Storage, subscribed: Subscription) -> None:
    for name in ("bank", "off"):
        storage.add_application(application(name), ADMIN)
    storage.add_action(action("order.paid"), ADMIN)
    theirs = storage.subscribe(subscription(application="bank"), "bank")
    storage.subscribe(subscription("/off", active=False), "shop")
    storage.subscribe(subscription(application="off"), "off")
    storage.subscribe(subscription("/paid", action="order.paid"), "shop")
    gone = storage.subscribe(subscription("/gone"), "shop")
    storage.remove_subscription(gone.subscription, "shop")
    storage.save_application(application("off", active=False), ADMIN, "switch application off")
    event = publish(storage).event
    receivers = {subscribed.subscription, theirs.subscription}
    assert event.fanout == 2
    assert {each.subscription for each in gists(storage, event)} == receivers
    assert {each.gist for each in gists(storage, event)} == {gist_of(event.event, each) for each in receivers}


def test_an_event_that_nobody_subscribed_to_is_kept_and_makes_no_gist(storage: Storage) -> None:
    storage.add_application(application("shop"), ADMIN)
    storage.add_action(action(), ADMIN)
    event = publish(storage).event
    assert (event.fanout, storage.event(event.event), gists(storage)) == (0, event, ())


@pytest.mark.usefixtures("subscribed")
def test_sleeps_until_its_time(storage: Storage, later: Callable[[float], None]) -> None:
    wake = datetime.now(UTC) + timedelta(seconds=50)
    event = publish(storage, sleep_until=wake).event
    assert event.sleep_until == wake
    assert claim(storage) == ()
    seconds = storage.next_due()
    assert seconds is not None
    assert 45 < seconds <= 50
    later(51)
    (delivery,) = claim(storage)
    assert delivery.wanted > delivery.timestamped


@pytest.mark.parametrize("ordered", [True, False])
def test_only_an_ordered_subscription_has_lanes(storage: Storage, ordered: bool) -> None:
    shop(storage, ordered=ordered)
    events = [publish(storage, metadata={"key": key}).event for key in "aab"]
    found = sorted(gists(storage), key=lambda gist: gist.position or 0)
    assert [each.event for each in found] == [each.event for each in events]
    lanes = [lane({"key": key}) for key in "aab"] if ordered else [None] * 3
    assert [each.lane for each in found] == lanes
    assert len({each.position for each in found}) == 3


@pytest.mark.usefixtures("subscribed")
def test_positions_are_in_the_order_of_a_batch(storage: Storage) -> None:
    events = publish_many(storage, 50)
    found = sorted(gists(storage), key=lambda gist: gist.position or 0)
    assert [each.event for each in found] == [each.event for each in events]


@pytest.mark.usefixtures("subscribed")
def test_finds_events_by_what_they_are(storage: Storage) -> None:
    kept = publish(storage, "k").event
    publish(storage)
    for filters, many in (
        (Filters(), 2),
        (Filters(deduper="k"), 1),
        (Filters(action="other"), 0),
        (Filters(application="shop"), 2),
        (Filters(application="bank"), 0),
        (Filters(since=kept.timestamped), 2),
        (Filters(until=kept.timestamped), 0),
    ):
        assert len(storage.events(filters, (), Page())) == many, filters
    assert storage.events(Filters(deduper="k"), (), Page()) == (kept,)
    assert storage.event(kept.event) == kept
    assert storage.event(new_id()) is None


@pytest.mark.usefixtures("subscribed")
def test_an_application_sees_its_own_and_what_it_may_read(storage: Storage) -> None:
    storage.add_application(application("bank"), ADMIN)
    for name in ("paid", "secret"):
        storage.add_action(action(name, "bank"), ADMIN)
        publish(storage, action=name, application="bank")
    publish(storage)
    for application_, readable, expected in (
        ("shop", (), {"order.placed"}),
        ("shop", ("paid",), {"order.placed", "paid"}),
        ("bank", (), {"paid", "secret"}),
        (None, (), {"order.placed", "paid", "secret"}),
    ):
        found = storage.events(Filters(application=application_), readable, Page())
        assert {each.action for each in found} == expected
    assert {e.action for e in storage.events(Filters(application="shop", action="paid"), ("paid",), Page())} == {"paid"}


def test_a_backfill_makes_the_gists_that_are_missing_and_none_twice(storage: Storage, subscribed: Subscription) -> None:
    storage.add_action(action("order.paid"), ADMIN)
    old = [publish(storage).event for _ in range(3)]
    publish(storage, action="order.paid")
    late = storage.subscribe(subscription("/late"), "shop")
    both = publish(storage).event
    everything = Filters(since=old[0].timestamped)
    assert storage.backfill(late.subscription, everything, None, 100, dry_run=True) == (3, None)
    assert len(gists(storage)) == 5
    assert storage.backfill(late.subscription, everything, None, 100, dry_run=False) == (3, None)
    assert storage.backfill(late.subscription, everything, None, 100, dry_run=False) == (0, None)
    assert storage.backfill(subscribed.subscription, everything, None, 100, dry_run=False) == (0, None)
    made = {each.event for each in gists(storage) if each.subscription == late.subscription}
    assert made == {each.event for each in (*old, both)}
    assert {kept.fanout for each in (*old, both) if (kept := storage.event(each.event))} == {2}
    assert len(claim(storage)) == 8


@pytest.mark.usefixtures("subscribed")
def test_a_backfill_goes_in_steps_and_between_times(storage: Storage, later: Callable[[float], None]) -> None:
    publish_many(storage, 2)
    later(60)
    events = publish_many(storage, 5)
    late = storage.subscribe(subscription("/late"), "shop").subscription
    recent = Filters(since=events[0].timestamped - timedelta(seconds=1))
    steps: list[int] = []
    after = None
    while not steps or after:
        many, after = storage.backfill(late, recent, after, 2, dry_run=False)
        steps.append(many)
    assert steps == [2, 2, 1]
    before = replace(recent, since=None, until=recent.since)
    assert storage.backfill(late, before, None, 100, dry_run=False) == (2, None)


def test_a_subscription_that_was_ended_gets_no_backfill(storage: Storage, subscribed: Subscription) -> None:
    event = publish(storage).event
    late = storage.subscribe(subscription("/late"), "shop")
    storage.remove_subscription(late.subscription, "shop")
    since = Filters(since=event.timestamped)
    assert storage.backfill(late.subscription, since, None, 100, dry_run=False) == (0, None)
    assert {each.subscription for each in gists(storage)} == {subscribed.subscription}


def test_what_is_backfilled_into_lanes_comes_first(storage: Storage) -> None:
    storage.add_application(application("shop"), ADMIN)
    storage.add_action(action(), ADMIN)
    old = publish_many(storage, 2)
    ordered = storage.subscribe(subscription(ordered=True), "shop")
    new = publish(storage).event
    storage.backfill(ordered.subscription, Filters(since=old[0].timestamped), None, 100, dry_run=False)
    found = sorted(gists(storage), key=lambda gist: gist.position or 0)
    assert [each.event for each in found] == [each.event for each in (*old, new)]
    (first,) = claim(storage)
    assert first.event == old[0].event

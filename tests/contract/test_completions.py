"""Completing, in memory and in PostgreSQL alike: what is recorded, what pauses, and what is announced."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from uuid import UUID

import pytest

from app import audit
from app.broker import Broker
from app.model import Attempt, Completion, Event, Filters, Page, Selection, Status, Subscription
from app.ports import Storage
from app.rules import FAILED_ACTION, SYSTEM
from tests.contract.conftest import Later
from tests.contract.examples import (
    ADMIN,
    LEASE,
    NOW,
    application,
    claim,
    complete,
    endpoint_of,
    gist_of,
    outcome,
    paused,
    publish,
    publish_many,
    shop,
    subscription,
)


def status_of(storage: Storage, gist: UUID) -> Status | None:
    found = storage.gist(gist)
    return found.status if found else None


def announced(storage: Storage) -> tuple[Event, ...]:
    return storage.events(Filters(action=FAILED_ACTION), (), Page())


def answered(code: int | None, attempt: int = 1, error: str | None = None) -> Attempt:
    return Attempt(attempt, code, 12, "body", error, NOW)


@pytest.mark.usefixtures("subscribed")
def test_completes_a_batch_each_in_its_own_way(storage: Storage) -> None:
    publish_many(storage, 3)
    delivered, retried, failed = claim(storage)
    done = [
        outcome(delivered, Status.DELIVERED),
        outcome(retried, Status.RETRYING, delay=30),
        outcome(failed, Status.FAILED),
    ]
    assert storage.complete(done, ()) == 3
    assert claim(storage) == ()
    assert status_of(storage, retried.gist) is Status.RETRYING
    for status, delivery in (("delivered", delivered), ("retrying", retried), ("failed", failed)):
        assert [each.gist for each in storage.gists(Filters(status=status), Page())] == [delivery.gist]
        gist = gist_of(storage, delivery)
        assert (gist.attempts, gist.leased, len(gist.tries)) == (1, None, 1)
    seconds = storage.next_due()
    assert seconds is not None
    assert 29 < seconds <= 30


@pytest.mark.usefixtures("subscribed")
def test_each_attempt_is_recorded_and_the_next_counts_on(storage: Storage) -> None:
    publish(storage)
    (first,) = claim(storage)
    unanswered = Completion(first, Status.RETRYING, answered(None, error="no answer in time"), 1)
    storage.complete([unanswered], ())
    (second,) = claim(storage)
    assert (second.gist, second.attempt, second.retries) == (first.gist, 2, 1)
    asked = Attempt(2, 503, 7, "busy", None, NOW + timedelta(seconds=1), retry_after=3.0)
    storage.complete([Completion(second, Status.RETRYING, asked, 2, 0.0)], ())
    gist = gist_of(storage, second)
    assert (gist.attempts, gist.retries) == (2, 2)
    assert gist.tries == (answered(None, error="no answer in time"), replace(asked, retry_after=None))


@pytest.mark.usefixtures("subscribed")
def test_a_claim_that_was_lost_changes_nothing(storage: Storage, subscribed: Subscription, later: Later) -> None:
    publish(storage)
    (lost,) = claim(storage)
    later(LEASE.total_seconds() + 1)
    (rescued,) = claim(storage)
    before, endpoint = gist_of(storage, rescued), endpoint_of(storage, subscribed)
    failed = outcome(lost, Status.FAILED)
    assert storage.complete([failed], ()) == 0
    assert Broker(storage).complete([(replace(lost, max_retries=0), answered(500))])
    gone = outcome(lost, Status.PAUSED, code=410, gone=True)
    assert storage.complete([gone], ()) == 0
    assert (gist_of(storage, rescued), endpoint_of(storage, subscribed)) == (before, endpoint)
    assert storage.subscription(subscribed.subscription) == subscribed
    assert announced(storage) == ()
    assert complete(storage, [rescued], Status.DELIVERED) == 1
    gist = gist_of(storage, rescued)
    assert (gist.status, gist.attempts, [each.status for each in gist.tries]) == (Status.DELIVERED, 1, [200])
    assert complete(storage, [rescued], Status.FAILED) == 0  # once is enough


def test_one_that_outlived_its_lease_comes_in_one_batch_with_the_one_that_took_over(
    storage: Storage, subscribed: Subscription, later: Later
) -> None:
    publish(storage)
    (lost,) = claim(storage)
    later(LEASE.total_seconds() + 1)
    (rescued,) = claim(storage)
    assert storage.complete([outcome(lost, Status.RETRYING), outcome(rescued, Status.DELIVERED)], ()) == 1
    gist = gist_of(storage, rescued)
    assert (gist.status, [each.status for each in gist.tries]) == (Status.DELIVERED, [200])
    endpoint = endpoint_of(storage, subscribed)
    assert (endpoint.requests, endpoint.failures) == (1, 0)


@pytest.mark.usefixtures("subscribed")
def test_batches_in_opposite_order_do_not_lock_each_other_out(
    storage: Storage, in_threads: Callable[..., None]
) -> None:
    storage.subscribe(subscription("/other"), "shop")
    publish_many(storage, 200)
    claimed = claim(storage, 400)
    halves = claimed[::2], claimed[1::2][::-1]
    counted: list[int] = []
    in_threads(*[lambda half=half: counted.append(complete(storage, half, Status.DELIVERED)) for half in halves])
    assert counted == [200, 200]


def test_pauses_while_its_subscription_is_off(storage: Storage, subscribed: Subscription) -> None:
    publish(storage)
    storage.save_subscription(replace(subscribed, active=False), "shop")
    (delivery,) = claim(storage)
    assert not delivery.active
    storage.complete([paused(delivery)], ())
    gist = gist_of(storage, delivery)
    assert (gist.status, gist.attempts, gist.tries) == (Status.PAUSED, 0, ())
    assert storage.next_due() is None
    assert claim(storage) == ()
    storage.save_subscription(subscribed, "shop")
    assert status_of(storage, delivery.gist) is Status.PENDING
    assert len(claim(storage)) == 1


def test_what_was_tried_before_it_paused_is_to_be_retried(storage: Storage, subscribed: Subscription) -> None:
    publish(storage)
    complete(storage, claim(storage), Status.RETRYING)
    storage.save_subscription(replace(subscribed, active=False), "shop")
    (delivery,) = claim(storage)
    storage.complete([paused(delivery)], ())
    assert storage.gists(Filters(status="paused"), Page())[0].retries == 1
    storage.save_subscription(subscribed, "shop")
    (again,) = claim(storage)
    assert (status_of(storage, again.gist), again.attempt, again.retries) == (Status.RETRYING, 2, 1)


def test_a_pause_says_nothing_about_the_handler(storage: Storage, subscribed: Subscription) -> None:
    publish_many(storage, 12)
    storage.save_subscription(replace(subscribed, active=False), "shop")
    storage.complete([paused(each) for each in claim(storage)], ())
    endpoint = endpoint_of(storage, subscribed)
    assert (endpoint.breaker, endpoint.requests, endpoint.failures) == ("closed", 0, 0)


@pytest.mark.parametrize("what", ["subscription", "application"])
def test_what_would_pause_is_due_when_it_is_switched_on_again(
    storage: Storage, subscribed: Subscription, what: str
) -> None:
    publish(storage)

    def switch(*, active: bool) -> None:
        if what == "subscription":
            storage.save_subscription(replace(subscribed, active=active), "shop")
        else:
            storage.save_application(application("shop", active=active), ADMIN, "switch")

    switch(active=False)
    (delivery,) = claim(storage)
    switch(active=True)
    storage.complete([paused(delivery)], ())
    assert status_of(storage, delivery.gist) is Status.PENDING
    assert [each.gist for each in claim(storage)] == [delivery.gist]


def test_one_that_is_gone_is_switched_off_and_waits(storage: Storage, subscribed: Subscription) -> None:
    other = storage.subscribe(subscription("/other"), "shop")
    publish_many(storage, 2)
    revision, entries = storage.revision(), storage.audit_head()[0]
    mine = [each for each in claim(storage) if each.subscription == subscribed.subscription]
    gone = Broker(storage).complete([(mine[0], answered(410))])
    assert gone[0].gone
    assert storage.subscription(subscribed.subscription) == replace(subscribed, active=False)
    assert storage.subscription(other.subscription) == other
    gist = gist_of(storage, mine[0])
    assert (gist.status, [each.status for each in gist.tries]) == (Status.PAUSED, [410])
    assert storage.revision() == revision + 1
    (entry,) = storage.audit(entries, 10)
    assert (entry.actor, entry.verb, entry.subject) == (SYSTEM, "switch off", str(subscribed.subscription))
    assert publish(storage).event.fanout == 1
    Broker(storage).complete([(mine[1], answered(410))])
    assert storage.audit_head()[0] == entries + 1  # it was off already
    assert audit.verify(storage) == entries + 1
    storage.save_subscription(subscribed, "shop")
    assert {each.gist for each in claim(storage)} >= {each.gist for each in mine}


@pytest.mark.usefixtures("subscribed")
def test_a_gist_that_fails_for_good_is_announced_once_with_all_its_fields(storage: Storage) -> None:
    publish(storage)
    (delivery,) = claim(storage)
    last = replace(delivery, retries=5)
    for _ in range(2):
        Broker(storage).complete([(last, answered(None, error="no answer in time"))])
    (event,) = announced(storage)
    assert event.application == SYSTEM
    assert event.payload == {
        "gist": str(delivery.gist),
        "event": str(delivery.event),
        "subscription": str(delivery.subscription),
        "action": "order.placed",
        "application": "shop",
        "attempts": 1,
        "status": None,
        "error": "no answer in time",
    }


@pytest.mark.usefixtures("subscribed")
def test_one_that_fails_again_after_a_replay_is_news(storage: Storage) -> None:
    publish(storage)
    for attempt in (1, 2):
        (delivery,) = claim(storage)
        Broker(storage).complete([(replace(delivery, max_retries=0), answered(500, attempt))])
        Broker(storage).complete([(replace(delivery, max_retries=0), answered(500, attempt))])
        assert [each.payload["attempts"] for each in announced(storage)][::-1][0] == attempt
        storage.requeue(Selection((delivery.gist,)), None, 1, dry_run=False)
    assert len(announced(storage)) == 2


def test_an_announcement_goes_to_who_subscribed_to_it(storage: Storage, subscribed: Subscription) -> None:
    watching = storage.subscribe(subscription("/failed", action=FAILED_ACTION), ADMIN)
    publish(storage)
    (delivery,) = claim(storage)
    assert Broker(storage).complete([(replace(delivery, max_retries=0), answered(500))])
    (news,) = claim(storage)
    assert (news.subscription, news.action) == (watching.subscription, FAILED_ACTION)
    Broker(storage).complete([(replace(news, max_retries=0), answered(500))])
    assert status_of(storage, news.gist) is Status.FAILED
    assert len(announced(storage)) == 1  # of an announcement that fails there is none
    assert endpoint_of(storage, subscribed).failures == 1


@pytest.mark.usefixtures("subscribed")
def test_what_is_retried_or_delivered_is_not_announced(storage: Storage) -> None:
    publish_many(storage, 2)
    one, other = claim(storage)
    Broker(storage).complete([(one, answered(500)), (other, answered(200))])
    assert announced(storage) == ()


def test_an_announcement_is_stored_while_the_registry_changes(
    storage: Storage, in_threads: Callable[..., None]
) -> None:
    shop(storage, max_retries=0)
    publish_many(storage, 60)
    claimed = claim(storage)

    def fail() -> None:
        for each in claimed:
            Broker(storage).complete([(each, answered(500))])

    def change() -> None:
        for number in range(120):
            storage.save_application(application("shop", description=str(number)), ADMIN, "change application")

    in_threads(fail, change)
    assert len(storage.gists(Filters(status="failed"), Page(per_page=100))) == 60
    assert len(storage.events(Filters(action=FAILED_ACTION), (), Page(per_page=100))) == 60


def test_switching_off_and_setting_up_at_one_moment_do_not_lock_each_other_out(
    storage: Storage, in_threads: Callable[..., None]
) -> None:
    one = shop(storage)
    other = storage.subscribe(subscription("/other"), "shop")
    publish_many(storage, 2)
    other = replace(other, active=False)

    def leave() -> None:
        for _ in range(40):
            storage.save_subscription(one, "shop")
            storage.requeue(Selection((), Filters(status="paused")), None, 10, dry_run=False)
            claimed = claim(storage)
            left = [
                Completion(each, Status.PAUSED, answered(410, each.attempt), 0, gone=True)
                if each.subscription == one.subscription
                else paused(each)
                for each in claimed
            ]
            assert storage.complete(left, ()) == len(claimed) == 4

    def set_up() -> None:
        for number in range(60):
            storage.save_subscription(replace(other, description=str(number)), "shop")

    in_threads(leave, set_up)
    assert audit.verify(storage) == storage.audit_head()[0]

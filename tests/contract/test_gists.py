"""Gists as they are listed, explained and sent again, in memory and in PostgreSQL alike."""

from collections.abc import Callable
from datetime import timedelta
from uuid import UUID

import pytest

from app import rules
from app.model import Breaker, Filters, Page, Selection, Status, Subscription
from app.ports import Storage
from tests.contract.conftest import Later
from tests.contract.examples import (
    ADMIN,
    application,
    claim,
    complete,
    endpoint_of,
    gist_of,
    new_id,
    paused,
    publish,
    publish_many,
    shop,
    subscription,
)


def fail(storage: Storage, number: int) -> list[UUID]:
    """So many gists that have failed."""
    publish_many(storage, number)
    failed = claim(storage)
    complete(storage, failed, Status.FAILED)
    return sorted(each.gist for each in failed)


def requeue(storage: Storage, selection: Selection, *, dry_run: bool = False) -> int:
    many, after = storage.requeue(selection, None, 1000, dry_run=dry_run)
    assert after is None
    return many


def listed(storage: Storage, status: str) -> list[UUID]:
    return [each.gist for each in storage.gists(Filters(status=status), Page(per_page=1000))]


def test_finds_gists_by_what_they_are(storage: Storage, subscribed: Subscription) -> None:
    storage.add_application(application("bank"), ADMIN)
    theirs = storage.subscribe(subscription(application="bank"), "bank")
    first, second = publish(storage).event, publish(storage).event
    complete(storage, claim(storage, 1), Status.DELIVERED)
    for filters, many in (
        (Filters(), 4),
        (Filters(event=first.event), 2),
        (Filters(event=new_id()), 0),
        (Filters(subscription=subscribed.subscription), 2),
        (Filters(application="bank"), 2),
        (Filters(application="nobody"), 0),
        (Filters(action="order.placed"), 4),
        (Filters(action="order.paid"), 0),
        (Filters(status="pending"), 3),
        (Filters(status="delivered"), 1),
        (Filters(event=second.event, subscription=theirs.subscription), 1),
        (Filters(since=first.timestamped), 4),
        (Filters(until=first.timestamped), 0),
    ):
        assert len(storage.gists(filters, Page())) == many, filters
    ids = [each.gist for each in storage.gists(Filters(), Page())]
    assert ids == sorted(ids)
    page = Page(per_page=2, key=str(ids[0]))
    assert [each.gist for each in storage.gists(Filters(), page)] == ids[1:4]
    assert (storage.gist(new_id()), storage.situation(new_id())) == (None, None)


@pytest.mark.usefixtures("subscribed")
def test_a_replay_has_all_its_retries_before_it(storage: Storage) -> None:
    (gist,) = fail(storage, 1)
    assert requeue(storage, Selection((gist,))) == 1
    (again,) = claim(storage)
    assert (again.gist, again.attempt, again.retries) == (gist, 2, 0)
    assert requeue(storage, Selection((new_id(),))) == 0


@pytest.mark.usefixtures("subscribed")
def test_a_replay_takes_the_gist_from_who_holds_it(storage: Storage) -> None:
    publish(storage)
    lost = claim(storage)
    assert requeue(storage, Selection((lost[0].gist,))) == 1
    assert complete(storage, lost, Status.DELIVERED) == 0
    (again,) = claim(storage)
    assert (again.gist, again.attempt) == (lost[0].gist, 1)


@pytest.mark.usefixtures("subscribed")
def test_a_dry_run_counts_and_changes_nothing(storage: Storage) -> None:
    failed = fail(storage, 3)
    assert requeue(storage, Selection((), Filters(status="failed")), dry_run=True) == 3
    assert requeue(storage, Selection(tuple(failed[:1])), dry_run=True) == 1
    assert listed(storage, "failed") == failed


@pytest.mark.usefixtures("subscribed")
def test_gists_are_sent_again_by_their_ids_or_by_a_filter(storage: Storage) -> None:
    failed = fail(storage, 5)
    delivered = publish(storage).event
    complete(storage, claim(storage), Status.DELIVERED)
    assert requeue(storage, Selection(tuple(failed[:2]))) == 2
    assert listed(storage, "failed") == failed[2:]
    assert requeue(storage, Selection((), Filters(status="failed", until=delivered.timestamped))) == 3
    assert requeue(storage, Selection((), Filters(status="failed"))) == 0
    assert requeue(storage, Selection((), Filters(event=delivered.event))) == 1
    assert {each.gist for each in claim(storage)} >= set(failed)


@pytest.mark.usefixtures("subscribed")
def test_many_are_sent_again_in_steps(storage: Storage) -> None:
    failed = fail(storage, 5)
    selection = Selection((), Filters(status="failed"))
    steps: list[int] = []
    after = None
    while not steps or after:
        many, after = storage.requeue(selection, after, 2, dry_run=False)
        steps.append(many)
        assert listed(storage, "failed") == failed[sum(steps) :]
    assert steps == [2, 2, 1]


def test_only_the_gists_of_one_application_are_sent_again(storage: Storage, subscribed: Subscription) -> None:
    storage.add_application(application("bank"), ADMIN)
    theirs = storage.subscribe(subscription(application="bank"), "bank")
    both = fail(storage, 1)
    assert requeue(storage, Selection(tuple(both), Filters(application="bank"))) == 1
    (again,) = claim(storage)
    assert again.subscription == theirs.subscription
    assert requeue(storage, Selection((), Filters(subscription=subscribed.subscription, application="bank"))) == 0


Arrange = Callable[[Storage, Later], object]


def _asleep(storage: Storage, _: Later) -> None:
    complete(storage, claim(storage), Status.RETRYING, delay=30)


def _paused(storage: Storage, _: Later) -> None:
    storage.save_application(application("shop", active=False), ADMIN, "switch application off")
    storage.complete([paused(each) for each in claim(storage)], ())


def _off(storage: Storage, _: Later) -> None:
    (mine,) = storage.subscriptions(Filters(), Page())
    storage.remove_subscription(mine.subscription, "shop")


def _broken(storage: Storage, later: Later) -> None:
    for _ in range(2):
        publish_many(storage, 5)
        complete(storage, claim(storage), Status.RETRYING)
    later(1)


def _exhausted(storage: Storage, _: Later) -> None:
    (mine,) = storage.subscriptions(Filters(), Page())
    storage.save_subscription(subscription(rate_limit=1.0, subscription=mine.subscription), "shop")
    publish_many(storage, 1)
    claim(storage)


REASONS: dict[str, Arrange] = {
    "due": lambda *_: None,
    "under_way": lambda storage, _: claim(storage),
    "waiting_for_retry": _asleep,
    "delivered": lambda storage, _: complete(storage, claim(storage), Status.DELIVERED),
    "failed": lambda storage, _: complete(storage, claim(storage), Status.FAILED),
    "paused": _paused,
    "about_to_pause": _off,
    "breaker_open": _broken,
    "rate_limited": _exhausted,
}


@pytest.mark.usefixtures("subscribed")
@pytest.mark.parametrize("reason", REASONS)
def test_a_situation_says_why_a_gist_is_where_it_is(storage: Storage, later: Later, reason: str) -> None:
    publish(storage)
    REASONS[reason](storage, later)
    reasons = {}
    for gist in storage.gists(Filters(), Page()):
        situation = storage.situation(gist.gist)
        assert situation is not None
        reasons[gist.gist] = rules.explain(situation)[0]
    assert reason in reasons.values(), reasons


@pytest.mark.usefixtures("subscribed")
def test_a_situation_holds_all_of_the_gist(storage: Storage) -> None:
    publish(storage)
    (delivery,) = claim(storage)
    complete(storage, [delivery], Status.RETRYING, delay=30)
    situation = storage.situation(delivery.gist)
    assert situation is not None
    assert situation.gist == gist_of(storage, delivery)
    assert (len(situation.gist.tries), situation.before, situation.application_active) == (1, None, True)
    assert situation.endpoint.requests == situation.endpoint.failures == 1
    assert timedelta(seconds=25) < situation.gist.due - situation.now <= timedelta(seconds=30)


def test_a_situation_names_the_one_that_goes_before(storage: Storage) -> None:
    shop(storage, ordered=True)
    events = [publish(storage, metadata={"key": key}).event for key in "aaba"]
    found = {each.event: each.gist for each in storage.gists(Filters(), Page())}
    ids = [found[each.event] for each in events]
    before = [situation.before for each in ids if (situation := storage.situation(each))]
    assert before == [None, ids[0], None, ids[0]]
    complete(storage, [each for each in claim(storage) if each.gist == ids[0]], Status.DELIVERED)
    before = [situation.before for each in ids if (situation := storage.situation(each))]
    assert before == [None, None, None, ids[1]]


@pytest.mark.usefixtures("subscribed")
def test_knows_when_the_next_gets_due(storage: Storage, later: Later) -> None:
    assert storage.next_due() is None
    publish_many(storage, 3)
    assert storage.next_due() is None  # what is due is to be claimed, not waited for
    soon, late, _ = claim(storage, 3)
    complete(storage, [late], Status.RETRYING, delay=30)
    complete(storage, [soon], Status.RETRYING, delay=10)
    seconds = storage.next_due()
    assert seconds is not None
    assert 5 < seconds <= 10
    later(11)
    seconds = storage.next_due()
    assert seconds is not None
    assert 15 < seconds <= 19


@pytest.mark.parametrize("ordered", [False, True])
def test_tells_how_much_waits_and_for_how_long(storage: Storage, later: Later, ordered: bool) -> None:
    assert (storage.backlog().due, storage.backlog().oldest_seconds) == (0, 0.0)
    mine = shop(storage, ordered=ordered)
    publish(storage, metadata={"key": "a"})
    later(30)
    publish(storage, metadata={"key": "b"})
    backlog = storage.backlog()
    assert backlog.due == 2
    assert 30 <= backlog.oldest_seconds < 60
    assert backlog.breakers == {"closed": 1, "open": 0, "half_open": 0}
    complete(storage, claim(storage), Status.RETRYING, delay=60)
    assert (storage.backlog().due, storage.backlog().oldest_seconds) == (0, 0.0)
    assert endpoint_of(storage, mine).breaker is Breaker.CLOSED


@pytest.mark.usefixtures("subscribed")
def test_counts_breakers_by_their_state(storage: Storage, later: Later) -> None:
    storage.subscribe(subscription("/never", active=False), "shop")
    publish_many(storage, 10)
    complete(storage, claim(storage), Status.RETRYING)
    assert storage.backlog().breakers == {"closed": 1, "open": 1, "half_open": 0}
    later(31)
    assert len(claim(storage)) == 1
    assert storage.backlog().breakers == {"closed": 1, "open": 0, "half_open": 1}


def test_endpoints_are_those_that_were_asked_for(storage: Storage, subscribed: Subscription) -> None:
    other = storage.subscribe(subscription("/other"), "shop")
    found = storage.endpoints([other.subscription, subscribed.subscription, new_id()])
    assert {each.subscription for each in found} == {other.subscription, subscribed.subscription}
    assert storage.endpoints([]) == ()

"""What every storage does, in memory and in PostgreSQL alike."""

import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest

from app.errors import Conflict
from app.model import (
    Action,
    Application,
    Attempt,
    Completion,
    Delivery,
    Filters,
    Page,
    Publication,
    Status,
    Subscription,
)
from app.ports import Storage
from app.rules import uuid7
from app.storage import postgres
from app.storage.memory import MemoryStorage
from app.storage.postgres import PostgresStorage

LEASE = timedelta(seconds=60)
NOW = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture(params=["memory", "postgres"])
def storage(request: pytest.FixtureRequest) -> Iterator[Storage]:
    if request.param == "memory":
        yield MemoryStorage()
        return
    pool = postgres.connect(request.getfixturevalue("dsn"), 4)
    yield PostgresStorage(pool)
    pool.close()


@pytest.fixture
def subscribed(storage: Storage) -> Subscription:
    """An application with an action and a subscription to it."""
    storage.add_application(application("shop"))
    storage.add_action(action("order.placed"))
    return storage.subscribe(subscription())


def application(name: str) -> Application:
    return Application(
        name, "http://shop.test", "a secret of the shop", name.encode(), "", active=True, timestamped=NOW
    )


def action(name: str, application: str = "shop") -> Action:
    return Action(name, application, {"type": "object"}, 1, NOW)


def subscription(handler: str = "/hooks", application: str = "shop") -> Subscription:
    identity = uuid7(datetime.now(UTC), uuid4().int)
    return Subscription(identity, application, "order.placed", handler, 5, "", active=True, timestamped=NOW)


def publication(key: str = "", *, content: str = "same", sleep_until: datetime | None = None) -> Publication:
    return Publication(
        event=uuid7(datetime.now(UTC), uuid4().int),
        action="order.placed",
        application="shop",
        payload={"z": 1, "a": content},
        metadata={"trace": "t"},
        deduper=key or None,
        sleep_until=sleep_until,
        publisher="shop",
        key=key or str(uuid4()),
        digest=content.encode(),
    )


def completion(delivery: Delivery, status: Status, delay: float = 0.0) -> Completion:
    answered = 200 if status is Status.DELIVERED else 500
    attempt = Attempt(delivery.attempt, answered, 12, "body", None, NOW)
    return Completion(delivery, status, attempt, delivery.retries + (status is Status.RETRYING), delay)


def test_registers_an_application_once(storage: Storage) -> None:
    added = storage.add_application(application("shop"))
    assert (added.application, added.secret, added.active) == ("shop", "a secret of the shop", True)
    with pytest.raises(Conflict):
        storage.add_application(application("shop"))
    assert storage.application_by_apikey(b"shop") == storage.application("shop") == added
    assert storage.application_by_apikey(b"other") is storage.application("other") is None


@pytest.mark.usefixtures("subscribed")
def test_keeps_what_is_still_named(storage: Storage) -> None:
    with pytest.raises(Conflict):
        storage.remove_application("shop")
    with pytest.raises(Conflict):
        storage.remove_action("order.placed")
    storage.add_application(application("idle"))
    assert storage.remove_application("idle")
    assert not storage.remove_application("idle")


@pytest.mark.usefixtures("subscribed")
def test_counts_the_versions_of_a_schema(storage: Storage) -> None:
    saved = storage.save_action(replace(action("order.placed"), schemata={"type": "object", "minProperties": 1}))
    assert saved is not None
    assert (saved.version, saved.schemata["minProperties"]) == (2, 1)
    assert storage.save_action(action("unknown")) is None


def test_walks_a_list_forwards_and_back(storage: Storage) -> None:
    for name in ("b", "A", "c", "a-1", "d"):
        storage.add_application(application(name))
    everything = [each.application for each in storage.applications(Filters(), Page())]
    assert everything == ["A", "a-1", "b", "c", "d"]  # by byte, whatever the locale
    page = Page(per_page=2)
    assert [each.application for each in storage.applications(Filters(), page)] == ["A", "a-1", "b"]
    beyond = replace(page, key="a-1")
    assert [each.application for each in storage.applications(Filters(), beyond)] == ["b", "c", "d"]
    back = replace(page, key="c", backwards=True)
    assert [each.application for each in storage.applications(Filters(), back)] == ["b", "a-1", "A"]
    falling = replace(page, descending=True)
    assert [each.application for each in storage.applications(Filters(), falling)] == ["d", "c", "b"]


@pytest.mark.usefixtures("subscribed")
def test_publishes_once_for_each_key(storage: Storage) -> None:
    first = storage.publish(publication("k"))
    assert (first.duplicate, first.same_content, first.event.fanout) == (False, True, 1)
    assert list(first.event.payload) == ["z", "a"]
    again = storage.publish(publication("k"))
    assert (again.duplicate, again.same_content, again.event) == (True, True, first.event)
    other = storage.publish(publication("k", content="other"))
    assert (other.duplicate, other.same_content, other.event.event) == (True, False, first.event.event)
    assert not storage.publish(replace(publication("k"), publisher="@admin")).duplicate
    assert len(storage.gists(Filters(), Page())) == 2


@pytest.mark.usefixtures("subscribed")
def test_two_publications_of_one_key_at_one_moment_are_one_event(storage: Storage) -> None:
    barrier, results = threading.Barrier(4), []

    def publish() -> None:
        barrier.wait()
        results.append(storage.publish(publication("k")))

    threads = [threading.Thread(target=publish) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(result.duplicate for result in results) == [False, True, True, True]
    assert len({result.event.event for result in results}) == 1


@pytest.mark.usefixtures("subscribed")
def test_finds_events_by_what_they_are(storage: Storage) -> None:
    kept = storage.publish(publication("k")).event
    storage.publish(publication())
    assert storage.events(Filters(deduper="k"), Page()) == (kept,)
    assert storage.event(kept.event) == kept
    assert storage.events(Filters(action="other"), Page()) == ()
    assert storage.events(Filters(since=kept.timestamped), Page()) == storage.events(
        Filters(application="shop"), Page()
    )
    assert storage.events(Filters(until=kept.timestamped), Page()) == ()


def test_subscribing_again_revives_the_subscription(storage: Storage, subscribed: Subscription) -> None:
    assert storage.remove_subscription(subscribed.subscription)
    assert not storage.remove_subscription(subscribed.subscription)
    assert storage.subscription(subscribed.subscription) is None
    assert storage.subscriptions(Filters(), Page()) == ()
    assert storage.publish(publication()).event.fanout == 0
    assert storage.subscribe(subscription()).subscription == subscribed.subscription
    assert storage.publish(publication()).event.fanout == 1


@pytest.mark.usefixtures("subscribed")
def test_two_subscriptions_do_not_share_a_handler(storage: Storage) -> None:
    other = storage.subscribe(subscription("/other"))
    with pytest.raises(Conflict):
        storage.save_subscription(replace(other, handler="/hooks"))


@pytest.mark.usefixtures("subscribed")
def test_claims_with_all_that_a_delivery_takes(storage: Storage) -> None:
    event = storage.publish(publication()).event
    (delivery,) = storage.claim(10, LEASE)
    assert (delivery.event, delivery.payload, delivery.metadata) == (event.event, event.payload, event.metadata)
    assert (delivery.url, delivery.secret) == ("http://shop.test/hooks", "a secret of the shop")
    assert (delivery.attempt, delivery.retries, delivery.max_retries, delivery.active) == (1, 0, 5, True)


@pytest.mark.usefixtures("subscribed")
def test_claims_nothing_twice_while_the_lease_lasts(storage: Storage) -> None:
    for _ in range(5):
        storage.publish(publication())
    assert len(storage.claim(3, LEASE)) == 3
    assert len(storage.claim(3, LEASE)) == 2
    assert storage.claim(3, LEASE) == ()


@pytest.mark.usefixtures("subscribed")
def test_rescues_the_gists_of_a_dead_dispatcher(storage: Storage) -> None:
    storage.publish(publication())
    (lost,) = storage.claim(1, timedelta())
    (rescued,) = storage.claim(1, LEASE)
    assert rescued.gist == lost.gist
    assert storage.complete((completion(lost, Status.FAILED),)) == 0  # back from the dead, and fenced off
    assert storage.complete((completion(rescued, Status.DELIVERED),)) == 1
    gist = storage.gist(rescued.gist)
    assert gist is not None
    assert (gist.status, gist.attempts, [each.status for each in gist.tries]) == (Status.DELIVERED, 1, [200])


@pytest.mark.usefixtures("subscribed")
def test_completes_a_batch_each_in_its_own_way(storage: Storage) -> None:
    for _ in range(3):
        storage.publish(publication())
    delivered, retried, failed = storage.claim(3, LEASE)
    done = (
        completion(delivered, Status.DELIVERED),
        completion(retried, Status.RETRYING, delay=30),
        completion(failed, Status.FAILED),
    )
    assert storage.complete(done) == 3
    assert storage.claim(3, LEASE) == ()
    assert _status(storage, retried.gist) is Status.RETRYING
    assert [gist.gist for gist in storage.gists(Filters(status="failed"), Page())] == [failed.gist]
    seconds = storage.next_due()
    assert seconds is not None
    assert 29 < seconds <= 30


@pytest.mark.usefixtures("subscribed")
def test_a_retry_counts_on(storage: Storage) -> None:
    storage.publish(publication())
    (first,) = storage.claim(1, LEASE)
    storage.complete((completion(first, Status.RETRYING),))
    (second,) = storage.claim(1, LEASE)
    assert (second.gist, second.attempt, second.retries) == (first.gist, 2, 1)


@pytest.mark.usefixtures("subscribed")
def test_releases_what_was_not_started(storage: Storage) -> None:
    storage.publish(publication())
    claimed = storage.claim(1, LEASE)
    storage.release(claimed)
    (again,) = storage.claim(1, LEASE)
    assert (again.gist, again.attempt) == (claimed[0].gist, 1)
    storage.release(claimed)  # of another claim: no effect
    assert storage.claim(1, LEASE) == ()


def test_pauses_while_its_subscription_is_off(storage: Storage, subscribed: Subscription) -> None:
    storage.publish(publication())
    storage.save_subscription(replace(subscribed, active=False))
    (delivery,) = storage.claim(1, LEASE)
    assert not delivery.active
    storage.complete((Completion(delivery, Status.PAUSED, None, 0),))
    gist = storage.gist(delivery.gist)
    assert gist is not None
    assert (gist.status, gist.attempts, gist.tries) == (Status.PAUSED, 0, ())
    assert storage.next_due() is None
    storage.save_subscription(subscribed)
    assert _status(storage, delivery.gist) is Status.PENDING
    assert len(storage.claim(1, LEASE)) == 1


def test_what_would_pause_is_due_when_its_subscription_is_on_again(storage: Storage, subscribed: Subscription) -> None:
    storage.publish(publication())
    storage.save_subscription(replace(subscribed, active=False))
    (delivery,) = storage.claim(1, LEASE)
    storage.save_subscription(subscribed)
    storage.complete((Completion(delivery, Status.PAUSED, None, 0),))
    assert _status(storage, delivery.gist) is Status.PENDING
    assert [each.gist for each in storage.claim(1, LEASE)] == [delivery.gist]


@pytest.mark.usefixtures("subscribed")
def test_replays_a_gist_with_all_its_retries(storage: Storage) -> None:
    storage.publish(publication())
    (delivery,) = storage.claim(1, LEASE)
    storage.complete((completion(replace(delivery, retries=5), Status.FAILED),))
    assert storage.replay(delivery.gist)
    (again,) = storage.claim(1, LEASE)
    assert (again.gist, again.attempt, again.retries) == (delivery.gist, 2, 0)
    assert not storage.replay(uuid4())


@pytest.mark.usefixtures("subscribed")
def test_sleeps_until_its_time(storage: Storage) -> None:
    storage.publish(publication(sleep_until=datetime.now(UTC) + timedelta(seconds=50)))
    assert storage.claim(1, LEASE) == ()
    seconds = storage.next_due()
    assert seconds is not None
    assert 45 < seconds <= 50


def _status(storage: Storage, gist: UUID) -> Status | None:
    found = storage.gist(gist)
    return found.status if found else None

"""A gist as a state machine: dispatchers claim, die, come back too late and answer; people pause, replay and backfill.

The same machine runs on both storages. Time passes by saying so: in memory the clock goes on, in PostgreSQL everything
that was stored lies further back.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from uuid import UUID

import psycopg
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from app import rules
from app.broker import Broker
from app.model import (
    Action,
    Application,
    Attempt,
    Delivery,
    Filters,
    Gist,
    Page,
    Principal,
    Publication,
    Room,
    Selection,
    Status,
    Subscription,
)
from app.ports import Storage
from app.storage.memory import MemoryStorage
from app.storage.postgres import PostgresStorage, connect

LEASE = timedelta(seconds=60)
NOW = datetime(2026, 1, 1, tzinfo=UTC)
ALL = Page(per_page=10_000)
ADMIN = Principal("admin", administrator=True)
OPEN = (Status.PENDING, Status.RETRYING)
ENDED = (Status.DELIVERED, Status.FAILED)
PLAIN, ORDERED, LIMITED, NEWS = (UUID(int=number) for number in range(1, 5))
DISPATCHERS = st.sampled_from(["one", "two", "three"])
OUTCOMES = st.sampled_from([200, 500, 410, None])
SUBSCRIPTIONS = (
    Subscription(PLAIN, "shop", "order.placed", "/plain", 1, "", active=True, timestamped=NOW),
    Subscription(ORDERED, "shop", "order.placed", "/ordered", 1, "", active=True, timestamped=NOW, ordered=True),
    Subscription(LIMITED, "shop", "order.placed", "/limited", 0, "", active=True, timestamped=NOW, rate_limit=2.0),
    Subscription(NEWS, "shop", rules.FAILED_ACTION, "/news", 0, "", active=True, timestamped=NOW),
)


@dataclass
class World:
    """A storage, and how to let time pass there."""

    storage: Storage
    elapse: Callable[[timedelta], None]


@dataclass
class Held:
    """What a dispatcher has under way; `ends` by the machine's own clock."""

    delivery: Delivery
    dispatcher: str
    ends: timedelta


@dataclass
class Known:
    """What the machine knows of a gist beside what is stored."""

    claim: UUID | None = None
    ends: timedelta = timedelta()
    attempts: int = 0
    came_back: bool = False  # replayed, resumed or backfilled: no longer in the order of publication
    ended_by: set[UUID] = field(default_factory=set)


class GistMachine(RuleBasedStateMachine):
    """Rules are what may happen, in any order; invariants are what holds in between.

    No rule has a precondition: which gists a claim takes is partly chance, and hypothesis wants to know of none.
    """

    world: World

    def __init__(self) -> None:
        super().__init__()
        self.storage, self.broker = self.world.storage, Broker(self.world.storage)
        self.now = timedelta()
        self.known: dict[UUID, Known] = {}
        self.under_way: list[Held] = []
        self.ghosts: list[Delivery] = []  # of dispatchers that died, gave up or are done: whoever answers is too late
        self.published: set[UUID] = set()
        self.publishes = self.deaths = 0

    @rule(key=st.sampled_from(["a", "b"]), deduper=st.sampled_from([None, None, "k"]), sleeps=st.booleans())
    def publish(self, key: str, deduper: str | None, sleeps: bool) -> None:
        metadata = {"key": key}
        self.publishes += 1
        publication = Publication(
            event=rules.uuid7(NOW + timedelta(seconds=self.publishes), 0),  # the same in a repetition
            action="order.placed",
            application="shop",
            payload={},
            metadata=metadata,
            deduper=deduper,
            sleep_until=self._clock() + timedelta(seconds=100) if sleeps else None,
            publisher="shop",
            key=deduper,
            digest=b"",
            lane=rules.lane(metadata),
            revision=self.storage.revision(),
        )
        (published,) = self.storage.publish([publication])
        assert published is not None
        assert published.duplicate is (published.event.event in self.published)
        self.published.add(published.event.event)

    @rule(dispatcher=DISPATCHERS, limit=st.integers(1, 8))
    def claim(self, dispatcher: str, limit: int) -> None:
        before = self._gists()
        for delivery in self.broker.claim(Room(limit, 2 * limit), LEASE).deliveries:
            gist, known = before[delivery.gist], self._known(delivery.gist)
            assert gist.status in OPEN
            assert known.claim is None or known.ends <= self.now, "somebody holds it"
            assert delivery.attempt == gist.attempts + 1
            self._assert_first_of_its_lane(gist, before, delivery)
            known.claim, known.ends = delivery.claim, self.now + LEASE
            self.under_way.append(Held(delivery, dispatcher, known.ends))

    def _assert_first_of_its_lane(self, gist: Gist, before: dict[UUID, Gist], delivery: Delivery) -> None:
        if gist.lane is None or not delivery.active:  # what is off is only being put aside
            return
        lane = [each for each in before.values() if (each.subscription, each.lane) == (gist.subscription, gist.lane)]
        first = min((each for each in lane if each.status in OPEN), key=lambda each: each.position or 0)
        assert first.gist == gist.gist, "out of order"
        others = [self._known(each.gist) for each in lane if each.gist != gist.gist]
        held = any(each.claim and each.ends > self.now for each in others)
        assert not held or self._known(gist.gist).came_back, "two of a lane at once"

    @rule(place=st.integers(0, 100), status=OUTCOMES)
    def complete(self, place: int, status: int | None) -> None:
        if self.under_way:
            self._complete(self.under_way.pop(place % len(self.under_way)).delivery, status)

    @rule(place=st.integers(0, 100), status=OUTCOMES)
    def complete_too_late(self, place: int, status: int | None) -> None:
        if self.ghosts:
            self._complete(self.ghosts[place % len(self.ghosts)], status)

    @rule(dispatcher=DISPATCHERS)
    def crash(self, dispatcher: str) -> None:
        died = [held for held in self.under_way if held.dispatcher == dispatcher]
        self.under_way = [held for held in self.under_way if held.dispatcher != dispatcher]
        self.ghosts += [held.delivery for held in died]

    @rule(dispatcher=DISPATCHERS)
    def release(self, dispatcher: str) -> None:
        given_back = [held.delivery for held in self.under_way if held.dispatcher == dispatcher]
        self.crash(dispatcher)
        self.broker.release(given_back)
        for delivery in given_back:
            if self._known(delivery.gist).claim == delivery.claim:
                self._known(delivery.gist).claim = None

    @rule(seconds=st.sampled_from([1, 10, 61, 4000]))
    def time_passes(self, seconds: int) -> None:
        self.world.elapse(timedelta(seconds=seconds))
        self.now += timedelta(seconds=seconds)

    @rule(subscription=st.sampled_from([PLAIN, ORDERED, LIMITED]), active=st.booleans())
    def switch(self, subscription: UUID, active: bool) -> None:
        paused = [gist for gist in self._gists().values() if gist.status is Status.PAUSED]
        found = self.storage.subscription(subscription)
        assert found is not None
        self.storage.save_subscription(replace(found, active=active), "admin")
        for gist in paused:
            self._known(gist.gist).came_back |= active and gist.subscription == subscription

    @rule(place=st.integers(0, 100))
    def replay(self, place: int) -> None:
        if self.known:
            gist = sorted(self.known)[place % len(self.known)]
            self.broker.replay(ADMIN, gist)
            self._requeued([gist])

    @rule(status=st.sampled_from(Status), subscription=st.sampled_from([PLAIN, ORDERED]), dry=st.booleans())
    def requeue(self, status: Status, subscription: UUID, dry: bool) -> None:
        filters = Filters(status=status, subscription=subscription)
        found = [each.gist for each in self.storage.gists(filters, ALL)]
        many, _ = self.storage.requeue(Selection(filters=filters), None, 1000, dry_run=dry)
        assert many == len(found)
        if not dry:
            self._requeued(found)

    @rule(subscription=st.sampled_from([PLAIN, ORDERED]))
    def backfill(self, subscription: UUID) -> None:
        before = self._gists()
        self.broker.backfill(ADMIN, subscription, Filters(since=NOW - timedelta(days=3650)), dry_run=False)
        for gist in self._gists().keys() - before.keys():
            self._known(gist).came_back = True

    @invariant()
    def no_event_is_lost(self) -> None:
        events = {each.event: each for each in self.storage.events(Filters(), (), ALL)}
        gists = self._gists()
        assert self.published <= events.keys()
        assert Counter(gist.event for gist in gists.values()) == Counter(
            {event: each.fanout for event, each in events.items() if each.fanout}
        )
        for gist in gists.values():
            assert gist.status in (*OPEN, Status.PAUSED, *ENDED)
            assert gist.attempts >= self._known(gist.gist).attempts
            self._known(gist.gist).attempts = gist.attempts

    @invariant()
    def each_dead_letter_is_announced(self) -> None:
        assert len(self.storage.events(Filters(action=rules.FAILED_ACTION), (), ALL)) == self.deaths

    def teardown(self) -> None:
        """Dispatchers that live and handlers that accept bring everything to an end, and each attempt is on record."""
        for each in SUBSCRIPTIONS:
            self.storage.save_subscription(each, "admin")
        for _ in range(1000):
            if not any(gist.status in OPEN for gist in self._gists().values()):
                break
            self.time_passes(4000)
            self.under_way.clear()
            self.claim("one", 1000)
            while self.under_way:
                self.complete(0, 200)
        for identity in self._gists():
            self._assert_recorded(self.storage.gist(identity))

    def _assert_recorded(self, gist: Gist | None) -> None:
        assert gist is not None
        assert gist.status in ENDED
        assert [each.attempt for each in gist.tries] == list(range(1, gist.attempts + 1))
        assert gist.tries[-1].succeeded is (gist.status is Status.DELIVERED)

    def _complete(self, delivery: Delivery, status: int | None) -> None:
        """Recorded by whoever holds the claim, also after its lease while nobody else took it; else nothing changes."""
        before, known = self.storage.gist(delivery.gist), self._known(delivery.gist)
        done = None
        if delivery.active:
            done = Attempt(delivery.attempt, status, 1, "", None if status else "no answer", datetime.now(UTC))
        (completion,) = self.broker.complete([(delivery, done)])
        after = self.storage.gist(delivery.gist)
        assert before is not None
        assert after is not None
        self.ghosts.append(delivery)
        if known.claim != delivery.claim:
            assert after == before, "a lost claim changed it"
            return
        known.claim = None
        if after.status in ENDED:
            assert delivery.claim not in known.ended_by, "one claim ended it twice"
            known.ended_by.add(delivery.claim)
        assert after.attempts == before.attempts + (done is not None)
        assert after.status is completion.status or (completion.status is Status.PAUSED and after.status in OPEN)
        self.deaths += after.status is Status.FAILED and delivery.action != rules.FAILED_ACTION

    def _requeued(self, gists: list[UUID]) -> None:
        for gist in gists:
            self._known(gist).claim, self._known(gist).came_back = None, True

    def _gists(self) -> dict[UUID, Gist]:
        return {gist.gist: gist for gist in self.storage.gists(Filters(), ALL)}

    def _known(self, gist: UUID) -> Known:
        return self.known.setdefault(gist, Known())

    def _clock(self) -> datetime:
        """The storage's."""
        return self.storage.clock() if isinstance(self.storage, MemoryStorage) else datetime.now(UTC)


def set_up(storage: Storage) -> None:
    application = Application("shop", "http://shop.test", "a secret", b"shop", "", active=True, timestamped=NOW)
    storage.add_application(application, "admin")
    storage.add_action(Action("order.placed", "shop", {}, 1, NOW), "admin")
    for each in SUBSCRIPTIONS:
        storage.subscribe(each, "admin")


def in_memory() -> World:
    now = [datetime(2026, 1, 1, tzinfo=UTC)]

    def elapse(time: timedelta) -> None:
        now[0] += time

    storage = MemoryStorage(clock=lambda: now[0])
    set_up(storage)
    return World(storage, elapse)


@contextmanager
def in_postgres(dsn: str) -> Iterator[Callable[[], World]]:
    """Worlds one after the other on one database, each empty at first."""
    pool = connect(dsn, 2)
    storage = PostgresStorage(pool)
    set_up(storage)
    with psycopg.connect(dsn, autocommit=True) as connection:

        def elapse(time: timedelta) -> None:
            connection.execute("UPDATE gists SET due = due - %(t)s, leased = leased - %(t)s", {"t": time})
            connection.execute(
                "UPDATE endpoints SET until = until - %(t)s, since = since - %(t)s, slot = slot - %(t)s", {"t": time}
            )

        def fresh() -> World:
            connection.execute("TRUNCATE events, gists, attempts, idempotency_keys")
            connection.execute("UPDATE endpoints SET breaker = 'closed', until = NULL, since = NULL, slot = NULL")
            connection.execute("UPDATE endpoints SET requests = 0, failures = 0")
            connection.execute("UPDATE subscriptions SET active = true")
            return World(storage, elapse)

        yield fresh
    pool.close()


def run(fresh: Callable[[], World], examples: int, steps: int) -> None:
    class Machine(GistMachine):
        def __init__(self) -> None:
            self.world = fresh()
            super().__init__()

    chosen = settings(
        max_examples=examples,
        stateful_step_count=steps,
        deadline=None,
        database=None,
        derandomize=True,  # the same in every run, so that a failure is somebody's change
        suppress_health_check=list(HealthCheck),
    )
    run_state_machine_as_test(Machine, settings=chosen)


def test_no_gist_is_lost_in_memory() -> None:
    run(in_memory, examples=300, steps=50)


def test_no_gist_is_lost_in_postgresql(dsn: str) -> None:
    with in_postgres(dsn) as fresh:
        run(fresh, examples=60, steps=50)

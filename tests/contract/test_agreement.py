"""What the SQL decides about breakers, rate limits and shares is what rules.py says: random stories told to both.

Time stands still but where the story says so, in PostgreSQL, too: else a rate limit lets through what adds up between
the two.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import chain

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.model import Delivery, Endpoint, Filters, Page, Publication, Status, Subscription
from app.ports import Storage
from app.storage import postgres
from app.storage.memory import MemoryStorage
from app.storage.postgres import PostgresStorage
from tests.contract.examples import (
    LEASE,
    action,
    application,
    claim,
    endpoint_of,
    outcome,
    publication,
    subscription,
)

Step = tuple[str, int | str]
START = datetime(2026, 1, 1, tzinfo=UTC)
CLOCK = "amebo_test.clock"  # a setting of the session
STOPPED = f"RETURNS timestamptz LANGUAGE sql STABLE AS $$ SELECT current_setting('{CLOCK}')::timestamptz $$"
REPORTS = st.text(st.sampled_from("dff"), min_size=1, max_size=14)  # delivered or failed, one batch
PAUSES = st.sampled_from([300, 7_100, 11_000, 31_000, 61_000, 301_000])  # milliseconds
STEP = st.one_of(
    st.tuples(st.just("publish"), st.integers(1, 12)),
    st.tuples(st.just("claim"), st.integers(1, 30)),
    st.tuples(st.just("report"), REPORTS),
    st.tuples(st.just("wait"), PAUSES),
)
CHUNK = st.one_of(  # some of which chance alone seldom puts together
    st.lists(STEP, min_size=1, max_size=3),
    st.builds(lambda report: [("publish", len(report)), ("claim", 30), ("report", report)], REPORTS),
    st.builds(lambda pause: [("wait", pause), ("claim", 30)], PAUSES),
    st.just([("publish", 14), ("claim", 12), ("report", "f" * 10), ("wait", 31_000)]),
    st.builds(
        lambda report: [("publish", 120), ("claim", 120), ("report", report * 10)], REPORTS
    ),  # more than it remembers
)
STORY = st.lists(CHUNK, min_size=2, max_size=8)


@dataclass
class Teller:
    """Tells one storage a story of one subscription, and says where that stands after each step."""

    storage: Storage
    subscription: Subscription
    held: list[tuple[timedelta, Delivery]] = field(default_factory=list)
    passed: timedelta = timedelta()

    def __post_init__(self) -> None:
        self.wait(0)

    def claim(self, limit: int) -> int:
        claimed = claim(self.storage, limit)
        self.held += [(self.passed, each) for each in claimed]
        return len(claimed)

    def report(self, outcomes: str) -> int:
        """What became of the longest held, without those whose leases ran out: who has these now is left to chance."""
        held = [(since, each) for since, each in self.held if self.passed - since < LEASE]
        ended, self.held = [each for _, each in held[: len(outcomes)]], held[len(outcomes) :]
        statuses = [Status.DELIVERED if each == "d" else Status.RETRYING for each in outcomes]
        return self.storage.complete([outcome(*each) for each in zip(ended, statuses, strict=False)], ())

    def wait(self, milliseconds: int) -> int:
        self.passed += timedelta(milliseconds=milliseconds)
        if isinstance(self.storage, MemoryStorage):
            self.storage.clock = self.now
        elif isinstance(self.storage, PostgresStorage):
            with self.storage._connection() as connection:
                connection.execute("SELECT set_config(%s, %s, false)", (CLOCK, self.now().isoformat()))
        return 0

    def endpoint(self) -> tuple[str, int, int, float | None, float | None, float | None]:
        """Times as seconds from now."""
        found, now = endpoint_of(self.storage, self.subscription), self.now()
        times = (_from(now, found, name) for name in ("until", "since", "slot"))
        return (found.breaker, found.requests, found.failures, *times)  # type: ignore[return-value]  # three of them

    def now(self) -> datetime:
        return START + self.passed

    def delivered(self) -> int:
        return len(self.storage.gists(Filters(status="delivered"), Page(per_page=1000)))


def _from(now: datetime, endpoint: Endpoint, name: str) -> float | None:
    value = getattr(endpoint, name)
    return None if value is None else (value - now).total_seconds()


@pytest.fixture
def database(dsn: str) -> Iterator[PostgresStorage]:
    """One session, whose clock is a setting: a function of ours is found before PostgreSQL's own."""
    with psycopg.connect(dsn, autocommit=True) as superuser:
        superuser.execute("CREATE SCHEMA stopped")
        for name in ("clock_timestamp", "now"):
            superuser.execute(f"CREATE FUNCTION stopped.{name}() {STOPPED}".encode())
    pool = postgres.connect(f"{dsn} options='-c search_path=stopped,pg_catalog,public'", 1)
    yield PostgresStorage(pool)
    pool.close()


@given(rate_limit=st.sampled_from([None, None, None, 0.5, 2.0, 20.0]), story=STORY)
@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_both_storages_tell_the_same_story(
    database: PostgresStorage, rate_limit: float | None, story: list[list[Step]]
) -> None:
    with database._connection() as connection:
        connection.execute("TRUNCATE gists, events, attempts, endpoints, subscriptions, actions, applications CASCADE")
    shared = subscription(rate_limit=rate_limit)
    tellers = [Teller(each, shared) for each in (MemoryStorage(), database)]
    for each in tellers:
        each.storage.add_application(application("shop"), "@admin")
        each.storage.add_action(action(), "@admin")
        each.storage.subscribe(shared, "@admin")
    for step in chain.from_iterable(story):
        many = step[1] if step[0] == "publish" and isinstance(step[1], int) else 0
        drafts = [publication(tellers[0].storage) for _ in range(many)]
        done = [tell(each, step, drafts) for each in tellers]
        assert done[0] == done[1], step
        memory, sql = (each.endpoint() for each in tellers)
        assert memory[:3] == sql[:3], step
        assert memory[3:] == tuple(each if each is None else pytest.approx(each, abs=0.001) for each in sql[3:]), step
        assert tellers[0].delivered() == tellers[1].delivered(), step


def tell(teller: Teller, step: Step, drafts: list[Publication]) -> int:
    match step:
        case "claim", int(limit):
            return teller.claim(limit)
        case "report", str(outcomes):
            return teller.report(outcomes)
        case "wait", int(milliseconds):
            return teller.wait(milliseconds)
    revision = teller.storage.revision()
    return len(teller.storage.publish([_with(each, revision) for each in drafts]))


def _with(publication: Publication, revision: int) -> Publication:
    return Publication(**{**vars(publication), "revision": revision})

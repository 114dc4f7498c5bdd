"""The database's comings and goings: migrations by several at once, absence, a crash, and a backend that hangs."""

import os
import signal
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from uuid import uuid4

import psycopg
import pytest

from app import audit, rules
from app.broker import Broker
from app.cluster import Cluster
from app.errors import Unavailable
from app.health import Health
from app.model import Delivery, Status, Subscription
from app.storage import connection, postgres
from app.storage.migrate import MIGRATIONS, REQUIRED, migrate
from app.storage.postgres import Pool, PostgresStorage
from app.storage.postgres.upkeep import HEALTH_SECONDS
from roles.guard.files.guard.model import Policy
from tests.contract.examples import ADMIN, application, claim, paused, publish, shop
from tests.contract.processes import until


@pytest.fixture
def pool(dsn: str) -> Iterator[Pool]:
    opened = postgres.connect(dsn, 2, patience=0.5)
    yield opened
    opened.close()


@pytest.fixture
def empty(cluster: Cluster) -> str:
    """A database without a table."""
    with psycopg.connect(f"{cluster.dsn} dbname=postgres", autocommit=True) as superuser:
        superuser.execute("DROP DATABASE IF EXISTS empty")
        superuser.execute("CREATE DATABASE empty")
    return f"{cluster.dsn} dbname=empty"


def test_migrations_are_applied_once_by_however_many(empty: str) -> None:
    applied: list[str] = []
    threads = [threading.Thread(target=lambda: applied.extend(migrate(empty, "s", "r"))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert applied == [path.stem for path in MIGRATIONS]
    assert migrate(empty, "s", "r") == ()


def test_it_is_not_ready_on_an_older_schema(empty: str) -> None:
    pool = postgres.connect(empty, 1)
    storage = PostgresStorage(pool)
    health = Health("app-1:3310", storage.schema_version)
    assert (health.ready()[0], health.ready()[1]["status"]) == (False, "schema too old")
    migrate(empty, "amebo_service", "amebo_reader")
    assert (health.ready()[0], health.ready()[1]["schema"]) == (True, REQUIRED)
    pool.close()


def test_roles_get_what_they_need_and_no_more(empty: str) -> None:
    with psycopg.connect(empty, autocommit=True) as superuser:
        for role in ("test_service", "test_reader"):
            superuser.execute(f"DROP ROLE IF EXISTS {role}")
            superuser.execute(f"CREATE ROLE {role} LOGIN")
        migrate(empty, "test_service", "test_reader")
    with psycopg.connect(f"{empty} user=test_service", autocommit=True) as service:
        service.execute("DELETE FROM events")
        assert refused(
            service,
            "DELETE FROM migrations",
            "UPDATE audit SET actor = 'somebody else'",
            "DELETE FROM audit",
            "TRUNCATE audit",
            "DROP TABLE audit",
            "ALTER TABLE audit DISABLE TRIGGER ALL",
        )
    with psycopg.connect(f"{empty} user=test_reader", autocommit=True) as reader:
        reader.execute("SELECT application, address, rotated FROM applications")
        reader.execute("SELECT * FROM audit")
        assert refused(
            reader,
            "SELECT secret FROM applications",
            "SELECT previous_secret FROM applications",
            "SELECT apikey_hash FROM applications",
            "SELECT * FROM applications",
            "SELECT applications FROM applications",
            "DELETE FROM events",
            "INSERT INTO audit SELECT * FROM audit",
        )
    with psycopg.connect(empty, autocommit=True) as superuser:
        for role in ("test_service", "test_reader"):
            superuser.execute(f"DROP OWNED BY {role}")
            superuser.execute(f"DROP ROLE {role}")


def refused(connection: psycopg.Connection, *statements: str) -> bool:
    for statement in statements:
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute(statement.encode())
    return True


def test_the_service_s_role_does_all_that_the_service_does(empty: str) -> None:
    with psycopg.connect(empty, autocommit=True) as superuser:
        superuser.execute("DROP ROLE IF EXISTS test_worker")
        superuser.execute("CREATE ROLE test_worker LOGIN")
        migrate(empty, "test_worker", "r")
    pool = postgres.connect(f"{empty} user=test_worker", 1)
    storage = PostgresStorage(pool)
    shop(storage)
    assert publish(storage, "k").event.fanout == 1
    Broker(storage).complete([(each, None) for each in claim(storage)])
    storage.expire(timedelta(days=1), 10)
    storage.save_application(application("shop", active=False), ADMIN, "switch application off")
    assert audit.verify(storage) == 4
    pool.close()
    with psycopg.connect(empty, autocommit=True) as superuser:
        superuser.execute("DROP OWNED BY test_worker")
        superuser.execute("DROP ROLE test_worker")


def test_while_the_database_is_away_it_says_so_soon_and_recovers_by_itself(cluster: Cluster, pool: Pool) -> None:
    storage = PostgresStorage(pool)
    health = Health("app-1:3310", storage.schema_version)
    assert health.ready()[0]
    cluster.stop("immediate")
    try:
        for _ in range(3):
            started = time.monotonic()
            with pytest.raises(Unavailable):
                storage.application("shop")
            assert time.monotonic() - started < 5
        assert health.ready()[1]["status"] == "database unreachable"
    finally:
        cluster.start()
    until(lambda: health.ready()[0])


def test_it_says_so_before_the_guard_takes_it_for_silent() -> None:
    assert Policy().probe_timeout > HEALTH_SECONDS


def test_a_backend_that_hangs_keeps_nobody_waiting(dsn: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "PATIENCE", 0.5)
    pool = postgres.connect(dsn, 1)
    storage = PostgresStorage(pool)
    with pool.connection() as only:
        backend = only.info.backend_pid
    os.kill(backend, signal.SIGSTOP)
    try:
        started = time.monotonic()
        with pytest.raises(Unavailable):
            storage.schema_version()
        assert time.monotonic() - started < 5
        until(lambda: Health("app-1:3310", storage.schema_version).ready()[0])  # on a new connection
    finally:
        os.kill(backend, signal.SIGCONT)
        pool.close()


@pytest.fixture
def storage(pool: Pool) -> PostgresStorage:
    return PostgresStorage(pool)


@pytest.fixture
def off(storage: PostgresStorage) -> Subscription:
    """A subscription that is off, and has something to deliver."""
    subscribed = shop(storage)
    publish(storage)
    saved = storage.save_subscription(replace(subscribed, active=False), "shop")
    assert saved is not None
    return saved


def test_pausing_waits_for_who_is_switching_the_subscription_on(
    dsn: str, storage: PostgresStorage, off: Subscription
) -> None:
    (delivery,) = claim(storage)
    with ThreadPoolExecutor() as threads, psycopg.connect(dsn) as other:
        other.execute("UPDATE subscriptions SET active = true WHERE subscription = %s", [off.subscription])
        completing = threads.submit(storage.complete, [paused(delivery)], ())
        until(lambda: waits(dsn))
        other.commit()
        assert completing.result() == 1
    assert status(storage, delivery) is Status.PENDING


def test_a_subscription_is_on_only_when_what_it_paused_is_due(
    dsn: str, storage: PostgresStorage, off: Subscription
) -> None:
    (delivery,) = claim(storage)
    storage.complete([paused(delivery)], ())
    with ThreadPoolExecutor() as threads, psycopg.connect(dsn) as other:
        other.execute("SELECT FROM gists WHERE gist = %s FOR UPDATE", [delivery.gist])
        saving = threads.submit(storage.save_subscription, replace(off, active=True), "shop")
        until(lambda: waits(dsn))
        assert storage.subscription(off.subscription) == off
        other.rollback()
        assert saving.result() == replace(off, active=True)
    assert status(storage, delivery) is Status.PENDING


def status(storage: PostgresStorage, delivery: Delivery) -> Status | None:
    found = storage.gist(delivery.gist)
    return found.status if found else None


def waits(dsn: str) -> bool:
    """Whether somebody in this database waits for a lock."""
    with psycopg.connect(dsn) as observer:
        asked = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
        found = observer.execute(asked).fetchone()
        return found is not None and found[0] > 0


def test_the_key_of_somebody_who_gives_up_is_free_again(dsn: str, storage: PostgresStorage) -> None:
    shop(storage)
    with ThreadPoolExecutor() as threads, psycopg.connect(dsn) as other:
        other.execute(
            "INSERT INTO idempotency_keys (publisher, key, event, digest) VALUES ('shop', 'k', gen_random_uuid(), '')"
        )
        publishing = threads.submit(publish, storage, "k")
        until(lambda: waits(dsn))
        other.rollback()
        assert not publishing.result().duplicate


def test_a_claim_passes_over_what_somebody_else_is_taking(dsn: str, storage: PostgresStorage) -> None:
    shop(storage)
    first, second = publish(storage).event, publish(storage).event
    with psycopg.connect(dsn) as other:
        other.execute("SELECT FROM gists WHERE event = %s FOR UPDATE", [first.event])
        assert [each.event for each in claim(storage)] == [second.event]
        assert claim(storage) == ()
        other.rollback()
    assert [each.event for each in claim(storage)] == [first.event]


def test_a_gist_has_the_same_id_in_sql(dsn: str) -> None:
    pairs = [(uuid4(), uuid4()) for _ in range(100)]
    with psycopg.connect(dsn) as connection:
        asked = "SELECT gist_of(event, subscription) FROM unnest(%s::uuid[], %s::uuid[]) AS pair (event, subscription)"
        found = [gist for (gist,) in connection.execute(asked, [list(each) for each in zip(*pairs, strict=True)])]
    assert found == [rules.gist_of(*pair) for pair in pairs]

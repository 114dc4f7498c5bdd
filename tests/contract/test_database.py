"""The database's comings and goings: migrations by several at once, absence, a crash, and a backend that hangs."""

import os
import signal
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta

import psycopg
import pytest

from app.cluster import Cluster
from app.errors import Unavailable
from app.health import Health
from app.model import Completion, Delivery, Status, Subscription
from app.storage import connection, postgres
from app.storage.migrate import MIGRATIONS, REQUIRED, migrate
from app.storage.postgres import Pool, PostgresStorage
from tests.contract.processes import until
from tests.contract.test_storage import action, application, publication, subscription


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
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            service.execute("DELETE FROM migrations")
    with psycopg.connect(f"{empty} user=test_reader", autocommit=True) as reader:
        reader.execute("SELECT application, address FROM applications")
        for forbidden in ("SELECT secret FROM applications", "DELETE FROM events"):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                reader.execute(forbidden)
    with psycopg.connect(empty, autocommit=True) as superuser:
        for role in ("test_service", "test_reader"):
            superuser.execute(f"DROP OWNED BY {role}")
            superuser.execute(f"DROP ROLE {role}")


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
    storage.add_application(application("shop"))
    storage.add_action(action("order.placed"))
    subscribed = storage.subscribe(subscription())
    storage.publish(publication())
    saved = storage.save_subscription(replace(subscribed, active=False))
    assert saved is not None
    return saved


def test_pausing_waits_for_who_is_switching_the_subscription_on(
    dsn: str, storage: PostgresStorage, off: Subscription
) -> None:
    (delivery,) = storage.claim(1, timedelta(seconds=60))
    with ThreadPoolExecutor() as threads, psycopg.connect(dsn) as other:
        other.execute("UPDATE subscriptions SET active = true WHERE subscription = %s", [off.subscription])
        completing = threads.submit(storage.complete, (paused(delivery),))
        until(lambda: waits(dsn))
        other.commit()
        assert completing.result() == 1
    assert status(storage, delivery) is Status.PENDING


def test_a_subscription_is_on_only_when_what_it_paused_is_due(
    dsn: str, storage: PostgresStorage, off: Subscription
) -> None:
    (delivery,) = storage.claim(1, timedelta(seconds=60))
    storage.complete((paused(delivery),))
    with ThreadPoolExecutor() as threads, psycopg.connect(dsn) as other:
        other.execute("SELECT FROM gists WHERE gist = %s FOR UPDATE", [delivery.gist])
        saving = threads.submit(storage.save_subscription, replace(off, active=True))
        until(lambda: waits(dsn))
        assert storage.subscription(off.subscription) == off
        other.rollback()
        assert saving.result() == replace(off, active=True)
    assert status(storage, delivery) is Status.PENDING


def paused(delivery: Delivery) -> Completion:
    return Completion(delivery, Status.PAUSED, None, 0)


def status(storage: PostgresStorage, delivery: Delivery) -> Status | None:
    found = storage.gist(delivery.gist)
    return found.status if found else None


def waits(dsn: str) -> bool:
    """Whether somebody in this database waits for a lock."""
    with psycopg.connect(dsn) as observer:
        asked = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
        found = observer.execute(asked).fetchone()
        return found is not None and found[0] > 0

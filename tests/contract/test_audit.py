"""The audit: whoever changes what was written is found out, and it holds no secret."""

from collections.abc import Callable, Iterator
from dataclasses import replace

import psycopg
import pytest

from app import audit, rules
from app.audit import Tampered
from app.model import Subscription
from app.ports import Storage
from app.storage import postgres
from app.storage.memory import MemoryStorage
from app.storage.postgres import PostgresStorage
from tests.contract.examples import ADMIN, application, shop

SECRETS = ("a secret of shop", "whsec_renewed", "hash-of-the-key")


@pytest.mark.usefixtures("subscribed")
def test_an_audit_that_nobody_touched_is_as_it_was_written(storage: Storage) -> None:
    assert audit.verify(storage) == len(list(audit.entries(storage))) == 3
    assert storage.audit(1, 1) == storage.audit(0, 2)[1:]
    assert storage.audit(3, 10) == ()


def test_an_audit_of_nothing_is_right(storage: Storage) -> None:
    assert audit.verify(storage) == 0


def test_no_secret_is_in_the_audit(storage: Storage) -> None:
    storage.add_application(application("shop", apikey_hash=SECRETS[2].encode()), ADMIN)
    renewed = application("shop", secret=SECRETS[1], previous_secret=SECRETS[0], apikey_hash=SECRETS[2].encode())
    storage.save_application(renewed, ADMIN, "rotate secret")
    written = "".join(str(audit.shown(entry)) for entry in audit.entries(storage))
    assert "rotate secret" in written
    assert not [secret for secret in SECRETS if secret in written]


def test_memory_finds_an_entry_that_was_changed() -> None:
    storage = MemoryStorage()
    shop(storage)
    storage._audit[1] = replace(storage._audit[1], actor="somebody else")
    with pytest.raises(Tampered, match="entry 2"):
        audit.verify(storage)


@pytest.fixture
def database(dsn: str) -> Iterator[psycopg.Connection]:
    with psycopg.connect(dsn, autocommit=True) as connection:
        yield connection


def verify(dsn: str) -> int:
    pool = postgres.connect(dsn, 1)
    try:
        return audit.verify(PostgresStorage(pool))
    finally:
        pool.close()


def written(dsn: str) -> Subscription:
    pool = postgres.connect(dsn, 1)
    try:
        return shop(PostgresStorage(pool))
    finally:
        pool.close()


TAMPERING = {
    "an actor": "UPDATE audit SET actor = 'somebody else' WHERE entry = 2",
    "a time": "UPDATE audit SET timestamped = timestamped + interval '1 microsecond' WHERE entry = 2",
    "a detail": "UPDATE audit SET details = '{}' WHERE entry = 3",
    "a hash": "UPDATE audit SET hash = sha256('x') WHERE entry = 3",
    "the first deleted": "DELETE FROM audit WHERE entry = 1",
    "one between deleted": "DELETE FROM audit WHERE entry = 2",
    "the last deleted": "DELETE FROM audit WHERE entry = 3",
    "all deleted": "DELETE FROM audit",
    "the order": "UPDATE audit SET entry = 5 - entry + 100 WHERE entry IN (2, 3);"
    " UPDATE audit SET entry = entry - 100 WHERE entry > 100",
    "the end forgotten": "DELETE FROM audit WHERE entry = 3; UPDATE registry SET entries = 2",
}


@pytest.mark.parametrize("what", TAMPERING)
def test_whatever_is_tampered_with_is_found(dsn: str, database: psycopg.Connection, what: str) -> None:
    written(dsn)
    assert verify(dsn) == 3
    database.execute(TAMPERING[what].encode())
    with pytest.raises(Tampered):
        verify(dsn)


def test_one_who_can_hash_must_change_every_entry_that_follows(dsn: str, database: psycopg.Connection) -> None:
    written(dsn)
    pool = postgres.connect(dsn, 1)
    first, second, _ = PostgresStorage(pool).audit(0, 10)
    pool.close()
    forged = rules.chained(replace(second, actor="somebody else"), first.hash)
    database.execute("UPDATE audit SET actor = %s, hash = %s WHERE entry = 2", [forged.actor, forged.hash])
    with pytest.raises(Tampered, match="entry 3"):
        verify(dsn)


@pytest.mark.parametrize("zone", ["Europe/Berlin", "America/New_York", "Asia/Kolkata"])
def test_the_time_zone_of_whoever_reads_does_not_matter(dsn: str, zone: str) -> None:
    written(dsn)
    assert verify(f"{dsn} options='-c timezone={zone}'") == 3


def test_changes_at_one_moment_make_one_chain(storage: Storage, in_threads: Callable[..., None]) -> None:
    in_threads(
        *[lambda name=f"shop-{number}": storage.add_application(application(name), ADMIN) for number in range(8)]
    )
    assert audit.verify(storage) == 8

"""Migrations: numbered files, each applied once, in order, by one process at a time.

The first line of each, `-- oldest: 0001`, names the oldest releases that still run on the schema after it, by the
schema that they were built for. What only expands repeats the number of the one before; what contracts raises it.
"""

import logging
import re
import threading
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

from psycopg import Connection, Error, errors
from psycopg.sql import SQL, Composed, Identifier

from app.errors import Conflict, Unavailable
from app.storage.connection import patient

MIGRATIONS = tuple(sorted((Path(__file__).parent / "migrations").glob("[0-9]*.sql")))
REQUIRED = max(int(path.name[:4]) for path in MIGRATIONS)
ATTEMPTS = 10
LOCK_TIMEOUT = 5.0  # seconds
_LOCK = 0x414D45424F  # "AMEBO"; every process that migrates asks for the same advisory lock
_logger = logging.getLogger("amebo.migrate")


def migrate(
    dsn: str,
    service_role: str,
    reader_role: str,
    running: Collection[int] = (),
    lock_timeout: float = LOCK_TIMEOUT,
    files: Sequence[Path] = MIGRATIONS,
) -> tuple[str, ...]:
    """Apply what is missing, and grant it to the roles that exist; returns the names of what was applied.

    `running`: the schemas that the releases which run were built for, 0 for one that is not known. Raises Conflict,
    before anything is applied, where one of them could not go on, or this release itself could not; Unavailable where
    others held a lock for all attempts of `lock_timeout` seconds.
    """
    try:
        with _connected(dsn) as connection, _connected(dsn) as observer:
            connection.execute("SELECT pg_advisory_lock(%s)", [_LOCK])
            turns = _Turns(connection, observer, lock_timeout)
            _prepare(turns, files)
            done = _done(connection)
            missing = [path for path in files if _number(path) not in {each.version for each in done}]
            _refuse(done, files, missing, running)
            for path in missing:
                turns.take(path.stem, partial(_apply, connection, path))
            for role, statements in ((service_role, SERVICE), (reader_role, READER)):
                _grant(connection, role, statements)
    except Error as error:
        raise Unavailable(f"cannot migrate the database: {error}".strip()) from error
    return tuple(path.stem for path in missing)


def oldest(path: Path) -> int:
    """What a migration's first line says; raises ValueError where it says nothing."""
    first = path.read_text().partition("\n")[0]
    found = re.fullmatch(r"-- oldest: ([0-9]{4})", first)
    if found is None:
        raise ValueError(f"the first line of {path.name} must be '-- oldest: NNNN'; docs/migrations.md tells why")
    return int(found[1])


@dataclass(frozen=True)
class _Done:
    """A migration that the database has."""

    version: int
    name: str
    oldest: int


def _connected(dsn: str) -> Connection[Any]:
    return Connection[Any].connect(patient(dsn, application_name="amebo migrate"), autocommit=True)


def _number(path: Path) -> int:
    return int(path.name[:4])


def _prepare(turns: "_Turns", files: Sequence[Path]) -> None:
    """The table of what is done. Releases from before read its version alone, and add rows without `oldest`."""
    connection = turns.connection
    connection.execute(
        "CREATE TABLE IF NOT EXISTS migrations (version integer PRIMARY KEY, name text NOT NULL,"
        " applied timestamptz NOT NULL DEFAULT now(), oldest integer)"
    )
    # Asked first: ADD COLUMN IF NOT EXISTS locks out every reader, such as health, also where the column exists.
    asked = "SELECT FROM pg_attribute WHERE attrelid = 'migrations'::regclass AND attname = 'oldest'"
    if connection.execute(asked).fetchone() is None:
        added = "ALTER TABLE migrations ADD COLUMN IF NOT EXISTS oldest integer"
        turns.take("the column migrations.oldest", lambda: connection.execute(added))
    for path in files:
        connection.execute(
            "UPDATE migrations SET oldest = %s WHERE version = %s AND oldest IS NULL", [oldest(path), _number(path)]
        )


def _done(connection: Connection[Any]) -> tuple[_Done, ...]:
    """Where nothing is said about a migration it is one from before this was said, and those only expanded."""
    asked = "SELECT version, name, coalesce(oldest, 1) FROM migrations ORDER BY version"
    return tuple(_Done(*row) for row in connection.execute(asked))


def _refuse(done: Sequence[_Done], files: Sequence[Path], missing: Sequence[Path], running: Collection[int]) -> None:
    built_for = max(map(_number, files))
    for each in done:
        if each.oldest > built_for:
            raise Conflict(
                f"this release was built for schema {built_for}, and since migration {each.name} only releases built "
                f"for schema {each.oldest} or later run on the database; nothing was changed; deploy one of those"
            )
    reached = max((each.oldest for each in done), default=1)
    for path in missing:
        left = sorted(schema for schema in set(running) if schema < oldest(path))
        if oldest(path) > reached and left:
            raise Conflict(
                f"after migration {path.stem} only releases built for schema {oldest(path)} or later run, and "
                f"{_described(left)}; nothing was changed; deploy a release built for schema {oldest(path)} to "
                f"{_number(path) - 1} to every host first, then this one"
            )


def _described(left: Sequence[int]) -> str:
    known = ", ".join(str(schema) for schema in left if schema)
    unknown = "a host could not be asked what it runs" if 0 in left else ""
    return " and ".join(part for part in (f"there run some built for schema {known}" if known else "", unknown) if part)


def _apply(connection: Connection[Any], path: Path) -> None:
    connection.execute(path.read_bytes())
    connection.execute(
        "INSERT INTO migrations (version, name, oldest) VALUES (%s, %s, %s)", [_number(path), path.stem, oldest(path)]
    )


class _Turns:
    """Transactions that wait for a lock only so long, because everybody who comes later waits behind them.

    Then they let the others pass, for as long as they have held them up, and try again.
    """

    def __init__(self, connection: Connection[Any], observer: Connection[Any], lock_timeout: float) -> None:
        self.connection = connection
        self._observer = observer
        self._seconds = lock_timeout

    def take(self, name: str, work: Callable[[], object]) -> None:
        """Do the work in a transaction; raises Unavailable that says who is in the way."""
        blockers = "nobody that could be seen"
        for attempt in range(1, ATTEMPTS + 1):
            with _watched(self._observer, self.connection.info.backend_pid, self._seconds / 10) as seen:
                if self._done(work):
                    return
            blockers = ", ".join(map(_shown, seen)) or blockers
            _logger.warning("%s waits for %s; that was attempt %d of %d", name, blockers, attempt, ATTEMPTS)
            if attempt < ATTEMPTS:
                time.sleep(self._seconds)
        raise Unavailable(
            f"{name} was not applied: {ATTEMPTS} times it waited {self._seconds:g} s for a lock and gave way; in the "
            f"way was {blockers}; wait until that has ended, or end it with SELECT pg_terminate_backend(PID), and run "
            "this again"
        )

    def _done(self, work: Callable[[], object]) -> bool:
        try:
            with self.connection.transaction():
                milliseconds = str(max(1, round(self._seconds * 1000)))  # 0 would be for ever
                self.connection.execute("SELECT set_config('lock_timeout', %s, true)", [milliseconds])
                work()
        except (errors.LockNotAvailable, errors.DeadlockDetected):
            return False
        return True


@dataclass(frozen=True)
class _Blocker:
    """Who is in the way; of another role's session, PostgreSQL tells only pid and name."""

    pid: int
    application: str | None
    state: str | None
    since: datetime | None


_BLOCKERS = """
SELECT pid, application_name, state, xact_start FROM pg_stat_activity
WHERE pid = ANY (pg_blocking_pids(%s)) ORDER BY xact_start NULLS LAST
"""


@contextmanager
def _watched(observer: Connection[Any], backend: int, every: float) -> Iterator[list[_Blocker]]:
    """Who blocked the backend last; asked on another connection, because the backend only waits."""
    seen: list[_Blocker] = []
    over = threading.Event()

    def watch() -> None:
        with suppress(Error):  # then it is not known who blocks, and nothing else is lost
            while not over.wait(every):
                if found := [_Blocker(*row) for row in observer.execute(_BLOCKERS, [backend])]:
                    seen[:] = found

    with ThreadPoolExecutor(1) as thread:
        thread.submit(watch)
        try:
            yield seen
        finally:
            over.set()


def _shown(blocker: _Blocker) -> str:
    since = f", in a transaction since {blocker.since.isoformat(sep=' ', timespec='seconds')}" if blocker.since else ""
    state = blocker.state or "state hidden from this role"
    return f"pid {blocker.pid} ({blocker.application or 'without a name'}, {state}{since})"


SERVICE = (
    "GRANT USAGE ON SCHEMA public TO {role}",
    "GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO {role}",
    "REVOKE INSERT, UPDATE, DELETE ON migrations FROM {role}",
    "REVOKE UPDATE, DELETE ON audit FROM {role}",  # what was written stays
)
READER = (  # everything but what credentials are made of
    "GRANT USAGE ON SCHEMA public TO {role}",
    "GRANT SELECT ON ALL TABLES IN SCHEMA public TO {role}",
    "REVOKE SELECT ON applications FROM {role}",
    "GRANT SELECT (application, address, description, active, timestamped, rotated) ON applications TO {role}",
)


def _grant(connection: Connection[Any], role: str, statements: tuple[str, ...]) -> None:
    if connection.execute("SELECT FROM pg_roles WHERE rolname = %s", [role]).fetchone() is None:
        return
    with connection.transaction():
        for statement in statements:
            connection.execute(_for(role, statement))


def _for(role: str, statement: str) -> Composed:
    return SQL(statement).format(role=Identifier(role))

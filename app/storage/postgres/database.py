"""The pool, and the few ways in which the rest of this folder asks it."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from typing import Any, TypeVar

from psycopg import Connection, OperationalError, errors
from psycopg import sql as compose
from psycopg.rows import BaseRowFactory, dict_row
from psycopg.types.json import Json as AsJson
from psycopg_pool import ConnectionPool, PoolClosed, PoolTimeout

from app import fibers, jsontext, rules
from app.errors import Conflict, Malformed, Unavailable
from app.model import AuditEntry, Filters, Json, Page
from app.storage.connection import BoundedConnection, patient
from app.storage.sql import QUERIES

Row = TypeVar("Row")
Pool = ConnectionPool[Connection[Any]]
_AT_ONCE = 0.001  # seconds; with none at all the pool refuses even what it has
AsCompactJson = partial(AsJson, dumps=jsontext.dumps)


def connect(dsn: str, connections: int, patience: float = 3.0, *, durable: bool = True) -> Pool:
    """Open a pool without waiting for the database, so that a process starts while it is away.

    What is not durable is committed without waiting for the disk: a crash of the database may undo the last moments.
    """
    options = {} if durable else {"options": "-c synchronous_commit=off"}
    return ConnectionPool(
        patient(dsn, **options),
        connection_class=BoundedConnection,
        kwargs={"autocommit": True},
        min_size=1,
        max_size=connections,
        timeout=patience,
        reconnect_timeout=10,
        open=True,
    )


class Database:
    """Statements by their name; lists are read from a replica where there is one that answers."""

    def __init__(self, pool: Pool, replica: Pool | None = None) -> None:
        self._pool = pool
        self._replica = replica

    def pool_state(self) -> Mapping[str, float]:
        """Connections: how many there are, how many of them idle, and how many requests wait for one."""
        stats = self._pool.get_stats()
        return {
            "size": stats.get("pool_size", 0),
            "idle": stats.get("pool_available", 0),
            "waiting": stats.get("requests_waiting", 0),
        }

    def replica_lag(self) -> float:
        """Seconds that the replica is behind; raises Unavailable when it does not answer."""
        with _connected(self._replica or self._pool) as connection:
            row = connection.execute(QUERIES["get_replica_lag"].encode()).fetchone()
            return float(row[0]) if row else 0.0

    def _find(self, query: str, parameters: Mapping[str, Any], row: BaseRowFactory[Row]) -> Row | None:
        with self._connection() as connection, connection.cursor(row_factory=row) as cursor:
            return cursor.execute(QUERIES[query].encode(), parameters).fetchone()

    def _one(self, query: str, parameters: Mapping[str, Any], row: BaseRowFactory[Row]) -> Row:
        found = self._find(query, parameters, row)
        if found is None:
            raise Conflict("it was changed by somebody else at the same moment; try again")
        return found

    def _all(self, query: str, parameters: Mapping[str, Any], row: BaseRowFactory[Row]) -> tuple[Row, ...]:
        with self._connection() as connection, connection.cursor(row_factory=row) as cursor:
            return tuple(cursor.execute(QUERIES[query].encode(), parameters).fetchall())

    def _do(self, query: str, parameters: Mapping[str, Any]) -> None:
        with self._connection() as connection:
            connection.execute(QUERIES[query].encode(), parameters)

    def _list(
        self, query: str, filters: Filters, page: Page, row: BaseRowFactory[Row], **more: object
    ) -> tuple[Row, ...]:
        """Values are bound; only the direction, one of two constants, is written into the statement.

        Never prepared: one plan for all filters would read whole tables.
        """
        beyond, direction = ("<", "DESC") if page.reads_downwards else (">", "ASC")
        statement = compose.SQL(QUERIES[query]).format(beyond=compose.SQL(beyond), direction=compose.SQL(direction))
        parameters = {**vars(filters), "key": page.key, "limit": page.per_page + 1, **more}

        def read(pool: Pool) -> tuple[Row, ...]:
            with _connected(pool) as connection, connection.cursor(row_factory=row) as cursor:
                return tuple(cursor.execute(statement, parameters, prepare=False).fetchall())

        if self._replica is not None:
            with suppress(Unavailable):
                return read(self._replica)
        return read(self._pool)

    def _change(
        self, by: str, verb: str, subject: str, details: Json, work: Callable[[Connection[Any]], Row | None]
    ) -> Row | None:
        """One transaction of some work and its entry in the audit; where the work finds nothing, there is neither."""
        with self._connection() as connection, connection.transaction():
            done = work(connection)
            if done is not None:
                audit(connection, AuditEntry(0, datetime.now(UTC), by, verb, subject, details))
            return done

    @contextmanager
    def _connection(self, patience: float | None = None) -> Iterator[Connection[Any]]:
        with _connected(self._pool, patience) as connection:
            yield connection


def audit(connection: Connection[Any], entry: AuditEntry) -> None:
    """One change at a time, from here to the end of the transaction, so that the chain has no fork."""
    entries, previous = connection.execute(QUERIES["lock_registry"].encode()).fetchone() or (0, b"")
    entry = rules.chained(replace(entry, entry=entries + 1), previous)
    connection.execute(QUERIES["add_audit"].encode(), {**vars(entry), "details": AsCompactJson(entry.details)})


def row(connection: Connection[Any], query: str, parameters: Mapping[str, Any]) -> dict[str, Any] | None:
    """The first row of a statement within somebody's transaction."""
    return connection.cursor(row_factory=dict_row).execute(QUERIES[query].encode(), parameters).fetchone()


@contextmanager
def in_use(message: str) -> Iterator[None]:
    """What a constraint refuses, in words."""
    try:
        yield
    except (errors.ForeignKeyViolation, errors.UniqueViolation) as error:
        raise Conflict(message) from error


@contextmanager
def _connected(pool: Pool, patience: float | None = None) -> Iterator[Connection[Any]]:
    """Waits for a free one for so many seconds, else for as long as the pool says."""
    try:
        connection = _taken(pool, patience)
        try:
            with connection:
                yield connection
        finally:
            pool.putconn(connection)
    except (PoolTimeout, PoolClosed) as error:
        raise Unavailable("the database does not answer; try again in a moment") from error
    except (OperationalError, errors.ReadOnlySqlTransaction) as error:
        raise Unavailable("the database went away during the request; try again in a moment") from error
    except errors.DataError as error:
        raise Malformed(f"the database cannot keep that: {error}") from error


def _taken(pool: Pool, patience: float | None) -> Connection[Any]:
    """A fiber waits for one elsewhere."""
    if fibers.is_fiber():
        try:
            return pool.getconn(_AT_ONCE)
        except PoolTimeout:
            return fibers.offload(partial(pool.getconn, patience))
    return pool.getconn(patience)

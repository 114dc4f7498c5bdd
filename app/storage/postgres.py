"""Storage in PostgreSQL: a statement or two a method, on a pool that gives up soon when the database is away."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, TypeVar
from uuid import UUID, uuid4

from psycopg import Connection, OperationalError, errors
from psycopg import sql as compose
from psycopg.rows import BaseRowFactory, class_row, dict_row
from psycopg.types.json import Json as AsJson
from psycopg_pool import ConnectionPool, PoolClosed, PoolTimeout

from app import rules
from app.errors import Conflict, Malformed, Unavailable
from app.model import (
    Action,
    Application,
    Attempt,
    Completion,
    Delivery,
    Event,
    Filters,
    Gist,
    Page,
    Publication,
    Published,
    Status,
    Subscription,
)
from app.storage.connection import BoundedConnection, patient
from app.storage.sql import QUERIES

Row = TypeVar("Row")
Pool = ConnectionPool[Connection[Any]]


def connect(dsn: str, connections: int, patience: float = 3.0) -> Pool:
    """Open a pool without waiting for the database, so that a process starts while it is away."""
    return ConnectionPool(
        patient(dsn),
        connection_class=BoundedConnection,
        kwargs={"autocommit": True},
        min_size=1,
        max_size=connections,
        timeout=patience,
        reconnect_timeout=10,
        open=True,
    )


class PostgresStorage:
    """The port Storage on a pool of autocommit connections: a statement by itself is a transaction."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    def schema_version(self) -> int:
        try:
            return int(self._one("schema_version", {}, dict_row)["version"])
        except errors.UndefinedTable:
            return 0

    def add_application(self, application: Application) -> Application:
        added = self._find("add_application", vars(application), class_row(Application))
        return _or_conflict(added, f"application {application.application!r} is already registered")

    def application(self, name: str) -> Application | None:
        return self._find("get_application", {"application": name}, class_row(Application))

    def application_by_apikey(self, apikey_hash: bytes) -> Application | None:
        return self._find("get_application_by_apikey", {"apikey_hash": apikey_hash}, class_row(Application))

    def applications(self, filters: Filters, page: Page) -> tuple[Application, ...]:
        return self._list("list_applications", filters, page, class_row(Application))

    def save_application(self, application: Application) -> Application | None:
        return self._find("save_application", vars(application), class_row(Application))

    def remove_application(self, name: str) -> bool:
        with _in_use(f"application {name!r} still owns actions or has had subscriptions"):
            return self._find("remove_application", {"application": name}, dict_row) is not None

    def add_action(self, action: Action) -> Action:
        added = self._find("add_action", _with_json(action, "schemata"), class_row(Action))
        return _or_conflict(added, f"action {action.action!r} is already registered")

    def action(self, name: str) -> Action | None:
        return self._find("get_action", {"action": name}, class_row(Action))

    def actions(self, filters: Filters, page: Page) -> tuple[Action, ...]:
        return self._list("list_actions", filters, page, class_row(Action))

    def save_action(self, action: Action) -> Action | None:
        return self._find("save_action", _with_json(action, "schemata"), class_row(Action))

    def remove_action(self, name: str) -> bool:
        with _in_use(f"action {name!r} has or has had subscriptions"):
            return self._find("remove_action", {"action": name}, dict_row) is not None

    def publish(self, publication: Publication) -> Published:
        parameters = _with_json(publication, "payload", "metadata")
        event = self._find("publish", parameters, class_row(Event))
        if event is not None:
            return Published(event, duplicate=False, same_content=True)
        first = self._one("get_published", parameters, dict_row)
        same_content = first.pop("same_content")
        return Published(Event(**first), duplicate=True, same_content=same_content)

    def event(self, event: UUID) -> Event | None:
        return self._find("get_event", {"event": event}, class_row(Event))

    def events(self, filters: Filters, page: Page) -> tuple[Event, ...]:
        return self._list("list_events", filters, page, class_row(Event))

    def subscribe(self, subscription: Subscription) -> Subscription:
        return _or_conflict(self._set_up("subscribe", subscription), "the subscription cannot be stored")

    def subscription(self, subscription: UUID) -> Subscription | None:
        return self._find("get_subscription", {"subscription": subscription}, class_row(Subscription))

    def subscriptions(self, filters: Filters, page: Page) -> tuple[Subscription, ...]:
        return self._list("list_subscriptions", filters, page, class_row(Subscription))

    def save_subscription(self, subscription: Subscription) -> Subscription | None:
        with _in_use("another subscription of the application sends this action to this handler"):
            return self._set_up("save_subscription", subscription)

    def remove_subscription(self, subscription: UUID) -> bool:
        return self._find("remove_subscription", {"subscription": subscription}, dict_row) is not None

    def gist(self, gist: UUID) -> Gist | None:
        found = self._find("get_gist", {"gist": gist}, dict_row)
        if found is None:
            return None
        return _gist(found, self._all("get_attempts", {"gist": gist}, class_row(Attempt)))

    def gists(self, filters: Filters, page: Page) -> tuple[Gist, ...]:
        return tuple(_gist(row) for row in self._list("list_gists", filters, page, dict_row))

    def replay(self, gist: UUID) -> bool:
        return self._find("replay", {"gist": gist}, dict_row) is not None

    def claim(self, limit: int, lease: timedelta) -> tuple[Delivery, ...]:
        rows = self._all("claim", {"limit": limit, "lease": lease, "claim": uuid4()}, dict_row)
        return tuple(_delivery(row) for row in rows)

    def complete(self, completions: tuple[Completion, ...]) -> int:
        return int(self._one("complete", _columns(completions), dict_row)["completed"])

    def release(self, deliveries: tuple[Delivery, ...]) -> None:
        gists, claims = [each.gist for each in deliveries], list({each.claim for each in deliveries})
        self._do("release", {"gist": gists, "claim": claims})

    def next_due(self) -> float | None:
        row = self._find("next_due", {}, dict_row)
        return None if row is None else float(row["seconds"])

    def _set_up(self, query: str, subscription: Subscription) -> Subscription | None:
        """Two statements, because the second must see what paused while the first waited for the row."""
        with self._connection() as connection, connection.transaction():
            cursor = connection.cursor(row_factory=class_row(Subscription))
            saved = cursor.execute(QUERIES[query].encode(), vars(subscription)).fetchone()
            if saved is not None and saved.active:
                connection.execute(QUERIES["resume"].encode(), {"subscription": saved.subscription})
            return saved

    def _list(self, query: str, filters: Filters, page: Page, row: BaseRowFactory[Row]) -> tuple[Row, ...]:
        """Values are bound; only the direction, one of two constants, is written into the statement."""
        beyond, direction = ("<", "DESC") if page.reads_downwards else (">", "ASC")
        text = compose.SQL(QUERIES[query])
        statement = text.format(beyond=compose.SQL(beyond), direction=compose.SQL(direction))
        parameters = {**vars(filters), "key": page.key, "limit": page.per_page + 1}
        with self._connection() as connection, connection.cursor(row_factory=row) as cursor:
            return tuple(cursor.execute(statement, parameters).fetchall())

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

    @contextmanager
    def _connection(self) -> Iterator[Connection[Any]]:
        try:
            with self._pool.connection() as connection:
                yield connection
        except (PoolTimeout, PoolClosed) as error:
            raise Unavailable("the database does not answer; try again in a moment") from error
        except (OperationalError, errors.ReadOnlySqlTransaction) as error:
            raise Unavailable("the database went away during the request; try again in a moment") from error
        except errors.DataError as error:
            raise Malformed(f"the database cannot keep that: {error}") from error


@contextmanager
def _in_use(message: str) -> Iterator[None]:
    try:
        yield
    except (errors.ForeignKeyViolation, errors.UniqueViolation) as error:
        raise Conflict(message) from error


def _or_conflict(added: Row | None, message: str) -> Row:
    if added is None:
        raise Conflict(message)
    return added


def _with_json(value: Action | Publication, *names: str) -> dict[str, Any]:
    return {**vars(value), **{name: AsJson(getattr(value, name)) for name in names}}


def _gist(row: dict[str, Any], tries: tuple[Attempt, ...] = ()) -> Gist:
    return Gist(**{**row, "status": Status(row["status"])}, tries=tries)


def _delivery(row: dict[str, Any]) -> Delivery:
    return Delivery(url=rules.handler_url(row.pop("address"), row.pop("handler")), **row)


def _columns(completions: tuple[Completion, ...]) -> dict[str, list[Any]]:
    """One array a column, in order of the gist so that two batches never lock each other out."""
    done = sorted(completions, key=lambda each: each.delivery.gist)
    return {
        "gist": [each.delivery.gist for each in done],
        "claim": [each.delivery.claim for each in done],
        "status": [str(each.status) for each in done],
        "attempt": [each.attempt.attempt if each.attempt else each.delivery.attempt - 1 for each in done],
        "retries": [each.retries for each in done],
        "delay": [timedelta(seconds=each.delay) for each in done],
        "http": [each.attempt.status if each.attempt else None for each in done],
        "milliseconds": [each.attempt.milliseconds if each.attempt else 0 for each in done],
        "response": [each.attempt.response if each.attempt else "" for each in done],
        "error": [each.attempt.error if each.attempt else None for each in done],
        "timestamped": [each.attempt.timestamped if each.attempt else None for each in done],
        "tried": [each.attempt is not None for each in done],
    }

"""What the service keeps about itself, in PostgreSQL."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from psycopg import errors
from psycopg.rows import dict_row, kwargs_row

from app.model import Minute
from app.storage.postgres.database import Database, row

HEALTH_SECONDS = 0.7  # for a connection


class PostgresUpkeep(Database):
    """The port Upkeep."""

    def schema_version(self) -> int:
        """Says soon that the database is away: who asks for health, such as the guard, waits for less than a second."""
        try:
            with self._connection(HEALTH_SECONDS) as connection:
                return int((row(connection, "schema_version", {}) or {"version": 0})["version"])
        except errors.UndefinedTable:
            return 0

    def oldest_schema(self) -> int:
        try:
            return int(self._one("oldest_schema", {}, dict_row)["oldest"])
        except (errors.UndefinedTable, errors.UndefinedColumn):  # no migration has said it yet
            return 1

    def expire(self, keys: timedelta, most: int) -> int:
        self._do("expire_rest", {})
        return len(self._all("expire_keys", {"keys": keys, "most": most}, dict_row))

    def failed_sign_ins(self, who: Sequence[str], window: timedelta) -> int:
        return int(self._one("count_sign_in_failures", {"who": list(who), "window": window}, dict_row)["failures"])

    def count_sign_in(self, who: Sequence[str], window: timedelta, *, failed: bool) -> None:
        query = "add_sign_in_failure" if failed else "forget_sign_in_failures"
        self._do(query, {"who": list(who), "window": window})

    def add_minutes(self, minutes: Sequence[Minute]) -> None:
        self._do("add_minutes", _columns(minutes))

    def minutes(self, application: str | None, since: datetime) -> tuple[Minute, ...]:
        query = "list_minutes_of_all" if application is None else "list_minutes"
        return self._all(query, {"application": application, "since": since}, kwargs_row(_minute))


def _columns(minutes: Sequence[Minute]) -> dict[str, list[Any]]:
    plain = ("minute", "application", "published", "delivered", "retried", "failed", "due")
    found: dict[str, list[Any]] = {name: [getattr(each, name) for each in minutes] for name in plain}
    found["latency"] = [",".join(map(str, each.latency)) for each in minutes]
    found["oldest"] = [each.oldest_seconds for each in minutes]
    return found


def _minute(**found: Any) -> Minute:  # noqa: ANN401  # a row, as it comes
    return Minute(**{**found, "latency": tuple(found["latency"] or ())})

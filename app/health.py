"""Whether this process may get traffic, and the words in which it says so."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from app import __version__
from app.errors import Unavailable
from app.storage.migrate import REQUIRED

UNREACHABLE = "database unreachable"
Answer = tuple[bool, dict[str, Any]]


@dataclass
class Health:
    """The life of one process; `draining` turns true once, when it is told to end.

    `pool` tells the connections to the database: size, idle, waiting; `replica_lag`, where there is one, its seconds.
    `oldest` tells the oldest releases that run on the database's schema, by the schema that they were built for.
    """

    instance: str
    schema_version: Callable[[], int]
    draining: bool = False
    since: datetime = field(default_factory=lambda: datetime.now(UTC))
    pool: Callable[[], Mapping[str, float]] = dict
    replica_lag: Callable[[], float] | None = None
    oldest: Callable[[], int] = lambda: 1

    def ready(self) -> Answer:
        """The answer of /health/ready, and whether it is yes; a process that drains asks nobody any more."""
        return self._answer(None if self.draining else _asked(self.schema_version, "schema")["schema"])

    def status(self) -> Answer:
        """As ready, with the seconds that this process has lived."""
        ready, answer = self.ready()
        return ready, {**answer, **self._uptime()}

    def dependencies(self) -> Answer:
        """What this process depends on, asked now; yes while the database answers, with or without its replica."""
        found = {"database": self._database()}
        if self.replica_lag:
            found["replica"] = _asked(self.replica_lag, "lag_seconds")
        return bool(found["database"]["reachable"]), found

    def detailed(self) -> Answer:
        """As status, with each dependency."""
        _, found = self.dependencies()
        ready, answer = self._answer(found["database"]["schema"])
        return ready, {**answer, **self._uptime(), "dependencies": found}

    def may_accept(self) -> bool:
        """A process that is not ready accepts nothing; but without a database nobody is, and a 503 beats silence."""
        ready, answer = self.ready()
        return ready or answer["status"] == UNREACHABLE

    def _answer(self, found: int | None) -> Answer:
        status, schema = self._judged(found)
        return status == "ready", {
            "status": status,
            "version": __version__,
            "instance": self.instance,
            "schema": schema,
            "since": self.since.isoformat(timespec="seconds"),
        }

    def _judged(self, schema: int | None) -> tuple[str, int | None]:
        if self.draining:
            return "draining", schema
        if schema is None:
            return UNREACHABLE, None
        if schema > REQUIRED:
            return self._judged_by_newer(schema)
        return ("ready" if schema >= REQUIRED else "schema too old"), schema

    def _judged_by_newer(self, schema: int) -> tuple[str, int | None]:
        """A newer schema says itself whether this release can run on it; asked only then, so rarely."""
        oldest = _asked(self.oldest, "oldest")["oldest"]
        if oldest is None:
            return UNREACHABLE, None
        return ("ready" if oldest <= REQUIRED else "schema too new"), schema

    def _uptime(self) -> dict[str, int]:
        return {"uptime_seconds": int((datetime.now(UTC) - self.since).total_seconds())}

    def _database(self) -> dict[str, Any]:
        found = _asked(self.schema_version, "schema")
        pool = self.pool()
        return {**found, "pool": dict(pool)} if pool else found


def _asked(question: Callable[[], float], name: str) -> dict[str, Any]:
    """Whether there is an answer, after how many milliseconds, and what it is."""
    started = time.perf_counter()
    try:
        answer = question()
    except Unavailable:
        return {"reachable": False, "ms": _milliseconds(started), name: None}
    return {"reachable": True, "ms": _milliseconds(started), name: answer}


def _milliseconds(started: float) -> float:
    return round((time.perf_counter() - started) * 1000, 1)

"""Health and metrics: for load balancers, rollouts and Prometheus. Nobody needs credentials for these."""

from collections.abc import Callable
from typing import Any

import falcon
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from app.health import Answer, Health
from app.http.errors import RETRY_AFTER
from app.http.operations import operation

ALIVE = {"type": "object", "properties": {"status": {"const": "alive"}}, "required": ["status"]}
_ANSWERED: dict[str, Any] = {"reachable": {"type": "boolean"}, "ms": {"type": "number"}}
_READY: dict[str, Any] = {
    "status": {"enum": ["ready", "draining", "database unreachable", "schema too old", "schema too new"]},
    "version": {"type": "string"},
    "instance": {"type": "string"},
    "schema": {"type": ["integer", "null"]},
    "since": {"type": "string", "format": "date-time"},
}
_LIVED = {**_READY, "uptime_seconds": {"type": "integer"}}
_DEPENDENCIES = {
    "database": {
        "type": "object",
        "properties": {**_ANSWERED, "schema": {"type": ["integer", "null"]}, "pool": {"type": "object"}},
        "required": [*_ANSWERED, "schema"],
    },
    "replica": {
        "type": "object",
        "properties": {**_ANSWERED, "lag_seconds": {"type": ["number", "null"]}},
        "required": [*_ANSWERED, "lag_seconds"],
    },
}
READY = {"type": "object", "properties": _READY, "required": list(_READY)}
LIVED = {"type": "object", "properties": _LIVED, "required": list(_LIVED)}
DEPENDENCIES = {"type": "object", "properties": _DEPENDENCIES, "required": ["database"]}
DETAILED = {
    "type": "object",
    "properties": {**_LIVED, "dependencies": DEPENDENCIES},
    "required": [*_LIVED, "dependencies"],
}


class Live:
    """GET /health: the process lives; it touches nothing else."""

    public = True

    @operation("Say that the process lives.", {200: ALIVE})
    def on_get(self, _req: falcon.Request, resp: falcon.Response) -> None:
        resp.media = {"status": "alive"}


class Question:
    """GET of something that health answers with yes, 200, or no, 503; and that nobody may keep a copy of."""

    public = True

    def __init__(self, ask: Callable[[], Answer]) -> None:
        self._ask = ask

    def _answer(self, resp: falcon.Response) -> None:
        yes, resp.media = self._ask()
        resp.cache_control = ["no-store"]
        if not yes:
            resp.status = falcon.HTTP_503
            resp.set_header("Retry-After", RETRY_AFTER)


class Ready(Question):
    """GET /health/ready: it may get traffic."""

    def __init__(self, health: Health) -> None:
        super().__init__(health.ready)

    @operation("Say whether this process may get traffic.", {200: READY, 503: READY})
    def on_get(self, _req: falcon.Request, resp: falcon.Response) -> None:
        self._answer(resp)


class Detailed(Question):
    """GET /health/detailed: as ready, with what it depends on: how quick that is, the pool's use, the replica's lag."""

    def __init__(self, health: Health) -> None:
        super().__init__(health.detailed)

    @operation(
        "Say whether this process may get traffic, and how it is with what it depends on.",
        {200: DETAILED, 503: DETAILED},
    )
    def on_get(self, _req: falcon.Request, resp: falcon.Response) -> None:
        self._answer(resp)


class Database(Question):
    """GET /health/database: the database and its replica, whatever the process itself is about."""

    def __init__(self, health: Health) -> None:
        super().__init__(health.dependencies)

    @operation("Say whether the database answers, and its replica.", {200: DEPENDENCIES, 503: DEPENDENCIES})
    def on_get(self, _req: falcon.Request, resp: falcon.Response) -> None:
        self._answer(resp)


class Status(Question):
    """GET /v1/status: version, instance, schema, uptime."""

    def __init__(self, health: Health) -> None:
        super().__init__(health.status)

    @operation("Say what runs here, since when, and whether it may get traffic.", {200: LIVED, 503: LIVED})
    def on_get(self, _req: falcon.Request, resp: falcon.Response) -> None:
        self._answer(resp)


class Metrics:
    """GET /metrics."""

    public = True

    @operation("Tell Prometheus what this process counted.", {200: CONTENT_TYPE_LATEST})
    def on_get(self, _req: falcon.Request, resp: falcon.Response) -> None:
        resp.data = generate_latest()
        resp.content_type = CONTENT_TYPE_LATEST

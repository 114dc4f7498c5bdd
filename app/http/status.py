"""Health and metrics: for load balancers, rollouts and Prometheus. Nobody needs credentials for these."""

from collections.abc import Callable

import falcon
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from app.health import Answer, Health
from app.http.errors import RETRY_AFTER
from app.http.operations import operation

OBJECT = {"type": "object"}


class Live:
    """GET /health: the process lives; it touches nothing else."""

    public = True

    @operation("Say that the process lives.", {200: OBJECT})
    def on_get(self, _req: falcon.Request, resp: falcon.Response) -> None:
        resp.media = {"status": "alive"}


class Question:
    """GET of something that health answers with yes, 200, or no, 503; and that nobody may keep a copy of."""

    public = True

    def __init__(self, ask: Callable[[], Answer]) -> None:
        self._ask = ask

    @operation("Say how it is: 200 when it is well, 503 when it is not.", {200: OBJECT, 503: OBJECT})
    def on_get(self, _req: falcon.Request, resp: falcon.Response) -> None:
        yes, resp.media = self._ask()
        resp.cache_control = ["no-store"]
        if not yes:
            resp.status = falcon.HTTP_503
            resp.set_header("Retry-After", RETRY_AFTER)


class Ready(Question):
    """GET /health/ready: it may get traffic."""

    def __init__(self, health: Health) -> None:
        super().__init__(health.ready)


class Detailed(Question):
    """GET /health/detailed: as ready, with what it depends on: how quick that is, the pool's use, the replica's lag."""

    def __init__(self, health: Health) -> None:
        super().__init__(health.detailed)


class Database(Question):
    """GET /health/database: the database and its replica, whatever the process itself is about."""

    def __init__(self, health: Health) -> None:
        super().__init__(health.dependencies)


class Status(Question):
    """GET /v1/status: version, instance, schema, uptime."""

    def __init__(self, health: Health) -> None:
        super().__init__(health.status)


class Metrics:
    """GET /metrics."""

    public = True

    @operation("Tell Prometheus what this process counted.", {200: CONTENT_TYPE_LATEST})
    def on_get(self, _req: falcon.Request, resp: falcon.Response) -> None:
        resp.data = generate_latest()
        resp.content_type = CONTENT_TYPE_LATEST

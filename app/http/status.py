"""Health and metrics: for load balancers, rollouts and Prometheus. Nobody needs credentials for these."""

import time
from datetime import UTC, datetime

import falcon
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from app.health import Health
from app.http.errors import RETRY_AFTER


class Live:
    """GET /health: the process lives; it touches nothing else."""

    public = True

    def on_get(self, _req: falcon.Request, resp: falcon.Response) -> None:
        resp.media = {"status": "alive"}


class Ready:
    """GET /health/ready: it may get traffic."""

    public = True

    def __init__(self, health: Health) -> None:
        self._health = health

    def on_get(self, _req: falcon.Request, resp: falcon.Response) -> None:
        ready, resp.media = self._health.ready()
        if not ready:
            resp.status = falcon.HTTP_503
            resp.set_header("Retry-After", RETRY_AFTER)


class Detailed:
    """GET /health/detailed: as ready, with the latency of what it depends on."""

    public = True

    def __init__(self, health: Health) -> None:
        self._health = health

    def on_get(self, _req: falcon.Request, resp: falcon.Response) -> None:
        started = time.perf_counter()
        ready, found = self._health.ready()
        milliseconds = round((time.perf_counter() - started) * 1000, 1)
        uptime = datetime.now(UTC) - self._health.since
        database = {"reachable": found["schema"] is not None, "ms": milliseconds}
        resp.media = {**found, "uptime_seconds": int(uptime.total_seconds()), "dependencies": {"database": database}}
        resp.status = falcon.HTTP_200 if ready else falcon.HTTP_503


class Metrics:
    """GET /metrics."""

    public = True

    def on_get(self, _req: falcon.Request, resp: falcon.Response) -> None:
        resp.data = generate_latest()
        resp.content_type = CONTENT_TYPE_LATEST

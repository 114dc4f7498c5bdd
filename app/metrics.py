"""What Prometheus reads, of the web and of the dispatcher. Each process counts its own; Prometheus sums them up.

The gauges that are read from the database are the same in every process: take their maximum, never their sum.
"""

import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache

from prometheus_client import REGISTRY, CollectorRegistry, Counter, Histogram, Info, disable_created_metrics
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from app import __version__, model
from app.errors import Unavailable

METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
QUICK = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
SLOW = (30.0, 60.0, 300.0, 900.0, 3600.0, 4 * 3600.0, 12 * 3600.0, 24 * 3600.0)
SIZES = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)
FRESH = 5.0  # seconds that what was read from the database is good for, however many scrape
SAME = "The same in every process: take max, not sum."

disable_created_metrics()  # type: ignore[no-untyped-call]  # the library's; else each series has a second one

Info("amebo_build", "The version that runs.").info({"version": __version__})
REQUESTS = Histogram(
    "amebo_http_request_duration_seconds",
    "Seconds from a request to its response, by route.",
    ["route", "method", "status"],
    buckets=QUICK,
)
PUBLISHED = Counter("amebo_events_published_total", "Events stored, repeats not counted.", ["action"])
DUPLICATES = Counter("amebo_events_duplicate_total", "Publishes whose key stood for an event already.")
COMMIT_BATCH = Histogram("amebo_commit_batch_size", "Events that shared one commit.", buckets=SIZES)
CLAIM_BATCH = Histogram("amebo_claim_batch_size", "Gists that one claim brought.", buckets=(0, *SIZES))
DELIVERIES = Counter("amebo_deliveries_total", "Attempts to deliver, by the gist's status after it.", ["result"])
DELIVERY_SECONDS = Histogram(
    "amebo_delivery_duration_seconds", "Seconds of one attempt to deliver.", buckets=(*QUICK, 30.0, 60.0)
)
PUBLISH_TO_DELIVERY = Histogram(
    "amebo_publish_to_delivery_seconds",
    "Seconds from when an event was published, or was to be, until a handler had it.",
    buckets=(*QUICK, *SLOW),
)
for _result in (model.Status.DELIVERED, model.Status.RETRYING, model.Status.FAILED, model.Status.PAUSED):
    DELIVERIES.labels(str(_result))  # there from the start, so that a rate sees the first of each

_requests, _published = cache(REQUESTS.labels), cache(PUBLISHED.labels)  # theirs takes a lock and a while


def count_request(route: str | None, method: str, status: int, seconds: float) -> None:
    """One request was answered; `route` is its template, or None. What clients make up never becomes a label."""
    known = method if method in METHODS else "other"
    _requests(route or "unknown", known, str(status)).observe(seconds)


def count_published(published: Sequence[model.Published]) -> None:
    """Each was stored, or its key stood for one already."""
    stored: dict[str, int] = {}
    for each in published:
        if each.duplicate:
            DUPLICATES.inc()
        else:
            stored[each.event.action] = stored.get(each.event.action, 0) + 1
    for action, many in stored.items():
        _published(action).inc(many)


class Pool(Collector):
    """The connections of this process to the database; `read` answers size, idle and waiting."""

    def __init__(self, read: Callable[[], Mapping[str, float]], registry: CollectorRegistry = REGISTRY) -> None:
        self._read = read
        registry.register(self)

    def describe(self) -> Iterable[GaugeMetricFamily]:
        return self._families()

    def collect(self) -> Iterable[GaugeMetricFamily]:
        connections, waiting = self._families()
        found = self._read()
        connections.add_metric(["used"], found["size"] - found["idle"])
        connections.add_metric(["idle"], found["idle"])
        waiting.add_metric([], found["waiting"])
        return connections, waiting

    def _families(self) -> tuple[GaugeMetricFamily, GaugeMetricFamily]:
        return (
            GaugeMetricFamily(
                "amebo_database_pool_connections", "Connections of this process to the database.", labels=["state"]
            ),
            GaugeMetricFamily("amebo_database_pool_waiting", "Requests of this process that wait for a connection."),
        )


class Backlog(Collector):
    """What waits in the database, read when Prometheus asks; absent, which is not 0, while the database is away."""

    def __init__(
        self,
        read: Callable[[], model.Backlog],
        registry: CollectorRegistry = REGISTRY,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._read = read
        self._now = now
        self._lock = threading.Lock()
        self._until = float("-inf")
        self._found: model.Backlog | None = None
        registry.register(self)

    def describe(self) -> Iterable[GaugeMetricFamily]:
        return self._families()

    def collect(self) -> Iterable[GaugeMetricFamily]:
        due, oldest, breakers = self._families()
        found = self._fresh()
        if found is None:
            return ()
        due.add_metric([], found.due)
        oldest.add_metric([], found.oldest_seconds)
        for state in model.Breaker:
            breakers.add_metric([str(state)], found.breakers.get(str(state), 0))
        return due, oldest, breakers

    def _fresh(self) -> model.Backlog | None:
        with self._lock:
            if self._now() >= self._until:
                self._found = self._ask()
                self._until = self._now() + FRESH
            return self._found

    def _ask(self) -> model.Backlog | None:
        try:
            return self._read()
        except Unavailable:
            return None

    def _families(self) -> tuple[GaugeMetricFamily, GaugeMetricFamily, GaugeMetricFamily]:
        return (
            GaugeMetricFamily("amebo_gists_due", f"Gists that are due, counted to 100,000 or so. {SAME}"),
            GaugeMetricFamily(
                "amebo_gist_oldest_due_age_seconds", f"How long the oldest due gist has been due. {SAME}"
            ),
            GaugeMetricFamily("amebo_breakers", f"Circuit breakers of endpoints by state. {SAME}", labels=["state"]),
        )

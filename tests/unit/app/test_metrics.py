"""What Prometheus reads: names and units by its conventions, bounded labels, and nothing that is not known."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest
from prometheus_client import REGISTRY, CollectorRegistry, generate_latest
from prometheus_client.metrics_core import Metric
from prometheus_client.parser import text_string_to_metric_families

from app import __version__, metrics
from app.errors import Unavailable
from app.model import Backlog

PROMISED = {
    "amebo_http_request_duration_seconds": "histogram",
    "amebo_events_published": "counter",
    "amebo_events_duplicate": "counter",
    "amebo_deliveries": "counter",
    "amebo_delivery_duration_seconds": "histogram",
    "amebo_publish_to_delivery_seconds": "histogram",
    "amebo_commit_batch_size": "histogram",
    "amebo_claim_batch_size": "histogram",
    "amebo_database_pool_connections": "gauge",
    "amebo_database_pool_waiting": "gauge",
    "amebo_gists_due": "gauge",
    "amebo_gist_oldest_due_age_seconds": "gauge",
    "amebo_breakers": "gauge",
    "amebo_build_info": "gauge",
}
NOT_BASE_UNITS = re.compile(r"_(ms|milliseconds|minutes|hours|days|kilobytes|megabytes|percent)(_|$)")


@dataclass
class Database:
    """Answers what waits in it, or is away; counts how often it is asked."""

    backlog: Backlog | None = field(default_factory=lambda: Backlog(3, 1.5, {"closed": 4, "open": 1}))
    asked: int = 0
    now: float = 100.0

    def read(self) -> Backlog:
        self.asked += 1
        if self.backlog is None:
            raise Unavailable("away")
        return self.backlog


@pytest.fixture
def registry() -> CollectorRegistry:
    return CollectorRegistry()


def families(registry: CollectorRegistry) -> dict[str, Metric]:
    """As Prometheus parses them, without its own of the process and of Python."""
    found = text_string_to_metric_families(generate_latest(registry).decode())
    return {each.name: each for each in found if each.name.startswith("amebo")}


def values(registry: CollectorRegistry) -> dict[tuple[str, ...], float]:
    samples = [sample for family in families(registry).values() for sample in family.samples]
    return {(sample.name, *sample.labels.values()): sample.value for sample in samples}


@pytest.fixture
def everything() -> Iterator[dict[str, Metric]]:
    """What a web process offers."""
    backlog = metrics.Backlog(Database().read)
    pool = metrics.Pool(lambda: {"size": 10, "idle": 7, "waiting": 2})
    metrics.PUBLISHED.labels("order.placed").inc()
    metrics.count_request("/v1/events", "POST", 201, 0.01)
    yield families(REGISTRY)
    REGISTRY.unregister(backlog)
    REGISTRY.unregister(pool)


def test_all_that_is_promised_is_there_and_nothing_else(everything: dict[str, Metric]) -> None:
    assert {name: family.type for name, family in everything.items()} == PROMISED


def test_names_and_units_follow_the_conventions(everything: dict[str, Metric]) -> None:
    for name, family in everything.items():
        assert re.fullmatch(r"amebo(_[a-z0-9]+)+", name)
        assert not NOT_BASE_UNITS.search(name)
        assert family.documentation.endswith(".")
        for sample in family.samples:
            if family.type == "counter":
                assert sample.name == f"{name}_total"
            elif family.type == "histogram":
                assert sample.name.removeprefix(name) in ("_bucket", "_sum", "_count")
            else:
                assert sample.name == name
                assert not name.endswith(("_total", "_count", "_sum", "_bucket"))
            assert not {"instance", "job"} & sample.labels.keys(), "these are Prometheus' own"
            assert not any(label in name.split("_") for label in sample.labels)


def test_what_is_the_same_everywhere_says_so(everything: dict[str, Metric]) -> None:
    same = {name for name, family in everything.items() if "max, not sum" in family.documentation}
    assert same == {"amebo_gists_due", "amebo_gist_oldest_due_age_seconds", "amebo_breakers"}


def test_the_build_tells_its_version(everything: dict[str, Metric]) -> None:
    (sample,) = everything["amebo_build_info"].samples
    assert (sample.labels, sample.value) == ({"version": __version__}, 1.0)


def test_each_result_of_a_delivery_is_there_from_the_start(everything: dict[str, Metric]) -> None:
    results = {sample.labels["result"] for sample in everything["amebo_deliveries"].samples}
    assert results == {"delivered", "retrying", "failed", "paused"}


def test_what_waits_may_have_waited_for_hours(everything: dict[str, Metric]) -> None:
    bounds = [
        float(sample.labels["le"])
        for sample in everything["amebo_publish_to_delivery_seconds"].samples
        if sample.name.endswith("_bucket")
    ]
    assert bounds == sorted(bounds)
    assert bounds[0] <= 0.001
    assert bounds[-2] >= 12 * 3600


def test_what_clients_make_up_is_no_label(everything: dict[str, Metric]) -> None:
    before = {sample.labels["method"] for sample in everything["amebo_http_request_duration_seconds"].samples}
    for number in range(100):
        metrics.count_request(None, f"MADEUP{number}", 404, 0.01)
    samples = families(REGISTRY)["amebo_http_request_duration_seconds"].samples
    assert {sample.labels["method"] for sample in samples} == before | {"other"}
    assert "unknown" in {sample.labels["route"] for sample in samples}


def test_the_pool_is_used_or_idle(registry: CollectorRegistry) -> None:
    metrics.Pool(lambda: {"size": 10, "idle": 7, "waiting": 2}, registry)
    assert values(registry) == {
        ("amebo_database_pool_connections", "used"): 3,
        ("amebo_database_pool_connections", "idle"): 7,
        ("amebo_database_pool_waiting",): 2,
    }


def test_the_backlog_is_read_when_asked_and_every_state_is_there(registry: CollectorRegistry) -> None:
    database = Database()
    metrics.Backlog(database.read, registry)
    assert database.asked == 0
    assert values(registry) == {
        ("amebo_gists_due",): 3,
        ("amebo_gist_oldest_due_age_seconds",): 1.5,
        ("amebo_breakers", "closed"): 4,
        ("amebo_breakers", "open"): 1,
        ("amebo_breakers", "half_open"): 0,
    }


def test_the_database_is_asked_once_in_five_seconds_however_many_scrape(registry: CollectorRegistry) -> None:
    database = Database()
    metrics.Backlog(database.read, registry, lambda: database.now)
    for seconds, asked in ((0.0, 1), (0.0, 1), (4.9, 1), (0.2, 2), (4.0, 2), (1.0, 3)):
        database.now += seconds
        values(registry)
        assert database.asked == asked


def test_while_the_database_is_away_the_backlog_is_absent_and_not_zero(registry: CollectorRegistry) -> None:
    database = Database(backlog=None)
    metrics.Backlog(database.read, registry, lambda: database.now)
    metrics.Pool(lambda: {"size": 2, "idle": 0, "waiting": 9}, registry)
    for _ in range(3):
        assert {name for name, *_ in values(registry)} == {
            "amebo_database_pool_connections",
            "amebo_database_pool_waiting",
        }
    assert database.asked == 1, "a scrape of an absent database takes long enough once"
    database.backlog = Backlog(0, 0.0, {})
    database.now += 5
    assert values(registry)[("amebo_gists_due",)] == 0

"""PURE: from cumulative Prometheus counts to rates and a p95."""

from collections.abc import Iterable, Sequence
from itertools import pairwise
from math import inf

from prometheus_client.parser import text_string_to_metric_families

from fleet.model import Colour, Fleet, Rates, Sample, Work

MEAN_SECONDS = 5.0
NOTHING = Work(0, 0, 1)


def sample(at: float, lines: Iterable[str]) -> Sample:
    """Sum a reading of amebo_http_request_duration_seconds over routes and methods; errors are answers from 500 up."""
    requests = errors = 0.0
    buckets: dict[float, float] = {}
    for family in text_string_to_metric_families("\n".join(lines) + "\n"):
        for metric in family.samples:
            if metric.name.endswith("_count"):
                requests += metric.value
                errors += metric.value if metric.labels.get("status", "").startswith("5") else 0
            elif metric.name.endswith("_bucket"):
                bound = float(metric.labels["le"])
                buckets[bound] = buckets.get(bound, 0) + metric.value
    return Sample(at, requests, errors, buckets)


def work(at: float, lines: Iterable[str], cpu_seconds: float, cpus: float) -> Work:
    """From a reading of amebo_deliveries_total; whatever an attempt did not deliver has failed, retried or not."""
    attempts = failures = 0
    for family in text_string_to_metric_families("\n".join(lines) + "\n"):
        for metric in family.samples:
            if metric.name == "amebo_deliveries_total":
                attempts += int(metric.value)
                failures += 0 if metric.labels["result"] == "delivered" else int(metric.value)
    return Work(at, cpu_seconds, cpus, attempts, failures)


def busiest(before: Fleet, after: Fleet, colour: Colour) -> float | None:
    """The busy share, 0 to 1, of the colour's busiest instance between two looks; None where nobody can tell."""
    then = {o.what: o.work for o in (*before.instances, *before.idle)}
    now = {o.what: o.work for o in (*after.instances, *after.idle) if o.what.colour is colour}
    shares = (_busy(then.get(what), work) for what, work in now.items())
    return max((share for share in shares if share is not None), default=None)


def _busy(before: Work | None, after: Work | None) -> float | None:
    """None for another process than before, and for a time that is too short to be a mean of anything."""
    if before is None or after is None or after.cpu_seconds < before.cpu_seconds or after.at - before.at < MEAN_SECONDS:
        return None
    return min(1.0, (after.cpu_seconds - before.cpu_seconds) / (after.at - before.at) / after.cpus)


def deliveries(before: Fleet, after: Fleet) -> tuple[int, int]:
    """Attempts to deliver between two looks, and those of them that failed; of a process that is new, all it did."""
    then = {o.what: o.work for o in before.dispatchers}
    attempts = failures = 0
    for found in after.dispatchers:
        now, was = found.work or NOTHING, then.get(found.what) or NOTHING
        was = was if was.attempts <= now.attempts else NOTHING
        attempts, failures = attempts + now.attempts - was.attempts, failures + now.failures - was.failures
    return attempts, failures


def between(before: Sequence[Sample], after: Sequence[Sample]) -> Rates:
    """Rates of several processes together, over the time between their two readings."""
    seconds = max(a.at - b.at for b, a in zip(before, after, strict=True))
    counted = {
        bound: sum(a.buckets.get(bound, 0) - b.buckets.get(bound, 0) for b, a in zip(before, after, strict=True))
        for bound in sorted({bound for a in after for bound in a.buckets})
    }
    return Rates(
        requests_per_second=(sum(a.requests for a in after) - sum(b.requests for b in before)) / seconds,
        errors_per_second=(sum(a.errors for a in after) - sum(b.errors for b in before)) / seconds,
        p95_ms=_milliseconds(quantile(0.95, counted)),
    )


def quantile(q: float, cumulative: dict[float, float]) -> float | None:
    """Linear within the bucket, as Prometheus' histogram_quantile; the last finite bound where it lies beyond it.

    `cumulative`: upper bound in seconds → observations at or below it, +Inf included. None without observations.
    """
    total = cumulative.get(inf, 0)
    if total <= 0:
        return None
    rank = q * total
    for (low, below), (high, upto) in pairwise([(0.0, 0.0), *sorted(cumulative.items())]):
        if upto >= rank:
            return low if high == inf else low + (high - low) * (rank - below) / (upto - below)
    return None


def _milliseconds(seconds: float | None) -> float | None:
    return None if seconds is None else seconds * 1000

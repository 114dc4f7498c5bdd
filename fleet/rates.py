"""PURE: from cumulative Prometheus counts to rates and a p95."""

from collections.abc import Iterable, Sequence
from itertools import pairwise
from math import inf

from prometheus_client.parser import text_string_to_metric_families

from fleet.model import Rates, Sample


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

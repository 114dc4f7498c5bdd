"""Rates and p95 from Prometheus' cumulative counts."""

from math import inf

import pytest

from fleet import rates

NAME = "amebo_http_request_duration_seconds"


def reading(fast: int, slow: int, failed: int = 0) -> list[str]:
    """Requests within 10 ms, within 100 ms, and failed ones within 10 ms."""
    lines = []
    for status, counts in (("201", (fast, fast + slow)), ("503", (failed, failed))):
        labels = f'route="/v1/events",method="POST",status="{status}"'
        lines += [f'{NAME}_bucket{{{labels},le="0.01"}} {counts[0]}', f'{NAME}_bucket{{{labels},le="0.1"}} {counts[1]}']
        lines += [f'{NAME}_bucket{{{labels},le="+Inf"}} {counts[1]}', f"{NAME}_count{{{labels}}} {counts[1]}"]
    return lines


def test_counts_between_two_readings_over_time_and_slots() -> None:
    before = [rates.sample(100.0, reading(10, 0)), rates.sample(100.0, reading(0, 0))]
    after = [rates.sample(102.0, reading(20, 10, failed=4)), rates.sample(102.0, reading(6, 0))]
    found = rates.between(before, after)
    assert found.requests_per_second == 15
    assert found.errors_per_second == 2
    assert found.p95_ms == pytest.approx(10 + 90 * (0.95 * 30 - 20) / 10)


def test_has_no_p95_without_requests() -> None:
    idle = [rates.sample(1.0, [])]
    assert rates.between(idle, [rates.sample(2.0, [])]).p95_ms is None


def test_p95_beyond_the_last_bound_is_that_bound() -> None:
    assert rates.quantile(0.95, {0.1: 1, inf: 100}) == 0.1

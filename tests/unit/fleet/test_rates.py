"""Rates and p95 from Prometheus' cumulative counts."""

from math import inf

import pytest

from fleet import rates
from fleet.model import Colour, Dispatcher, Fleet, Instance, Observed, State, Work

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


def attempts(**results: int) -> list[str]:
    return [f'amebo_deliveries_total{{result="{result}"}} {count}.0' for result, count in results.items()]


def test_an_attempt_that_did_not_deliver_has_failed_whatever_comes_of_it() -> None:
    lines = [*attempts(delivered=90, retrying=7, failed=2, paused=1, pending=0), *reading(5, 5)]
    assert rates.work(7.0, lines, 3.5, 0.5) == Work(7.0, 3.5, 0.5, attempts=100, failures=10)
    assert rates.work(7.0, [], 3.5, 1.0) == Work(7.0, 3.5, 1.0)


BLUE, OTHER, GREEN = Instance("app-1", 3310), Instance("app-2", 3310), Instance("app-1", 3410, Colour.GREEN)


def a_fleet(**work: Work | None) -> Fleet:
    """Of these instances, by name, what each has done; green ones are idle, which changes nothing."""
    named = {"blue": BLUE, "other": OTHER, "green": GREEN}
    found = [Observed(named[name], State.READY, work=done) for name, done in work.items()]
    serving = tuple(o for o in found if o.what.colour is Colour.BLUE)
    return Fleet(serving, idle=tuple(o for o in found if o.what.colour is Colour.GREEN))


def test_the_busiest_instance_of_a_colour_is_what_counts() -> None:
    before = a_fleet(blue=Work(100, 10, 1), other=Work(50, 0, 1), green=Work(100, 1, 0.5))
    after = a_fleet(blue=Work(110, 14, 1), other=Work(60, 9, 1), green=Work(110, 3, 0.5))
    assert rates.busiest(before, after, Colour.BLUE) == pytest.approx(0.9)
    assert rates.busiest(before, after, Colour.GREEN) == pytest.approx(0.4)  # of half a CPU


@pytest.mark.parametrize(
    ("before", "after"),
    [
        pytest.param(None, Work(10, 5, 1), id="it did not run"),
        pytest.param(Work(0, 0, 1), None, id="it does not run any more"),
        pytest.param(Work(0, 9, 1), Work(10, 5, 1), id="it is another process"),
        pytest.param(Work(0, 0, 1), Work(4, 4, 1), id="too short to be a mean"),
    ],
)
def test_how_busy_it_is_is_not_always_known(before: Work | None, after: Work | None) -> None:
    assert rates.busiest(a_fleet(blue=before), a_fleet(blue=after), Colour.BLUE) is None
    both = a_fleet(blue=before, other=Work(0, 0, 1)), a_fleet(blue=after, other=Work(10, 2, 1))
    assert rates.busiest(*both, Colour.BLUE) == pytest.approx(0.2)


def test_nothing_is_busier_than_wholly() -> None:
    assert rates.busiest(a_fleet(blue=Work(0, 0, 1)), a_fleet(blue=Work(10, 13, 1)), Colour.BLUE) == 1


def dispatching(*work: Work | None) -> Fleet:
    return Fleet((), tuple(Observed(Dispatcher(f"app-{n}", 1), State.READY, work=done) for n, done in enumerate(work)))


def test_deliveries_are_counted_from_look_to_look_and_a_new_process_from_its_start() -> None:
    before = dispatching(Work(0, 0, 1, attempts=100, failures=10), Work(0, 0, 1, attempts=900, failures=9), None)
    after = dispatching(Work(9, 0, 1, attempts=150, failures=11), Work(9, 0, 1, attempts=30, failures=3), None)
    assert rates.deliveries(before, after) == (80, 4)
    assert rates.deliveries(after, after) == (0, 0)

"""Plots: where values come to lie, and what is said of them."""

import re
from datetime import UTC, datetime, timedelta

import pytest

from app.console.plots import HEIGHT, WIDTH, clock, durations, latencies, nice, rates

TIMES = clock(datetime(2026, 11, 24, 19, 30, tzinfo=UTC), datetime(2026, 11, 24, 20, 30, tzinfo=UTC))


def points(path: str) -> list[tuple[float, float]]:
    return [(float(x), float(y)) for x, y in re.findall(r"[ML]([\d.]+) ([\d.]+)", path)]


def test_times_are_even_along_the_plot() -> None:
    assert TIMES == ("19:30", "19:45", "20:00", "20:15", "20:30")
    assert len(clock(datetime(2026, 11, 24, tzinfo=UTC), datetime(2026, 11, 24, tzinfo=UTC) + timedelta(days=1))) == 5


@pytest.mark.parametrize(
    ("largest", "top"),
    [(0, 1), (-1, 1), (0.03, 0.05), (0.1, 0.1), (1, 1), (1.01, 2), (2.5, 5), (7, 10), (10, 10), (12, 20), (999, 1000)],
)
def test_an_axis_ends_at_a_round_number(largest: float, top: float) -> None:
    assert nice(largest) == pytest.approx(top)


def test_a_rate_lies_between_the_ground_and_the_top() -> None:
    plot = rates("Published", [("published", [0, 5, 10, 20])], TIMES)
    assert plot.ticks == ("20", "10", "0")
    assert points(plot.lines[0].path) == [(75, 100), (225, 75), (375, 50), (525, 0)]
    assert plot.lines[0].area.endswith(f"V{HEIGHT}H75Z")
    assert (plot.lines[0].last, plot.lines[0].highest) == ("20", "20")


def test_a_line_breaks_where_there_is_no_value() -> None:
    line = latencies("Latency", [("median", [None, 0.01, None, 0.1, 0.1])], TIMES).lines[0]
    assert line.path.count("M") == 2
    assert len(points(line.path)) == 3
    assert line.path.startswith("M180 100h0"), "one value alone is a dot"
    assert line.area == ""


def test_latencies_are_on_a_logarithmic_scale_of_whole_powers() -> None:
    plot = latencies("Latency", [("median", [0.01, 0.1, 1.0]), ("slow", [0.064, 0.5, 9.0])], TIMES)
    assert plot.ticks == ("10 s", "1 s", "100 ms", "10 ms")
    assert [y for _, y in points(plot.lines[0].path)] == pytest.approx([100, 66.67, 33.33], abs=0.01)
    assert plot.grid.count("M") == 4


@pytest.mark.parametrize(
    ("seconds", "ticks"),
    [
        (0.2, ("1 s", "500 ms", "0 s")),
        (45, ("1 min", "30 s", "0 s")),
        (3000, ("1 h", "30 min", "0 s")),
        (200_000, ("3 d", "1.5 d", "0 s")),
    ],
)
def test_an_axis_of_time_ends_at_a_time_that_people_say(seconds: float, ticks: tuple[str, ...]) -> None:
    plot = durations("Oldest", [("age", [0.0, seconds])], TIMES)
    assert plot.ticks == ticks
    assert all(0 <= x <= WIDTH and 0 <= y <= HEIGHT for x, y in points(plot.lines[0].path))


def test_a_plot_without_any_value_says_so() -> None:
    plot = latencies("Latency", [("median", [None, None])], TIMES)
    assert plot.is_empty
    assert (plot.lines[0].last, plot.lines[0].highest) == ("none", "none")


def test_a_summary_tells_who_does_not_see_it() -> None:
    plot = rates("Retries and failures", [("retries", [0.5, 0.25]), ("failures", [0, 0])], TIMES)
    assert plot.summary == (
        "Retries and failures, per second, 19:30 to 20:30. "
        "retries: 0.25 at the end, 0.5 at most; failures: 0 at the end, 0 at most."
    )

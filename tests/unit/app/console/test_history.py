"""The minutes, put together."""

from datetime import UTC, datetime, timedelta

from app import rules
from app.console.history import SPANS, STORED, Span, steps
from app.model import Minute

HOUR, MINUTE = SPANS[0], timedelta(minutes=1)
NOW = datetime(2026, 11, 24, 20, 30, 40, tzinfo=UTC)
SINCE = datetime(2026, 11, 24, 19, 30, tzinfo=UTC)


def latency(seconds: float, many: int) -> tuple[int, ...]:
    place = rules.latency_bucket(seconds)
    return tuple(many if each == place else 0 for each in range(place + 1))


def test_a_span_ends_with_the_last_minute_that_is_stored() -> None:
    assert HOUR.since(NOW) == SINCE
    assert HOUR.since(NOW.replace(second=0) + STORED - timedelta(seconds=1)) == SINCE - MINUTE


def test_every_span_has_whole_steps_and_rows() -> None:
    for span in SPANS:
        for length in (span.step, span.row):
            assert timedelta(hours=span.hours) % length == timedelta()


def test_there_is_a_step_also_where_nothing_happened() -> None:
    found = steps([], SINCE, HOUR, HOUR.row)
    assert [step.start for step in found] == [SINCE + place * HOUR.row for place in range(12)]
    assert all((step.published, step.median, step.slow, step.oldest_seconds) == (0, None, None, 0.0) for step in found)


def test_a_step_adds_up_its_minutes() -> None:
    minutes = [
        Minute(SINCE + 5 * MINUTE, "", published=3, delivered=10, retried=1, latency=latency(0.001, 10), due=2),
        Minute(SINCE + 9 * MINUTE, "", delivered=10, failed=2, latency=latency(1.0, 10), oldest_seconds=7.5),
        Minute(SINCE + 10 * MINUTE, "", published=99),
    ]
    step = steps(minutes, SINCE, HOUR, HOUR.row)[1]
    assert (step.published, step.delivered, step.retried, step.failed) == (3, 20, 1, 2)
    assert (step.median, step.oldest_seconds) == (0.001, 7.5)
    assert step.slow == rules.LATENCY_BOUNDS[rules.latency_bucket(1.0)]


def test_minutes_outside_the_span_do_not_count() -> None:
    minutes = [Minute(SINCE - MINUTE, "", published=1), Minute(SINCE + 60 * MINUTE, "", published=1)]
    whole = Span(1, MINUTE, timedelta(hours=1))
    assert [step.published for step in steps(minutes, SINCE, whole, whole.row)] == [0]

"""The minutes that the service counted, put together into the steps that a plot or a table shows. Pure."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import zip_longest

from app import rules
from app.model import Minute

STORED = timedelta(seconds=15)  # until what a process counted is stored, and a little more


@dataclass(frozen=True)
class Span:
    """How far back to look: `step` is that of the plots, `row` that of the table beside them."""

    hours: int
    step: timedelta
    row: timedelta

    def since(self, now: datetime) -> datetime:
        """From when on it is that long until the last minute that is over, and that every process has stored."""
        return (now - STORED).replace(second=0, microsecond=0) - timedelta(hours=self.hours)


SPANS = (
    Span(1, timedelta(minutes=1), timedelta(minutes=5)),
    Span(6, timedelta(minutes=5), timedelta(minutes=30)),
    Span(24, timedelta(minutes=15), timedelta(hours=1)),
)


@dataclass(frozen=True)
class Step:
    """What happened from `start` on for the length of the step; latencies are in seconds, None without deliveries."""

    start: datetime
    published: int
    delivered: int
    retried: int
    failed: int
    latency: tuple[int, ...]
    oldest_seconds: float

    @property
    def median(self) -> float | None:
        return rules.latency_quantile(self.latency, 0.5)

    @property
    def slow(self) -> float | None:
        """Nineteen of twenty were faster."""
        return rules.latency_quantile(self.latency, 0.95)


def steps(minutes: Iterable[Minute], since: datetime, span: Span, length: timedelta) -> tuple[Step, ...]:
    """One step after the other over the whole span, also where nothing happened."""
    count = timedelta(hours=span.hours) // length
    parts: list[list[Minute]] = [[] for _ in range(count)]
    for minute in minutes:
        place = (minute.minute - since) // length
        if 0 <= place < count:
            parts[place].append(minute)
    return tuple(_step(since + place * length, part) for place, part in enumerate(parts))


def _step(start: datetime, part: Sequence[Minute]) -> Step:
    return Step(
        start=start,
        published=sum(each.published for each in part),
        delivered=sum(each.delivered for each in part),
        retried=sum(each.retried for each in part),
        failed=sum(each.failed for each in part),
        latency=tuple(map(sum, zip_longest(*(each.latency for each in part), fillvalue=0))),
        oldest_seconds=max((each.oldest_seconds for each in part), default=0.0),
    )

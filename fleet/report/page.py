"""PURE: a change and its requests as one HTML page that needs nothing else: no network, no script."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import reduce
from operator import add
from pathlib import Path

import jinja2

from fleet.history import NOT_ENDED, Change, Part
from fleet.report.model import Count, Requests
from fleet.report.plots import HEIGHT, WIDTH, milliseconds, percentile, plots

MARGIN = timedelta(minutes=1)  # shown before and after the change
LOST = timedelta(minutes=10)  # shown of a change whose end nobody wrote down, after its last word
STEPS = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 1800, 3600)  # seconds of a step of time
MOST_STEPS = 300
LABEL_APART = 2.5  # percent of the width; marks that are closer stay without a number

_TEMPLATES = jinja2.Environment(
    loader=jinja2.FileSystemLoader(Path(__file__).parent),
    autoescape=True,
    undefined=jinja2.StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)


@dataclass(frozen=True)
class Mark:
    """A step of the change in the plots: where it begins and how wide it is, in percent of the width."""

    number: int
    left: float
    width: float
    title: str
    has_label: bool


@dataclass(frozen=True)
class Phase:
    """A version's requests before, during or after the change, as texts."""

    name: str
    version: str
    requests: str
    failures: str
    retried: str
    p50: str
    p95: str
    has_failed: bool


def ended(change: Change, now: datetime) -> datetime:
    """When it ended; of one whose end was not written down, when it was heard of last and a while."""
    if change.seconds is not None:
        return change.began + timedelta(seconds=change.seconds)
    last = max((_end(part) for part in change.steps), default=change.began)
    return max(change.began, min(now, last + LOST))


def span(change: Change, now: datetime) -> tuple[float, float]:
    """From a minute before it to a minute after it, or to now, in epoch seconds."""
    until = min(now, ended(change, now) + MARGIN)
    return (change.began - MARGIN).timestamp(), max(until, change.began).timestamp()


def step_seconds(since: float, until: float) -> float:
    """The shortest step with which a plot has few enough of them to be read."""
    return next((step for step in STEPS if (until - since) / step <= MOST_STEPS), STEPS[-1])


def render(change: Change, requests: Requests, now: datetime) -> str:
    """The page."""
    return _TEMPLATES.get_template("page.html.j2").render(
        change=change,
        now=now.astimezone(UTC),
        ended=ended(change, now),
        is_ended=change.result != NOT_ENDED,
        requests=requests,
        plots=plots(requests),
        marks=marks(change, requests, now),
        times=_times(requests),
        phases=phases(change, requests, now),
        width=WIDTH,
        height=HEIGHT,
    )


def marks(change: Change, requests: Requests, now: datetime) -> tuple[Mark, ...]:
    """The change's steps, numbered as in the table."""
    made: list[Mark] = []
    labelled = -LABEL_APART
    for number, part in enumerate(change.steps, start=1):
        left = _percent(part.began.timestamp(), requests)
        end = ended(change, now) if part.seconds is None else _end(part)
        has_label = left - labelled >= LABEL_APART
        labelled = left if has_label else labelled
        width = max(0.0, _percent(end.timestamp(), requests) - left)
        made.append(Mark(number, left, width, f"{number}. {part.what}: {part.result}", has_label))
    return tuple(made)


def phases(change: Change, requests: Requests, now: datetime) -> tuple[Phase, ...]:
    """Before, during and after the change, a row a version. A step of time belongs to where its middle is."""
    began, end = change.began.timestamp(), ended(change, now).timestamp()
    counts: dict[str, list[tuple[str, Count]]] = {"before": [], "during": [], "after": []}
    for place, step in enumerate(requests.steps):
        middle = requests.since + requests.seconds * (place + 0.5)
        name = "before" if middle < began else "during" if middle < end else "after"
        counts[name] += step.versions.items()
    return tuple(
        _phase(name, version, [count for each, count in found if each == version])
        for name, found in counts.items()
        for version in requests.versions
        if any(each == version for each, _ in found)
    )


def _phase(name: str, version: str, counts: Sequence[Count]) -> Phase:
    total = reduce(add, counts, Count())
    p50, p95 = (percentile(total.bins, q) for q in (0.5, 0.95))
    return Phase(
        name,
        version,
        f"{total.requests:,}",
        f"{total.failures:,}",
        f"{total.retried:,}",
        "" if p50 is None else milliseconds(p50),
        "" if p95 is None else milliseconds(p95),
        has_failed=bool(total.failures),
    )


def _times(requests: Requests) -> tuple[str, ...]:
    """Five times of the day, evenly along the plots."""
    length = requests.until - requests.since
    moments = (datetime.fromtimestamp(requests.since + length * quarter / 4, UTC) for quarter in range(5))
    return tuple(f"{moment:%H:%M:%S}" for moment in moments)


def _percent(at: float, requests: Requests) -> float:
    share = (at - requests.since) / (requests.until - requests.since)
    return round(100 * min(1.0, max(0.0, share)), 3)


def _end(part: Part) -> datetime:
    return part.began + timedelta(seconds=part.seconds or 0.0)

"""PURE: plots as values: paths for SVG, and the texts around them, which are HTML so that they stay legible.

The picture is WIDTH by HEIGHT units and stretched to the place it gets; strokes are not. Classes say how it looks.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from fleet.effects.timeline import GROWTH
from fleet.report.model import NO_VERSION, Bins, Count, Requests

WIDTH, HEIGHT = 1000, 100
STYLES = ("first", "second")  # of the versions' lines, as the page has them
Values = Sequence[float | None]


@dataclass(frozen=True)
class Line:
    """A version's line; the highest value as text."""

    version: str
    style: str
    path: str
    highest: str


@dataclass(frozen=True)
class Plot:
    """`ticks` are the values at the grid's lines, from the top down."""

    title: str
    unit: str
    lines: tuple[Line, ...]
    ticks: tuple[str, ...]

    @property
    def grid(self) -> str:
        rows = (HEIGHT * place / (len(self.ticks) - 1) for place in range(len(self.ticks)))
        return "".join(f"M0 {row:.4g}H{WIDTH}" for row in rows)

    @property
    def is_empty(self) -> bool:
        return not self.lines

    @property
    def summary(self) -> str:
        """What a person who does not see it needs to know."""
        said = "; ".join(f"{line.version}: {line.highest} at most" for line in self.lines)
        return f"{self.title}, {self.unit}. {said}."


def plots(requests: Requests) -> tuple[Plot, ...]:
    """Requests, failures, and latencies over time, a line a version."""
    return (
        _rates("Requests", "per second", requests, lambda count: count.requests),
        _rates("Failures", "answers of 500 or more, per second", requests, lambda count: count.failures),
        _rates("Saved by a retry", "requests per second", requests, lambda count: count.retried),
        _latencies("Latency, p50", requests, 0.5),
        _latencies("Latency, p95", requests, 0.95),
    )


def percentile(bins: Bins, q: float) -> float | None:
    """In milliseconds: the middle of the bin that the q-th lies in; None without requests."""
    rank, seen = q * sum(bins.values()), 0
    for number, count in sorted(bins.items()):
        seen += count
        if seen >= rank:
            return GROWTH ** (number - 0.5) if number else 1.0
    return None


def milliseconds(value: float) -> str:
    """Three digits, as seconds from one second up."""
    return f"{value / 1000:.3g} s" if value >= 999.5 else f"{value:.3g} ms"


def nice(largest: float) -> float:
    """The smallest of 1, 2, 5 times a power of ten that is not below; 1 where there is nothing."""
    if largest <= 0:
        return 1.0
    power = 10.0 ** math.floor(math.log10(largest))
    return next(power * step for step in (1, 2, 5, 10) if power * step >= largest * (1 - 1e-9))


def _rates(title: str, unit: str, requests: Requests, counted: Callable[[Count], int]) -> Plot:
    """From zero up; a version without requests has zero of them. Nothing to draw where there is never one."""
    values = {
        version: [counted(step.versions.get(version, Count())) / requests.seconds for step in requests.steps]
        for version in requests.versions
    }
    largest = max((value for each in values.values() for value in each), default=0.0)
    if not largest:
        return Plot(title, unit, (), ())
    top = nice(largest)
    ticks = tuple(_number(top * share) for share in (1, 0.5, 0))
    return Plot(title, unit, _lines(values, lambda value: value / top, _number), ticks)


def _latencies(title: str, requests: Requests, q: float) -> Plot:
    """On a logarithmic scale of whole powers of ten: of interest is how many times slower."""
    values = {
        version: [percentile(step.versions.get(version, Count()).bins, q) for step in requests.steps]
        for version in requests.versions
    }
    known = [math.log10(value) for each in values.values() for value in each if value]
    if not known:
        return Plot(title, "logarithmic", (), ())
    low = math.floor(min(known))
    high = max(math.ceil(max(known)), low + 1)
    ticks = tuple(milliseconds(10.0**power) for power in range(high, low - 1, -1))
    lines = _lines(values, lambda value: (math.log10(value) - low) / (high - low), milliseconds)
    return Plot(title, "logarithmic", lines, ticks)


def _lines(
    values: Mapping[str, Values], height: Callable[[float], float], text: Callable[[float], str]
) -> tuple[Line, ...]:
    """`height` says how far up a value is, from 0 to 1."""
    return tuple(
        Line(
            version,
            _style(place, version),
            _path([None if value is None else height(value) for value in each]),
            _highest(each, text),
        )
        for place, (version, each) in enumerate(values.items())
    )


def _style(place: int, version: str) -> str:
    return "none" if version == NO_VERSION or place >= len(STYLES) else STYLES[place]


def _highest(values: Values, text: Callable[[float], str]) -> str:
    known = [value for value in values if value is not None]
    return text(max(known)) if known else "none"


def _path(heights: Values) -> str:
    """Through the middle of each step; broken where there is no value, with a dot for one that stands alone."""
    parts, pen = [], "M"
    for place, height in enumerate(heights):
        if height is None:
            pen = "M"
            continue
        parts.append(f"{pen}{WIDTH * (place + 0.5) / len(heights):.5g} {HEIGHT * (1 - height):.4g}")
        if pen == "M":
            parts.append("h0")
        pen = "L"
    return "".join(parts)


def _number(value: float) -> str:
    """Three digits are enough beside a plot."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"

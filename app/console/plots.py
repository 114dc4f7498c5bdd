"""Plots as values: paths for SVG, and the texts around them, which are HTML so that they stay legible at any width.

The picture is WIDTH by HEIGHT units and stretched to the place it gets; strokes are not. Classes say how it looks.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from app.console.shown import duration

WIDTH, HEIGHT = 600, 100
NICE_SECONDS = (*(1, 2, 4, 10, 20, 30, 60), *(120, 240, 600, 1200, 1800, 3600), *(7200, 14_400, 36_000, 86_400))
Values = Sequence[float | None]


@dataclass(frozen=True)
class Line:
    """A drawn line: its path, the area beneath where it is never broken, the last and the highest value as text."""

    name: str
    path: str
    area: str
    last: str
    highest: str


@dataclass(frozen=True)
class Plot:
    """`ticks` are the values at the grid's lines from the top down, `times` those along it from left to right."""

    title: str
    unit: str
    lines: tuple[Line, ...]
    ticks: tuple[str, ...]
    times: tuple[str, ...]

    @property
    def grid(self) -> str:
        rows = (HEIGHT * place / (len(self.ticks) - 1) for place in range(len(self.ticks)))
        return "".join(f"M0 {row:g}H{WIDTH}" for row in rows)

    @property
    def is_empty(self) -> bool:
        return not any(line.path for line in self.lines)

    @property
    def summary(self) -> str:
        """What a person who does not see it needs to know."""
        said = (f"{line.name}: {line.last} at the end, {line.highest} at most" for line in self.lines)
        return f"{self.title}, {self.unit}, {self.times[0]} to {self.times[-1]}. {'; '.join(said)}."


def rates(title: str, lines: Sequence[tuple[str, Values]], times: tuple[str, ...]) -> Plot:
    """Events a second, from zero up."""
    top = nice(_largest(lines))
    ticks = tuple(_number(top * share) for share in (1, 0.5, 0))
    drawn = _drawn(lines, lambda value: value / top, _number, filled=True)
    return Plot(title, "per second", drawn, ticks, times)


def durations(title: str, lines: Sequence[tuple[str, Values]], times: tuple[str, ...]) -> Plot:
    """Seconds from zero up."""
    largest = _largest(lines)
    top = next((each for each in NICE_SECONDS if each >= largest), 86_400 * math.ceil(largest / 86_400))
    ticks = tuple(duration(top * share) for share in (1, 0.5, 0))
    return Plot(title, "time", _drawn(lines, lambda value: value / top, duration, filled=True), ticks, times)


def latencies(title: str, lines: Sequence[tuple[str, Values]], times: tuple[str, ...]) -> Plot:
    """Seconds on a logarithmic scale of whole powers of ten: of interest is how many times slower."""
    known = [value for _, values in lines for value in values if value]
    low = math.floor(math.log10(min(known, default=0.01)))
    high = max(math.ceil(math.log10(max(known, default=0.01))), low + 1)
    ticks = tuple(_power_of_ten(power) for power in range(high, low - 1, -1))

    def place(value: float) -> float:
        return (math.log10(value) - low) / (high - low)

    return Plot(title, "time, logarithmic", _drawn(lines, place, duration, filled=False), ticks, times)


def clock(since: datetime, until: datetime) -> tuple[str, ...]:
    """Five times of the day, evenly along the plot."""
    return tuple((since + (until - since) * quarter / 4).strftime("%H:%M") for quarter in range(5))


def nice(largest: float) -> float:
    """The smallest of 1, 2, 5 times a power of ten that is not below; 1 where there is nothing."""
    if largest <= 0:
        return 1.0
    power = 10.0 ** math.floor(math.log10(largest))
    return next(power * step for step in (1, 2, 5, 10) if power * step >= largest * (1 - 1e-9))


def _largest(lines: Sequence[tuple[str, Values]]) -> float:
    return max((value for _, values in lines for value in values if value is not None), default=0.0)


def _drawn(
    lines: Sequence[tuple[str, Values]], place: Callable[[float], float], text: Callable[[float], str], *, filled: bool
) -> tuple[Line, ...]:
    """`place` says how far up a value is, from 0 to 1."""
    found = []
    for name, values in lines:
        known = [value for value in values if value is not None]
        path = _path([None if value is None else place(value) for value in values])
        area = f"{path}V{HEIGHT}H{_across(0, len(values))}Z" if filled and path else ""
        last = values[-1] if values else None
        found.append(
            Line(name, path, area, "none" if last is None else text(last), text(max(known)) if known else "none")
        )
    return tuple(found)


def _path(heights: Values) -> str:
    """Through the middle of each step; broken where there is no value, with a dot for one that stands alone."""
    parts, pen = [], "M"
    for place, height in enumerate(heights):
        if height is None:
            pen = "M"
            continue
        parts.append(f"{pen}{_across(place, len(heights))} {HEIGHT * (1 - height):.4g}")
        if pen == "M":
            parts.append("h0")
        pen = "L"
    return "".join(parts)


def _across(place: int, count: int) -> str:
    return f"{WIDTH * (place + 0.5) / count:.4g}"


def _number(value: float) -> str:
    """Three digits are enough beside a plot."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def _power_of_ten(power: int) -> str:
    return f"{10**power} s" if power >= 0 else f"{10.0 ** (power + 3):g} ms"

"""Runs on a load balancer, not here: counts what its access log says of each colour and instance, and prints JSON.

It travels as `python3 -c`, so it needs nothing but the host's own Python. Arguments: since and until in epoch seconds,
then the log and what it was rotated to, newest first.

Only requests to /v1/ count that were sent to an instance. A request counts for the colour that it was sent to first. It
failed there if any try did: answered with 500 or more, or not at all. Of an answered one the latency is known: the time
that the instances took, without the client's. Of the latencies a fair sample of a fixed size is kept, and their number.
"""

import json
import os
import random
import re
import sys
from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import BinaryIO, NamedTuple

PER_COLOUR, PER_UPSTREAM = 5_000, 500  # latencies kept
MOST_BYTES = 256 * 1024 * 1024  # of one file: half a million requests, five seconds of work, are enough to judge by
SLACK_SECONDS = 5.0  # lines are in order, almost: a worker writes the time that its clock had last
BLOCK = 64 * 1024  # bytes; below this, reading on is quicker than halving. No line is longer
DIVIDER = re.compile(" : |, ")  # between tries, and between the groups of instances that a request went through


class Try(NamedTuple):
    """One instance that was asked; the ms that it took, None if nothing is known of them."""

    upstream: str
    failed: bool
    ms: int | None


class Line(NamedTuple):
    """A request, as of when it ended. `elsewhere`: the tries after nginx went on to another group of instances.

    Without tries it does not count.
    """

    at: float
    colour: str
    tries: list[Try]
    elsewhere: list[Try]


class Tally:
    """What was counted of a colour or an instance."""

    def __init__(self, room: int, chance: random.Random) -> None:
        """Room for so many latencies."""
        self.requests = self.failures = self.answered = 0
        self.latencies: list[int] = []
        self.room = room
        self.chance = chance

    def add(self, failed: bool, ms: int | None) -> None:
        """One request; `ms` if it was answered."""
        self.requests += 1
        self.failures += failed
        if ms is not None:
            self.keep(ms)

    def keep(self, ms: int) -> None:
        """So that each has the same chance to be among those kept (Vitter's algorithm R)."""
        self.answered += 1
        if len(self.latencies) < self.room:
            self.latencies.append(ms)
        elif (place := self.chance.randrange(self.answered)) < self.room:
            self.latencies[place] = ms

    def found(self) -> dict[str, object]:
        """As it is printed."""
        return {
            "requests": self.requests,
            "failures": self.failures,
            "answered": self.answered,
            "latencies": self.latencies,
        }


def read(since: float, until: float, paths: list[Path], most_bytes: int = MOST_BYTES) -> dict[str, object]:
    """{"colours": {"blue": …}, "upstreams": {"10.0.0.1:3310": …}, "skipped": lines that could not be read}."""
    chance = random.Random(0)  # noqa: S311  (no secret; the same lines give the same sample)
    colours: dict[str, Tally] = {}
    upstreams: dict[str, Tally] = {}
    skipped = 0
    for line in lines(since, until, paths, most_bytes):
        if line is None:
            skipped += 1
        elif since <= line.at < until and line.tries:
            if line.colour:
                colours.setdefault(line.colour, Tally(PER_COLOUR, chance)).add(*together(line))
            for each in line.tries + line.elsewhere:
                answered = None if each.failed else each.ms
                upstreams.setdefault(each.upstream, Tally(PER_UPSTREAM, chance)).add(each.failed, answered)
    return {
        "colours": {colour: tally.found() for colour, tally in colours.items()},
        "upstreams": {upstream: tally.found() for upstream, tally in upstreams.items()},
        "skipped": skipped,
    }


def together(line: Line) -> tuple[bool, int | None]:
    """Whether the colour failed at the request, and how long it took to answer it if it did so by itself."""
    failed = any(each.failed for each in line.tries)
    if line.tries[-1].failed or line.elsewhere:
        return failed, None
    return failed, sum(each.ms or 0 for each in line.tries)


def lines(since: float, until: float, paths: list[Path], most_bytes: int) -> Iterator[Line | None]:
    """Those between the two times, no more of a file than `most_bytes`, and a few around; None: it is unreadable."""
    for file in opened(paths):
        with file:
            end = find(file, until + SLACK_SECONDS)
            go_to(file, max(find(file, since - SLACK_SECONDS), end - most_bytes))
            while raw := file.readline(BLOCK):
                line = parsed(raw)
                if line and line.at > until + SLACK_SECONDS:
                    break
                yield line


def opened(paths: list[Path]) -> list[BinaryIO]:
    """Newest first: a log that is rotated meanwhile is found twice then, instead of never, and counts once."""
    files: dict[tuple[int, int], BinaryIO] = {}
    for path in paths:
        with suppress(FileNotFoundError):
            file = path.open("rb")
            status = os.fstat(file.fileno())
            if files.setdefault((status.st_dev, status.st_ino), file) is not file:
                file.close()
    if not files:
        raise SystemExit(f"there is no {', no '.join(map(str, paths))}")
    return list(files.values())


def find(file: BinaryIO, at: float) -> int:
    """Where the lines of that time begin, or a block before, by halving: gigabytes cost a few dozen looks."""
    low, high = 0, file.seek(0, os.SEEK_END)
    while high - low > BLOCK:
        middle = (low + high) // 2
        line = first_after(file, middle, high)
        if line and line.at < at:
            low = middle
        else:
            high = middle
    return low


def go_to(file: BinaryIO, position: int) -> None:
    """To the first line that begins after it."""
    file.seek(position)
    if position:
        file.readline(BLOCK)


def first_after(file: BinaryIO, start: int, end: int) -> Line | None:
    """The first line that begins after `start` and can be read."""
    go_to(file, start)
    while file.tell() < end:
        if line := parsed(file.readline(BLOCK)):
            return line
    return None


def parsed(raw: bytes) -> Line | None:
    """None for a line that was cut short, or is of another format. Bytes of a client that are no UTF-8 do no harm."""
    try:
        fields = json.loads(raw.decode(errors="replace"))
        at = float(fields["msec"]) if "msec" in fields else datetime.fromisoformat(fields["time"]).timestamp()
        if not fields["uri"].startswith("/v1/") or fields["upstream"] in ("", "-"):
            return Line(at, "", [], [])
        tries = [
            tried(*each)
            for each in zip(
                *(DIVIDER.split(fields[name]) for name in ("upstream", "upstream_status", "upstream_response_time")),
                strict=True,
            )
        ]
        here = len(DIVIDER.split(fields["upstream"].split(" : ")[0]))
        return Line(at, str(fields.get("colour", "")), tries[:here], tries[here:])
    except (ValueError, KeyError, TypeError, AttributeError):
        return None


def tried(upstream: str, status: str, seconds: str) -> Try:
    """As nginx writes it: "-" for what never came."""
    failed = status == "-" or int(status) >= 500
    return Try(upstream, failed, None if seconds == "-" else round(float(seconds) * 1000))


if __name__ == "__main__":
    os.nice(10)  # the load balancer's own work goes first
    json.dump(read(float(sys.argv[1]), float(sys.argv[2]), [Path(name) for name in sys.argv[3:]]), sys.stdout)

"""Runs on a load balancer, not here: counts what its access log says of each version, step by step, and prints JSON.

It travels with access_log.py, whose way through a large log it takes, and needs nothing but the host's own Python.
Arguments: since and until in epoch seconds, the seconds of a step of time, then the log and what it was rotated to,
newest first.

Only requests to /v1/ count, each for the version that answered it at last, as its client saw it: it failed if the
answer was 500 or more, and its latency is the whole time that it took. Where an instance says no version, its colour
takes its place. Latencies are counted in bins, each 5 % wider than the one before, so that those of several load
balancers can be added up: a percentile is right within 3 %.
"""

import json
import math
import os
import sys
import time
from pathlib import Path
from typing import NamedTuple

from fleet.effects import access_log

GROWTH = 1.05  # of a bin of latencies over the one before
NO_VERSION = "none"  # what the load balancer answered by itself


class Request(NamedTuple):
    """A request, as of when it ended."""

    at: float
    version: str
    failed: bool
    retried: bool
    ms: float


class Count:
    """What was counted of a version in a step of time. `retried`: answered well, after an instance had failed at it."""

    def __init__(self) -> None:
        """Nothing yet."""
        self.requests = self.failures = self.retried = 0
        self.bins: dict[int, int] = {}

    def add(self, request: Request) -> None:
        """One more."""
        self.requests += 1
        self.failures += request.failed
        self.retried += request.retried and not request.failed
        number = bin_of(request.ms)
        self.bins[number] = self.bins.get(number, 0) + 1

    def found(self) -> dict[str, object]:
        """As it is printed; the numbers of bins are words in JSON."""
        counts = {"requests": self.requests, "failures": self.failures, "retried": self.retried}
        return {**counts, "bins": {str(number): count for number, count in sorted(self.bins.items())}}


def bin_of(ms: float) -> int:
    """Bin 0 holds what took a millisecond or less: nginx measures no shorter time."""
    return max(0, math.ceil(math.log(max(ms, 1.0), GROWTH) - 1e-9))


def read(since: float, until: float, step: float, paths: list[Path]) -> dict[str, object]:
    """{"steps": {"0": {"1.4.0": …}}, "skipped": lines that could not be read, "begins": the first line's time}."""
    steps: dict[int, dict[str, Count]] = {}
    begins, skipped = math.inf, 0
    for file in access_log.opened(paths):
        with file:
            first = access_log.first_after(file, 0, file.seek(0, os.SEEK_END))
            begins = min(begins, first.at if first else math.inf)
            access_log.go_to(file, access_log.find(file, since - access_log.SLACK_SECONDS))
            while raw := file.readline(access_log.BLOCK):
                request = parsed(raw)
                if request is None:
                    skipped += raw.endswith(b"\n")  # a line that is being written is no broken one
                elif request.at > until + access_log.SLACK_SECONDS:
                    break
                elif since <= request.at < until and request.version:
                    counts = steps.setdefault(int((request.at - since) / step), {})
                    counts.setdefault(request.version, Count()).add(request)
    return {
        "steps": {str(n): {version: count.found() for version, count in each.items()} for n, each in steps.items()},
        "skipped": skipped,
        "begins": None if begins == math.inf else begins,
        "now": time.time(),
    }


def parsed(raw: bytes) -> Request | None:
    """None for a line that is no request; one that does not count has no version."""
    try:
        fields = json.loads(raw.decode(errors="replace"))
        at, status = float(fields["msec"]), int(fields["status"])
        said = fields.get("server", "").partition("/")[2] or fields["colour"] or NO_VERSION
        version = said if fields["uri"].startswith("/v1/") else ""
        tries = access_log.DIVIDER.split(str(fields.get("upstream_status", "")))
        return Request(at, version, status >= 500, len(tries) > 1, float(fields["request_time"]) * 1000)
    except (ValueError, KeyError, TypeError, AttributeError):
        return None


if __name__ == "__main__":
    os.nice(10)  # the load balancer's own work goes first
    since, until, step = map(float, sys.argv[1:4])
    json.dump(read(since, until, step, [Path(name) for name in sys.argv[4:]]), sys.stdout)

"""What a report is made of: requests counted step by step, and the change beside them."""

from collections.abc import Mapping
from dataclasses import dataclass, field

Bins = Mapping[int, int]
"""Latencies: number of a bin (fleet/effects/timeline.py) → requests in it."""

NO_VERSION = "none"  # what the load balancer answered by itself


@dataclass(frozen=True)
class Count:
    """Requests that a version answered; `failures` as their clients saw them, `retried`: saved by another instance."""

    requests: int = 0
    failures: int = 0
    retried: int = 0
    bins: Bins = field(default_factory=dict)

    def __add__(self, other: "Count") -> "Count":
        return Count(
            self.requests + other.requests,
            self.failures + other.failures,
            self.retried + other.retried,
            {each: self.bins.get(each, 0) + other.bins.get(each, 0) for each in {*self.bins, *other.bins}},
        )


@dataclass(frozen=True)
class Step:
    """A step of time: what was counted of each version."""

    versions: Mapping[str, Count]


@dataclass(frozen=True)
class Requests:
    """`steps` of `seconds` each, from `since` (epoch seconds) on; `notices`: what could not be counted, and why."""

    since: float
    seconds: float
    steps: tuple[Step, ...]
    notices: tuple[str, ...] = ()

    @property
    def until(self) -> float:
        """The end of the last step."""
        return self.since + self.seconds * len(self.steps)

    @property
    def versions(self) -> tuple[str, ...]:
        """Those that answered a request, in the order in which they came; at last what no instance answered."""
        found = [version for step in self.steps for version in sorted(step.versions)]
        return tuple(sorted(dict.fromkeys(found), key=lambda version: version == NO_VERSION))

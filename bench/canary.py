"""How much a canary sees: simulated releases, judged by the same functions as real ones. Needs no fleet, no database.

`.venv/bin/python -m bench.canary` prints both tables.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

import numpy as np
from numpy.random import Generator, default_rng

from bench.broker.lines import Details, grid
from fleet.plan.canary import Abort, Advance, Finish, Observation, Policy, decide
from fleet.plan.judge import Outcome, Side, judge

ERRORS = 0.001  # on the old side, of all requests
POLICY = Policy()
TRIALS = 400
CANARIES = 50
REQUESTS_PER_SECOND = 50
LONGEST = 3_600  # seconds in a step, of a canary that holds


@dataclass(frozen=True)
class Release:
    """What it does otherwise than the one before: extra errors, and longer for a part of what it is asked."""

    words: str
    errors: float = 0.0
    slower: float = 1.0
    of: float = 1.0


RELEASES = (
    Release("nothing new"),
    Release("+1% errors", errors=0.01),
    Release("+10% errors", errors=0.10),
    Release("takes 1.1 times as long", slower=1.1),
    Release("takes 1.5 times as long", slower=1.5),
    Release("takes 10 times as long for 10%", slower=10, of=0.1),
)
OLD = Release("the old side")


def power(seed: int = 1, wanted: float = 0.95) -> Details:
    """The requests on the new side that the judge needs to see extra errors with a probability of `wanted`."""
    chance = default_rng(seed)
    rows = [
        [f"+{extra:.0%} errors", f"{share} %", least := _least(extra, share, wanted, chance), least * 100 // share]
        for extra in (0.01, 0.02, 0.10)
        for share in (5, 25, 50)
    ]
    columns = ("what the release does", "share", "requests on the new side", "in all")
    return grid(f"Requests to see it with {wanted:.0%} probability, beside {ERRORS:.1%} errors", columns, rows)


def canaries(seed: int = 1) -> Details:
    """How whole canaries end, at a modest rate of traffic."""
    chance = default_rng(seed)
    rows = [_row(release, chance) for release in RELEASES]
    columns = ("what the release does", "aborted", "finished", "median end", "median failures")
    return grid(f"{CANARIES} canaries each, at {REQUESTS_PER_SECOND} requests/s", columns, rows)


def _least(extra: float, share: int, wanted: float, chance: Generator) -> int:
    """Found by doubling and halving, to within a twentieth."""
    low, high = 0, POLICY.judgement.minimum_new
    while _seen(high, extra, share, chance) < wanted:
        low, high = high, high * 2
    while low and high - low > high // 20:
        middle = (low + high) // 2
        low, high = (low, middle) if _seen(middle, extra, share, chance) >= wanted else (middle, high)
    return high


def _seen(requests: int, extra: float, share: int, chance: Generator) -> float:
    """The part of the trials in which the new side fails."""
    others = requests * (100 - share) // share
    failures = chance.binomial(requests, ERRORS + extra, TRIALS), chance.binomial(others, ERRORS, TRIALS)
    pairs = Counter(zip(*(each.tolist() for each in failures), strict=True))
    return sum(count for (new, old), count in pairs.items() if _fails(Side(others, old), Side(requests, new))) / TRIALS


def _fails(old: Side, new: Side) -> bool:
    return judge(old, new, POLICY.judgement).outcome is Outcome.FAIL


def _row(release: Release, chance: Generator) -> Sequence[object]:
    ends = [_canary(release, chance) for _ in range(CANARIES)]
    aborted = sum(is_aborted for is_aborted, _, _ in ends) / CANARIES
    seconds, failures = (median(end[column] for end in ends) for column in (1, 2))
    return release.words, f"{aborted:.1%}", f"{1 - aborted:.1%}", f"{seconds:.0f} s", int(failures)


def _canary(release: Release, chance: Generator) -> tuple[bool, float, int]:
    """Whether it was aborted, after how many seconds, and how many requests had failed on the new side by then."""
    share, began, failures, before = POLICY.steps[0], 0.0, 0, Side()
    now, old, new = began, Side(), Side()
    while now - began < LONGEST:
        now += POLICY.interval_seconds
        old = _more(old, 100 - share, OLD, chance)
        new = _more(new, share, release, chance)
        match decide(Observation(share, began, old, new, before), POLICY, now):
            case Abort():
                return True, now, failures + new.failures
            case Finish():
                return False, now, failures + new.failures
            case Advance(to):
                share, began, failures, before = to, now, failures + new.failures, old
                old, new = Side(), Side()
    raise AssertionError(f"a canary at {REQUESTS_PER_SECOND} requests/s held for {LONGEST} s at {share} %")


def _more(side: Side, share: int, release: Release, chance: Generator) -> Side:
    """The side after another interval. Latencies are log-normal: the old side's median is 20 ms, its p95 45 ms."""
    requests = int(chance.poisson(REQUESTS_PER_SECOND * POLICY.interval_seconds * share / 100))
    failures = int(chance.binomial(requests, ERRORS + release.errors))
    answered = requests - failures
    slower = np.where(chance.random(answered) < release.of, release.slower, 1.0)
    latencies = np.round(20 * slower * chance.lognormal(0, 0.5, answered))
    return Side(side.requests + requests, side.failures + failures, (*side.latencies, *latencies.tolist()))


if __name__ == "__main__":
    power()
    canaries()

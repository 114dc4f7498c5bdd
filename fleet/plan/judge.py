"""A canary's judgement: two sides of the fleet over the same time, and whether the new one is worse. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from statistics import median, quantiles

import numpy as np
import scipy  # its parts load when they are first used: half a second that other commands need not wait

SUCCESS, LATENCY, DELIVERIES, SATURATION = "success rate", "latency", "delivery failures", "saturation"
MANDATORY = (SUCCESS, LATENCY)  # without these nothing is known; a fleet may have no deliveries in a quiet minute
GROSS = 0.001  # what happens by chance less often is certain without a minimum of data


@dataclass(frozen=True)
class Side:
    """What one colour did in a stretch of time.

    `failures`: requests of which at least one try on this side was answered with 500 or more, or not at all, whatever
    the client got in the end. `latencies`: milliseconds, of those that were answered; a fair sample of them is enough.
    `saturation`: the mean busy share, 0 to 1, of the busiest instance; None where nobody measured it.
    """

    requests: int = 0
    failures: int = 0
    latencies: tuple[float, ...] = ()
    deliveries: int = 0
    delivery_failures: int = 0
    saturation: float | None = None


@dataclass(frozen=True)
class Policy:
    """What counts as worse: certain (`confidence`), and by more than a tolerance. Tolerances of rates are absolute."""

    confidence: float = 0.98
    minimum_new: int = 100
    minimum_old: int = 50
    minimum_failures: int = 3
    failure_tolerance: float = 0.005
    delivery_tolerance: float = 0.05
    latency_tolerance: float = 0.25
    latency_floor_ms: float = 5.0
    shared_failures: float = 0.05
    saturated: float = 0.9


class Outcome(Enum):
    """Of a finding, and of the whole."""

    PASS = "pass"  # noqa: S105  (not a password)
    FAIL = "fail"
    INCONCLUSIVE = "inconclusive"


@dataclass(frozen=True)
class Finding:
    """One metric: how it came out, both values (None without data), how many each was taken from, why in a sentence.

    The value of a rate is a share of 1, that of the latency the p95 in milliseconds.
    """

    metric: str
    outcome: Outcome
    old: float | None
    new: float | None
    old_sample: int
    new_sample: int
    why: str


@dataclass(frozen=True)
class Verdict:
    """The whole, and a finding for each metric."""

    outcome: Outcome
    findings: tuple[Finding, ...]

    @property
    def why(self) -> str:
        """The sentences of the findings that made it what it is."""
        deciding = [each for each in self.findings if self.outcome is Outcome.FAIL or each.metric in MANDATORY]
        return "; ".join(f"{each.metric}: {each.why}" for each in deciding if each.outcome is self.outcome)


def judge(old: Side, new: Side, policy: Policy) -> Verdict:
    """Any metric that fails makes it a failure; a mandatory one without an answer leaves it open; else it passes."""
    findings = tuple(find(old, new, policy) for find in (_success, _latency, deliveries, _saturation))
    return Verdict(_outcome(findings), findings)


def _outcome(findings: tuple[Finding, ...]) -> Outcome:
    if any(each.outcome is Outcome.FAIL for each in findings):
        return Outcome.FAIL
    if any(each.outcome is Outcome.INCONCLUSIVE for each in findings if each.metric in MANDATORY):
        return Outcome.INCONCLUSIVE
    return Outcome.PASS


@dataclass(frozen=True)
class _Count:
    """So many of so many."""

    failures: int
    of: int

    @property
    def share(self) -> float:
        return self.failures / self.of if self.of else 0.0

    @property
    def known_share(self) -> float | None:
        return self.share if self.of else None

    @property
    def known_successes(self) -> float | None:
        return 1 - self.share if self.of else None


def _success(old: Side, new: Side, policy: Policy) -> Finding:
    before, after = _Count(old.failures, old.requests), _Count(new.failures, new.requests)
    outcome, why = _worse_rate(before, after, policy, policy.failure_tolerance)
    return Finding(SUCCESS, outcome, before.known_successes, after.known_successes, before.of, after.of, why)


def _is_gross(count: _Count) -> bool:
    """More than half of all requests fail, beyond doubt: from 10 of 10 up."""
    return count.of > 0 and bool(
        scipy.stats.binomtest(count.failures, count.of, 0.5, alternative="greater").pvalue < GROSS
    )


def deliveries(old: Side, new: Side, policy: Policy) -> Finding:
    """Whether attempts to deliver fail more often than before."""
    before, after = _Count(old.delivery_failures, old.deliveries), _Count(new.delivery_failures, new.deliveries)
    outcome, why = _worse_rate(before, after, policy, policy.delivery_tolerance)
    return Finding(DELIVERIES, outcome, before.known_share, after.known_share, before.of, after.of, why)


def _worse_rate(old: _Count, new: _Count, policy: Policy, tolerance: float) -> tuple[Outcome, str]:
    """Fisher's exact test, one-sided; what is gross needs none, nor many deliveries, which a breaker ends soon."""
    if _is_gross(new) and old.share <= policy.shared_failures:
        return Outcome.FAIL, f"{new.failures} of {new.of} fail; that needs no more data"
    if missing := _missing(old.of, new.of, policy):
        return Outcome.INCONCLUSIVE, missing
    excess = new.share - old.share
    p = _p_of_rates(old, new)
    if new.failures >= policy.minimum_failures and excess > tolerance and p < 1 - policy.confidence:
        return Outcome.FAIL, f"{new.share:.2%} fail, beside {old.share:.2%} on the old side ({_chance(p)})"
    if old.share > policy.shared_failures:
        return Outcome.INCONCLUSIVE, f"{old.share:.2%} fail on the old side, too: the fault is not the release's"
    return Outcome.PASS, f"{new.share:.2%} fail, beside {old.share:.2%}: within {tolerance:.2%}, or by chance"


def _p_of_rates(old: _Count, new: _Count) -> float:
    table = np.array([[new.failures, new.of - new.failures], [old.failures, old.of - old.failures]])
    return float(scipy.stats.fisher_exact(table, alternative="greater").pvalue)


def _chance(p: float) -> str:
    return f"p = {p:.2g}" if p >= GROSS else f"p < {GROSS}"


def _missing(old: int, new: int, policy: Policy) -> str:
    """What is not there yet to be judged; empty when there is enough."""
    if not old and not new:
        return "no data"
    short = [
        f"{count} of {least} on the {name} side"
        for name, count, least in (("new", new, policy.minimum_new), ("old", old, policy.minimum_old))
        if count < least
    ]
    return "too little data: " + " and ".join(short) if short else ""


def _latency(old: Side, new: Side, policy: Policy) -> Finding:
    before, after = old.latencies, new.latencies
    then, now = (p95(side) if side else None for side in (before, after))
    outcome, why = _worse_latency(before, after, policy)
    return Finding(LATENCY, outcome, then, now, len(before), len(after), why)


def _worse_latency(old: Sequence[float], new: Sequence[float], policy: Policy) -> tuple[Outcome, str]:
    """The whole by Mann-Whitney's U test, and the slowest by their quantile: a release may be faster and still hang."""
    if missing := _missing(len(old), len(new), policy):
        return Outcome.INCONCLUSIVE, missing
    whole, slowest = _p_of_latencies(old, new, policy), _slowest(old, new, policy)
    if whole < 1 - policy.confidence:
        return Outcome.FAIL, f"median {median(old):.0f} → {median(new):.0f} ms ({_chance(whole)})"
    if slowest:
        return Outcome.FAIL, slowest
    return Outcome.PASS, f"p95 {p95(old):.0f} → {p95(new):.0f} ms: within {policy.latency_tolerance:.0%}, or by chance"


def _p_of_latencies(old: Sequence[float], new: Sequence[float], policy: Policy) -> float:
    """One-sided, against an old side that is as slow as the tolerance allows: what is certain but tiny passes."""
    allowed = [_allowed(latency, policy) for latency in old]
    return float(scipy.stats.mannwhitneyu(new, allowed, alternative="greater", method="asymptotic").pvalue)


def _allowed(ms: float, policy: Policy) -> float:
    return max(ms * (1 + policy.latency_tolerance), ms + policy.latency_floor_ms)


def _slowest(old: Sequence[float], new: Sequence[float], policy: Policy) -> str:
    """The p95 of a few is worth little: the least that the new one can be is compared with the most the old one can."""
    at_most = scipy.stats.quantile_test(old, p=0.95, alternative="less").confidence_interval(policy.confidence)
    at_least = scipy.stats.quantile_test(new, p=0.95, alternative="greater").confidence_interval(policy.confidence)
    most, least = at_most.high, at_least.low  # type: ignore[attr-defined]  # an interval, which its stub calls a float
    if least > _allowed(most, policy):  # not so where there are too few to know: then a bound is not a number
        return f"p95 {p95(old):.0f} → {p95(new):.0f} ms (at most {most:.0f} and at least {least:.0f})"
    return ""


def p95(values: Sequence[float]) -> float:
    """Of one value, it is that value."""
    return quantiles(values, n=20, method="inclusive")[-1] if len(values) > 1 else values[0]


def _saturation(old: Side, new: Side, policy: Policy) -> Finding:
    outcome, why = _saturated(old.saturation, new.saturation, policy.saturated)
    if outcome is Outcome.FAIL and new.requests < policy.minimum_new:
        outcome, why = Outcome.INCONCLUSIVE, f"{why}, but in a stretch of {new.requests} requests only"
    return Finding(SATURATION, outcome, old.saturation, new.saturation, old.requests, new.requests, why)


def _saturated(old: float | None, new: float | None, limit: float) -> tuple[Outcome, str]:
    if new is None:
        return Outcome.INCONCLUSIVE, "no data"
    if new < limit:
        return Outcome.PASS, f"the busiest instance is busy {new:.0%} of the time, less than {limit:.0%}"
    if old is not None and old >= limit:
        return Outcome.INCONCLUSIVE, f"both sides are busy over {limit:.0%}: the load is not the release's"
    return Outcome.FAIL, f"the busiest instance is busy {new:.0%} of the time"

"""The canary: which share of the traffic the new side gets next, as a value, from what is observed now. Pure."""

from dataclasses import dataclass, field, replace
from typing import assert_never

from fleet.errors import PlanRefused
from fleet.plan import judge
from fleet.plan.judge import Outcome, Side, Verdict


@dataclass(frozen=True)
class Policy:
    """Shares in percent, each held for `soak_seconds` at least, looked at every `interval_seconds`.

    An inconclusive step holds for ever; after `patience_seconds` it says so. During the soak or a pause, where many
    looks are taken, only a difference of `early_confidence` ends the canary. At 100 percent latencies are those of two
    different times, and differ by the hour and the load, too: `drift_tolerance` takes the place of the judgement's
    latency tolerance there, and before the end of the soak `early_drift_tolerance`. Raises PlanRefused if the steps do
    not rise to 100.
    """

    steps: tuple[int, ...] = (5, 25, 50, 100)
    soak_seconds: float = 60.0
    patience_seconds: float = 600.0
    interval_seconds: float = 10.0
    early_confidence: float = 0.999
    drift_tolerance: float = 2.0
    early_drift_tolerance: float = 9.0
    judgement: judge.Policy = field(default_factory=judge.Policy)

    def __post_init__(self) -> None:
        """A canary that cannot end is not begun."""
        if not self.steps or self.steps[-1] != 100 or self.steps[0] < 1 or list(self.steps) != sorted(set(self.steps)):
            raise PlanRefused(f"the steps of a canary rise from 1 or more to 100 percent; got {self.steps}")


@dataclass(frozen=True)
class Observation:
    """What is found at one look.

    `share`: percent of the traffic that is on the new side now, the lowest where load balancers differ; `began`: since
    when, in epoch seconds. `old` and `new` are the two sides since then. `before` is the old side in `window_before`:
    at 100 percent the old side has no traffic, and is compared as it was then.
    """

    share: int
    began: float
    old: Side
    new: Side
    before: Side = field(default_factory=Side)
    is_paused: bool = False


@dataclass(frozen=True)
class Advance:
    """Give the new side `to` percent."""

    to: int
    verdict: Verdict | None = None


@dataclass(frozen=True)
class Hold:
    """Leave it as it is; `is_overdue` when a person should look, because it has held for longer than is normal.

    `is_soaking`: it waits for nothing but the time to pass.
    """

    why: str
    verdict: Verdict | None = None
    is_overdue: bool = False
    is_soaking: bool = False


@dataclass(frozen=True)
class Abort:
    """Give everything back to the old side."""

    verdict: Verdict
    why: str


@dataclass(frozen=True)
class Finish:
    """The new side has everything, and has proved itself with it."""

    verdict: Verdict
    why: str = "it stays"


Decision = Advance | Hold | Abort | Finish


def decide(observed: Observation, policy: Policy, now: float) -> Decision:
    """Remembers nothing: called again after an interruption, it goes on from what is observed.

    A failure aborts at any time, paused or not. Nothing but a pass advances, and no data is no pass.
    """
    if observed.share <= 0:
        return Hold("paused before its first step") if observed.is_paused else Advance(policy.steps[0])
    soaked = now - observed.began
    verdict = _verdict(observed, policy, soaked)
    match verdict.outcome:
        case Outcome.FAIL:
            return Abort(verdict, f"at {observed.share} %, {verdict.why}")
        case _ if observed.is_paused:
            return Hold(f"paused at {observed.share} %", verdict)
        case _ if soaked < policy.soak_seconds:
            return Hold(f"{policy.soak_seconds - soaked:.0f} s at {observed.share} % to go", verdict, is_soaking=True)
        case Outcome.INCONCLUSIVE:
            return _undecided(observed, policy, soaked, verdict)
        case Outcome.PASS:
            further = [step for step in policy.steps if step > observed.share]
            return Advance(further[0], verdict) if further else Finish(verdict)
        case _:
            assert_never(verdict.outcome)


def settled(old: Side, new: Side, policy: Policy, soaked: float) -> Hold | Abort | Finish:
    """Whether the dispatchers may stay: `soaked` seconds after their switch, their deliveries beside those before it.

    Without enough of either they stay: a broker that delivers nothing for a minute is a quiet one.
    """
    found = judge.deliveries(old, new, _strictness(policy, is_early=soaked < policy.soak_seconds))
    verdict = Verdict(found.outcome, (found,))
    if found.outcome is Outcome.FAIL:
        return Abort(verdict, f"since the dispatchers were switched, {verdict.why}")
    if soaked < policy.soak_seconds:
        return Hold(f"{policy.soak_seconds - soaked:.0f} s of deliveries to go", verdict, is_soaking=True)
    return Finish(verdict, f"deliveries: {found.why}")


def is_thin(decision: Decision, policy: Policy) -> bool:
    """Whether it holds for want of requests, on either side."""
    if not isinstance(decision, Hold) or decision.verdict is None:
        return False
    least = policy.judgement
    return any(
        found.new_sample < least.minimum_new or found.old_sample < least.minimum_old
        for found in decision.verdict.findings
        if found.metric in judge.MANDATORY
    )


def window_before(began: float, policy: Policy) -> tuple[float, float]:
    """From when until when the old side is read for `before`: the end of the step that came before this one."""
    return began - policy.soak_seconds, began


def _verdict(observed: Observation, policy: Policy, soaked: float) -> Verdict:
    """Many looks find a difference by chance more often than one, so those that decide nothing yet ask for more."""
    is_early = soaked < policy.soak_seconds or observed.is_paused
    strictness = _strictness(policy, is_early=is_early)
    if observed.share < 100:
        return judge.judge(observed.old, observed.new, strictness)
    drift = policy.early_drift_tolerance if is_early else policy.drift_tolerance
    return judge.judge(observed.before, observed.new, replace(strictness, latency_tolerance=drift))


def _strictness(policy: Policy, *, is_early: bool) -> judge.Policy:
    return replace(policy.judgement, confidence=policy.early_confidence) if is_early else policy.judgement


def _undecided(observed: Observation, policy: Policy, soaked: float, verdict: Verdict) -> Hold:
    is_overdue = soaked > policy.patience_seconds
    waiting = f"still undecided after {soaked:.0f} s" if is_overdue else "undecided"
    return Hold(f"{waiting} at {observed.share} %: {verdict.why}", verdict, is_overdue)

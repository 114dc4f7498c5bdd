"""Who is bad, and by what: probes that fail in a row, and requests that fail where the others' do not. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from statistics import median, median_high

from .model import Observed, Policy, State, Tally, Turn, Watch

ERRORS = "answers with errors"
SLOW = "slow"


@dataclass(frozen=True, order=True)
class Fault:
    """Why an instance is bad; the smaller the rank, the sooner it goes when not all may."""

    rank: float
    why: str


def faults(watches: Mapping[str, Watch], observed: Observed, policy: Policy, now: float) -> dict[str, Fault]:
    """Of one colour's instances those that are bad, by address. One that is out already is not judged."""
    serving = {address: watch for address, watch in watches.items() if watch.state is not State.OPEN}
    windows = [_tallies(serving, observed.turns, now - window) for window in policy.windows]
    found = {address: _fault(address, watch, observed, windows, policy) for address, watch in serving.items()}
    return {address: fault for address, fault in found.items() if fault}


def _fault(
    address: str, watch: Watch, observed: Observed, windows: list[dict[str, Tally]], policy: Policy
) -> Fault | None:
    trial = watch.state is State.HALF_OPEN
    probe = observed.probes.get(address)
    if probe and probe.why and watch.failing >= (1 if trial else policy.down):
        return Fault(0.0, probe.why)
    avoided = {a for a, placed in observed.traffic.instances.items() if placed.tripped}
    least = _least(policy, trial=trial, is_avoided=address in avoided)
    for tallies in windows:
        shares = {a: 1.0 if a in avoided and tally.row >= least else tally.share for a, tally in tallies.items()}
        if _fails(address, tallies, shares, least, policy):
            return Fault(2.0 - shares[address], ERRORS)
    if policy.slow_factor and _is_slow(address, windows[-1], policy):
        return Fault(3.0, SLOW)
    return None


def _least(policy: Policy, *, trial: bool, is_avoided: bool) -> int:
    """How many tries say something. Where nginx itself avoids an instance there will be no more of them soon.

    Then it is the last ones that count: a fault that begins between two turns gets no time to outweigh what was before.
    """
    if trial and is_avoided:
        return 1
    return policy.trial_tries if trial or is_avoided else policy.tries


def _tallies(watches: Mapping[str, Watch], turns: tuple[Turn, ...], after: float) -> dict[str, Tally]:
    """What each did since then, as far as it counts."""
    return {
        address: sum(
            (turn.tallies[address] for turn in turns if turn.at > max(after, watch.clean) and address in turn.tallies),
            Tally(),
        )
        for address, watch in watches.items()
    }


def _fails(address: str, tallies: Mapping[str, Tally], shares: Mapping[str, float], least: int, policy: Policy) -> bool:
    """Whether at least half of its tries fail while those of most others do not: what all share is nobody's fault.

    The others' middle, not their sum: what fails at once draws requests, so two such would hide each other.
    """
    others = _others(address, tallies)
    if tallies[address].tries < least or shares[address] < policy.failed_share:
        return False
    if sum(tallies[other].tries for other in others) < least:
        return False
    return median_high(shares[other] for other in others) <= shares[address] * policy.others_share


def _is_slow(address: str, tallies: Mapping[str, Tally], policy: Policy) -> bool:
    others = [tallies[a] for a in _others(address, tallies) if len(tallies[a].seconds) >= policy.slow_tries]
    mine = tallies[address]
    if len(mine.seconds) < policy.slow_tries or not others:
        return False
    usual = median(_p95(other) for other in others)
    return _p95(mine) > max(policy.slow_factor * usual, policy.slow_floor)


def _others(address: str, tallies: Mapping[str, Tally]) -> list[str]:
    return [other for other, tally in tallies.items() if other != address and tally.tries]


def _p95(tally: Tally) -> float:
    return sorted(tally.seconds)[int(len(tally.seconds) * 0.95)]

"""The decision: who is taken out of service, who comes back, who is kept although it is bad. Pure."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from math import ceil
from typing import assert_never

from . import evidence
from .model import DATABASE, FULL, Change, Decision, Observed, Placed, Policy, Probe, State, Traffic, Watch

GUARD, NOBODY = "guard", ""
FOUND = "found out of service"


def decide(observed: Observed, known: Mapping[str, Watch], policy: Policy, now: float) -> Decision:
    """One turn: watch every instance that nginx has, judge each colour that serves, and say what nginx should change.

    At least the policy's share of each serving colour stays in service, whoever took the others out; more than that may
    be bad, then the guard gives back what it took. An instance that an operator holds is watched and not touched.
    """
    traffic = observed.traffic
    watches: dict[str, Watch] = {}
    for address, placed in traffic.instances.items():
        watch = known.get(address) or _adopted(placed, policy, now)
        watches[address] = _probed(_released(watch, placed, now), observed.probes.get(address))
    shared = _share_the_database(observed)
    for colour in {placed.colour for placed in traffic.instances.values()}:
        group = _group(colour, traffic, watches)
        if traffic.serves(colour):
            watches |= _judged(group, observed, policy, now, shared=shared)
        else:
            watches |= {address: _idle(watch, policy, now) for address, watch in group.free.items()}
    panic = any(watch.state is State.CLOSED and watch.why for watch in watches.values())
    return Decision(_changes(traffic, watches, policy), watches, panic)


def suspects(watches: Mapping[str, Watch], policy: Policy) -> frozenset[str]:
    """Whose probes have failed, but not often enough to be sure: it is worth asking them again soon."""
    return frozenset(a for a, w in watches.items() if w.state is State.CLOSED and 0 < w.failing < policy.down)


def still_meant(changes: Iterable[Change], before: Traffic, after: Traffic) -> Iterator[Change]:
    """Of the changes that follow from one look those that a later one confirms: nobody has set the weights since."""
    for change in changes:
        same = {a: w for a, w in change.weights.items() if _set(after.instances.get(a)) == _set(before.instances[a])}
        if same:
            yield Change(same, change.by)


def _set(placed: Placed | None) -> tuple[float, str] | None:
    return (placed.weight, placed.by) if placed else None


@dataclass(frozen=True)
class _Group:
    """One colour: the instances that the guard may move, how many of `total` others took out, and those that count."""

    total: int
    taken: int
    free: Mapping[str, Watch]
    counted: tuple[Watch, ...]

    def allowed_out(self, policy: Policy) -> int:
        return max(0, self.total - ceil(self.total * policy.kept) - self.taken)


def _group(colour: str, traffic: Traffic, watches: Mapping[str, Watch]) -> _Group:
    members = {address: placed for address, placed in traffic.instances.items() if placed.colour == colour}
    taken = {address for address, placed in members.items() if _is_taken(placed)}
    return _Group(
        total=len(members),
        taken=len(taken),
        free={address: watches[address] for address, placed in members.items() if not _is_held(placed)},
        counted=tuple(watches[address] for address in members if address not in taken),
    )


def _adopted(placed: Placed, policy: Policy, now: float) -> Watch:
    """An instance new to this process: what a guard before it took out may come back as soon as it is healthy."""
    if placed.by != GUARD:
        return Watch(State.CLOSED, now)
    if placed.weight == 0:
        return Watch(State.OPEN, now, FOUND)
    step = max([i for i, weight in enumerate(policy.weights) if weight <= placed.weight], default=0)
    return Watch(State.HALF_OPEN, now, FOUND, step=step, stepped=now)


def _released(watch: Watch, placed: Placed, now: float) -> Watch:
    """What somebody else has set is theirs: the guard forgets what it meant to do."""
    if not _is_held(placed):
        return watch
    return replace(watch, why="") if watch.state is State.CLOSED else replace(_closed(watch, now), ejections=0)


def _is_held(placed: Placed) -> bool:
    """Whether the weight is somebody else's: an operator's, or a 0 that nobody has put a name to."""
    return placed.by not in (GUARD, NOBODY) or (placed.by == NOBODY and placed.weight == 0)


def _is_taken(placed: Placed) -> bool:
    """Whether somebody else took it out: it may be stopped, and says nothing about the others."""
    return _is_held(placed) and placed.weight == 0


def _probed(watch: Watch, probe: Probe | None) -> Watch:
    if probe is None:
        return watch
    if probe.why:
        return replace(watch, failing=watch.failing + 1, passing=0)
    return replace(watch, passing=watch.passing + 1, failing=0)


def _share_the_database(observed: Observed) -> bool:
    """Whether most of those that serve, in either colour, miss the database: none of them is to blame."""
    traffic = observed.traffic
    serving = [a for a, placed in traffic.instances.items() if traffic.serves(placed.colour) and not _is_taken(placed)]
    missing = [a for a in serving if observed.probes.get(a, Probe()).why == DATABASE]
    return _are_most(len(missing), len(serving))


def _are_most(some: int, all_: int) -> bool:
    return some * 2 > all_


def _judged(group: _Group, observed: Observed, policy: Policy, now: float, *, shared: bool) -> dict[str, Watch]:
    frozen = shared or _are_most(sum(watch.failing > 0 for watch in group.counted), len(group.counted))
    free = {a: _forgiven(watch, policy, now, frozen=frozen) for a, watch in group.free.items()}
    faults = evidence.faults(free, observed, policy, now)
    placed = observed.traffic.instances
    watches = {
        address: watch
        if watch.state is State.HALF_OPEN and (frozen or _is_excused(watch, policy, now))
        else _moved(watch, placed[address], fault, policy, now)
        for address, watch, fault in ((a, watch, faults.get(a)) for a, watch in free.items())
    }
    if shared:
        watches |= {address: _closed(watch, now) for address, watch in watches.items() if _was_misjudged(watch)}
    allowed = group.allowed_out(policy)
    if not frozen:
        room = allowed - len(_out(watches))
        bad = sorted((fault, a) for a, fault in faults.items() if _may_go(watches[a], policy, now))
        watches |= {address: _ejected(watches[address], fault.why, now) for fault, address in bad[: max(0, room)]}
    surplus = len(_out(watches)) - allowed
    return watches | {a: _closed(watches[a], now) for a in _best(watches)[: max(0, surplus)]}


def _may_go(watch: Watch, policy: Policy, now: float) -> bool:
    return watch.state is State.CLOSED and not _is_excused(watch, policy, now)


def _forgiven(watch: Watch, policy: Policy, now: float, *, frozen: bool) -> Watch:
    if frozen and watch.failing:
        return replace(watch, shared=now, forgiven=now)
    return replace(watch, forgiven=now) if _is_excused(watch, policy, now) else watch


def _is_excused(watch: Watch, policy: Policy, now: float) -> bool:
    """What most shared ends for one sooner than for another: who has failed ever since gets time to follow."""
    return watch.failing > 0 and now - watch.shared < policy.wait


def _moved(watch: Watch, placed: Placed, fault: evidence.Fault | None, policy: Policy, now: float) -> Watch:
    """One instance by itself: whether a closed one may be ejected is decided among all of them."""
    match watch.state:
        case State.CLOSED:
            return replace(watch, why=fault.why if fault else "", ejections=_remembered(watch, policy, now))
        case State.HALF_OPEN if fault:
            return _ejected(watch, fault.why, now)
        case State.HALF_OPEN if placed.tripped:  # nginx itself avoids it, so this share proves nothing yet
            return replace(watch, stepped=now)
        case State.HALF_OPEN:
            return _advanced(watch, policy, now)
        case State.OPEN:
            return _returned(watch, policy, now)
        case _:
            assert_never(watch.state)


def _remembered(watch: Watch, policy: Policy, now: float) -> int:
    return 0 if now - watch.since >= policy.longest_wait else watch.ejections


def _ejected(watch: Watch, why: str, now: float) -> Watch:
    return replace(watch, state=State.OPEN, since=now, why=why, ejections=watch.ejections + 1, step=0)


def _advanced(watch: Watch, policy: Policy, now: float) -> Watch:
    """A share larger, when it has carried this one for long enough; without requests, too: then nobody is hurt."""
    if now - watch.stepped < policy.weight_seconds:
        return watch
    if watch.step + 1 == len(policy.weights):
        return _closed(watch, now)
    return replace(watch, step=watch.step + 1, stepped=now)


def _returned(watch: Watch, policy: Policy, now: float) -> Watch:
    if watch.passing < policy.up or now - watch.since < _wait(watch, policy):
        return watch
    return replace(watch, state=State.HALF_OPEN, since=now, step=0, stepped=now)


def _wait(watch: Watch, policy: Policy) -> float:
    """Twice as long each time, within bounds; what was found out of service has waited already."""
    if watch.ejections == 0:
        return 0.0
    return min(policy.longest_wait, policy.wait * 2.0 ** min(watch.ejections - 1, 30))


def _closed(watch: Watch, now: float) -> Watch:
    return replace(watch, state=State.CLOSED, since=now, why="", step=0)


def _idle(watch: Watch, policy: Policy, now: float) -> Watch:
    """Without traffic nobody is ejected, and who is healthy needs no way back."""
    if watch.state is State.CLOSED:
        return replace(watch, why="")
    return _closed(watch, now) if watch.passing >= policy.up else watch


def _was_misjudged(watch: Watch) -> bool:
    return watch.state is not State.CLOSED and watch.why == DATABASE


def _out(watches: Mapping[str, Watch]) -> list[str]:
    """On the way back is still out: the others carry its share."""
    return [address for address, watch in watches.items() if watch.state is not State.CLOSED]


def _best(watches: Mapping[str, Watch]) -> list[str]:
    """Who is out, best first: the furthest on the way back, then those that answer, then the longest out."""

    def key(address: str) -> tuple[int, int, bool, float, str]:
        watch = watches[address]
        return watch.state, -watch.step, watch.passing == 0, watch.since, address

    return sorted(_out(watches), key=key)


def _changes(traffic: Traffic, watches: Mapping[str, Watch], policy: Policy) -> tuple[Change, ...]:
    """Only what differs from what nginx has: so a change that did not arrive is asked for again."""
    ours: dict[str, int] = {}
    given_back: dict[str, int] = {}
    for address, placed in traffic.instances.items():
        weight = _weight(watches[address], policy)
        if weight is None and placed.by == GUARD:
            given_back[address] = FULL
        elif weight is not None and (placed.weight, placed.by) != (weight, GUARD):
            ours[address] = weight
    return tuple(Change(weights, by) for weights, by in ((ours, GUARD), (given_back, NOBODY)) if weights)


def _weight(watch: Watch, policy: Policy) -> int | None:
    """What the guard wants, None when it wants nothing: then the weight is nobody's, or whose it was."""
    match watch.state:
        case State.CLOSED:
            return None
        case State.HALF_OPEN:
            return policy.weights[watch.step]
        case State.OPEN:
            return 0
        case _:
            assert_never(watch.state)

"""Run a canary: look at both sides, decide, shift traffic, again and again until it is finished or given up."""

import re
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Never, assert_never

from fleet import rates
from fleet.effects import samples, traffic
from fleet.effects.inventory import Inventory
from fleet.effects.lease import LeaseLost
from fleet.effects.synthetic import Probes
from fleet.errors import FleetError, PlanRefused, StepFailed
from fleet.interlock import Change
from fleet.model import Colour, Fleet, LoadBalancer, Report, Shift, Step
from fleet.observe import observe
from fleet.perform import Progress, do, perform
from fleet.plan import blue_green, rolling
from fleet.plan import canary as steps
from fleet.plan.canary import Abort, Advance, Decision, Finish, Hold, Observation, Policy
from fleet.plan.judge import Outcome, Side, Verdict

ASKED = "an operator asked for it"
NUMBERS = re.compile(r"[\d.,]+")


@dataclass(frozen=True)
class Run:
    """One canary: the release, how bold it is, and who hears what is decided at each look.

    `probes` are published for as long as there is too little to judge by.
    """

    inventory: Inventory
    version: str
    policy: Policy
    colours: blue_green.Policy
    progress: Progress
    change: Change
    tell: Callable[[int, Decision], None]
    probes: Probes | None = None


@dataclass
class _Watch:
    """What every process had done when the present share began, and how busy the old side was at most until now.

    After an interruption it begins anew: the load balancers' logs reach back, the processes' own counts do not.
    `before` is what the logs say of the old side before the last step: it is read once.
    """

    since: Fleet
    usual: float | None = None
    before: Side | None = None


def run(canary: Run) -> Report:
    """From where the fleet is now to the end. Raises StepFailed that says why it was given up, or what failed."""
    fleet = observe(canary.inventory)
    if is_to_start(fleet, canary.version):
        _start(canary, fleet)
    watch, held = _Watch(observe(canary.inventory)), ""
    new = _new_side(watch.since, canary.version)
    while True:
        share, decision = _look(canary, new, watch)
        canary.tell(share, decision)
        held = _write_hold(canary.change, decision, held)
        if canary.probes:
            canary.probes.need(steps.is_thin(decision, canary.policy))
        match decision:
            case Advance(to):
                _shift(canary, new, to)
                watch.since = observe(canary.inventory)
            case Hold():
                time.sleep(canary.policy.interval_seconds)
            case Abort(_, why):
                give_up(canary, new, why)
            case Finish():
                return _finish(canary, new, watch)
            case _:
                assert_never(decision)


def _write_hold(change: Change, decision: Decision, held: str) -> str:
    """Why it holds is in the journal, for others to see, once for each reason, whatever the numbers in it.

    What cannot be written ends no canary: it is tried again at the next look. Raises LeaseLost.
    """
    holds = f"hold: {decision.why}" if isinstance(decision, Hold) and not decision.is_soaking else ""
    if NUMBERS.sub("", holds) == NUMBERS.sub("", held):
        return held
    try:
        if held:
            change.step(held, "done")
        if holds:
            change.step(holds)
    except LeaseLost:
        raise
    except FleetError:
        return held
    return holds


def give_up(canary: Run, new: Colour, why: str) -> Never:
    """All traffic goes back at once; the new side stays for a look until its hosts stop it."""
    _shift(canary, new, 0)
    fleet = observe(canary.inventory)
    _do(canary, blue_green.undo(fleet, _shift_step(fleet, new, 0), canary.colours))
    raise StepFailed(f"the canary was given up, and {new.other} has all traffic: {why}")


def is_under_way(fleet: Fleet) -> bool:
    """Some traffic is on either colour."""
    return any(share not in (0, 100) for share in fleet.shares)


def is_to_start(fleet: Fleet, version: str) -> bool:
    """Not where traffic is split, nor where one that was interrupted has given the release everything already."""
    return not is_under_way(fleet) and not all(o.is_ready_on(version) for o in fleet.instances)


def _look(canary: Run, new: Colour, watch: _Watch) -> tuple[int, Decision]:
    """What an operator wishes comes first; what cannot be asked is no data, and holds."""
    try:
        found = traffic.read(canary.inventory)
        share = _share(new, found)
        match _wish(found):
            case "abort":
                return share, Abort(Verdict(Outcome.FAIL, ()), ASKED)
            case "promote" if share < 100:
                return share, Advance(100)
            case "promote":
                return share, Finish(Verdict(Outcome.PASS, ()))
            case wish:
                return share, steps.decide(_observation(canary, new, watch, found, wish), canary.policy, time.time())
    except FleetError as error:
        return -1, Hold(f"no data: {error}")


def _observation(canary: Run, new: Colour, watch: _Watch, found: tuple[LoadBalancer, ...], wish: str) -> Observation:
    share, began = _share(new, found), max(each.since for each in found)
    answer = samples.ask(canary.inventory, began, time.time())
    now = observe(canary.inventory)
    old_busy, new_busy = (rates.busiest(watch.since, now, colour) for colour in (new.other, new))
    if share < 100:
        watch.usual = max((busy for busy in (watch.usual, old_busy) if busy is not None), default=None)
    elif watch.before is None:
        window = samples.ask(canary.inventory, *steps.window_before(began, canary.policy))
        watch.before = samples.side(window, new.other)
    return Observation(
        share,
        began,
        old=replace(samples.side(answer, new.other), saturation=old_busy),
        new=replace(samples.side(answer, new), saturation=new_busy),
        before=replace(watch.before or Side(), saturation=watch.usual),
        is_paused=wish == "pause",
    )


def _wish(found: tuple[LoadBalancer, ...]) -> str:
    """The boldest word against the canary wins, where load balancers were told different things."""
    wishes = {each.wish for each in found}
    return next((wish for wish in ("abort", "pause", "promote") if wish in wishes), "")


def _share(new: Colour, found: tuple[LoadBalancer, ...]) -> int:
    """In percent; the lowest, where load balancers differ."""
    return round(min(_share_of(new, each) for each in found))


def _share_of(colour: Colour, found: LoadBalancer) -> float:
    if found.green is None:
        raise PlanRefused(f"{found.name} cannot be asked: {found.detail}")
    return found.green if colour is Colour.GREEN else 100 - found.green


def _new_side(fleet: Fleet, version: str) -> Colour:
    """The side that runs the release, and the other does not."""
    instances = (*fleet.instances, *fleet.idle)
    sides = {o.what.colour for o in instances if o.version == version}
    if len(sides) != 1:
        named = " and ".join(sorted(sides)) or "no colour"
        raise PlanRefused(f"{version} runs on {named}; there is nothing to compare")
    return sides.pop()


def _start(canary: Run, fleet: Fleet) -> None:
    """What fails is taken back: nobody was sent there yet."""
    try:
        _do(canary, blue_green.start(fleet, canary.version))
    except StepFailed:
        found = observe(canary.inventory)
        _do(canary, blue_green.undo(found, _shift_step(found, Colour.GREEN, 0), canary.colours))
        raise


def _shift(canary: Run, new: Colour, share: int) -> None:
    _do(canary, (_shift_step(observe(canary.inventory), new, share),))


def _shift_step(fleet: Fleet, new: Colour, share: int) -> Step:
    return Shift(share if new is Colour.GREEN else 100 - share, tuple(each.name for each in fleet.load_balancers))


def _finish(canary: Run, new: Colour, watch: _Watch) -> Report:
    """The dispatchers follow, and are compared with those before them; then the old side is let go."""
    fleet = observe(canary.inventory)
    old = tuple(o.what for o in fleet.idle if o.what.colour is new.other)
    switch, *rest = blue_green.settle(fleet, canary.version, old, canary.colours)
    are_others = all(o.version != canary.version for o in fleet.dispatchers)
    before = _deliveries(watch.since, fleet) if are_others else Side()
    _do(canary, (switch,))
    _compare_deliveries(canary, switch, before)
    return perform(
        tuple(rest), canary.version, canary.inventory, rolling.Policy(), canary.progress, change=canary.change
    )


def _compare_deliveries(canary: Run, switch: Step, before: Side) -> None:
    """For as long as a step soaks. Raises StepFailed where they are worse, once the old dispatchers are back."""
    since, began = observe(canary.inventory), time.monotonic()
    while (wish := _wish(traffic.read(canary.inventory))) != "promote":
        fleet, soaked = observe(canary.inventory), time.monotonic() - began
        decision = steps.settled(before, _deliveries(since, fleet), canary.policy, soaked)
        if wish == "abort":
            decision = Abort(Verdict(Outcome.FAIL, ()), ASKED)
        canary.tell(100, decision)
        match decision:
            case Hold():
                time.sleep(canary.policy.interval_seconds)
            case Abort(_, why):
                back = blue_green.undo(fleet, switch, canary.colours)
                _do(canary, back)
                left = "the old side has everything again" if back else "the old side cannot take it back: it stays"
                raise StepFailed(f"the canary was given up, and {left}: {why}")
            case Finish():
                return
            case _:
                assert_never(decision)


def _deliveries(before: Fleet, after: Fleet) -> Side:
    attempts, failures = rates.deliveries(before, after)
    return Side(deliveries=attempts, delivery_failures=failures)


def _do(canary: Run, todo: tuple[Step, ...]) -> None:
    do(todo, canary.inventory, canary.progress, canary.change)

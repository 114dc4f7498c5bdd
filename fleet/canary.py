"""Run a canary: look at both sides, decide, shift traffic, again and again until it is finished or given up."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Never, assert_never

from fleet.effects import samples, traffic
from fleet.effects.inventory import Inventory
from fleet.errors import FleetError, PlanRefused, StepFailed
from fleet.interlock import Change
from fleet.model import Colour, Fleet, LoadBalancer, Report, Shift, Step
from fleet.observe import observe
from fleet.perform import Progress, do, perform
from fleet.plan import blue_green, rolling
from fleet.plan import canary as steps
from fleet.plan.canary import Abort, Advance, Decision, Finish, Hold, Observation, Policy
from fleet.plan.judge import Outcome, Verdict


@dataclass(frozen=True)
class Run:
    """One canary: the release, how bold it is, and who hears what is decided at each look."""

    inventory: Inventory
    version: str
    policy: Policy
    colours: blue_green.Policy
    progress: Progress
    change: Change
    tell: Callable[[int, Decision], None]


def run(canary: Run) -> Report:
    """From where the fleet is now to the end. Raises StepFailed that says why it was given up, or what failed."""
    fleet = observe(canary.inventory)
    if is_to_start(fleet, canary.version):
        _start(canary, fleet)
    new = _new_side(observe(canary.inventory), canary.version)
    while True:
        share, decision = _look(canary, new)
        canary.tell(share, decision)
        match decision:
            case Advance(to):
                _shift(canary, new, to)
            case Hold():
                time.sleep(canary.policy.interval_seconds)
            case Abort(_, why):
                give_up(canary, new, why)
            case Finish():
                return _finish(canary, new)
            case _:
                assert_never(decision)


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


def _look(canary: Run, new: Colour) -> tuple[int, Decision]:
    """What an operator wishes comes first; what cannot be asked is no data, and holds."""
    try:
        found = traffic.read(canary.inventory)
        share = round(min(_share_of(new, each) for each in found))
        match _wish(found):
            case "abort":
                return share, Abort(Verdict(Outcome.FAIL, ()), "an operator asked for it")
            case "promote" if share < 100:
                return share, Advance(100)
            case "promote":
                return share, Finish(Verdict(Outcome.PASS, ()))
            case wish:
                return share, steps.decide(_observation(canary, new, found, share, wish), canary.policy, time.time())
    except FleetError as error:
        return -1, Hold(f"no data: {error}")


def _observation(canary: Run, new: Colour, found: tuple[LoadBalancer, ...], share: int, wish: str) -> Observation:
    began = max(each.since for each in found)
    answer = samples.ask(canary.inventory, began, time.time())
    at_the_end = share >= 100
    before = samples.ask(canary.inventory, *steps.window_before(began, canary.policy)) if at_the_end else answer
    return Observation(
        share,
        began,
        old=samples.side(answer, new.other),
        new=samples.side(answer, new),
        before=samples.side(before, new.other),
        is_paused=wish == "pause",
    )


def _wish(found: tuple[LoadBalancer, ...]) -> str:
    """The boldest word against the canary wins, where load balancers were told different things."""
    wishes = {each.wish for each in found}
    return next((wish for wish in ("abort", "pause", "promote") if wish in wishes), "")


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


def _finish(canary: Run, new: Colour) -> Report:
    fleet = observe(canary.inventory)
    old = tuple(o.what for o in fleet.idle if o.what.colour is new.other)
    todo = blue_green.settle(fleet, canary.version, old, canary.colours)
    return perform(todo, canary.version, canary.inventory, rolling.Policy(), canary.progress, change=canary.change)


def _do(canary: Run, todo: tuple[Step, ...]) -> None:
    do(todo, canary.inventory, canary.progress, canary.change)

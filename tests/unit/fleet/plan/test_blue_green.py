"""Blue-green's plan: values in, values out, on a fleet whose steps have their effect and no other."""

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleet.errors import PlanRefused
from fleet.model import (
    Check,
    Colour,
    Dispatcher,
    Fleet,
    Instance,
    Keep,
    LoadBalancer,
    Migrate,
    Observed,
    Record,
    Replace,
    Retire,
    Shift,
    Smoke,
    Soak,
    Stage,
    State,
    Step,
    SwitchDispatchers,
)
from fleet.plan.blue_green import Policy, back, plan, previous, serving, undo

POLICY = Policy(soak_seconds=30, ready_seconds=600)
HOSTS, LBS = ("app-1", "app-2"), ("lb-1", "lb-2")
PORTS = {Colour.BLUE: (3310, 3311), Colour.GREEN: (3410, 3411)}
BLUE, GREEN = (
    tuple(Instance(host, port, colour) for host in HOSTS for port in PORTS[colour])
    for colour in (Colour.BLUE, Colour.GREEN)
)
OF = {Colour.BLUE: BLUE, Colour.GREEN: GREEN}
SHARE = {Colour.BLUE: 0.0, Colour.GREEN: 100.0}
for_each_colour = pytest.mark.parametrize("colour", Colour)


def a_fleet(colour: Colour = Colour.BLUE, version: str = "1.0.0", idle: State = State.STOPPED) -> Fleet:
    """Everything on one colour; the other one is stopped, or was left on 0.9.0."""
    before = None if idle is State.STOPPED else "0.9.0"
    return Fleet(
        tuple(Observed(each, State.READY, version, release=version) for each in OF[colour]),
        tuple(Observed(Dispatcher(host, 1), State.READY, version) for host in HOSTS),
        version,
        tuple(Observed(each, idle, before, release="0.9.0") for each in OF[colour.other]),
        tuple(LoadBalancer(name, SHARE[colour]) for name in LBS),
    )


def changed(fleet: Fleet, instances: Iterable[Instance], **values: Any) -> Fleet:
    """The same, with these instances otherwise, whichever colour has the traffic."""
    names = set(instances)

    def each(found: tuple[Observed[Instance], ...]) -> tuple[Observed[Instance], ...]:
        return tuple(replace(o, **values) if o.what in names else o for o in found)

    return replace(fleet, instances=each(fleet.instances), idle=each(fleet.idle))


def sent(fleet: Fleet, *greens: float | None) -> Fleet:
    """As `observe` tells it, where the load balancers send these shares to green, None from one that is away."""
    known = [green for green in greens if green is not None]
    live = {Colour.BLUE} if not known or min(known) < 100 else set()
    live |= {Colour.GREEN} if any(known) else set()
    found = sorted((*fleet.instances, *fleet.idle), key=lambda o: (o.what.colour, o.what))
    return replace(
        fleet,
        instances=tuple(o for o in found if o.what.colour in live),
        idle=tuple(o for o in found if o.what.colour not in live),
        load_balancers=tuple(
            LoadBalancer(name, green, detail="" if green is not None else "no route")
            for name, green in zip(LBS, greens, strict=True)
        ),
    )


def after(fleet: Fleet, step: Step) -> Fleet:
    """What is observed once a step was performed well."""
    match step:
        case Keep(instances):
            return changed(fleet, instances, retires=False)
        case Replace(version, instances):
            return changed(fleet, instances, state=State.READY, version=version, release=version)
        case Shift(green):
            return sent(fleet, *(green for _ in LBS))
        case SwitchDispatchers(version, hosts):
            moved = (replace(o, version=version) if o.what.host in hosts else o for o in fleet.dispatchers)
            return replace(fleet, dispatchers=tuple(moved))
        case Retire(instances):
            return changed(fleet, instances, retires=True)
        case Record(version):
            return replace(fleet, version=version)
        case _:
            return fleet


def after_all(fleet: Fleet, steps: Iterable[Step]) -> Fleet:
    for step in steps:
        fleet = after(fleet, step)
    return fleet


def ready_seconds_later(fleet: Fleet) -> Fleet:
    """What was to be stopped is stopped."""
    retired = [o.what for o in (*fleet.instances, *fleet.idle) if o.retires]
    return changed(fleet, retired, state=State.STOPPED, version=None, retires=False)


def kinds(steps: Iterable[Step]) -> list[type[Step]]:
    return [type(step) for step in steps]


@for_each_colour
def test_starts_the_release_on_the_idle_colour_and_switches_to_it(colour: Colour) -> None:
    idle = OF[colour.other]
    assert plan(a_fleet(colour), "1.1.0", POLICY) == (
        Check("1.1.0", HOSTS),
        Stage("1.1.0", HOSTS),
        Migrate("1.1.0", "app-1"),
        Keep(idle),
        Replace("1.1.0", idle),
        Smoke("1.1.0", idle),
        Shift(SHARE[colour.other], LBS),
        Soak("1.1.0", idle, 30),
        SwitchDispatchers("1.1.0", HOSTS),
        Record("1.1.0"),
        Retire(OF[colour], 600),
    )


@for_each_colour
def test_ends_with_all_on_the_release_and_the_old_colour_ready_for_its_time(colour: Colour) -> None:
    fleet = a_fleet(colour)
    end = after_all(fleet, plan(fleet, "1.1.0", POLICY))
    assert serving(end) is colour.other
    assert all(o.is_ready_on("1.1.0") for o in end.instances)
    assert all(o.is_ready_on("1.1.0") for o in end.dispatchers)
    assert all(o.is_ready_on("1.0.0") and o.retires for o in end.idle)
    for later in (end, ready_seconds_later(end)):
        assert plan(later, "1.1.0", POLICY) == ()


@for_each_colour
def test_plans_nothing_when_the_fleet_runs_the_version(colour: Colour) -> None:
    assert plan(a_fleet(colour), "1.0.0", POLICY) == ()


def test_only_records_a_version_that_all_run_already() -> None:
    assert plan(replace(a_fleet(), version=None), "1.0.0", POLICY) == (Record("1.0.0"),)


STEPS = plan(a_fleet(), "1.1.0", POLICY)
SWITCH = next(number for number, step in enumerate(STEPS) if isinstance(step, Shift))


@pytest.mark.parametrize("done", range(len(STEPS) + 1))
@for_each_colour
def test_ends_the_same_after_an_interruption_at_any_step(colour: Colour, done: int) -> None:
    fleet = a_fleet(colour)
    steps = plan(fleet, "1.1.0", POLICY)
    so_far = after_all(fleet, steps[:done])
    rest = plan(so_far, "1.1.0", POLICY)
    assert after_all(so_far, rest) == after_all(fleet, steps)


@pytest.mark.parametrize("done", range(SWITCH + 1))
def test_before_the_switch_the_rest_repeats_what_is_cheap_and_starts_nothing_twice(done: int) -> None:
    rest = plan(after_all(a_fleet(), STEPS[:done]), "1.1.0", POLICY)
    is_started = done > next(number for number, step in enumerate(STEPS) if isinstance(step, Replace))
    assert kinds(rest) == [kind for kind in kinds(STEPS) if kind is not Replace or not is_started]


@pytest.mark.parametrize("done", range(SWITCH + 1, len(STEPS) + 1))
def test_after_the_switch_the_rest_never_moves_traffic_again(done: int) -> None:
    rest = plan(after_all(a_fleet(), STEPS[:done]), "1.1.0", POLICY)
    assert not {Shift, Replace, Stage, Migrate, Keep} & set(kinds(rest))


@pytest.mark.parametrize("done", range(len(STEPS) + 1))
def test_every_step_may_be_done_twice(done: int) -> None:
    fleet = after_all(a_fleet(), STEPS[:done])
    rest = plan(fleet, "1.1.0", POLICY)
    once = after_all(fleet, rest)
    twice = after_all(fleet, (step for step in rest for _ in range(2)))
    assert once == twice
    assert plan(once, "1.1.0", POLICY) == plan(twice, "1.1.0", POLICY)


def test_an_interruption_that_outlasts_the_old_colour_retires_nobody() -> None:
    """The rest after the switch has nothing to retire where nothing runs."""
    fleet = changed(after_all(a_fleet(), STEPS[: SWITCH + 1]), BLUE, state=State.STOPPED, version=None)
    assert kinds(plan(fleet, "1.1.0", POLICY)) == [Soak, SwitchDispatchers, Record]


def test_an_interruption_after_the_switch_is_watched_in_full() -> None:
    (soak, *_) = plan(after_all(a_fleet(), STEPS[: SWITCH + 1]), "1.1.0", POLICY)
    assert soak == Soak("1.1.0", GREEN, 30)


@given(
    states=st.lists(
        st.sampled_from([State.READY, State.UNREADY, State.DRAINING, State.STOPPED]), min_size=4, max_size=4
    ),
    versions=st.lists(st.sampled_from(["0.9.0", "1.1.0"]), min_size=4, max_size=4),
)
def test_starts_exactly_what_is_not_ready_on_the_release_and_asks_all_of_the_colour(
    states: list[State], versions: list[str]
) -> None:
    fleet = a_fleet()
    for instance, state, version in zip(GREEN, states, versions, strict=True):
        fleet = changed(fleet, [instance], state=state, version=version)
    steps = plan(fleet, "1.1.0", POLICY)
    behind = [i for i, s, v in zip(GREEN, states, versions, strict=True) if (s, v) != (State.READY, "1.1.0")]
    assert [list(step.instances) for step in steps if isinstance(step, Replace)] == ([behind] if behind else [])
    assert Smoke("1.1.0", GREEN) in steps


def test_an_unhealthy_instance_of_the_colour_that_serves_is_left_behind_by_a_switch() -> None:
    fleet = changed(a_fleet(), BLUE[:1], state=State.UNREADY)
    assert Shift(100, LBS) in plan(fleet, "1.0.0", POLICY)


def test_stages_every_host_whose_dispatchers_it_switches() -> None:
    fleet = a_fleet()
    fleet = replace(fleet, dispatchers=(*fleet.dispatchers, Observed(Dispatcher("app-9", 1), State.READY, "1.0.0")))
    steps = plan(fleet, "1.1.0", POLICY)
    (staged,) = (step.hosts for step in steps if isinstance(step, Stage))
    (switched,) = (step.hosts for step in steps if isinstance(step, SwitchDispatchers))
    assert set(switched) <= set(staged)


REFUSALS = {
    "the load balancers disagree": (sent(a_fleet(), 0, 100), r"different shares .*lb-1 0 %, lb-2 100 %"),
    "a canary is under way": (sent(a_fleet(), 5, 5), r"green has 5 % of the traffic"),
    "a canary has less than a whole percent": (sent(a_fleet(), 0.5, 0.5), r"green has 0\.5 % of the traffic"),
    "a load balancer is away": (sent(a_fleet(), 0, None), r"lb-2 cannot be asked .*no route"),
    "there is no load balancer": (replace(a_fleet(), load_balancers=()), r"has no load balancer"),
    "there is no instance": (replace(a_fleet(), instances=(), idle=()), r"give the hosts of group app amebo_web_ports"),
    "a host is away": (changed(a_fleet(), BLUE[:2], state=State.UNREACHABLE), r"app-1 does not answer over SSH"),
}


@pytest.mark.parametrize("case", REFUSALS)
def test_refuses_before_any_host_is_touched(case: str) -> None:
    fleet, why = REFUSALS[case]
    with pytest.raises(PlanRefused, match=why):
        plan(fleet, "1.1.0", POLICY)
    with pytest.raises(PlanRefused, match=why):
        back(fleet, POLICY)


@pytest.mark.parametrize(("green", "colour"), [(0, Colour.BLUE), (100, Colour.GREEN)])
def test_the_colour_that_serves_is_what_the_load_balancers_say(green: float, colour: Colour) -> None:
    assert serving(sent(a_fleet(), green, green)) is colour


@for_each_colour
def test_goes_back_to_the_old_colour_while_it_is_ready(colour: Colour) -> None:
    fleet = a_fleet(colour, "1.1.0", idle=State.READY)
    steps = back(fleet, POLICY)
    assert steps == (
        Keep(OF[colour.other]),
        Smoke("0.9.0", OF[colour.other]),
        Shift(SHARE[colour.other], LBS),
        SwitchDispatchers("0.9.0", HOSTS),
        Record("0.9.0"),
        Retire(OF[colour], 600),
    )
    assert plan(after_all(fleet, steps), "0.9.0", POLICY) == ()


WAY_BACK = back(a_fleet(Colour.GREEN, "1.1.0", idle=State.READY), POLICY)


@pytest.mark.parametrize("done", range(len(WAY_BACK) + 1))
def test_a_way_back_that_was_interrupted_is_ended_by_deploying_its_version(done: int) -> None:
    fleet = changed(a_fleet(Colour.GREEN, "1.1.0", idle=State.READY), BLUE, release="0.9.0")
    so_far = after_all(fleet, WAY_BACK[:done])
    assert after_all(so_far, plan(so_far, "0.9.0", POLICY)) == after_all(fleet, WAY_BACK)


NOT_BACK = {
    "it was stopped": (a_fleet(), r"green is not ready .*app-1:3410 stopped"),
    "one of it is unready": (
        changed(a_fleet(idle=State.READY), GREEN[:1], state=State.UNREADY),
        r"app-1:3410 unready, app-1:3411 ready",
    ),
    "it runs two versions": (changed(a_fleet(idle=State.READY), GREEN[:1], version="0.8.0"), r"green is not ready"),
}


@pytest.mark.parametrize("case", NOT_BACK)
def test_does_not_go_back_to_what_could_not_take_all_traffic(case: str) -> None:
    fleet, why = NOT_BACK[case]
    assert previous(fleet) is None
    with pytest.raises(PlanRefused, match=why):
        back(fleet, POLICY)


def test_tells_the_version_that_it_would_go_back_to() -> None:
    assert previous(a_fleet(idle=State.READY)) == "0.9.0"
    assert previous(replace(a_fleet(), idle=())) is None


UNDONE: dict[type[Step], list[type[Step]]] = {
    Check: [],
    Stage: [],
    Migrate: [],
    Keep: [],
    Replace: [Retire],
    Smoke: [Retire],
    Shift: [Retire],
    Soak: [Keep, Shift, SwitchDispatchers, Record, Retire],
    SwitchDispatchers: [Keep, Shift, SwitchDispatchers, Record, Retire],
    Record: [Retire],
    Retire: [Retire],
}


@pytest.mark.parametrize("number", range(len(STEPS)), ids=[type(step).__name__ for step in STEPS])
@for_each_colour
def test_takes_back_a_step_that_failed(colour: Colour, number: int) -> None:
    """Half a Replace is as bad as none: what was started is stopped in its time."""
    fleet = a_fleet(colour)
    steps = plan(fleet, "1.1.0", POLICY)
    failed = steps[number]
    found = after_all(fleet, steps[:number])
    if isinstance(failed, Replace):
        found = changed(found, failed.instances[:1], state=State.READY, version="1.1.0")
        found = changed(found, failed.instances[1:2], state=State.UNREADY, version="1.1.0")
    if isinstance(failed, Soak):
        found = changed(found, failed.instances[:1], state=State.UNREADY)
    undone = undo(found, failed, POLICY)
    assert kinds(undone) == UNDONE[type(failed)]
    end = after_all(found, undone)
    is_switched = isinstance(failed, Record | Retire)
    assert serving(end) is (colour.other if is_switched else colour)
    assert not any(o.retires for o in end.instances)
    assert all(o.retires for o in end.idle if o.state is not State.STOPPED)


def test_what_was_started_before_a_failed_check_is_left_alone() -> None:
    fleet = a_fleet(idle=State.READY)
    assert undo(fleet, Check("1.1.0", HOSTS), POLICY) == ()


SWITCHED = after_all(a_fleet(), STEPS[: SWITCH + 1])
SOAK, SHIFT = STEPS[SWITCH + 1], STEPS[SWITCH]


def test_never_stops_the_old_colour_because_the_new_one_is_unwell() -> None:
    """A host died in the soak: both colours lost instances, and what is left of the old one may be all there is."""
    found = changed(SWITCHED, [i for i in (*BLUE, *GREEN) if i.host == "app-2"], state=State.UNREACHABLE, version=None)
    assert not any(isinstance(step, Retire) for step in undo(found, SOAK, POLICY))


def test_taking_back_is_never_refused() -> None:
    """Where it cannot be done nothing is: an error here would hide the one that the operator has to read."""
    assert undo(sent(SWITCHED, 100, None), SOAK, POLICY) == ()


@pytest.mark.parametrize("greens", [(0, None), (None, None)])
def test_retires_nobody_while_a_load_balancer_may_send_traffic_there(greens: tuple[float | None, ...]) -> None:
    """It did not answer when it was told to switch: nobody knows whether it did."""
    assert undo(sent(SWITCHED, *greens), SHIFT, POLICY) == ()


def test_retires_nobody_while_the_load_balancers_disagree() -> None:
    assert undo(sent(SWITCHED, 0, 100), SHIFT, POLICY) == ()

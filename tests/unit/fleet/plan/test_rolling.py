"""The rolling update's plan: values in, values out."""

from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleet.errors import PlanRefused
from fleet.model import (
    Check,
    Dispatcher,
    Fleet,
    Instance,
    Migrate,
    Observed,
    Record,
    Replace,
    ReplaceDispatchers,
    Soak,
    Stage,
    State,
    Step,
)
from fleet.plan import rolling
from fleet.plan.rolling import Policy, plan

POLICY = Policy(soak_seconds=0)


def a_fleet(hosts: int = 3, each: int = 2, version: str = "1.0.0") -> Fleet:
    names = [f"app-{number}" for number in range(1, hosts + 1)]
    return Fleet(
        instances=tuple(Observed(Instance(h, 3310 + n), State.READY, version) for h in names for n in range(each)),
        dispatchers=tuple(Observed(Dispatcher(h, 1), State.READY, version) for h in names),
        version=version,
    )


def with_state(fleet: Fleet, instance: Instance, state: State) -> Fleet:
    changed = (replace(o, state=state) if o.what == instance else o for o in fleet.instances)
    return replace(fleet, instances=tuple(changed))


def after(fleet: Fleet, step: Step) -> Fleet:
    """What is observed once a step was performed well."""
    match step:
        case Replace(version, instances):
            moved = (Observed(o.what, State.READY, version) if o.what in instances else o for o in fleet.instances)
            return replace(fleet, instances=tuple(moved))
        case ReplaceDispatchers(version, host):
            restarted = (replace(o, version=version) if o.what.host == host else o for o in fleet.dispatchers)
            return replace(fleet, dispatchers=tuple(restarted))
        case Record(version):
            return replace(fleet, version=version)
        case _:
            return fleet


def batches(steps: tuple[Step, ...]) -> list[tuple[str, ...]]:
    return [tuple(map(str, step.instances)) for step in steps if isinstance(step, Replace)]


def test_moves_six_instances_one_at_a_time_and_spread_over_the_hosts() -> None:
    assert batches(plan(a_fleet(), "1.1.0", POLICY)) == [
        ("app-1:3310",),
        ("app-2:3310",),
        ("app-3:3310",),
        ("app-1:3311",),
        ("app-2:3311",),
        ("app-3:3311",),
    ]


def test_soaks_after_one_instance_a_quarter_a_half_and_all() -> None:
    steps = plan(a_fleet(hosts=4, each=3), "1.1.0", POLICY)
    assert [len(step.instances) for step in steps if isinstance(step, Soak)] == [1, 3, 6, 12]


def test_checks_stages_and_migrates_before_anything_is_replaced_and_records_last() -> None:
    kinds = [type(step) for step in plan(a_fleet(), "1.1.0", POLICY)]
    assert kinds[:4] == [Check, Stage, Migrate, Replace]
    assert kinds[-4:] == [ReplaceDispatchers, ReplaceDispatchers, ReplaceDispatchers, Record]


def test_plans_nothing_when_the_fleet_runs_the_version() -> None:
    assert plan(a_fleet(), "1.0.0", POLICY) == ()


def test_only_records_a_version_that_all_run_already() -> None:
    assert plan(replace(a_fleet(), version="0.9.0"), "1.0.0", POLICY) == (Record("1.0.0"),)


def test_takes_unhealthy_instances_first() -> None:
    fleet = with_state(a_fleet(), Instance("app-3", 3311), State.STOPPED)
    assert batches(plan(fleet, "1.1.0", POLICY))[0] == ("app-3:3311",)


def test_replaces_an_unhealthy_instance_that_already_has_the_version() -> None:
    fleet = with_state(a_fleet(), Instance("app-2", 3310), State.UNREADY)
    assert batches(plan(fleet, "1.0.0", POLICY)) == [("app-2:3310",)]


def test_refuses_while_a_host_is_unreachable_and_names_the_way_out() -> None:
    fleet = with_state(a_fleet(), Instance("app-2", 3310), State.UNREACHABLE)
    with pytest.raises(PlanRefused, match=r"app-2 does not answer.*--skip app-2"):
        plan(fleet, "1.1.0", POLICY)


def test_refuses_to_take_more_out_than_allowed_beside_a_host_left_out() -> None:
    fleet = a_fleet()
    for port in (3310, 3311):
        fleet = with_state(fleet, Instance("app-2", port), State.UNREACHABLE)
    skipping = replace(POLICY, skip_hosts=frozenset({"app-2"}))
    with pytest.raises(PlanRefused, match="--max-out 3"):
        plan(fleet, "1.1.0", skipping)
    steps = plan(fleet, "1.1.0", replace(skipping, max_out=3))
    assert batches(steps) == [("app-1:3310",), ("app-3:3310",), ("app-1:3311",), ("app-3:3311",)]


def test_does_not_record_a_version_that_a_skipped_host_does_not_run() -> None:
    steps = plan(a_fleet(), "1.1.0", replace(POLICY, skip_hosts=frozenset({"app-2"}), max_out=3))
    assert not any(isinstance(step, Record) for step in steps)


def test_migrates_from_the_first_host_that_is_not_left_out() -> None:
    steps = plan(a_fleet(), "1.1.0", replace(POLICY, skip_hosts=frozenset({"app-1"}), max_out=3))
    assert Migrate("1.1.0", "app-2") in steps


def test_refuses_to_skip_a_host_that_does_not_exist() -> None:
    with pytest.raises(PlanRefused, match="called app-9; there are app-1, app-2, app-3"):
        plan(a_fleet(), "1.1.0", replace(POLICY, skip_hosts=frozenset({"app-9"})))


def test_refuses_an_inventory_without_instances() -> None:
    with pytest.raises(PlanRefused, match="amebo_web_ports"):
        plan(Fleet(()), "1.1.0", POLICY)


@pytest.mark.parametrize(
    ("instances", "max_out", "allowed"),
    [(1, 0.25, 1), (2, 0.5, 1), (3, 0.25, 1), (8, 0.25, 2), (6, 6, 5), (6, 1.0, 1), (12, 0.5, 6)],
)
def test_never_allows_the_whole_pool_out(instances: int, max_out: float, allowed: int) -> None:
    assert rolling.allowed_out(a_fleet(instances, 1), Policy(max_out=max_out)) == allowed


@pytest.mark.parametrize("interrupted_after", range(20))
def test_resumes_with_the_rest_after_an_interruption_at_any_step(interrupted_after: int) -> None:
    fleet = a_fleet()
    steps = plan(fleet, "1.1.0", POLICY)
    for step in steps[:interrupted_after]:
        fleet = after(fleet, step)
    rest = plan(fleet, "1.1.0", POLICY)
    done = batches(steps[:interrupted_after])
    assert batches(rest) == [batch for batch in batches(steps) if batch not in done]
    for step in rest:
        fleet = after(fleet, step)
    assert plan(fleet, "1.1.0", POLICY) == ()


@given(
    hosts=st.integers(1, 5),
    each=st.integers(1, 4),
    max_out=st.floats(0.05, 8),
    states=st.lists(st.sampled_from([State.READY, State.UNREADY, State.STOPPED]), min_size=20, max_size=20),
)
def test_every_instance_is_replaced_once_and_batches_stay_within_what_is_allowed(
    hosts: int, each: int, max_out: float, states: list[State]
) -> None:
    fleet = a_fleet(hosts, each)
    fleet = replace(fleet, instances=tuple(replace(o, state=s) for o, s in zip(fleet.instances, states, strict=False)))
    policy = Policy(max_out=max_out)
    steps = [step for step in plan(fleet, "1.1.0", policy) if isinstance(step, Replace)]
    replaced = [instance for step in steps for instance in step.instances]
    assert sorted(replaced) == sorted(o.what for o in fleet.instances)
    assert all(len(step.instances) <= rolling.allowed_out(fleet, policy) for step in steps)


@given(hosts=st.integers(1, 6), each=st.integers(1, 4))
def test_soaks_grow_to_the_whole_fleet(hosts: int, each: int) -> None:
    soaks = [step.instances for step in plan(a_fleet(hosts, each), "1.1.0", POLICY) if isinstance(step, Soak)]
    assert all(set(before) < set(later) for before, later in pairwise(soaks))
    assert len(soaks[-1]) == hosts * each


def test_takes_a_suspect_out_while_the_others_serve() -> None:
    suspect = Instance("app-1", 3310)
    fleet = with_state(a_fleet(), suspect, State.UNREADY)
    assert rolling.take_out(fleet, (suspect,), POLICY) == (suspect,)


def test_takes_nobody_out_when_the_fault_is_shared() -> None:
    fleet = a_fleet()
    everyone = tuple(o.what for o in fleet.instances)
    for instance in everyone:
        fleet = with_state(fleet, instance, State.UNREADY)
    assert rolling.take_out(fleet, everyone, POLICY) == ()


def test_tells_the_version_of_an_interrupted_update() -> None:
    fleet = after(a_fleet(), Replace("1.1.0", (Instance("app-1", 3310),)))
    assert rolling.interrupted(fleet) == "1.1.0"
    with pytest.raises(PlanRefused, match="name the version"):
        rolling.interrupted(a_fleet())

"""Horizontal scaling's plan: values in, values out, on a fleet whose steps have their effect and no other."""

from collections.abc import Iterable
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleet.errors import PlanRefused
from fleet.model import (
    Balance,
    Colour,
    Fleet,
    Host,
    Instance,
    LoadBalancer,
    Observed,
    Peer,
    RecordPorts,
    Replace,
    Soak,
    State,
    Step,
    Stop,
)
from fleet.plan.scale import plan

VERSION, LBS = "1.0.0", ("lb-1", "lb-2")
for_each_colour = pytest.mark.parametrize("colour", Colour)


def a_fleet(*ports: tuple[int, ...], colour: Colour = Colour.BLUE) -> Fleet:
    """A host for each of these; all that `colour` has is ready, the other one is stopped."""
    hosts = tuple(Host(f"app-{n}", f"10.0.0.{n}", each) for n, each in enumerate(ports or ((3310, 3311),) * 3, 1))
    peers = tuple(
        Peer(f"{host.address}:{port}", each) for host in hosts for each in Colour for port in host.ports(each)
    )
    return Fleet(
        ready(of(hosts, colour)),
        version=VERSION,
        idle=tuple(Observed(each, State.STOPPED) for each in of(hosts, colour.other)),
        load_balancers=tuple(LoadBalancer(name, 100 * (colour is Colour.GREEN), peers=peers) for name in LBS),
        hosts=hosts,
    )


def of(hosts: Iterable[Host], colour: Colour) -> tuple[Instance, ...]:
    return tuple(Instance(host.name, port, colour) for host in hosts for port in host.ports(colour))


def ready(instances: Iterable[Instance]) -> tuple[Observed[Instance], ...]:
    return tuple(Observed(each, State.READY, VERSION) for each in instances)


def running(fleet: Fleet) -> dict[tuple[str, int], Observed[Instance]]:
    found = (*fleet.instances, *fleet.idle, *fleet.strays)
    return {(o.what.host, o.what.port): o for o in found if o.state is not State.STOPPED}


def seen(fleet: Fleet, hosts: tuple[Host, ...], runs: dict[tuple[str, int], Observed[Instance]]) -> Fleet:
    """As `observe` sorts it: by what the inventory has, then by who has the traffic."""
    colour = Colour.GREEN if fleet.shares == (100,) else Colour.BLUE
    known = {each: of(hosts, each) for each in Colour}
    found = {
        each: tuple(
            replace(runs[key], what=i) if (key := (i.host, i.port)) in runs else Observed(i, State.STOPPED)
            for i in known[each]
        )
        for each in Colour
    }
    meant = {(i.host, i.port) for each in Colour for i in known[each]}
    strays = tuple(Observed(Instance(*key), o.state, o.version) for key, o in sorted(runs.items()) if key not in meant)
    return replace(fleet, instances=found[colour], idle=found[colour.other], strays=strays, hosts=hosts)


def after(fleet: Fleet, step: Step) -> Fleet:
    """What is observed once a step was performed well."""
    runs = running(fleet)
    match step:
        case Replace(version, instances):
            runs |= {(i.host, i.port): Observed(i, State.READY, version) for i in instances}
            return seen(fleet, fleet.hosts, runs)
        case RecordPorts(hosts):
            return seen(fleet, hosts, runs)
        case Balance(names):
            assert names == LBS
            peers = a_fleet(*(host.web_ports for host in fleet.hosts)).load_balancers[0].peers
            return replace(fleet, load_balancers=tuple(replace(each, peers=peers) for each in fleet.load_balancers))
        case Stop(instances):
            gone = {(i.host, i.port) for i in instances}
            return seen(fleet, fleet.hosts, {key: o for key, o in runs.items() if key not in gone})
        case _:
            return fleet


def performed(fleet: Fleet, steps: Iterable[Step]) -> Fleet:
    for step in steps:
        fleet = after(fleet, step)
    return fleet


def ports(fleet: Fleet) -> list[tuple[int, ...]]:
    return [host.web_ports for host in fleet.hosts]


def without(fleet: Fleet, state: State, *instances: Instance) -> Fleet:
    found = (Observed(o.what, state) if o.what in instances else o for o in fleet.instances)
    return replace(fleet, instances=tuple(found))


def test_one_more_is_ready_before_a_load_balancer_hears_of_it() -> None:
    new = Instance("app-1", 3312)
    assert plan(a_fleet(), 7, 9) == (
        Replace(VERSION, (new,)),
        RecordPorts(a_fleet((3310, 3311, 3312), (3310, 3311), (3310, 3311)).hosts),
        Balance(LBS),
        Soak(VERSION, (new,), 9),
    )


def test_one_less_is_stopped_once_no_load_balancer_knows_it() -> None:
    assert plan(a_fleet(), 5) == (
        RecordPorts(a_fleet((3310, 3311), (3310, 3311), (3310,)).hosts),
        Balance(LBS),
        Stop((Instance("app-3", 3311),)),
    )


@for_each_colour
def test_nothing_is_to_do_where_it_is_as_wanted(colour: Colour) -> None:
    assert plan(a_fleet(colour=colour), 6) == ()


@pytest.mark.parametrize(
    ("there", "count", "then"),
    [
        pytest.param([(3310,), (3310, 3311)], 4, [(3310, 3311), (3310, 3311)], id="to the emptiest host"),
        pytest.param([(3310,), ()], 2, [(3310,), (3310,)], id="to a host without any, by the others' ports"),
        pytest.param([(), ()], 1, [(3310,), ()], id="to a fleet that has none"),
        pytest.param([(3310, 3312), (3310, 3311)], 5, [(3310, 3312, 3311), (3310, 3311)], id="into a gap"),
        pytest.param([(3310, 3311), (3310,)], 2, [(3310,), (3310,)], id="from the fullest host"),
        pytest.param([(3310,), (3310,)], 1, [(3310,), ()], id="from the last host"),
        pytest.param([(3310, 3311, 3312)], 1, [(3310,)], id="the last ports first"),
    ],
)
@for_each_colour
def test_instances_are_spread(
    there: list[tuple[int, ...]], count: int, then: list[tuple[int, ...]], colour: Colour
) -> None:
    fleet = a_fleet(*there, colour=colour)
    if not any(there):  # somebody must say what it should run
        fleet = replace(fleet, instances=ready([Instance("elsewhere", 1)]))
    assert ports(performed(fleet, plan(fleet, count))) == then


def test_a_port_whose_green_twin_is_taken_is_no_free_port() -> None:
    crowded = a_fleet(tuple(range(3310, 3410)))
    (replaced, *_) = plan(crowded, 101)
    assert replaced == Replace(VERSION, (Instance("app-1", 3510),))


def test_green_instances_come_and_go_on_green_ports() -> None:
    fleet = a_fleet(colour=Colour.GREEN)
    assert plan(fleet, 7)[0] == Replace(VERSION, (Instance("app-1", 3412, Colour.GREEN),))
    assert plan(fleet, 5)[-1] == Stop((Instance("app-3", 3411, Colour.GREEN),))


@pytest.mark.parametrize("state", [State.STOPPED, State.UNREADY, State.DRAINING])
def test_what_does_no_work_goes_first(state: State) -> None:
    bad = Instance("app-1", 3310)
    assert plan(without(a_fleet(), state, bad), 5)[-1] == Stop((bad,))


def test_a_host_that_is_away_gets_nothing_and_is_not_asked_to_stop_anything() -> None:
    lost = Instance("app-1", 3310), Instance("app-1", 3311)
    fleet = without(a_fleet(), State.UNREACHABLE, *lost)
    assert plan(fleet, 7)[0] == Replace(VERSION, (Instance("app-2", 3312),))
    assert [type(step) for step in plan(fleet, 5)] == [RecordPorts, Balance]
    assert ports(performed(fleet, plan(fleet, 4))) == [(), (3310, 3311), (3310, 3311)]


def test_what_the_idle_colour_has_there_goes_too() -> None:
    fleet = a_fleet()
    fleet = replace(fleet, idle=ready(o.what for o in fleet.idle))
    gone = Instance("app-3", 3311), Instance("app-3", 3411, Colour.GREEN)
    assert plan(fleet, 5)[-1] == Stop(gone)


def test_what_runs_without_being_in_the_inventory_is_stopped() -> None:
    fleet = replace(a_fleet(), strays=ready([Instance("app-2", 3399)]))
    assert plan(fleet, 6) == (Stop((Instance("app-2", 3399),)),)


def test_a_load_balancer_that_was_not_told_is_told() -> None:
    fleet = a_fleet()
    first, second = fleet.load_balancers
    stale = replace(fleet, load_balancers=(first, replace(second, peers=second.peers[1:])))
    assert plan(stale, 6) == (Balance(LBS),)


@given(
    there=st.lists(st.integers(0, 4), min_size=1, max_size=4).filter(any),
    count=st.integers(1, 12),
    colour=st.sampled_from(Colour),
    data=st.data(),
)
def test_after_an_interruption_the_plan_is_the_rest(
    there: list[int], count: int, colour: Colour, data: st.DataObject
) -> None:
    """Also where the operator thinks again, and wants another count. In between every instance that is listed runs."""
    fleet = a_fleet(*(tuple(range(3310, 3310 + n)) for n in there), colour=colour)
    steps = plan(fleet, count)
    fleet = performed(fleet, steps[: data.draw(st.integers(0, len(steps)))])
    listed = {peer.address for peer in fleet.load_balancers[0].peers if peer.colour is colour}
    address = {host.name: host.address for host in fleet.hosts}
    assert listed <= {f"{address[host]}:{port}" for host, port in running(fleet)}
    other = data.draw(st.sampled_from([count, sum(there)]))
    ended = performed(fleet, plan(fleet, other))
    assert len(ended.instances) == other
    assert all(o.state is State.READY for o in ended.instances)
    assert (ended.strays, plan(ended, other)) == ((), ())


@pytest.mark.parametrize(
    ("fleet", "count", "why"),
    [
        pytest.param(a_fleet(), 0, "at least one web instance", id="none"),
        pytest.param(replace(a_fleet(), instances=()), 7, "no instance is ready", id="nothing runs"),
        pytest.param(
            replace(a_fleet(), load_balancers=(LoadBalancer("lb-1", 25),)), 7, "first end the canary", id="a canary"
        ),
        pytest.param(
            replace(a_fleet(), load_balancers=(LoadBalancer("lb-1", detail="gone"),)), 7, "bring it back", id="lb away"
        ),
        pytest.param(
            replace(a_fleet(), instances=(*a_fleet().instances, Observed(Instance("app-9", 1), State.READY, "0.9.0"))),
            7,
            "0.9.0 and 1.0.0 run side by side; end that update first",
            id="an update",
        ),
    ],
)
def test_is_refused_with_what_to_do(fleet: Fleet, count: int, why: str) -> None:
    with pytest.raises(PlanRefused, match=why):
        plan(fleet, count)

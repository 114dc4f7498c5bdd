"""Blue-green: a release starts beside the one that serves, and traffic is switched to it, and back if need be."""

from collections.abc import Sequence
from dataclasses import dataclass

from fleet.errors import PlanRefused
from fleet.model import (
    Check,
    Colour,
    Fleet,
    Instance,
    Keep,
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


@dataclass(frozen=True)
class Policy:
    """Seconds: how long the new colour is watched after the switch, how long the old one stays ready after that."""

    soak_seconds: float = 30.0
    ready_seconds: int = 600


def plan(fleet: Fleet, version: str, policy: Policy) -> tuple[Step, ...]:
    """Start `version` on the idle colour, ask it through the load balancers, switch, watch, switch the dispatchers.

    `()` when the fleet runs it already. Made again after an interruption, it is the rest. Raises PlanRefused before any
    host is touched.
    """
    colour = serving(fleet)
    instances = all(o.is_ready_on(version) for o in fleet.instances)
    if instances and all(o.is_ready_on(version) for o in fleet.dispatchers):
        record = () if fleet.version == version else (Record(version),)
        return *record, *_retire(_running(tuple(o for o in fleet.idle if not o.retires)), policy)
    if instances:  # interrupted after the switch
        soak = Soak(version, _names(fleet.instances), policy.soak_seconds)
        return soak, *settle(fleet, version, _running(fleet.idle), policy)
    return (
        *start(fleet, version),
        Shift(_share(colour.other), _load_balancers(fleet)),
        Soak(version, _names(fleet.idle), policy.soak_seconds),
        *settle(fleet, version, _names(fleet.instances), policy),
    )


def start(fleet: Fleet, version: str) -> tuple[Step, ...]:
    """The idle colour runs `version` and answers through the load balancers; nobody is sent there yet."""
    hosts = tuple(sorted({o.what.host for o in fleet.idle} | {o.what.host for o in fleet.dispatchers}))
    behind = tuple(o.what for o in fleet.idle if not o.is_ready_on(version))
    return (
        Check(version, hosts),
        Stage(version, hosts),
        Migrate(version, hosts[0]),
        Keep(_names(fleet.idle)),
        *((Replace(version, behind),) if behind else ()),
        Smoke(version, _names(fleet.idle)),
    )


def settle(fleet: Fleet, version: str, old: tuple[Instance, ...], policy: Policy) -> tuple[Step, ...]:
    """All traffic is on `version`: the rest follows, and `old` is let go in its time."""
    return (
        SwitchDispatchers(version, _dispatching(fleet)),
        Record(version),
        *_retire(old, policy),
    )


def back(fleet: Fleet, policy: Policy) -> tuple[Step, ...]:
    """Switch back to the idle colour, which still runs; PlanRefused where it does not, and it would be a deployment."""
    colour, version = serving(fleet), previous(fleet)
    if version is None:
        stopped = ", ".join(f"{o.what} {o.state.value}" for o in fleet.idle)
        raise PlanRefused(f"{colour.other} is not ready to take traffic back ({stopped or 'it has no instances'})")
    return (
        Keep(_names(fleet.idle)),
        Smoke(version, _names(fleet.idle)),  # their hosts may have stopped them since they were looked at
        Shift(_share(colour.other), _load_balancers(fleet)),
        *settle(fleet, version, _names(fleet.instances), policy),
    )


def undo(fleet: Fleet, failed: Step, policy: Policy) -> tuple[Step, ...]:
    """After a failure: before the switch, what was started is stopped in its time; after it, traffic goes back."""
    if isinstance(failed, Soak | SwitchDispatchers):
        try:
            way_back = back(fleet, policy)
            return tuple(
                step for step in way_back if not isinstance(step, Smoke)
            )  # nothing is worse than what serves now
        except PlanRefused:  # the old colour cannot take all traffic back: then it is not stopped either
            return ()
    is_known = all(each.green is not None for each in fleet.load_balancers)  # who is away may send traffic there
    return _retire(_running(fleet.idle), policy) if is_known and not isinstance(failed, Check) else ()


def previous(fleet: Fleet) -> str | None:
    """The version of the idle colour, where all of it is ready to take traffic."""
    versions = {o.version if o.state is State.READY else None for o in fleet.idle}
    return versions.pop() if len(versions) == 1 else None


def serving(fleet: Fleet) -> Colour:
    """As `traffic_goes_to`; PlanRefused also where not every host could take part in a change of colours."""
    colour = traffic_goes_to(fleet)
    for host in fleet.unreachable_hosts():
        raise PlanRefused(f"{host} does not answer over SSH; bring it back, or take it out of the inventory")
    if not fleet.idle:
        raise PlanRefused("the inventory has no web instance; give the hosts of group app amebo_web_ports")
    return colour


def traffic_goes_to(fleet: Fleet) -> Colour:
    """The colour that has all traffic; PlanRefused where that cannot be said, with what to do."""
    for each in fleet.load_balancers:
        if each.green is None:
            raise PlanRefused(f"{each.name} cannot be asked what it sends where ({each.detail}); bring it back first")
    if not fleet.load_balancers:
        raise PlanRefused("the inventory has no load balancer; traffic between two colours is theirs to split")
    if len(fleet.shares) > 1:
        named = ", ".join(f"{each.name} {each.green:g} %" for each in fleet.load_balancers)
        raise PlanRefused(
            f"the load balancers send different shares to green ({named}); make them agree: ./ops.py shift 0 (or 100)"
        )
    if fleet.shares[0] not in (0, 100):
        raise PlanRefused(
            f"green has {fleet.shares[0]:g} % of the traffic: first end the canary, or ./ops.py shift 0 (or 100)"
        )
    return Colour.GREEN if fleet.shares[0] == 100 else Colour.BLUE


def _retire(old: tuple[Instance, ...], policy: Policy) -> tuple[Step, ...]:
    return (Retire(old, policy.ready_seconds),) if old else ()


def _share(colour: Colour) -> float:
    return 100 if colour is Colour.GREEN else 0


def _load_balancers(fleet: Fleet) -> tuple[str, ...]:
    return tuple(each.name for each in fleet.load_balancers)


def _dispatching(fleet: Fleet) -> tuple[str, ...]:
    return tuple(sorted({o.what.host for o in fleet.dispatchers}))


def _names(found: Sequence[Observed[Instance]]) -> tuple[Instance, ...]:
    return tuple(o.what for o in found)


def _running(found: tuple[Observed[Instance], ...]) -> tuple[Instance, ...]:
    return tuple(o.what for o in found if o.state is not State.STOPPED)

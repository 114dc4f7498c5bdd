"""Horizontal scaling: instances come to the hosts that have fewest, and go from those that have most."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from fleet.errors import PlanRefused
from fleet.model import (
    Balance,
    Colour,
    Fleet,
    Host,
    Instance,
    RecordPorts,
    Replace,
    Soak,
    State,
    Step,
    Stop,
)
from fleet.plan.blue_green import traffic_goes_to

FIRST_PORT = 3310  # of a host that is new in a fleet without any instance


def plan(fleet: Fleet, count: int, soak_seconds: float = 5.0) -> tuple[Step, ...]:
    """Bring the fleet to `count` web instances, all on the version that it runs; `()` when it has them and no other.

    What comes is ready before a load balancer hears of it; what goes is off every load balancer before it is stopped.
    Made again after an interruption, it is the rest. Raises PlanRefused before any host is touched.
    """
    colour, runs = traffic_goes_to(fleet), version(fleet)
    if count < 1:
        raise PlanRefused("a fleet has at least one web instance; to stop publishing: ./ops.py maintenance-page on")
    scaled = _scaled(fleet.hosts, {o.what: o.state for o in fleet.instances}, colour, count)
    had, has = _instances(fleet.hosts, colour), _instances(scaled, colour)
    comes, goes = tuple(sorted(has - had)), tuple(_goes(fleet, scaled))
    return (
        *((Replace(runs, comes),) if comes else ()),
        *((RecordPorts(scaled),) if has != had else ()),
        *((Balance(tuple(each.name for each in fleet.load_balancers)),) if _is_news(fleet, scaled) else ()),
        *((Soak(runs, comes, soak_seconds),) if comes else ()),
        *((Stop(goes),) if goes else ()),
    )


def version(fleet: Fleet) -> str:
    """What every instance that is ready runs, and one that comes will run."""
    versions = sorted({o.version for o in fleet.instances if o.state is State.READY and o.version})
    if not versions:
        raise PlanRefused("no instance is ready, so that nobody knows what a new one should run: ./ops.py explain")
    if len(versions) > 1:
        raise PlanRefused(f"{' and '.join(versions)} run side by side; end that update first: ./ops.py explain")
    return versions[0]


def _scaled(hosts: Sequence[Host], states: Mapping[Instance, State], colour: Colour, count: int) -> tuple[Host, ...]:
    """The hosts with their new ports: one instance more, or less, at a time."""
    scaled = {host.name: host for host in hosts}
    away = {each.host for each, state in states.items() if state is State.UNREACHABLE}
    total = sum(len(host.web_ports) for host in hosts)
    for _ in range(count - total):
        host = min((h for h in scaled.values() if h.name not in away), key=lambda h: len(h.web_ports), default=None)
        if host is None:
            raise PlanRefused("no host of group app answers over SSH; bring one back")
        scaled[host.name] = replace(host, web_ports=(*host.web_ports, _free_port(host, hosts)))
    for _ in range(total - count):
        goes = max(_instances(tuple(scaled.values()), colour), key=lambda each: _goes_before(each, states, scaled))
        host = scaled[goes.host]
        blue = goes.port - (host.green_offset if colour is Colour.GREEN else 0)
        scaled[host.name] = replace(host, web_ports=tuple(port for port in host.web_ports if port != blue))
    return tuple(scaled.values())


def _goes_before(each: Instance, states: Mapping[Instance, State], hosts: Mapping[str, Host]) -> tuple[object, ...]:
    """What does no work goes first, then what came last to the host that has most."""
    is_ready = states.get(each) is State.READY
    return not is_ready, len(hosts[each.host].web_ports), list(hosts).index(each.host), each.port


def _free_port(host: Host, hosts: Sequence[Host]) -> int:
    """The first one that neither colour has, from the fleet's lowest on: what went comes back to where it was."""
    port = min((port for each in hosts for port in each.web_ports), default=FIRST_PORT)
    taken = {*host.web_ports, *host.green_ports}
    while port in taken or port + host.green_offset in taken:
        port += 1
    return port


def _goes(fleet: Fleet, scaled: Sequence[Host]) -> Iterator[Instance]:
    """Whatever runs where nothing should, whoever started it; what cannot be asked cannot be stopped, either."""
    stays = {(each.host, each.port) for colour in Colour for each in _instances(scaled, colour)}
    idle = [o for o in fleet.idle if o.state is not State.STOPPED]
    for found in (*fleet.instances, *idle, *fleet.strays):
        if (found.what.host, found.what.port) not in stays and found.state is not State.UNREACHABLE:
            yield found.what


def _is_news(fleet: Fleet, scaled: Sequence[Host]) -> bool:
    """To any load balancer."""
    addresses = {f"{host.address}:{port}" for host in scaled for colour in Colour for port in host.ports(colour)}
    return any({peer.address for peer in each.peers} != addresses for each in fleet.load_balancers)


def _instances(hosts: Sequence[Host], colour: Colour) -> set[Instance]:
    return {Instance(host.name, port, colour) for host in hosts for port in host.ports(colour)}

"""Break a host for real, and mend it. What is broken is never written down: it is seen on the machine."""

from collections.abc import Callable
from typing import assert_never

from fleet.errors import LabError
from fleet.lab import cgroup, container, disk, network, observe, preflight, slow, ssh, state
from fleet.lab.locks import locked
from fleet.lab.model import Fault, Host, Lab, machine_name
from fleet.lab.places import Places

Say = Callable[[str], None]


def break_(host: str, fault: Fault, *, name: str = "lab", say: Say = lambda _: None) -> None:
    """Break the host; raises LabError if it is broken in that way already, or dead."""
    preflight.check()
    places = Places(name)
    with locked(name, say):
        lab = state.load(places)
        broken = lab.host(host)
        present = observe.faults(lab, broken, places)
        if fault in present or Fault.KILL in present:
            raise LabError(
                f"{host} has these faults already: {', '.join(present)}; "
                f"mend it first: ./ops.py lab mend {host} --name {name}"
            )
        _break(lab, broken, fault, places)
    say(f"{host}: {fault.value}")


def mend(host: str, *, name: str = "lab", say: Say = lambda _: None) -> tuple[Fault, ...]:
    """Undo all the host's faults and return them once it answers; a dead one boots from its disk as it was left."""
    preflight.check()
    places = Places(name)
    with locked(name, say):
        lab = state.load(places)
        broken = lab.host(host)
        present = observe.faults(lab, broken, places)
        for fault in reversed(present):
            _mend(lab, broken, fault, places)
        if present:
            ssh.wait_until_up(lab, broken, places)
    say(f"{host}: mended {', '.join(present)}" if present else f"{host} has no fault")
    return present


def _break(lab: Lab, host: Host, fault: Fault, places: Places) -> None:
    match fault:
        case Fault.KILL:
            container.pull_the_plug(lab, host)
        case Fault.FREEZE:
            cgroup.freeze(machine_name(lab.name, host.name))
        case Fault.PARTITION:
            network.set_link(lab, host, "down")
        case Fault.SLOW:
            slow.make_slow(lab, host)
        case Fault.DISK_FULL:
            disk.fill(places.host(host.name))
        case _:
            assert_never(fault)


def _mend(lab: Lab, host: Host, fault: Fault, places: Places) -> None:
    match fault:
        case Fault.KILL:
            container.ensure_running(lab, host, places)
        case Fault.FREEZE:
            cgroup.thaw(machine_name(lab.name, host.name))
        case Fault.PARTITION:
            network.set_link(lab, host, "up")
        case Fault.SLOW:
            slow.make_fast(lab, host)
        case Fault.DISK_FULL:
            places.host(host.name).filler.unlink()
        case _:
            assert_never(fault)

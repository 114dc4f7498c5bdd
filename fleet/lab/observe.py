"""Look at a lab: what each host is, asked of the machine itself. Reads only."""

from dataclasses import dataclass

from fleet.lab import cgroup, container, network, slow, state
from fleet.lab.model import Fault, Host, Lab, machine_name
from fleet.lab.places import Places

_STATES = {
    Fault.KILL: "dead",
    Fault.FREEZE: "frozen",
    Fault.PARTITION: "partitioned",
    Fault.SLOW: "slow",
    Fault.DISK_FULL: "disk full",
}


@dataclass(frozen=True)
class HostStatus:
    """A host as it is; `state` names its worst fault, or says running."""

    host: Host
    address: str
    faults: tuple[Fault, ...]

    @property
    def state(self) -> str:
        return _STATES[self.faults[0]] if self.faults else "running"


@dataclass(frozen=True)
class LabStatus:
    """A lab with what its hosts are at this moment."""

    lab: Lab
    hosts: tuple[HostStatus, ...]


def status(name: str = "lab") -> LabStatus:
    """Return what the lab is; raises LabError if there is none of this name."""
    places = Places(name)
    lab = state.load(places)
    return LabStatus(lab, tuple(HostStatus(host, lab.address(host), faults(lab, host, places)) for host in lab.hosts))


def faults(lab: Lab, host: Host, places: Places) -> tuple[Fault, ...]:
    """Return the host's faults, the worst first; a dead host's cable and clockwork say nothing more."""
    full = (Fault.DISK_FULL,) if places.host(host.name).filler.exists() else ()
    if not container.is_running(lab, host):
        return (Fault.KILL, *full)
    present = {
        Fault.FREEZE: cgroup.is_frozen(machine_name(lab.name, host.name)),
        Fault.PARTITION: not network.is_link_up(lab, host),
        Fault.SLOW: slow.is_slow(lab, host),
    }
    return (*(fault for fault, is_present in present.items() if is_present), *full)

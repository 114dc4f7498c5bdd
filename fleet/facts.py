"""What is known of a fleet when it is to be explained, and what is found in it: facts and findings, as values."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property

from fleet.effects.lease import Holder
from fleet.history import Change
from fleet.model import Colour, Dispatcher, Fleet, Instance, Observed

Process = Observed[Instance] | Observed[Dispatcher]


class Severity(StrEnum):
    """How much it matters, the worst first."""

    WRONG = "wrong"  # something does not do its work
    UNSETTLED = "unsettled"  # all that has to works, but it is under way, or was left that way
    NOTE = "note"  # as somebody meant it


@dataclass(frozen=True)
class Finding:
    """Sentences: what, why, what to do next. `about`: hosts and processes that it concerns; none: the whole fleet.

    A command ends its line in `next`, so that it can be copied.
    """

    severity: Severity
    about: tuple[str, ...]
    what: str
    why: str = ""
    next: str = ""


@dataclass(frozen=True)
class Guarded:
    """An instance as a load balancer's guard sees it: closed, half-open or open, and why."""

    state: str
    why: str = ""
    ejections: int = 0


@dataclass(frozen=True)
class Guard:
    """A load balancer's guard: `instances` by address. `error` is its own, or why it cannot be asked."""

    instances: Mapping[str, Guarded] = field(default_factory=dict)
    panic: bool = False
    error: str = ""


@dataclass(frozen=True)
class Facts:
    """All that an explanation is made from. A load balancer without a guard is not in `guards`.

    `lock_unknown` says why it could not be told who has the lock, `journal` what is wrong with the journal's copies.
    """

    fleet: Fleet
    guards: Mapping[str, Guard] = field(default_factory=dict)
    holder: Holder | None = None
    lock_unknown: str = ""
    last: Change | None = None
    journal: tuple[str, ...] = ()
    databases: tuple[str, ...] = ()

    def instance_at(self, address: str) -> Instance | None:
        """Whose address a load balancer means."""
        return self.addresses.get(address)

    def because(self, balancer: str, address: str) -> str:
        """A guard's own word for what it does with an instance, if it has one."""
        guarded = self.guards.get(balancer, Guard()).instances.get(address)
        return guarded.why if guarded else ""

    @cached_property
    def addresses(self) -> dict[str, Instance]:
        """Every instance of the inventory, by the address that load balancers know it by."""
        return {
            f"{host.address}:{port}": Instance(host.name, port, colour)
            for host in self.fleet.hosts
            for colour in Colour
            for port in host.ports(colour)
        }

    @property
    def size(self) -> int:
        """How many web instances the inventory has, of either colour."""
        return sum(len(host.web_ports) for host in self.fleet.hosts)

    @property
    def is_split(self) -> bool:
        """Both colours have traffic somewhere."""
        return len(self.fleet.shares) > 1 or any(share not in (0, 100) for share in self.fleet.shares)

    @property
    def processes(self) -> tuple[Process, ...]:
        """Those that have work to do."""
        return (*self.fleet.instances, *self.fleet.dispatchers)

    @property
    def names(self) -> tuple[str, ...]:
        """Whatever can be explained by its name."""
        processes: tuple[Process, ...] = (*self.processes, *self.fleet.idle, *self.fleet.strays)
        hosts = (*(host.name for host in self.fleet.hosts), *(each.name for each in self.fleet.load_balancers))
        return (*hosts, *self.databases, *(str(o.what) for o in processes))

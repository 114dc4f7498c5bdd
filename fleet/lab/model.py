"""What a lab is: its hosts, their groups and addresses, all of it decided by a few numbers."""

import re
from dataclasses import dataclass, field
from enum import StrEnum

from fleet.errors import LabError

PREFIX = "amebo-lab"
MIRROR_PORT = 3177  # not 3142, where a developer's own apt-cacher-ng would sit on every address
_MOST_HOSTS = 50
_MOST_BALANCERS = 8


@dataclass(frozen=True)
class Limits:
    """What each host may use of this machine."""

    cpus: float = 1.0
    memory_mb: int = 1024


class Fault(StrEnum):
    """What can be wrong with a host, the worst first."""

    KILL = "kill"
    FREEZE = "freeze"
    PARTITION = "partition"
    SLOW = "slow"
    DISK_FULL = "disk-full"


@dataclass(frozen=True)
class Host:
    """A host; `number` is the last part of its address and never changes while the lab grows."""

    name: str
    number: int
    groups: tuple[str, ...]


@dataclass(frozen=True)
class Lab:
    """A lab as it should be; `network` is the X of its own 10.77.X.0/24."""

    name: str
    network: int
    debian: str
    size: int
    limits: Limits = field(default_factory=Limits)
    balancers: int = 1

    def __str__(self) -> str:
        """Say in a few words what it is made of."""
        hosts = f"{self.size} host{'s' if self.size > 1 else ''} of Debian {self.debian}"
        return f"lab {self.name}: {hosts}, {self.limits.cpus:g} CPU and {self.limits.memory_mb} MB each"

    @property
    def hosts(self) -> tuple[Host, ...]:
        return layout(self.size, self.balancers)

    def host(self, name: str) -> Host:
        """Return the host called `name`; raises LabError that lists those there are."""
        for host in self.hosts:
            if host.name == name:
                return host
        names = ", ".join(host.name for host in self.hosts)
        raise LabError(f"lab {self.name} has no host {name}; it has {names}")

    def address(self, host: Host) -> str:
        return f"10.77.{self.network}.{host.number}"

    @property
    def subnet(self) -> str:
        return f"10.77.{self.network}.0/24"

    @property
    def gateway(self) -> str:
        """The machine's own address in the lab's network, where the package mirror listens."""
        return f"10.77.{self.network}.1"

    @property
    def shared_address(self) -> str | None:
        """The address that several load balancers share; None where there is one."""
        return f"10.77.{self.network}.10" if self.balancers > 1 else None

    @property
    def url(self) -> str:
        """Where the service answers once it is deployed."""
        balancer = next(host for host in self.hosts if "loadbalancers" in host.groups)
        return f"http://{self.shared_address or self.address(balancer)}"


def layout(size: int, balancers: int = 1) -> tuple[Host, ...]:
    """Spread the three groups over `size` hosts, of which some balance; from three on, growing only adds app hosts."""
    if not 1 <= size <= _MOST_HOSTS:
        raise LabError(f"a lab has 1 to {_MOST_HOSTS} hosts, not {size}")
    if not 1 <= balancers <= _MOST_BALANCERS:
        raise LabError(f"a lab has 1 to {_MOST_BALANCERS} load balancers, not {balancers}")
    if balancers > 1 and size < balancers + 2:
        raise LabError(f"{balancers} load balancers, a database and an app host are {balancers + 2} hosts, not {size}")
    if size == 1:
        return (Host("host-1", 11, ("loadbalancers", "app", "database")),)
    if size == 2:
        return (Host("lb-1", 11, ("loadbalancers", "database")), _app(1))
    return (
        Host("lb-1", 11, ("loadbalancers",)),
        Host("db-1", 12, ("database",)),
        *(Host(f"lb-{number}", 11 + number, ("loadbalancers",)) for number in range(2, balancers + 1)),
        *(_app(number) for number in range(1, size - balancers)),
    )


def _app(number: int) -> Host:
    return Host(f"app-{number}", 20 + number, ("app",))


def machine_name(lab: str, host: str) -> str:
    """Name what a host owns on this machine: its control groups, its network namespace, its container."""
    return f"{PREFIX}.{lab}.{host}"


def check_name(name: str) -> None:
    """Refuse a name that could not be part of a path, of a control group and of a host's name alike."""
    if not re.fullmatch(r"[a-z][a-z0-9-]{0,29}", name) or name == "example":
        raise LabError(f"{name!r} cannot name a lab: use up to 30 of a-z, 0-9 and -, a letter first, and not 'example'")

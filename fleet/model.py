"""The fleet as values: hosts, instances, what was observed of them, and the steps of a plan."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import Enum, StrEnum
from typing import Generic, TypeVar


class Colour(StrEnum):
    """One of the two sets of web instances of which the load balancers choose; a host has as many of either."""

    BLUE = "blue"
    GREEN = "green"

    @property
    def other(self) -> "Colour":
        return Colour.GREEN if self is Colour.BLUE else Colour.BLUE


@dataclass(frozen=True)
class Host:
    """A server that runs the service; how to connect to it stays in the inventory."""

    name: str
    address: str
    web_ports: tuple[int, ...] = ()
    dispatchers: int = 0
    green_offset: int = 100

    @property
    def green_ports(self) -> tuple[int, ...]:
        """Each web port's twin of the other colour."""
        return tuple(port + self.green_offset for port in self.web_ports)

    def ports(self, colour: Colour) -> tuple[int, ...]:
        return self.web_ports if colour is Colour.BLUE else self.green_ports


@dataclass(frozen=True, order=True)
class Instance:
    """One web instance: the unit of every rollout."""

    host: str
    port: int
    colour: Colour = Colour.BLUE

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


@dataclass(frozen=True, order=True)
class Dispatcher:
    """One delivery process."""

    host: str
    number: int

    def __str__(self) -> str:
        return f"{self.host}/dispatcher-{self.number}"


class State(Enum):
    """What an instance or dispatcher is found to be, most healthy first."""

    READY = "ready"
    DRAINING = "draining"
    UNREADY = "unready"
    STOPPED = "stopped"
    UNREACHABLE = "unreachable"


@dataclass(frozen=True)
class Sample:
    """Cumulative counts of a process at one moment; `buckets`: upper bound in seconds → requests within it."""

    at: float
    requests: float
    errors: float
    buckets: Mapping[float, float]


@dataclass(frozen=True)
class Rates:
    """What happened between two samples: per second, p95 in milliseconds (None without requests)."""

    requests_per_second: float
    errors_per_second: float
    p95_ms: float | None


@dataclass(frozen=True)
class Work:
    """What a process had done `at` a moment of its host's clock, since it started.

    `cpu_seconds` of the `cpus` that it may use at once; `attempts` to deliver, and how many of them were `failures`.
    """

    at: float
    cpu_seconds: float
    cpus: float
    attempts: int = 0
    failures: int = 0


Process = TypeVar("Process", Instance, Dispatcher)


@dataclass(frozen=True)
class Observed(Generic[Process]):
    """One process as it was found; `release` is what it was started with last, `retires` that its host will stop it.

    `work` is None where nothing runs, and in the middle of a handover. `restarts`: why its host started it again, for
    each time within the last hour, in systemd's words: exit-code, signal, oom-kill, timeout, watchdog.
    """

    what: Process
    state: State
    version: str | None = None
    since: datetime | None = None
    detail: str = ""
    rates: Rates | None = None
    release: str | None = None
    retires: bool = False
    work: Work | None = None
    restarts: tuple[str, ...] = ()

    def is_ready_on(self, version: str) -> bool:
        """Nothing to do for a rollout to `version`."""
        return self.state is State.READY and self.version == version


@dataclass(frozen=True)
class Peer:
    """An instance as a load balancer sees it: its weight in percent, who set that, and whether it failed too often."""

    address: str
    colour: Colour
    weight: int = 100
    by: str = ""
    active: int = 0
    tripped: bool = False


@dataclass(frozen=True)
class LoadBalancer:
    """What one sends where: `green` percent of the credentials to green, `since` then (epoch seconds).

    `holds`: whether it has the address that all share; None where they share none, or it cannot be asked.
    `wish` is what an operator wants of a canary that somebody runs; `detail` says why nothing is known of it.
    """

    name: str
    green: float | None = None
    since: float = 0.0
    wish: str = ""
    maintenance: str = "off"
    peers: tuple[Peer, ...] = ()
    detail: str = ""
    holds: bool | None = None


@dataclass(frozen=True)
class Fleet:
    """A snapshot; `version` is the one the inventory says the fleet should run, None when it says nothing.

    `instances` are those of the colours that have traffic, `idle` the others, `strays` run without being in the
    inventory, whose app hosts `hosts` are. `full`: hosts without room for a release, and the megabytes they have left.
    """

    instances: tuple[Observed[Instance], ...]
    dispatchers: tuple[Observed[Dispatcher], ...] = ()
    version: str | None = None
    idle: tuple[Observed[Instance], ...] = ()
    load_balancers: tuple[LoadBalancer, ...] = ()
    strays: tuple[Observed[Instance], ...] = ()
    hosts: tuple[Host, ...] = ()
    full: tuple[tuple[str, int], ...] = ()

    @property
    def shares(self) -> tuple[float, ...]:
        """The shares of green that load balancers have; one, where they agree."""
        return tuple(sorted({each.green for each in self.load_balancers if each.green is not None}))

    def unreachable_hosts(self) -> tuple[str, ...]:
        """Hosts with at least one process on them that could not be asked."""
        instances = {o.what.host for o in self.instances if o.state is State.UNREACHABLE}
        return tuple(sorted(instances | {o.what.host for o in self.dispatchers if o.state is State.UNREACHABLE}))


@dataclass(frozen=True)
class Check:
    """Ask each host whether a deployment could end well: room on its disk, its Python, its settings."""

    version: str
    hosts: tuple[str, ...]


@dataclass(frozen=True)
class Stage:
    """Unpack the release beside the others; nothing that runs is touched."""

    version: str
    hosts: tuple[str, ...]


@dataclass(frozen=True)
class Migrate:
    """Expand the database's schema to what the release needs, from `host`; older releases go on running on it."""

    version: str
    host: str


@dataclass(frozen=True)
class Replace:
    """Hand these instances over to the release, all at the same time."""

    version: str
    instances: tuple[Instance, ...]


@dataclass(frozen=True)
class Soak:
    """Watch what was replaced so far; it has to stay ready on the release for all these seconds."""

    version: str
    instances: tuple[Instance, ...]
    seconds: float


@dataclass(frozen=True)
class ReplaceDispatchers:
    """Restart one host's dispatchers on the release; what they hold goes back or is finished first."""

    version: str
    host: str


@dataclass(frozen=True)
class Smoke:
    """Ask every instance of a colour through every load balancer, by a header, before anybody else is sent there."""

    version: str
    instances: tuple[Instance, ...]


@dataclass(frozen=True)
class Shift:
    """Send this percentage of the credentials to green, on all load balancers together."""

    green: float
    load_balancers: tuple[str, ...]


@dataclass(frozen=True)
class SwitchDispatchers:
    """Stop every dispatcher, then start them all on the release: two releases never deliver at the same time."""

    version: str
    hosts: tuple[str, ...]


@dataclass(frozen=True)
class Keep:
    """Take back that these instances are to be stopped."""

    instances: tuple[Instance, ...]


@dataclass(frozen=True)
class Retire:
    """Let these instances run for some seconds more, ready to take traffic back; the hosts stop them then."""

    instances: tuple[Instance, ...]
    seconds: int


@dataclass(frozen=True)
class Record:
    """Write the version into the inventory: from now on the fleet should run it."""

    version: str


@dataclass(frozen=True)
class RecordPorts:
    """Write the web ports of these hosts into the inventory."""

    hosts: tuple[Host, ...]


@dataclass(frozen=True)
class Balance:
    """Tell the load balancers which instances the inventory has; no connection ends by it."""

    load_balancers: tuple[str, ...]


@dataclass(frozen=True)
class Stop:
    """Stop these instances for good, once they have answered what they accepted."""

    instances: tuple[Instance, ...]


Step = (
    Check
    | Stage
    | Migrate
    | Replace
    | Soak
    | ReplaceDispatchers
    | Smoke
    | Shift
    | SwitchDispatchers
    | Keep
    | Retire
    | Record
    | RecordPorts
    | Balance
    | Stop
)


@dataclass(frozen=True)
class Timed:
    """A step that was performed, and the seconds it took."""

    step: Step
    seconds: float


@dataclass(frozen=True)
class Failed:
    """An instance that did not make it: why, and the last lines of its journal."""

    instance: Instance
    why: str
    journal: str = ""


@dataclass(frozen=True)
class Report:
    """How a rollout ended, by instance as observed afterwards; `error` is empty when all of it was done.

    `undone` is what took the change back after a failure.
    """

    version: str
    done: tuple[Instance, ...]
    failed: tuple[Failed, ...]
    untouched: tuple[Instance, ...]
    taken_out: tuple[Instance, ...] = ()
    steps: tuple[Timed, ...] = ()
    undone: tuple[Step, ...] = ()
    error: str = ""
    seconds: float = 0.0

"""What the guard speaks of: instances as nginx has them, what was seen of them, what is known, what to change."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum

DATABASE = "database unreachable"  # in an instance's own words: the one fault that they can only share
FULL = 100


class State(IntEnum):
    """Whether an instance gets requests; the numbers are those of the metric."""

    CLOSED = 0
    HALF_OPEN = 1
    OPEN = 2

    @property
    def label(self) -> str:
        """As people write it."""
        return self.name.lower().replace("_", "-")


@dataclass(frozen=True)
class Policy:
    """How soon, how sure, how slowly. Times are seconds; shares are of 1, but `weights` are percents, as nginx'."""

    interval: float = 1.0  # between two looks
    probe_timeout: float = 0.9
    suspect_interval: float = 0.5  # the same two while a probe has failed and it is not sure yet,
    suspect_timeout: float = 0.5  # so that three failures fit into three seconds also when an instance is silent
    down: int = 3  # failed probes in a row that make an instance bad
    up: int = 2  # good ones in a row that make it good

    windows: tuple[float, ...] = (
        2.0,
        30.0,
    )  # how far back the log counts: the first is quick, the last sees few requests
    tries: int = 5  # fewer say nothing
    trial_tries: int = 2  # … where an instance gets few: on the way back, and when nginx itself avoids it
    failed_share: float = 0.5
    others_share: float = 0.5  # what the others may fail of that, or the fault is shared
    slow_factor: float = 0.0  # times the others' p95 that is too slow; 0: slowness is least_conn's business
    slow_floor: float = 1.0  # seconds that are never too slow
    slow_tries: int = 20

    weights: tuple[int, ...] = (5, 25, 50, 100)  # on the way back
    weight_seconds: float = 5.0  # … each for so long
    wait: float = 10.0  # out of service for at least so long, twice as long each time
    longest_wait: float = 300.0  # … but no longer; after so long in service the count starts anew
    kept: float = 0.5  # of each colour that the guard leaves in service, whatever happens


@dataclass(frozen=True)
class Placed:
    """An instance as nginx has it: by whom its weight is (nobody, guard, operator), whether nginx itself avoids it."""

    colour: str
    weight: float = FULL
    by: str = ""
    tripped: bool = False


@dataclass(frozen=True)
class Traffic:
    """Who gets which share: `green` percent go to the green instances, the rest to the blue ones.

    `revision` counts the changes, anybody's.
    """

    green: float
    instances: Mapping[str, Placed]
    revision: int = 0

    def serves(self, colour: str) -> bool:
        """Whether any traffic goes to a colour; the instances of one without may be stopped on purpose."""
        return self.green > 0 if colour == "green" else self.green < FULL


@dataclass(frozen=True)
class Probe:
    """What an instance answered when it was asked; `why` it is not ready, empty when it is."""

    why: str = ""


@dataclass(frozen=True)
class Try:
    """One attempt of nginx to have a request answered by an instance; the request began at `began`, in Unix time."""

    address: str
    failed: bool
    began: float
    seconds: float | None = None


@dataclass(frozen=True)
class Tally:
    """Tries of one instance, counted: how many failed, how many of them after the last success.

    `seconds` is a sample of how long they took.
    """

    tries: int = 0
    failed: int = 0
    row: int = 0
    seconds: tuple[float, ...] = ()

    @property
    def share(self) -> float:
        """How many of the tries failed, of 1."""
        return self.failed / self.tries if self.tries else 0.0

    def __add__(self, other: "Tally") -> "Tally":
        """Both together; the other comes after."""
        row = other.row + (self.row if other.failed == other.tries else 0)
        return Tally(self.tries + other.tries, self.failed + other.failed, row, self.seconds + other.seconds)


@dataclass(frozen=True)
class Turn:
    """What the access log told since the turn before, by address."""

    at: float
    tallies: Mapping[str, Tally]


@dataclass(frozen=True)
class Observed:
    """All that one decision is made from, beside what is known; `turns` reach back as far as the longest window."""

    traffic: Traffic
    probes: Mapping[str, Probe]
    turns: tuple[Turn, ...] = ()


@dataclass(frozen=True)
class Watch:
    """What is known of one instance: its state since when and why, probes in a row, how often it went in a row.

    `why` of a closed one says what it is kept in spite of. `step` is its place among the policy's weights on the way
    back, `stepped` the time when it came there. `shared` is when it last failed together with most others,
    `forgiven` when it last failed and was not blamed for that.
    """

    state: State
    since: float
    why: str = ""
    failing: int = 0
    passing: int = 0
    ejections: int = 0
    step: int = 0
    stepped: float = 0.0
    shared: float = float("-inf")
    forgiven: float = float("-inf")

    @property
    def clean(self) -> float:
        """Since when its requests count: what led to its state does not count twice, what is forgiven not at all."""
        return max(self.since, self.forgiven)


@dataclass(frozen=True)
class Change:
    """Weights to be set, and in whose name; in nobody's when an instance is fully back."""

    weights: Mapping[str, int]
    by: str


@dataclass(frozen=True)
class Decision:
    """What to change, and what is known now. In a panic at least one bad instance is kept, for want of better ones."""

    changes: tuple[Change, ...]
    watches: Mapping[str, Watch] = field(default_factory=dict)
    panic: bool = False

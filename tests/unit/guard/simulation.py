"""A load balancer as the decision sees it: weights that it keeps, instances that answer or do not, time that passes."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from roles.guard.files.guard.decide import decide
from roles.guard.files.guard.model import (
    Decision,
    Observed,
    Placed,
    Policy,
    Probe,
    State,
    Tally,
    Traffic,
    Turn,
    Watch,
)

Log = Mapping[str, tuple[int, int]]  # tries, and how many of them failed, which are the last ones


@dataclass
class Simulation:
    """One turn after the other, each of which changes the weights as nginx would."""

    placed: dict[str, Placed]
    green: int = 0
    policy: Policy = field(default_factory=Policy)
    now: float = 1000.0
    known: Mapping[str, Watch] = field(default_factory=dict)
    turns: tuple[Turn, ...] = ()

    def turn(self, failing: Mapping[str, str] | None = None, log: Log | None = None, seconds: float = 1.0) -> Decision:
        """`failing` says why probes fail; every other instance is ready."""
        self.now += seconds
        tallies = {address: Tally(tries, failed, failed) for address, (tries, failed) in (log or {}).items()}
        self.turns = (*(turn for turn in self.turns if turn.at > self.now - 60), Turn(self.now, tallies))
        probes = {address: Probe((failing or {}).get(address, "")) for address in self.placed}
        observed = Observed(Traffic(self.green, dict(self.placed)), probes, self.turns)
        decision = decide(observed, self.known, self.policy, self.now)
        self.known = decision.watches
        for change in decision.changes:
            for address, weight in change.weights.items():
                self.set(address, weight, change.by)
        return decision

    def run(
        self, turns: int, failing: Mapping[str, str] | None = None, log: Log | None = None, seconds: float = 1.0
    ) -> Decision:
        """Several turns in which all goes on as it is."""
        for _ in range(turns):
            decision = self.turn(failing, log, seconds)
        return decision

    def set(self, address: str, weight: int, by: str) -> None:
        """As a PATCH does."""
        self.placed[address] = replace(self.placed[address], weight=weight, by=by)

    def trip(self, *addresses: str) -> None:
        """From now on nginx itself avoids these, and no others."""
        self.placed = {a: replace(placed, tripped=a in addresses) for a, placed in self.placed.items()}

    def restart(self) -> None:
        """Another process of the guard, which knows nothing."""
        self.known, self.turns = {}, ()

    def out(self, colour: str = "blue") -> list[str]:
        """Who gets no requests because the guard says so."""
        return [a for a, p in self.placed.items() if p.colour == colour and p.weight == 0 and p.by == "guard"]

    def state(self, address: str) -> State:
        """As the guard reports it."""
        return self.known[address].state


def a_fleet(blue: int = 4, green: int = 0, share: int = 0) -> Simulation:
    """`b1`, `b2`, … and `g1`, `g2`, …; `share` percent goes to the green ones."""
    placed = {f"b{number}": Placed("blue") for number in range(1, blue + 1)}
    placed |= {f"g{number}": Placed("green") for number in range(1, green + 1)}
    return Simulation(placed, share)

"""The decision as a state machine: instances fail and heal, operators, releases and restarts come in between."""

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test

from roles.guard.files.guard.model import DATABASE, Placed
from tests.unit.guard.simulation import Simulation, a_fleet

PLACES = st.integers(0, 100)
WEIGHTS = st.sampled_from([0, 5, 50, 100])


class GuardMachine(RuleBasedStateMachine):
    """After every turn: at least half of each serving colour is in service for all that the guard did.

    And what an operator set is as it was set, and who never had a fault was never touched.
    """

    fleet: Simulation

    @initialize(blue=st.integers(1, 7), green=st.integers(0, 7), share=st.sampled_from([0, 5, 50, 100]))
    def set_up(self, blue: int, green: int, share: int) -> None:
        self.fleet = a_fleet(blue, green, share if green else 0)
        self.failing: dict[str, str] = {}
        self.errors: set[str] = set()
        self.ever_bad: set[str] = set()
        self.joined = 0

    @rule(place=PLACES, why=st.sampled_from(["refused", "silent", DATABASE, "answers 500"]))
    def break_one(self, place: int, why: str) -> None:
        self.failing[self._one(place)] = why
        self.ever_bad.add(self._one(place))

    @rule(place=PLACES)
    def fail_its_requests(self, place: int) -> None:
        self.errors.add(self._one(place))
        self.ever_bad.add(self._one(place))

    @rule(place=PLACES)
    def heal_one(self, place: int) -> None:
        self.failing.pop(self._one(place), None)
        self.errors.discard(self._one(place))

    @rule(why=st.sampled_from([DATABASE, "silent"]))
    def break_all_for_a_while(self, why: str) -> None:
        """Ends before it was anybody's fault: nobody counts as bad for it."""
        for _ in range(10):
            self._turn({**dict.fromkeys(self.fleet.placed, why), **self.failing}, 1.0)

    @rule(place=PLACES, weight=WEIGHTS)
    def take_over(self, place: int, weight: int) -> None:
        self.fleet.set(self._one(place), weight, "operator")

    @rule(place=PLACES)
    def hand_back(self, place: int) -> None:
        if self.fleet.placed[self._one(place)].by == "operator":
            self.fleet.set(self._one(place), 100, "")

    @rule(share=st.sampled_from([0, 5, 50, 100]))
    def shift(self, share: int) -> None:
        self.fleet.green = share

    @rule(colour=st.sampled_from(["blue", "green"]))
    def join(self, colour: str) -> None:
        self.joined += 1
        self.fleet.placed[f"new{self.joined}"] = Placed(colour)

    @rule(place=PLACES)
    def leave(self, place: int) -> None:
        if len(self.fleet.placed) > 1:
            gone = self._one(place)
            del self.fleet.placed[gone]
            self.failing.pop(gone, None)
            self.errors.discard(gone)

    @rule(place=PLACES)
    def forget(self, place: int) -> None:
        """As where nginx lost what it was told."""
        if self.fleet.placed[self._one(place)].by == "guard":
            self.fleet.set(self._one(place), 100, "")

    @rule()
    def restart(self) -> None:
        self.fleet.restart()

    @rule(turns=st.integers(1, 20), seconds=st.sampled_from([0.5, 1.0, 7.0]))
    def time_passes(self, turns: int, seconds: float) -> None:
        for _ in range(turns):
            self._turn(self.failing, seconds)

    def _turn(self, failing: dict[str, str], seconds: float) -> None:
        before = dict(self.fleet.placed)
        log = {a: (20, 20 if a in self.errors else 1) for a, placed in before.items() if placed.weight}
        self.fleet.turn(failing, log, seconds)
        self._assert_half_serves()
        for address, placed in self.fleet.placed.items():
            if before[address].by == "operator":
                assert placed == before[address]
            if address not in self.ever_bad:
                assert placed.by != "guard"

    def _assert_half_serves(self) -> None:
        for colour in ("blue", "green"):
            share = self.fleet.green if colour == "green" else 100 - self.fleet.green
            members = [placed for placed in self.fleet.placed.values() if placed.colour == colour]
            taken = sum(placed.by == "operator" and placed.weight == 0 for placed in members)
            ours = sum(placed.by == "guard" for placed in members)  # also those on the way back
            assert share == 0 or ours <= max(0, len(members) // 2 - taken)

    def _one(self, place: int) -> str:
        return sorted(self.fleet.placed)[place % len(self.fleet.placed)]

    def teardown(self) -> None:
        """Once all is well, everything comes back."""
        if hasattr(self, "fleet"):
            self.fleet.run(100, log=dict.fromkeys(self.fleet.placed, (20, 1)), seconds=7.0)
            assert [address for address, placed in self.fleet.placed.items() if placed.by == "guard"] == []


def test_half_of_the_fleet_serves_whatever_happens() -> None:
    chosen = settings(
        max_examples=60,
        stateful_step_count=30,
        deadline=None,
        database=None,
        derandomize=True,  # the same in every run, so that a failure is somebody's change
        suppress_health_check=list(HealthCheck),
    )
    run_state_machine_as_test(GuardMachine, settings=chosen)

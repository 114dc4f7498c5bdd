"""Where a canary begins, where one that was interrupted goes on, and what others hear of it."""

from typing import cast

import pytest

from fleet.canary import _write_hold, is_to_start
from fleet.errors import FleetError
from fleet.interlock import Change
from fleet.model import Fleet, Instance, LoadBalancer, Observed, State
from fleet.plan.canary import Advance, Decision, Hold

BLUE = Instance("app-1", 3310)


def found(green: float, serving: str) -> Fleet:
    return Fleet((Observed(BLUE, State.READY, serving),), load_balancers=(LoadBalancer("lb-1", green),))


@pytest.mark.parametrize(
    ("fleet", "is_new"),
    [
        (found(0, "1.0.0"), True),
        (found(5, "1.0.0"), False),
        (found(0, "1.1.0"), False),
    ],
    ids=["nothing was begun", "traffic is split", "the release has everything"],
)
def test_starts_only_what_was_not_begun(fleet: Fleet, is_new: bool) -> None:
    assert is_to_start(fleet, "1.1.0") is is_new


class Lines(list[tuple[str, str]]):
    """As a change's journal."""

    def step(self, what: str, result: str = "begun") -> None:
        self.append((what, result))


def test_why_it_holds_is_written_once_for_each_reason() -> None:
    looks: list[Decision] = [
        Hold("12 s at 5 % to go", is_soaking=True),
        Hold("undecided at 5 %: too little data: 12 of 100"),
        Hold("undecided at 5 %: too little data: 99 of 100"),
        Hold("paused at 5 %"),
        Hold("paused at 5 %"),
        Advance(25),
        Hold("60 s at 25 % to go", is_soaking=True),
    ]
    lines, held = Lines(), ""
    for decision in looks:
        held = _write_hold(cast(Change, lines), decision, held)
    assert lines == [
        ("hold: undecided at 5 %: too little data: 12 of 100", "begun"),
        ("hold: undecided at 5 %: too little data: 12 of 100", "done"),
        ("hold: paused at 5 %", "begun"),
        ("hold: paused at 5 %", "done"),
    ]


def test_a_reason_that_no_load_balancer_takes_is_written_at_the_next_look() -> None:
    class Away(Lines):
        def step(self, what: str, result: str = "begun") -> None:
            raise FleetError(f"nobody took {what} {result}")

    assert _write_hold(cast(Change, Away()), Hold("no data: lb-1 is away"), "") == ""

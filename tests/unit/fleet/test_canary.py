"""Where a canary begins, and where one that was interrupted goes on."""

import pytest

from fleet.canary import is_to_start
from fleet.model import Fleet, Instance, LoadBalancer, Observed, State

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

"""A load balancer dies: its clients find the other one at the same address, and the fleet can still be changed."""

import time

import pytest

from fleet.demo.report import Sent
from tests.system.conftest import LAB, Stories
from tests.system.test_rolling_update import assert_nothing_lost
from tests.system.test_rollout_blue_green import until

pytestmark = pytest.mark.lab


def moved_at(sent: list[Sent], killed: float) -> float:
    """When the first answer came to a request that was due after the load balancer had died."""
    return min(each.due + each.seconds for each in sent if each.event and each.due > killed)


def test_when_one_dies_its_clients_go_to_the_other_and_an_update_goes_on(stories: Stories) -> None:
    victim, version = stories.load_balancer().name, stories.build()
    with stories.traffic(rate=30) as traffic:
        time.sleep(2)  # some requests before, on connections that are kept
        killed = time.monotonic()
        stories.ops("lab", "break", victim, "kill", "--name", LAB)
        try:
            until(lambda: any(each.event and each.due > killed for each in traffic.sent))
            moved = moved_at(traffic.sent, killed)
            output = stories.ops("rolling-update", version, "--yes", "--soak", "0", "--max-out", "3")
            explained = stories.ops("explain")
            refused = stories.ops("blue-green", version, "--yes", code=1)
        finally:
            stories.ops("lab", "mend", victim, "--name", LAB)
    broken = [each.error for each in traffic.sent if each.due > moved and each.event is None]
    assert len(broken) <= traffic.connections, broken  # each that the dead one held breaks once, when it is used again
    assert [error for error in broken if "reset by peer" not in error] == []
    assert [each.error for each in traffic.sent if each.due + each.seconds < killed and each.event is None] == []
    assert_nothing_lost(traffic)
    assert set(stories.versions()) == {version}
    assert f"{victim} cannot be asked" in explained
    assert victim in refused
    assert victim in output  # its copy of the journal misses lines
    assert stories.load_balancer().name != victim
    until(lambda: [each["holds"] for each in stories.everything()["load_balancers"]].count(False) == 1)

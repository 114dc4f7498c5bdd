"""An instance that fails at publishing loses its traffic, and gets it back when it is well."""

import pytest

from tests.system.conftest import Stories
from tests.system.test_rolling_update import assert_nothing_failed, assert_nothing_lost
from tests.system.test_rollout_blue_green import until

pytestmark = pytest.mark.lab


def test_a_black_hole_is_closed_and_opened_again(stories: Stories, treacherous_release: str) -> None:
    stories.ops("rolling-update", treacherous_release, "--yes", "--soak", "0", "--max-out", "2")
    mine = stories.inventory().hosts["app-1"]["ansible_host"]

    def weights() -> set[tuple[int, str]]:
        serving = [peer for peer in stories.load_balancer().peers if peer.address.startswith(f"{mine}:")]
        live = {f"{mine}:{i['port']}" for i in stories.status()}
        return {(peer.weight, peer.by) for peer in serving if peer.address in live}

    with stories.traffic(rate=60) as traffic:
        stories.sabotage("failing", "app-1")
        until(lambda: weights() == {(0, "guard")})
        stories.sabotage("failing")
        until(lambda: weights() == {(100, "")}, seconds=180)
    assert_nothing_failed(traffic)
    assert_nothing_lost(traffic)

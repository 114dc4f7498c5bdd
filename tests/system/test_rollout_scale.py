"""Instances come and go under publishers that never retry."""

import json

import pytest

from tests.system.conftest import Stories
from tests.system.test_faults_operator import die_at
from tests.system.test_rolling_update import assert_nothing_failed, assert_nothing_lost

pytestmark = pytest.mark.lab


def peers(stories: Stories) -> set[str]:
    """Whom the load balancer that publishers reach knows."""
    return {peer.address for peer in stories.load_balancer().peers}


def answered_by(stories: Stories, addresses: set[str]) -> int:
    """Requests of the load balancers' access logs that one of these instances answered."""
    lines = [
        stories.host(name).check_output("sudo cat /var/log/nginx/access.log").splitlines()
        for name in stories.hosts.group("loadbalancers")
    ]
    return sum(json.loads(line)["upstream"] in addresses for each in lines for line in each)


def test_one_more_and_one_less_fail_and_lose_nothing(stories: Stories) -> None:
    before, workers, version = peers(stories), stories.nginx_workers(), stories.inventory().version
    with stories.traffic() as traffic:
        stories.ops("scale", "7", "--yes", "--reason", "a busy day")
        assert stories.versions() == [version] * 7
        new = peers(stories) - before  # one of each colour, of which one serves
        stories.ops("scale", "6", "--yes", "--reason", "a quiet night")
    assert len(new) == 2
    assert answered_by(stories, new) > 0
    assert stories.versions() == [version] * 6
    assert peers(stories) == before
    assert_nothing_failed(traffic)
    assert_nothing_lost(traffic)
    assert len(traffic.received) == len(traffic.delivered())
    assert stories.nginx_workers() == workers
    assert "All is well" in stories.ops("explain")
    assert "Nothing to do" in stories.ops("scale", "6", "--yes")


@pytest.mark.thorough
def test_the_operator_dies_at_every_step_and_the_same_command_goes_on(stories: Stories) -> None:
    before = peers(stories)
    with stories.traffic() as traffic:
        for count, steps in (("7", ("replace", "record", "tell")), ("6", ("record", "tell", "stop"))):
            for step in steps:
                die_at(stories, step, "scale", count, "--yes")
                stories.ops("lock", "break", "--reason", "its operator is gone", "--yes")
            stories.ops("scale", count, "--yes")
            assert len(stories.versions()) == int(count)
    assert peers(stories) == before
    assert stories.everything()["strays"] == []
    assert_nothing_failed(traffic)
    assert_nothing_lost(traffic)

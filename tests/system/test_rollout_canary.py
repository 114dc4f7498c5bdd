"""A release for a growing share of the publishers; what is worse than the old one gets no traffic any more."""

import re
import subprocess
import sys

import pytest

from tests.system.conftest import ROOT, Stories
from tests.system.test_rolling_update import assert_nothing_failed, assert_nothing_lost
from tests.system.test_rollout_blue_green import until

pytestmark = pytest.mark.lab

QUICK = ("--yes", "--soak", "6", "--interval", "2", "--ready", "0")


def test_a_good_release_gets_everything_in_the_end(stories: Stories) -> None:
    version = stories.build()
    with stories.traffic(rate=80, publishers=24) as traffic:
        output = stories.ops("canary", version, "--steps", "25,100", *QUICK)
    assert "25 % passed" in output
    assert "100 % passed" in output
    assert re.search(r"saturation +0\.\d+ +0\.\d+ ", output), output
    assert re.search(r"deliveries: 0\.00% fail", output), output
    assert set(stories.versions()) == {version}
    assert_nothing_failed(traffic)
    assert_nothing_lost(traffic)


@pytest.mark.parametrize(
    ("sabotage", "metric"),
    [pytest.param("failing", "success rate", marks=pytest.mark.thorough), ("slow", "latency")],
)
def test_a_worse_release_is_given_up_and_nobody_notices(
    stories: Stories, treacherous_release: str, sabotage: str, metric: str
) -> None:
    before, green = stories.versions(), stories.load_balancer().green
    stories.sabotage(sabotage, "app-1", "app-2", "app-3")
    with stories.traffic(rate=80, publishers=24) as traffic:
        output = stories.ops("canary", treacherous_release, "--steps", "25,100", *QUICK, code=1)
    stories.sabotage(sabotage)
    assert "given up" in output
    assert metric in output
    assert stories.versions() == before
    assert stories.load_balancer().green == green
    assert_nothing_failed(traffic)
    assert_nothing_lost(traffic)


@pytest.mark.thorough
def test_a_release_that_cannot_deliver_is_given_up_after_everything_else(
    stories: Stories, treacherous_release: str
) -> None:
    """Its dispatchers are the last to come, and the first to be seen failing; what they could not deliver arrives."""
    before, green = stories.versions(), stories.load_balancer().green
    stories.sabotage("undeliverable", "app-1", "app-2", "app-3")
    with stories.traffic(rate=80, publishers=24) as traffic:
        output = stories.ops("canary", treacherous_release, "--steps", "25,100", *QUICK, code=1)
    stories.sabotage("undeliverable")
    assert "since the dispatchers were switched, delivery failures" in output
    assert stories.versions() == before
    assert {found["version"] for found in stories.everything()["dispatchers"]} == {stories.inventory().version}
    assert stories.load_balancer().green == green
    assert_nothing_failed(traffic)
    assert_nothing_lost(traffic)


def test_without_traffic_it_holds_until_it_is_told_otherwise(stories: Stories) -> None:
    before, green = stories.versions(), stories.load_balancer().green
    argv = [sys.executable, "ops.py", "canary", stories.build(), *QUICK]
    with subprocess.Popen(argv, cwd=ROOT, env=stories.environment, stdout=subprocess.PIPE, text=True) as canary:
        assert canary.stdout is not None
        for line in canary.stdout:
            if "undecided at 5 %" in line:
                break
        explained = stories.ops("explain")
        stories.ops("canary", "--abort", "--yes")
        canary.communicate(timeout=120)
        assert canary.returncode == 1
    assert re.search(r"its step now: hold: undecided at 5 %.*(no data|too little data)", explained), explained
    assert stories.versions() == before
    until(lambda: stories.load_balancer().green == green)


@pytest.mark.thorough
def test_probes_take_the_place_of_publishers_who_sleep(stories: Stories) -> None:
    version = stories.build()
    output = stories.ops("canary", version, "--steps", "5,100", "--synthetic", "60", *QUICK)
    assert "5 % passed" in output
    assert "; 0 of them failed" in output
    assert set(stories.versions()) == {version}

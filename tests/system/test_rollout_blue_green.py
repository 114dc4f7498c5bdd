"""Traffic is switched between two colours, and back, under publishers that never retry."""

import subprocess
import sys
import threading
import time
from collections.abc import Callable

import pytest

from tests.system.conftest import ROOT, Stories, machine_dies
from tests.system.test_rolling_update import assert_nothing_failed, assert_nothing_lost

pytestmark = pytest.mark.lab


def until(condition: Callable[[], bool], seconds: float = 90) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.2)


def test_a_switch_and_the_way_back_fail_and_lose_nothing(stories: Stories) -> None:
    before, workers = stories.inventory().version, stories.nginx_workers()
    version = stories.build()
    with stories.traffic() as traffic:
        stories.ops("blue-green", version, "--yes", "--soak", "3", "--reason", "the story")
        assert set(stories.versions()) == {version}
        assert stories.load_balancer().green == 100
        stories.ops("rollback", "--yes", "--reason", "the way back")
    assert set(stories.versions()) == {before}
    assert stories.load_balancer().green == 0
    assert stories.inventory().version == before
    assert_nothing_failed(traffic)
    assert_nothing_lost(traffic)
    assert len(traffic.received) == len(traffic.delivered())
    assert stories.nginx_workers() == workers
    assert "the way back" in stories.ops("history", "--json")
    stories.ops("journal", "verify")


def test_what_turns_bad_after_the_switch_is_taken_back(stories: Stories, treacherous_release: str) -> None:
    before = stories.versions()

    def turn_bad() -> None:
        until(lambda: stories.load_balancer().green == 100, seconds=300)
        stories.sabotage("unready", "app-2")

    with stories.traffic() as traffic:
        saboteur = threading.Thread(target=turn_bad)
        saboteur.start()
        output = stories.ops("blue-green", treacherous_release, "--yes", "--soak", "30", "--ready", "0", code=1)
        saboteur.join()
    stories.sabotage("unready")
    assert "app-2:3410" in output
    assert "taken back" in output
    assert stories.versions() == before
    assert stories.load_balancer().green == 0
    assert_nothing_failed(traffic)
    assert_nothing_lost(traffic)


def test_after_its_time_the_old_colour_is_stopped_and_the_way_back_is_a_deployment(stories: Stories) -> None:
    before, version = stories.inventory().version, stories.build()
    stories.ops("blue-green", version, "--yes", "--soak", "0", "--ready", "0")
    until(lambda: all(o["state"] == "stopped" for o in stories.everything()["idle"]))
    with stories.traffic() as traffic:
        output = stories.ops("rollback", "--yes")
    assert f"Deploy {before} again" in output or f"on {before}" in output
    assert set(stories.versions()) == {before}
    assert_nothing_failed(traffic)
    assert_nothing_lost(traffic)


@pytest.mark.thorough
def test_of_two_operators_one_is_told_who_is_at_work(stories: Stories) -> None:
    before, version = stories.versions(), stories.build()
    argv = [sys.executable, "ops.py", "blue-green", version, "--yes", "--ready", "0", "--reason", "first"]
    with subprocess.Popen(argv, cwd=ROOT, env=stories.environment, stdout=subprocess.DEVNULL) as first:
        try:
            until(lambda: "first" in stories.ops("lock", "show", "--json"))
            refused = stories.ops("rolling-update", version, "--yes", code=1)
        finally:
            machine_dies(first.pid)
    assert "first" in refused
    assert "lock break" in refused
    assert stories.versions() == before
    stories.ops("lock", "break", "--reason", "its operator is gone", "--yes")
    stories.ops("blue-green", version, "--yes", "--soak", "0", "--ready", "0")
    assert set(stories.versions()) == {version}

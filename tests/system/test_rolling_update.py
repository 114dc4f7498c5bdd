"""The fleet is updated under traffic; publishers never retry."""

import re
import threading
import time

import pytest

from fleet.demo.traffic import Traffic
from tests.system.conftest import LAB, Stories

pytestmark = pytest.mark.lab


def assert_nothing_failed(traffic: Traffic) -> None:
    failed = [request.error for request in traffic.sent if request.event is None]
    assert len(traffic.sent) > 100
    assert failed == []


def assert_nothing_lost(traffic: Traffic) -> None:
    assert len(traffic.acknowledged()) > 100
    assert traffic.acknowledged() - traffic.delivered() == set()
    assert traffic.forged == 0


def test_an_update_under_traffic_fails_and_loses_nothing_and_delivers_once(stories: Stories) -> None:
    workers = stories.nginx_workers()
    version = stories.build()
    with stories.traffic() as traffic:
        stories.ops("rolling-update", version, "--yes", "--soak", "2")
    assert set(stories.versions()) == {version}
    assert_nothing_failed(traffic)
    assert_nothing_lost(traffic)
    assert len(traffic.received) == len(traffic.delivered())
    assert stories.nginx_workers() == workers
    assert stories.inventory().version == version


def test_the_same_update_again_has_nothing_to_do(stories: Stories) -> None:
    version = stories.versions()[0]
    assert "Nothing to do" in stories.ops("rolling-update", str(version), "--yes")


def test_deploy_yml_alone_is_as_safe(stories: Stories) -> None:
    version = stories.build()
    with stories.traffic() as traffic:
        stories.play("deploy", "-e", f"amebo_version={version}")
    assert set(stories.versions()) == {version}
    assert_nothing_failed(traffic)
    assert_nothing_lost(traffic)


@pytest.mark.thorough
def test_a_host_killed_in_the_middle_stops_the_update_and_loses_nothing(stories: Stories) -> None:
    version = stories.build()
    with stories.traffic() as traffic:
        killer = threading.Thread(target=kill_when_begun, args=(stories, version, "app-3"))
        killer.start()
        output = stories.ops("rolling-update", version, "--yes", "--soak", "2", code=1)
        killer.join()
        serving = [v for v in stories.versions() if v is not None]
    assert len(serving) == 4
    assert re.search(r"failed  app-3:331\d: unreachable", output)
    assert "--resume" in output
    assert_nothing_lost(traffic)
    assert "app-3 does not answer" in stories.ops("rolling-update", "--resume", "--yes", code=1)

    stories.ops("lab", "mend", "app-3", "--name", LAB)
    stories.wait_until_ready()
    stories.ops("rolling-update", "--resume", "--yes", "--soak", "0")
    assert set(stories.versions()) == {version}


def kill_when_begun(stories: Stories, version: str, host: str) -> None:
    """Pull the plug once the first instance runs the new version."""
    until = time.monotonic() + 120
    while version not in stories.versions() and time.monotonic() < until:
        pass
    stories.ops("lab", "break", host, "kill", "--name", LAB)


def test_a_release_that_never_turns_ready_stops_after_the_first_instance(stories: Stories, broken_release: str) -> None:
    before = stories.versions()
    with stories.traffic() as traffic:
        output = stories.ops("rolling-update", broken_release, "--yes", code=1)
        time.sleep(2)
    assert stories.versions() == before
    assert "failed  app-1:3310" in output
    assert output.count("failed  app-") == 1
    assert "broken on purpose" in output
    assert_nothing_failed(traffic)
    assert_nothing_lost(traffic)


@pytest.mark.thorough
def test_an_update_that_turns_bad_may_be_taken_back_by_itself(stories: Stories, treacherous_release: str) -> None:
    before = stories.versions()
    stories.sabotage("unready", "app-2")
    with stories.traffic() as traffic:
        output = stories.ops("rolling-update", treacherous_release, "--yes", "--on-failure", "rollback", code=1)
    stories.sabotage("unready")
    assert "taken back" in output
    assert stories.versions() == before
    assert_nothing_failed(traffic)
    assert_nothing_lost(traffic)

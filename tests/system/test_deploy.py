"""From empty hosts to a fleet, and nothing more to do after that."""

import re

import pytest

from tests.system.conftest import LAB, Stories

pytestmark = pytest.mark.lab

RECAP = re.compile(r"^(\S+)\s+: ok=\d+\s+changed=(\d+)\s+unreachable=(\d+)\s+failed=(\d+)", re.MULTILINE)


def recap(output: str) -> dict[str, tuple[int, int, int]]:
    """Host → changed, unreachable, failed."""
    found = {m[1]: (int(m[2]), int(m[3]), int(m[4])) for m in RECAP.finditer(output)}
    assert found, output
    return found


def test_check_mode_on_empty_hosts_tells_what_would_change_and_changes_nothing(empty_lab: Stories) -> None:
    version = empty_lab.build()
    found = recap(empty_lab.play("site", "-e", f"amebo_version={version}", "--check", "--diff"))
    assert all(changed > 0 and not failed for changed, _, failed in found.values())
    assert not empty_lab.host("app-1").file("/opt/amebo").exists


def test_every_instance_is_ready_after_the_first_run(stories: Stories) -> None:
    status = stories.status()
    assert len(status) == 6
    assert {(i["ready"], i["version"]) for i in status} == {(True, stories.inventory().version)}


def test_a_second_run_changes_nothing(stories: Stories) -> None:
    assert set(recap(stories.play("site")).values()) == {(0, 0, 0)}


@pytest.mark.thorough
def test_check_mode_on_a_finished_fleet_finds_nothing_to_change(stories: Stories) -> None:
    assert set(recap(stories.play("site", "--check", "--diff")).values()) == {(0, 0, 0)}


def test_a_host_that_reboots_serves_again_with_the_same_version(stories: Stories) -> None:
    before = stories.versions()
    stories.ops("lab", "break", "app-3", "kill", "--name", LAB)
    stories.ops("lab", "mend", "app-3", "--name", LAB)
    stories.wait_until_ready()
    assert stories.versions() == before

"""Releases that turn bad, and machines that fail under a change: each ends in a state that status and explain tell."""

import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.system.conftest import LAB, ROOT, Stories, changed
from tests.system.test_faults_operator import BEGINS, die_at
from tests.system.test_rolling_update import assert_nothing_failed, assert_nothing_lost
from tests.system.test_rollout_blue_green import until

pytestmark = [pytest.mark.lab, pytest.mark.thorough]


@pytest.fixture
def before(stories: Stories) -> Iterator[str]:
    """The version that the fleet runs, and will run again."""
    version = str(stories.inventory().version)
    yield version
    stories.ops("rolling-update", version, "--yes", "--soak", "0")
    assert set(stories.versions()) == {version}


def meanwhile(stories: Stories, step: str, what: Callable[[], object], *words: str) -> tuple[int, str]:
    """Type a command; something happens when it begins the step of this first word. Returns its code and output."""
    argv, said = [sys.executable, "ops.py", *words], ""
    with subprocess.Popen(
        argv, cwd=ROOT, env=stories.environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as operator:
        assert operator.stdout is not None
        for line in operator.stdout:
            said += line
            if (begins := BEGINS.match(line)) and begins[1] == step:
                what()
                step = ""
    assert not step, said
    return operator.returncode, said


def test_a_release_that_turns_bad_after_a_while_ends_the_update(stories: Stories, before: str, tmp_path: Path) -> None:
    """Longer than a soak of the first instance, so that others have it, too."""
    honest = "        if self.draining:\n"
    bad = '        if time.monotonic() - BORN > 20:\n            return "worn out on purpose", schema\n'
    source = changed(tmp_path, "app/health.py", honest, bad + honest)
    changed(
        tmp_path,
        "app/health.py",
        "\n\n@dataclass\nclass Health",
        "\n\nBORN = time.monotonic()\n\n\n@dataclass\nclass Health",
    )
    with stories.traffic() as traffic:
        output = stories.ops("rolling-update", stories.build(source), "--yes", code=1)
        explained = stories.ops("explain")
        stories.ops("rolling-update", before, "--yes", "--soak", "0")
    assert "worn out on purpose" in output
    assert "worn out on purpose" in explained or "does not run" in explained
    assert "The last change was rolling-update" in explained
    assert_nothing_failed(traffic)
    assert_nothing_lost(traffic)


@pytest.mark.usefixtures("before")
def test_a_release_that_takes_ever_more_memory_is_started_again_and_explained(stories: Stories, tmp_path: Path) -> None:
    """Slowly enough that the change is over before, as a leak is found in the end."""
    source = changed(
        tmp_path,
        "app/http/events.py",
        "        draft = _draft(parse(req, NEW)",
        '        LEAK.append(b"x" * (384 << 10))\n        draft = _draft(parse(req, NEW)',
    )
    changed(tmp_path, "app/http/events.py", "\n\nclass EventList", "\n\nLEAK: list[bytes] = []\n\n\nclass EventList")
    settings = ROOT / "inventory" / LAB / "group_vars/app/main.yml"
    usual = settings.read_text()
    settings.write_text(f"{usual}amebo_memory_max: 200M\n")
    try:
        with stories.traffic() as traffic:
            stories.ops("blue-green", stories.build(source), "--yes", "--soak", "0", "--ready", "600")
            until(lambda: "started it again" in stories.ops("explain"), seconds=240)
            explained, instances = stories.ops("explain"), stories.status()
            stories.ops("rollback", "--yes")
    finally:
        settings.write_text(usual)
    assert re.search(r"app-\d:\d+ ended .* within the last hour, and its host started it again", explained)
    assert {why for each in instances for why in each["restarts"]} <= {"oom-kill", "signal"}
    assert any(each["restarts"] for each in instances)
    assert_nothing_lost(traffic)


@pytest.mark.usefixtures("before")
def test_a_disk_that_fills_in_the_middle_ends_the_update_and_is_named(stories: Stories) -> None:
    version = stories.build()
    words = ("rolling-update", version, "--yes", "--soak", "0")
    with stories.traffic() as traffic:
        try:
            fill = ("lab", "break", "app-2", "disk-full", "--name", LAB)
            code, output = meanwhile(stories, "migrate", lambda: stories.ops(*fill), *words)
            explained = stories.ops("explain")
            assert None not in stories.versions()
        finally:
            stories.ops("lab", "mend", "app-2", "--name", LAB)
        if code:
            stories.ops(*words)
    assert set(stories.versions()) == {version}
    assert code == 0 or "app-2" in output
    assert re.search(r"app-2 has \d+ MB of disk left", explained)
    assert_nothing_failed(traffic)
    assert_nothing_lost(traffic)


def test_a_database_that_crashes_under_a_switch_loses_nothing(stories: Stories, before: str) -> None:
    """All its sessions end, and it recovers; what cannot be published meanwhile is refused, and not lost."""
    version = stories.build()

    def crash() -> None:
        killed = stories.host("db-1").run("sudo pkill -9 -o -f 'postgres: .*amebo_service'")
        assert killed.succeeded, killed

    with stories.traffic() as traffic:
        code, output = meanwhile(stories, "send", crash, "blue-green", version, "--yes", "--soak", "5")
        stories.wait_until_ready()
    assert set(stories.versions()) == {before if code else version}, output
    assert ("taken back" in output) == bool(code)
    assert "wrong" not in stories.ops("explain")
    assert_nothing_lost(traffic)


@pytest.mark.usefixtures("before")
def test_another_machine_goes_on_with_what_a_dead_one_began(stories: Stories, tmp_path: Path) -> None:
    version, other = stories.build(), tmp_path / "other"
    shutil.copytree(ROOT, other, ignore=shutil.ignore_patterns(".*", "reports", "bench", "tests"))
    shutil.copy(ROOT / "ansible.cfg", other)
    environment = {**stories.environment, "ANSIBLE_INVENTORY": str(other / "inventory" / LAB)}
    with stories.traffic() as traffic:
        die_at(stories, "soak", "rolling-update", version, "--yes")
        until(lambda: "nobody" in stories.ops("lock", "show").lower())
        argv = [sys.executable, "ops.py", "rolling-update", "--resume", "--yes", "--soak", "0"]
        ended = subprocess.run(argv, cwd=other, env=environment, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert set(stories.versions()) == {version}
    recorded = Path("inventory") / LAB / "group_vars/app/version.yml"
    assert version in (other / recorded).read_text()
    shutil.copy(other / recorded, ROOT / recorded)  # as a shared repository would bring it
    assert_nothing_failed(traffic)
    assert_nothing_lost(traffic)

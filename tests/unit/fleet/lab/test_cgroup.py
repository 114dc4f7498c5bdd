"""Limits and groups, for both versions of control groups."""

import subprocess
from pathlib import Path

from fleet.lab import cgroup
from fleet.lab.model import Limits


def test_limits_in_version_1() -> None:
    assert cgroup.limit_files(Limits(0.5, 1024), v2=False) == {
        "cpu/GROUP/cpu.cfs_period_us": "100000",
        "cpu/GROUP/cpu.cfs_quota_us": "50000",
        "memory/GROUP/memory.limit_in_bytes": str(1 << 30),
    }


def test_limits_in_version_2() -> None:
    assert cgroup.limit_files(Limits(2, 512), v2=True) == {
        "GROUP/cpu.max": "200000 100000",
        "GROUP/memory.max": str(512 << 20),
    }


def test_version_1_has_a_group_in_each_hierarchy_that_is_there(tmp_path: Path) -> None:
    for name in ("cpu", "memory", "freezer", "net_cls"):
        (tmp_path / name).mkdir()
    assert {path.name for path in cgroup.hierarchies(tmp_path)} == {"cpu", "memory", "freezer"}


def test_version_2_has_one(tmp_path: Path) -> None:
    (tmp_path / "cgroup.controllers").touch()
    assert cgroup.hierarchies(tmp_path) == (tmp_path,)


def test_a_program_joins_its_groups_before_it_starts(tmp_path: Path) -> None:
    groups = [tmp_path / "cpu", tmp_path / "memory"]
    for group in groups:
        group.mkdir()
    started = subprocess.run(
        cgroup.enter(groups, ["sh", "-c", "echo $$; echo $0 $1", "two words", "--"]),
        capture_output=True,
        text=True,
        check=True,
    )
    pid, words = started.stdout.splitlines()
    assert [(group / "cgroup.procs").read_text().strip() for group in groups] == [pid, pid]
    assert words == "two words --"


def test_a_program_whose_group_is_missing_does_not_start(tmp_path: Path) -> None:
    started = subprocess.run(cgroup.enter([tmp_path / "none"], ["echo", "started"]), capture_output=True, check=False)
    assert (started.returncode != 0, started.stdout) == (True, b"")

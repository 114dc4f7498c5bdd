"""A host's control groups: its limits, all its processes, and the freezer. Version 1 and version 2."""

import os
import re
import signal
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from fleet.errors import LabError
from fleet.lab.model import Limits

ROOT = Path("/sys/fs/cgroup")
_V1 = ("cpu", "cpuacct", "memory", "pids", "freezer", "systemd", "unified")
_PERIOD = 100_000  # microseconds, the kernel's own default


def is_v2(root: Path = ROOT) -> bool:
    return (root / "cgroup.controllers").exists()


def hierarchies(root: Path = ROOT) -> tuple[Path, ...]:
    """Return every hierarchy a host needs a group in: version 2 has the one, version 1 one a controller."""
    if is_v2(root):
        return (root,)
    return tuple(root / name for name in _V1 if (root / name).is_dir())


def limit_files(limits: Limits, *, v2: bool) -> dict[str, str]:
    """Map the kernel's files, relative to ROOT with GROUP for the group, to what enforces `limits`."""
    quota, memory = str(int(limits.cpus * _PERIOD)), str(limits.memory_mb << 20)
    if v2:
        return {"GROUP/cpu.max": f"{quota} {_PERIOD}", "GROUP/memory.max": memory}
    return {
        "cpu/GROUP/cpu.cfs_period_us": str(_PERIOD),
        "cpu/GROUP/cpu.cfs_quota_us": quota,
        "memory/GROUP/memory.limit_in_bytes": memory,
    }


def enter(groups: Sequence[Path], argv: Sequence[str]) -> list[str]:
    """Wrap `argv` so that it joins `groups` before it starts, and so do all its children."""
    script = 'while [ "$1" != -- ]; do echo $$ > "$1/cgroup.procs"; shift; done; shift; exec "$@"'
    return ["sh", "-ec", script, "enter", *map(str, groups), "--", *argv]


def create(group: str, limits: Limits | None = None) -> tuple[Path, ...]:
    """Ensure the group exists in every hierarchy, with its limits; return its directories."""
    if is_v2():
        (ROOT / "cgroup.subtree_control").write_text("+cpu +memory +pids")
    paths = tuple(hierarchy / group for hierarchy in hierarchies())
    for path in paths:
        path.mkdir(exist_ok=True)
    for name, value in limit_files(limits, v2=is_v2()).items() if limits else ():
        (ROOT / name.replace("GROUP", group)).write_text(value)
    return paths


def find(prefix: str) -> list[str]:
    """Return the groups whose name starts with `prefix`, whoever made them and whether or not a file remembers them."""
    return sorted({path.name for hierarchy in hierarchies() for path in hierarchy.glob(f"{prefix}*")})


def processes(group: str) -> list[int]:
    """Return the processes in the group and below it, as this machine numbers them."""
    return [pid for path in _tree(_tracker() / group) for pid in _pids(path)]


def freeze(group: str) -> None:
    _freezer(group).write_text("1" if is_v2() else "FROZEN")


def thaw(group: str) -> None:
    if _freezer(group).exists():
        _freezer(group).write_text("0" if is_v2() else "THAWED")


def is_frozen(group: str) -> bool:
    return _freezer(group).exists() and _freezer(group).read_text().strip() in {"1", "FROZEN", "FREEZING"}


def kill(group: str, timeout: float = 10) -> None:
    """End every process of the group and nothing else; raises LabError if one will not go."""
    deadline = time.monotonic() + timeout
    while pids := processes(group):
        if time.monotonic() > deadline:
            raise LabError(f"processes {pids} of {group} survive SIGKILL for {timeout:.0f} s")
        for pid in pids:
            kill_member(group, pid)
        thaw(group)  # a frozen process of version 1 dies only after it thaws
        time.sleep(0.02)


def kill_member(group: str, pid: int) -> None:
    """SIGKILL `pid` if it still is a member: held by descriptor first, so that a reused number cannot be hit."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        if re.search(rf"/{re.escape(group)}(/|$)", Path(f"/proc/{pid}/cgroup").read_text(), re.MULTILINE):
            signal.pidfd_send_signal(descriptor, signal.SIGKILL)
    except (ProcessLookupError, FileNotFoundError):
        pass  # it ended by itself meanwhile
    finally:
        os.close(descriptor)


def remove(group: str) -> None:
    """Remove the emptied group with all groups below it."""
    for hierarchy in hierarchies():
        for path in reversed(list(_tree(hierarchy / group))):
            path.rmdir()


def _tracker() -> Path:
    """The hierarchy that is asked who belongs to a host: in version 1 nobody in the host can leave the freezer's."""
    return ROOT if is_v2() else ROOT / "freezer"


def _freezer(group: str) -> Path:
    return _tracker() / group / ("cgroup.freeze" if is_v2() else "freezer.state")


def _tree(top: Path) -> Iterator[Path]:
    return (Path(path) for path, _, _ in os.walk(top))


def _pids(path: Path) -> list[int]:
    try:
        return [int(line) for line in (path / "cgroup.procs").read_text().split()]
    except FileNotFoundError:  # the group went away while it was being read
        return []

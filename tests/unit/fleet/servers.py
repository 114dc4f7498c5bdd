"""Servers without a network: what goes over SSH runs here, in a real shell, as the command that it is.

Each server is a folder. In place of systemd, `systemctl` and `systemd-run` are small programs that keep what they are
told in that folder, and complain as systemd does.
"""

import os
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fleet.effects import ssh
from fleet.errors import HostUnreachable

SUDO = """#!/bin/sh
[ "$1" = -n ] && shift
exec "$@"
"""
# As a server's own: no more than the standard library.
PYTHON = f"""#!/bin/sh
exec '{sys.executable}' -IS "$@"
"""
# In shell, because a look at a fleet asks it dozens of times.
SYSTEMCTL = """#!/bin/sh
cd "$AMEBO_TEST_SERVER" || exit 64
code=0
for word; do
    shift
    case $word in
        --now) now=yes ;;
        --property=NRestarts) exec echo 0 ;;
        --*) ;;
        *) set -- "$@" "$word" ;;
    esac
done
verb=$1
shift
if [ "$verb" = list-units ]; then
    cd active && ls | grep '^amebo-web@.*socket$'
    exit 0
fi
for unit; do
    case $verb in
        stop)
            if [ "${unit%.timer}" != "$unit" ] && [ ! -e "timers/$unit" ]; then
                echo "Failed to stop $unit: Unit $unit not loaded." >&2
                code=5
            fi
            rm -f "active/$unit" "timers/$unit"
            ;;
        enable) : > "enabled/$unit" ;;
        disable)
            rm -f "enabled/$unit"
            [ -z "$now" ] || rm -f "active/$unit"
            ;;
        is-active) [ -e "active/$unit" ] || [ -e "timers/$unit" ] || code=3 ;;
        show) { [ -e "active/$unit" ] || [ -e "timers/$unit" ]; } && echo active || echo inactive ;;
        *) exit 64 ;;
    esac
done
exit $code
"""
SYSTEMD_RUN = """#!/bin/sh
cd "$AMEBO_TEST_SERVER" || exit 64
for word; do
    shift
    case $word in
        --unit=*) unit=${word#*=} ;;
        --on-active=*) seconds=${word#*=} ;;
        --*) ;;
        *) set -- "$@" "$word" ;;
    esac
done
fail() {
    echo "Failed to start transient timer unit: $1" >&2
    exit 1
}
[ ! -e "refused/$unit" ] || fail "no room for $unit"
[ ! -e "timers/$unit.timer" ] || fail "Unit $unit.timer was already loaded"
printf '%s\\n' "$seconds" "$*" > "timers/$unit.timer"
"""
PROGRAMS = {"sudo": SUDO, "python3": PYTHON, "systemctl": SYSTEMCTL, "systemd-run": SYSTEMD_RUN}


@dataclass
class Units:
    """What systemd knows on a server: what runs, what starts at boot, and after how many seconds a timer does what."""

    active: set[str]
    enabled: set[str]
    timers: dict[str, tuple[int, str]]


@dataclass
class Servers:
    """Takes the place of `ssh.run`. `away` do not answer; `mute` do what they are told, and their answer is lost.

    `told` is who was told what; `environment` is what else a login there brings.
    """

    root: Path
    away: set[str] = field(default_factory=set)
    mute: set[str] = field(default_factory=set)
    told: list[tuple[str, str]] = field(default_factory=list)
    environment: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """The programs that a server has and this machine may not."""
        self.programs = self.root / "programs"
        self.programs.mkdir(parents=True)
        for name, text in PROGRAMS.items():
            (self.programs / name).write_text(text)
            (self.programs / name).chmod(0o755)

    def __call__(self, name: str, variables: Mapping[str, Any], command: str, timeout: int = 30) -> ssh.Output:
        """As `ssh.run`."""
        assert isinstance(variables, Mapping)
        self.told.append((name, command))
        if name in self.away:
            raise HostUnreachable(f"{name} does not answer over SSH")
        output = self._run(name, ["sh", "-c", command], timeout)
        if name in self.mute:
            raise HostUnreachable(f"{name} does not answer over SSH")
        return output

    def units(self, name: str) -> Units:
        """As they are now."""
        folder = self._folder(name)
        active, enabled = ({path.name for path in (folder / kind).iterdir()} for kind in ("active", "enabled"))
        timers = {path.name: path.read_text().splitlines() for path in (folder / "timers").iterdir()}
        return Units(active, enabled, {timer: (int(seconds), command) for timer, (seconds, command) in timers.items()})

    def starts(self, name: str, units: Iterable[str]) -> None:
        """They run there, and start at boot."""
        for unit in units:
            for kind in ("active", "enabled"):
                (self._folder(name) / kind / unit).touch()

    def stops(self, name: str, units: Iterable[str]) -> None:
        """They do not run any more."""
        for unit in units:
            (self._folder(name) / "active" / unit).unlink(missing_ok=True)

    def refuses(self, name: str, timer: str) -> None:
        """It cannot be started there, as on a server that is full."""
        (self._folder(name) / "refused" / timer).touch()

    def time_passes(self, name: str) -> None:
        """Every timer there fires, and is gone."""
        for timer, (_, command) in self.units(name).timers.items():
            (self._folder(name) / "timers" / timer).unlink()
            ended = self._run(name, ["sh", "-c", command], 10)
            assert ended.code == 0, ended.stderr

    def _run(self, name: str, argv: Sequence[str], timeout: int) -> ssh.Output:
        path = f"{self.programs}:{os.environ['PATH']}"
        environment = {**os.environ, "PATH": path, "AMEBO_TEST_SERVER": str(self._folder(name)), **self.environment}
        ended = subprocess.run(
            argv,
            capture_output=True,
            text=True,
            check=False,
            stdin=subprocess.DEVNULL,
            env=environment,
            timeout=timeout,
        )
        return ssh.Output(ended.returncode, ended.stdout, ended.stderr)

    def _folder(self, name: str) -> Path:
        folder = self.root / name
        for kind in ("active", "enabled", "timers", "refused"):
            (folder / kind).mkdir(parents=True, exist_ok=True)
        return folder

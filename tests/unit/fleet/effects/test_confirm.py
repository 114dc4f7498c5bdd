"""A change that its host undoes unless it is confirmed: the real program and script, before a systemd in a folder."""

import os
import shlex
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from fleet.effects import confirm, pending, ssh
from fleet.effects.confirm import Subject
from fleet.effects.inventory import Inventory
from fleet.errors import HostUnreachable, StepFailed
from tests.unit.fleet.servers import Servers

HOST = "app-1"
FLEET = Inventory({"app": (HOST,)}, {HOST: {}})
UNIT = "amebo-revert-door"
OLD, NEW, LOCKOUT = b"# as ever\n", b"# hardened\n", b"# AllowUsers nobody\n"


@dataclass
class Door:
    """A server whose door is what `running` says; its time is over when somebody has stood before it twice."""

    root: Path
    servers: Servers
    refused: int = 0
    loses: set[str] = field(default_factory=set)

    def __call__(self, name: str, variables: Mapping[str, Any], command: str, timeout: int = 30) -> ssh.Output:
        """As `ssh.run`. Who is inside stays inside; the answers to the verbs in `loses` are lost."""
        if self.running.exists() and self.running.read_bytes() == LOCKOUT:
            self.refused += 1
            if self.refused == 2:
                self.servers.time_passes(name)
            raise HostUnreachable(f"{name} does not answer over SSH (Authentication failed.)")
        output = self.servers(name, variables, command, timeout)
        if (verb := shlex.split(command)[-1]) in self.loses:
            self.loses.remove(verb)
            raise HostUnreachable(f"{name} does not answer over SSH")
        return output

    @property
    def file(self) -> Path:
        return self.root / "etc/door.conf"

    @property
    def running(self) -> Path:
        return self.root / "running"

    @property
    def folder(self) -> Path:
        return self.root / "pending"

    @property
    def subject(self) -> Subject:
        reload = f"cp {self.file} {self.running}"
        undo = f"if [ -e {self.file} ]; then {reload}; else rm {self.running}; fi"
        return Subject("door", str(self.file), 0o640, ("sh", "-n"), reload, undo)

    @property
    def ask(self) -> confirm.Ask:
        return confirm.over_ssh(FLEET, str(self.folder), str(self.root / "etc"))

    def change(self, content: bytes, subject: Subject | None = None) -> bool:
        return confirm.change(self.ask, HOST, subject or self.subject, content, pauses=(0.0, 0.0, 0.0))

    def install(self, content: bytes) -> None:
        """As an operator who dies afterwards."""
        request = {**confirm._request(self.subject, content), "seconds": 30}
        assert self.ask(HOST, "install", request) == {"changed": True}

    def reboots(self) -> None:
        """Timers are gone; what is enabled runs."""
        for timer in (self.servers.root / HOST / "timers").iterdir():
            timer.unlink()
        assert pending.UNIT in self.servers.units(HOST).enabled
        unit = (self.root / "etc" / pending.UNIT).read_text()
        (start,) = (line.removeprefix("ExecStart=") for line in unit.splitlines() if line.startswith("ExecStart="))
        if list(self.folder.glob("*/revert")):  # the unit's condition
            subprocess.run(shlex.split(start), check=True, capture_output=True)

    @property
    def is_at_rest(self) -> bool:
        """Nothing is armed, and no old state is kept."""
        return not self.servers.units(HOST).timers and [path.name for path in self.folder.iterdir()] == ["lock"]


@pytest.fixture
def door(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Door:
    made = Door(tmp_path, Servers(tmp_path / "servers"))
    made.file.parent.mkdir()
    made.file.write_bytes(OLD)
    made.file.chmod(0o600)
    monkeypatch.setattr(ssh, "run", made)
    return made


def test_what_is_confirmed_stays(door: Door) -> None:
    assert door.change(NEW)
    assert door.is_at_rest
    assert door.file.read_bytes() == door.running.read_bytes() == NEW
    assert door.file.stat().st_mode & 0o777 == 0o640
    door.reboots()
    assert door.file.read_bytes() == NEW


def test_a_change_that_locks_the_operator_out_is_undone_by_the_host(door: Door) -> None:
    with pytest.raises(StepFailed, match=r"app-1: \S+ is as it was before.*by itself.*Authentication failed") as told:
        door.change(LOCKOUT)
    assert told.value.hosts == {HOST}
    assert door.file.read_bytes() == door.running.read_bytes() == OLD
    assert door.file.stat().st_mode & 0o777 == 0o600
    assert door.is_at_rest
    assert door.change(NEW)


def test_a_file_that_was_not_there_is_gone_again(door: Door) -> None:
    door.file.unlink()
    with pytest.raises(StepFailed, match="as it was before"):
        door.change(LOCKOUT)
    assert not door.file.exists()
    assert not door.running.exists()


def test_an_operator_that_dies_leaves_a_host_that_puts_it_back(door: Door) -> None:
    door.install(NEW)
    assert {seconds for seconds, _ in door.servers.units(HOST).timers.values()} == {30}
    door.servers.time_passes(HOST)
    assert door.file.read_bytes() == door.running.read_bytes() == OLD
    assert door.is_at_rest


def test_a_reboot_before_the_change_is_confirmed_undoes_it(door: Door) -> None:
    door.install(NEW)
    door.running.unlink()
    door.reboots()
    assert door.file.read_bytes() == OLD
    assert not door.running.exists(), "it was put into force before the services begin"
    assert door.is_at_rest


def test_nothing_is_changed_that_could_not_be_undone(door: Door) -> None:
    door.servers.refuses(HOST, UNIT)
    with pytest.raises(StepFailed, match="was not changed: Failed to start transient timer unit"):
        door.change(NEW)
    with pytest.raises(StepFailed, match="what is in force could not be put back: a rule of no kind"):
        door.change(NEW, replace(door.subject, save="echo a rule of no kind >&2; exit 1"))
    assert door.file.read_bytes() == OLD
    assert not door.running.exists()
    assert not (door.folder / "door").exists()


def test_a_file_that_its_program_refuses_is_never_placed(door: Door) -> None:
    with pytest.raises(StepFailed, match=r"was not changed: \S*etc/door\.conf: 1: .*[Ss]yntax error"):
        door.change(b"if then\n")
    with pytest.raises(StepFailed, match=r"nft-of-no-kind is not installed; playbooks/site\.yml installs it"):
        door.change(NEW, replace(door.subject, check=("nft-of-no-kind",)))
    assert door.file.read_bytes() == OLD
    assert door.is_at_rest


def test_the_same_file_again_changes_and_arms_nothing(door: Door) -> None:
    assert door.change(NEW)
    door.servers.refuses(HOST, UNIT)
    assert not door.change(NEW)
    assert door.is_at_rest


def test_one_change_at_a_time_waits_to_be_confirmed(door: Door) -> None:
    door.install(NEW)
    with pytest.raises(StepFailed, match=r"another change of door waits to be confirmed.*try again"):
        door.change(b"# another\n")
    assert door.file.read_bytes() == NEW
    door.servers.time_passes(HOST)
    assert door.change(b"# another\n")


def test_what_cannot_be_put_into_force_is_put_back_at_once(door: Door) -> None:
    broken = replace(door.subject, apply="echo no such thing >&2; exit 1")
    with pytest.raises(StepFailed, match=r"door\.conf is as before\. The change failed: no such thing"):
        door.change(NEW, broken)
    assert door.file.read_bytes() == OLD
    assert door.is_at_rest


def test_what_cannot_be_put_back_at_once_is_tried_again(door: Door) -> None:
    stuck = replace(door.subject, apply="exit 1", undo=f"[ -e {door.root}/mended ]")
    with pytest.raises(StepFailed, match="could not be put back yet, and will be tried again"):
        door.change(NEW, stuck)
    (door.root / "mended").touch()
    door.servers.time_passes(HOST)
    assert door.file.read_bytes() == OLD
    assert door.is_at_rest


@pytest.mark.parametrize("verb", ["install", "confirm"])
def test_an_answer_that_is_lost_is_asked_for_again(door: Door, verb: str) -> None:
    door.loses = {verb}
    assert door.change(NEW)
    assert door.file.read_bytes() == NEW
    assert door.is_at_rest


def test_a_change_that_was_interrupted_on_its_host_is_not_confirmed(door: Door) -> None:
    """Its file is in place, and may not be in force."""
    killed = replace(door.subject, apply="kill -9 $PPID")
    with pytest.raises(StepFailed, match=r"is as before\. The change failed: it was interrupted"):
        door.change(NEW, killed)
    assert door.file.read_bytes() == OLD
    assert door.is_at_rest


def test_what_was_never_armed_does_not_stand_in_the_way(door: Door) -> None:
    door.install(NEW)
    (door.servers.root / HOST / "timers" / f"{UNIT}.timer").unlink()
    assert door.change(b"# another\n")
    assert door.file.read_bytes() == b"# another\n"
    assert door.is_at_rest


def test_what_has_to_be_kept_is_done_once_it_is_confirmed(door: Door) -> None:
    assert door.change(NEW, replace(door.subject, keep=f"touch {door.root}/kept"))
    assert (door.root / "kept").exists()
    with pytest.raises(StepFailed, match="is changed and confirmed, but: not at boot"):
        door.change(OLD, replace(door.subject, keep="echo not at boot >&2; exit 1"))
    assert door.file.read_bytes() == OLD
    assert door.is_at_rest


def test_the_old_state_is_for_root_alone(door: Door) -> None:
    door.install(NEW)
    assert door.folder.stat().st_mode & 0o777 == 0o700
    assert door.folder.stat().st_uid == os.getuid()

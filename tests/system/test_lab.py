"""The lab itself, for real: hosts, limits, faults, and nothing left behind. A lab of its own, beside any other."""

import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from fleet import lab
from fleet.lab import cgroup, disk, ssh
from fleet.lab.places import TREE, Places, name_of_this_tree

NAME = name_of_this_tree("selftest")
KILLED = f"{NAME}-killed"  # the other's name is a prefix of it: neither may be taken for the other
UNIT = "sudo systemd-run --wait"
pytestmark = [pytest.mark.lab, pytest.mark.usefixtures("two_hosts")]


@pytest.fixture(scope="module")
def two_hosts() -> Iterator[lab.Lab]:
    """A lab of two hosts that goes down whatever happens."""
    lab.down(NAME)
    try:
        yield lab.up(NAME, hosts=2, limits=lab.Limits(cpus=1, memory_mb=512))
    finally:
        lab.down(NAME)
        assert footprint(NAME) == []


def on(host: str, command: str, code: int | None = 0) -> str:
    """Run a command as admin; expect its exit code, unless None."""
    ran = subprocess.run(ssh.argv(host, Places(NAME), [command]), capture_output=True, text=True, check=False)
    assert code in (None, ran.returncode), f"{command}: {ran.returncode}\n{ran.stdout}\n{ran.stderr}"
    return ran.stdout + ran.stderr


def footprint(name: str) -> list[str]:
    """Everything on this machine that belongs to the lab, found by looking, not by asking the lab."""
    places = Places(name)
    links = subprocess.run(["ip", "-o", "link"], capture_output=True, text=True, check=True).stdout
    loops = subprocess.run(["losetup", "--list", "--noheadings"], capture_output=True, text=True, check=True).stdout
    return [
        *cgroup.find(f"amebo-lab.{name}."),
        *(path.name for path in Path("/run/netns").glob(f"amebo-lab.{name}.*")),
        *(line for line in links.splitlines() if f"alias amebo-lab {name} " in line),
        *map(str, disk.mounts_below(places.state)),
        *(line for line in loops.splitlines() if f"{places.state}/" in line),
        *(str(path) for path in (places.state, places.inventory) if path.exists()),
        *processes_naming(str(places.state)),
    ]


def processes_naming(text: str) -> list[str]:
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = path.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:  # it ended meanwhile
            continue
        if f"{text}/" in words:
            found.append(words)
    return found


def state(host: str) -> str:
    return next(found.state for found in lab.status(NAME).hosts if found.host.name == host)


def seconds_to_connect(address: str) -> float:
    started = time.monotonic()
    socket.create_connection((address, 22), timeout=5).close()
    return time.monotonic() - started


def test_admin_has_a_real_debian_and_root_may_not_log_in(two_hosts: lab.Lab) -> None:
    assert on("app-1", "hostname; . /etc/os-release; echo $VERSION_CODENAME; sudo id -u").split() == [
        "app-1",
        "bookworm",
        "0",
    ]
    assert on("app-1", "systemctl is-system-running").strip() == "running"
    refused = ssh.argv("app-1", Places(NAME), ["id"])
    assert (
        subprocess.run([*refused[:1], "-l", "root", *refused[1:]], capture_output=True, check=False).returncode == 255
    )
    assert {on(host.name, "cat /etc/machine-id") for host in two_hosts.hosts}.__len__() == 2


def test_hosts_know_each_other_by_name_and_wait_for_no_name_server(two_hosts: lab.Lab) -> None:
    assert on("app-1", "getent hosts lb-1").split()[0] == two_hosts.address(two_hosts.host("lb-1"))
    started = time.monotonic()
    on("app-1", "getent hosts no-such-host", code=2)
    assert time.monotonic() - started < 4


def test_a_host_installs_packages_though_it_has_no_way_out() -> None:
    on("app-1", "sudo apt-get install -qq hello && hello")
    assert "1" in on("app-1", "timeout 1 bash -c '</dev/tcp/192.0.2.1/80' 2>/dev/null; echo $?")


def test_a_hosts_own_memory_limit_is_enforced() -> None:
    on("app-1", f"{UNIT} python3 -c 'bytearray(100 << 20)'")
    assert "code=killed" in on("app-1", f"{UNIT} python3 -c 'bytearray(600 << 20)'", code=255)


def test_a_units_memory_limit_is_enforced_in_a_host() -> None:
    assert "code=killed" in on("app-1", f"{UNIT} -p MemoryMax=50M python3 -c 'bytearray(100 << 20)'", code=255)


def test_a_units_share_of_the_processor_is_enforced_in_a_host() -> None:
    burn = "import time; end = time.monotonic() + 1\nwhile time.monotonic() < end: pass\nprint(time.process_time())"
    seconds = float(on("app-1", f"{UNIT} --quiet --pipe -p CPUQuota=20% python3 -c '{burn}'"))
    assert 0.05 < seconds < 0.35


def test_net_settings_belong_to_the_host_and_the_machines_stay_out_of_its_reach() -> None:
    on("app-1", "sudo sysctl -q -w net.core.somaxconn=1234")
    assert Path("/proc/sys/net/core/somaxconn").read_text().strip() != "1234"
    on("app-1", "sudo sysctl -w vm.swappiness=1", code=None)
    assert Path("/proc/sys/vm/swappiness").read_text().strip() != "1"


def test_a_killed_host_is_silent_and_comes_back_as_it_was(two_hosts: lab.Lab) -> None:
    before = on("app-1", "cat /etc/machine-id; echo kept > here")
    lab.break_("app-1", lab.Fault.KILL, name=NAME)
    assert state("app-1") == "dead"
    with pytest.raises(OSError, match=r"timed out|No route"):
        seconds_to_connect(two_hosts.address(two_hosts.host("app-1")))
    assert lab.mend("app-1", name=NAME) == (lab.Fault.KILL,)
    assert on("app-1", "cat /etc/machine-id here") == before + "kept\n"


def test_a_host_that_reboots_itself_comes_back() -> None:
    booted = "systemctl show --property UserspaceTimestampMonotonic"
    before = on("app-1", booted)
    on("app-1", "sudo systemctl reboot", code=None)
    deadline = time.monotonic() + 30
    while not (after := on("app-1", booted, code=None)).startswith("Userspace") or after == before:
        assert time.monotonic() < deadline, after
    assert state("app-1") == "running"


def test_a_frozen_host_takes_connections_and_says_nothing(two_hosts: lab.Lab) -> None:
    lab.break_("app-1", lab.Fault.FREEZE, name=NAME)
    assert state("app-1") == "frozen"
    with socket.create_connection((two_hosts.address(two_hosts.host("app-1")), 22), timeout=1) as connection:
        with pytest.raises(TimeoutError):
            connection.recv(1)
        lab.mend("app-1", name=NAME)
        assert connection.recv(4) == b"SSH-"


def test_a_partitioned_host_is_alive_but_out_of_reach(two_hosts: lab.Lab) -> None:
    lab.break_("app-1", lab.Fault.PARTITION, name=NAME)
    assert state("app-1") == "partitioned"
    with pytest.raises(OSError, match=r"timed out|No route"):
        seconds_to_connect(two_hosts.address(two_hosts.host("app-1")))
    lab.mend("app-1", name=NAME)
    assert state("app-1") == "running"


def test_a_slow_host_answers_a_fifth_of_a_second_late(two_hosts: lab.Lab) -> None:
    address = two_hosts.address(two_hosts.host("app-1"))
    lab.break_("app-1", lab.Fault.SLOW, name=NAME)
    assert 0.2 <= seconds_to_connect(address) < 1
    assert len(on("app-1", "head -c 300000 /dev/zero | tr '\\0' x")) == 300_000  # large segments pass whole
    lab.mend("app-1", name=NAME)
    assert seconds_to_connect(address) < 0.2


def test_a_full_disk_takes_no_byte_from_anybody_and_none_from_this_machine() -> None:
    lab.break_("app-1", lab.Fault.DISK_FULL, name=NAME)
    assert "No space left" in on("app-1", "sudo dd if=/dev/zero of=/root/block bs=8k count=1 2>&1", code=1)
    assert Places(NAME).host("app-1").image.stat().st_blocks * 512 < 500 << 20
    lab.mend("app-1", name=NAME)
    on("app-1", "sudo dd if=/dev/zero of=/root/block bs=8k count=1")


def test_a_second_up_finds_everything_there(two_hosts: lab.Lab) -> None:
    said: list[str] = []
    assert lab.up(NAME, say=said.append) == two_hosts
    assert said == [f"lab {NAME} is up already"]


@pytest.mark.parametrize(
    "moment",
    [
        pytest.param(lambda: any(Path("/run/netns").glob(f"amebo-lab.{KILLED}.*")), id="a namespace is there"),
        pytest.param(lambda: any(disk.mounts_below(Places(KILLED).state)), id="a disk is mounted"),
        pytest.param(lambda: cgroup.processes(f"amebo-lab.{KILLED}.app-1"), id="a host is starting"),
    ],
)
def test_an_up_that_was_killed_midway_leaves_nothing_after_down(moment: Callable[[], bool | list[int]]) -> None:
    lab.down(KILLED)
    command = [sys.executable, "ops.py", "lab", "up", "--name", KILLED, "--hosts", "2"]
    with subprocess.Popen(command, cwd=TREE, stderr=subprocess.DEVNULL) as up:
        deadline = time.monotonic() + 30
        while not moment():
            assert up.poll() is None, "up ended before the moment came"
            assert time.monotonic() < deadline
        up.kill()
    assert footprint(KILLED)
    lab.down(KILLED)
    assert footprint(KILLED) == []
    assert [host.state for host in lab.status(NAME).hosts] == ["running", "running"]
    assert on("lb-1", "id -un").strip() == "admin"

"""A host as a process: systemd-nspawn boots the Debian in its root, in its groups, in its network namespace."""

import os
import time
import uuid
from pathlib import Path

from fleet.errors import LabError
from fleet.lab import cgroup, disk, network, slow
from fleet.lab.mirror import HOST as MIRROR
from fleet.lab.model import Host, Lab, machine_name
from fleet.lab.places import HostPlaces, Places
from fleet.lab.run import start

_PROPAGATE = Path("/run/systemd/nspawn/propagate")


def ensure_running(lab: Lab, host: Host, places: Places) -> bool:
    """Boot the host from its own disk unless it runs, without waiting for it; False if it ran."""
    if is_running(lab, host):
        return False
    pull_the_plug(lab, host)  # what a dying host may have left
    network.plug(lab, host)
    own = places.host(host.name)
    if not places.base.exists():
        raise LabError(f"the image of lab {lab.name} is gone; run: ./ops.py lab up --name {lab.name}")
    disk.mount(places.base.resolve(), own)
    seed(host, own, places.key.with_suffix(".pub").read_text())
    write_hosts_file(lab, own)  # at each boot: the lab may have grown, or got another network, while it was dead
    boot(lab, host, own)
    return True


def pull_the_plug(lab: Lab, host: Host) -> None:
    """End the host and its network at once: what is sent to it gets no answer, not even a refusal."""
    name = machine_name(lab.name, host.name)
    slow.remove_detour(lab, host)
    network.unplug(name, network.veth(lab, host))
    stop(name)


def stop(group: str) -> None:
    """Kill process 1 of the host, so that nspawn, seeing it, cleans up after itself; then whatever is left."""
    cgroup.kill(_supervisor(group))  # first, or it might boot again a host that was just rebooting
    if init := init_process(group):
        cgroup.kill_member(group, init)
        cgroup.thaw(group)  # a frozen process of version 1 dies only after it thaws
        deadline = time.monotonic() + 2
        while cgroup.processes(group) and time.monotonic() < deadline:
            time.sleep(0.02)
    cgroup.kill(group)


def forget(group: str) -> None:
    """Remove what nspawn leaves of a machine that never told it goodbye."""
    if (_PROPAGATE / group).exists():
        (_PROPAGATE / group).rmdir()


def boot_command(lab: Lab, host: Host, root: Path) -> list[str]:
    """Build nspawn's command line; not registered, for the machine may have neither systemd nor machined."""
    name = machine_name(lab.name, host.name)
    return [
        "env",
        "SYSTEMD_NSPAWN_TMPFS_TMP=0",  # /tmp lies on the host's disk, as on a server
        "systemd-nspawn",
        "--quiet",
        "--register=no",
        "--keep-unit",
        "--resolv-conf=off",
        "--timezone=off",
        "--capability=CAP_NET_ADMIN",
        f"--directory={root}",
        f"--machine={name}",
        f"--hostname={host.name}",
        f"--network-namespace-path={network.NAMESPACES / name}",
        "/usr/sbin/lab-init",
    ]


def again_after_reboot(command: list[str]) -> list[str]:
    """Wrap nspawn, which ends with 133 when the host wants to reboot, so that the host does."""
    return ["sh", "-c", 'while "$@"; [ $? -eq 133 ]; do :; done', "supervise", *command]


def hosts_file(lab: Lab) -> str:
    """Return /etc/hosts: without every name in it, each lookup would wait for a name server that is not there."""
    lines = ["127.0.0.1 localhost", f"{lab.gateway} {MIRROR}"]
    lines += [f"{lab.address(other)} {other.name}" for other in lab.hosts]
    return "\n".join(lines) + "\n"


def seed(host: Host, places: HostPlaces, authorized_key: str) -> None:
    """Give a new root its names, its host key and the key that may log in; the machine id, last, tells it is done."""
    etc = places.root / "etc"
    if (etc / "machine-id").read_text():
        return
    (etc / "hostname").write_text(f"{host.name}\n")
    for suffix, mode in (("", 0o600), (".pub", 0o644)):
        key = etc / "ssh" / f"ssh_host_ed25519_key{suffix}"
        key.write_text(places.host_key.with_name(places.host_key.name + suffix).read_text())
        key.chmod(mode)
    _authorize(places.root / "home/admin", authorized_key)
    (etc / "machine-id").write_text(f"{uuid.uuid4().hex}\n")


def write_hosts_file(lab: Lab, places: HostPlaces) -> None:
    (places.root / "etc/hosts").write_text(hosts_file(lab))


def boot(lab: Lab, host: Host, places: HostPlaces) -> None:
    """Start the host and return at once; it stays when this process goes."""
    group = machine_name(lab.name, host.name)
    command = cgroup.enter(cgroup.create(group, lab.limits), boot_command(lab, host, places.root))
    start(cgroup.enter(cgroup.create(_supervisor(group)), again_after_reboot(command)), places.log)


def init_process(group: str) -> int | None:
    """Return the host's own process 1 as this machine numbers it, None if the host is dead."""
    return next((pid for pid in cgroup.processes(group) if _number_inside(pid) == "1"), None)


def is_running(lab: Lab, host: Host) -> bool:
    return init_process(machine_name(lab.name, host.name)) is not None


def _supervisor(group: str) -> str:
    """A group beside the host's, for in version 2 that may hold no process but in the groups below it."""
    return f"{group}.supervisor"


def _number_inside(pid: int) -> str | None:
    """Return the process' number in its own namespace, None if that is the machine's."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    numbers = next(line for line in status.splitlines() if line.startswith("NSpid:")).split()[1:]
    return numbers[-1] if len(numbers) > 1 else None


def _authorize(home: Path, key: str) -> None:
    path = home / ".ssh/authorized_keys"
    path.write_text(key)
    owner = home.stat()
    path.chmod(0o600)
    os.chown(path, owner.st_uid, owner.st_gid)

"""A slow network: the host's cable is led through a relay that holds back every frame for a while."""

import sys
from pathlib import Path

from fleet.lab import cgroup, network
from fleet.lab.model import Host, Lab, machine_name
from fleet.lab.run import run

DELAY_MS = 100  # each way, so a round trip takes 200 ms longer
_RELAY = Path(__file__).parent / "relay.py"


def detour_commands(lab: Lab, host: Host) -> list[list[str]]:
    """Take the host's cable out of the bridge and put another one in, between which the relay will sit.

    Both ends are told not to answer ARP: this machine would offer them as ways to its own address.
    """
    cable, (near, far) = network.veth(lab, host), _detour(lab, host)
    return [
        ["ip", "link", "add", near, "type", "veth", "peer", "name", far],
        ["ip", "link", "set", near, "arp", "off", "up"],
        ["ip", "link", "set", far, "master", network.bridge(lab.network), "up"],
        ["ip", "link", "set", cable, "nomaster", "arp", "off"],
    ]


def make_slow(lab: Lab, host: Host) -> None:
    for command in detour_commands(lab, host):
        run(command)
    near, _ = _detour(lab, host)
    relay = [sys.executable, str(_RELAY), network.veth(lab, host), near, str(DELAY_MS)]
    groups = cgroup.create(_group(lab, host))
    run(cgroup.enter(groups, relay))


def is_slow(lab: Lab, host: Host) -> bool:
    return bool(cgroup.processes(_group(lab, host)))


def make_fast(lab: Lab, host: Host) -> None:
    remove_detour(lab, host)
    cable = network.veth(lab, host)
    run(["ip", "link", "set", cable, "arp", "on", "master", network.bridge(lab.network)])


def remove_detour(lab: Lab, host: Host) -> None:
    """Take relay and detour away, what of them there is; the host's own cable then leads nowhere."""
    cgroup.kill(_group(lab, host))
    cgroup.remove(_group(lab, host))
    network.delete_link(_detour(lab, host)[0])


def _detour(lab: Lab, host: Host) -> tuple[str, str]:
    cable = network.veth(lab, host)
    return f"{cable}n", f"{cable}f"


def _group(lab: Lab, host: Host) -> str:
    """A group of its own: the relay is not the host's process, but goes when the lab goes."""
    return machine_name(lab.name, f"{host.name}.slow")

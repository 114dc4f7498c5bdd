"""A lab's network: a bridge of its own on this machine, and for each host a namespace behind a veth pair."""

import json
from itertools import chain
from pathlib import Path

from fleet.errors import LabError
from fleet.lab.locks import locked
from fleet.lab.model import PREFIX, Host, Lab, machine_name
from fleet.lab.run import run

NAMESPACES = Path("/run/netns")
_LINKS = Path("/sys/class/net")
_NETWORKS = 255


def bridge(network: int) -> str:
    return f"amebo-{network}"


def veth(lab: Lab, host: Host) -> str:
    """Name the machine's end of a host's cable (Linux allows 15 characters, so by number)."""
    return f"{bridge(lab.network)}-{host.number}"


def alias(name: str, tree: Path) -> str:
    """Say on the bridge itself whose it is, so that no file is needed to know."""
    return f"{PREFIX} {name} {tree}"


def bridge_commands(network: int, owner: str) -> list[list[str]]:
    """Build the bridge; the alias comes last, so a bridge without one is one whose creation was interrupted."""
    name = bridge(network)
    return [
        ["ip", "link", "add", name, "address", _mac(network, 1), "type", "bridge"],
        ["ip", "address", "add", f"10.77.{network}.1/24", "dev", name],
        ["ip", "link", "set", name, "up"],
        ["ip", "link", "set", name, "alias", owner],
    ]


def plug_commands(lab: Lab, host: Host) -> list[list[str]]:
    """Give a host its namespace and its cable; the fixed MAC address lets neighbours find it after a restart."""
    namespace, outside = machine_name(lab.name, host.name), veth(lab, host)
    inside = ["ip", "-n", namespace]
    return [
        ["ip", "netns", "add", namespace],
        ["ip", "link", "add", outside, "type", "veth", "peer", "name", "eth0",
         "address", _mac(lab.network, host.number), "netns", namespace],
        [*inside, "link", "set", "lo", "up"],
        [*inside, "address", "add", f"{lab.address(host)}/24", "dev", "eth0"],
        [*inside, "link", "set", "eth0", "up"],
        [*inside, "route", "add", "default", "via", lab.gateway],
        ["ip", "link", "set", outside, "master", bridge(lab.network), "up"],
    ]  # fmt: skip  # one command a line


def lowest_free(aliases: dict[str, str], preferred: int = 0) -> int:
    """Pick the lowest X whose bridge does not exist yet, after trying `preferred`."""
    for network in chain((preferred,), range(_NETWORKS)):
        if bridge(network) not in aliases:
            return network
    raise LabError(f"all {_NETWORKS} lab networks are taken; take a lab down first")


def claim(name: str, tree: Path, preferred: int) -> int:
    """Return the lab's network, one that is free for a lab without; raises LabError if another tree has the name."""
    with locked("networks"):
        _sweep()
        bridges = _bridges()
        refuse_foreign(name, tree, bridges)
        mine = [interface for interface, owner in bridges.items() if owner == alias(name, tree)]
        if mine:
            return int(mine[0].removeprefix("amebo-"))
        network = lowest_free(bridges, preferred)
        for command in bridge_commands(network, alias(name, tree)):
            run(command)
        return network


def refuse_foreign(name: str, tree: Path, bridges: dict[str, str] | None = None) -> None:
    """Refuse a lab's name that another copy of the project uses on this machine."""
    for owner in (_bridges() if bridges is None else bridges).values():
        where = owner.removeprefix(f"{PREFIX} {name} ")
        if where not in (owner, str(tree)) and _can_command(Path(where)):
            raise LabError(f"a lab called {name} is up from {where}; take it down there or choose another --name")


def orphans(name: str, bridges: dict[str, str] | None = None) -> list[Path]:
    """Return the trees that are gone, or left with no more than their lab's mounts, and whose lab is still here."""
    prefix = f"{PREFIX} {name} "
    owners = (_bridges() if bridges is None else bridges).values()
    trees = [Path(owner.removeprefix(prefix)) for owner in owners if owner.startswith(prefix)]
    return [tree for tree in trees if not _can_command(tree)]


def plug(lab: Lab, host: Host) -> None:
    """Give a host that was unplugged a new namespace and cable."""
    for command in plug_commands(lab, host):
        run(command)


def unplug(namespace: str, outside: str) -> None:
    """Take a host's cable and namespace away, what of them there is."""
    delete_link(outside)
    if (NAMESPACES / namespace).exists():
        run(["ip", "netns", "delete", namespace])


def remove(name: str) -> None:
    """Remove every link and every namespace of the lab that this machine has."""
    with locked("networks"):
        for interface, owner in _bridges().items():
            if owner.startswith(f"{PREFIX} {name} "):
                _delete_bridge(interface)
        _sweep()
    for namespace in sorted(NAMESPACES.glob(machine_name(name, "*"))):
        run(["ip", "netns", "delete", namespace.name])


def delete_link(interface: str) -> None:
    """Remove a link that may have gone already, with its peer."""
    if (_LINKS / interface).exists():
        run(["ip", "link", "delete", interface])


def set_link(lab: Lab, host: Host, state: str) -> None:
    """Pull the host's cable (`down`) or plug it in (`up`)."""
    run(["ip", "link", "set", veth(lab, host), state])


def is_link_up(lab: Lab, host: Host) -> bool:
    flags = _LINKS / veth(lab, host) / "flags"
    return flags.exists() and bool(int(flags.read_text(), 16) & 1)


def _can_command(tree: Path) -> bool:
    """Whether its lab can be taken down there; `rm -r` leaves directories where the lab's disks are mounted."""
    return (tree / "ops.py").exists()


def _sweep() -> None:
    """Remove bridges without an owner's name: who was making them died, for the lock is ours now."""
    for interface, owner in _bridges().items():
        if not owner:
            _delete_bridge(interface)


def _delete_bridge(interface: str) -> None:
    for path in sorted(_LINKS.glob(f"{interface}-*")):
        delete_link(path.name)
    run(["ip", "link", "delete", interface])


def _bridges() -> dict[str, str]:
    """Map the labs' bridges to their aliases, as the machine has them."""
    links = json.loads(run(["ip", "-json", "link", "show", "type", "bridge"]) or "[]")
    return {link["ifname"]: link.get("ifalias", "") for link in links if link["ifname"].startswith("amebo-")}


def _mac(network: int, number: int) -> str:
    return f"02:0a:4d:{network:02x}:00:{number:02x}"

"""The inventory, as Ansible itself reads it: groups, variables, and how to connect to each host."""

import json
import os
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from fleet.effects import ansible
from fleet.errors import FleetError
from fleet.model import Host

GREEN_OFFSET = 100  # as in playbooks/group_vars/all/wiring.yml, which an inventory does not show
HINT = "copy inventory/example and fill it in, or start a lab: ./ops.py lab up"


@dataclass(frozen=True)
class Inventory:
    """`hosts` maps each host's name to its variables, vaulted ones decrypted: never print them."""

    groups: Mapping[str, tuple[str, ...]]
    hosts: Mapping[str, Mapping[str, Any]] = field(repr=False)

    def group(self, name: str) -> tuple[str, ...]:
        """The names of a group's hosts; a missing group is an error that says which groups there are."""
        if name not in self.groups:
            raise FleetError(f"the inventory has no group {name!r}; it has {', '.join(sorted(self.groups))}")
        return self.groups[name]

    @cached_property
    def app_hosts(self) -> tuple[Host, ...]:
        """The hosts that run the service."""
        return tuple(_host(name, self.hosts[name]) for name in self.group("app"))

    @cached_property
    def version(self) -> str | None:
        """The version the fleet should run."""
        return next(
            (str(v["amebo_version"]) for h in self.group("app") if "amebo_version" in (v := self.hosts[h])), None
        )

    @property
    def shared_address(self) -> str | None:
        """The address that the load balancers share, of which one holds it; None where they share none."""
        address = self.hosts[self.group("loadbalancers")[0]].get("amebo_address")
        return None if address is None else str(address)

    @property
    def url(self) -> str:
        """Where publishers come in: the shared address, else the first load balancer's."""
        first = self.hosts[self.group("loadbalancers")[0]]
        port = int(first.get("nginx_listen_port", 80))
        return f"http://{self.shared_address or first['ansible_host']}" + ("" if port == 80 else f":{port}")


def read() -> Inventory:
    """Ask ansible-inventory about the inventory that ANSIBLE_INVENTORY names, else the lab's.

    Raises FleetError with Ansible's own words when it cannot be read or its vault not be opened.
    """
    source = os.environ.get("ANSIBLE_INVENTORY", "inventory/lab")  # the default stands in ansible.cfg
    if not (ansible.ROOT / source).exists():
        raise FleetError(f"there is no inventory {source}; {HINT}")
    argv = [ansible.program("ansible-inventory"), "--list"]
    asked = subprocess.run(argv, cwd=ansible.ROOT, env=_environment(), capture_output=True, text=True, check=False)
    if asked.returncode != 0:
        raise FleetError(f"cannot read the inventory: {ansible.last_error(asked.stderr)}")
    groups = json.loads(asked.stdout)
    hosts = groups.pop("_meta")["hostvars"]
    if not hosts:
        raise FleetError(f"the inventory {source} is empty; {HINT}")
    return Inventory({name: tuple(group.get("hosts", ())) for name, group in groups.items()}, hosts)


def _environment() -> dict[str, str]:
    """An inventory that does not parse is an error, not a warning."""
    return {**os.environ, "ANSIBLE_INVENTORY_ANY_UNPARSED_IS_FAILED": "true", "ANSIBLE_NOCOLOR": "1"}


def _host(name: str, variables: Mapping[str, Any]) -> Host:
    scaled = variables.get("amebo_scaled_ports", {})  # which ./ops.py scale writes; as in wiring.yml
    ports = scaled.get(name, variables.get("amebo_web_ports", ()))
    return Host(
        name=name,
        address=str(variables.get("ansible_host", name)),
        web_ports=tuple(int(port) for port in ports),
        dispatchers=int(variables.get("amebo_dispatchers", 0)),
        green_offset=int(variables.get("amebo_green_offset", GREEN_OFFSET)),
    )

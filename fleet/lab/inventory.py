"""The inventory of a lab: what tells Ansible, and so every playbook and ops.py, about its hosts."""

import secrets
import shutil
from pathlib import Path
from typing import Any

import yaml  # type: ignore[import-untyped]  # ships no type hints, and Ansible brings it
from ansible.parsing.vault import VaultLib, VaultSecret

from fleet.errors import LabError
from fleet.lab.files import replace
from fleet.lab.model import Host, Lab
from fleet.lab.places import Places

MARK = "# Written by ./ops.py lab up; ./ops.py lab down removes it."
_SECRETS = ("owner_password", "service_password", "reader_password", "secret", "admin_password")
_GROUPS = ("loadbalancers", "app", "database")


def write(lab: Lab, places: Places) -> None:
    """Write inventory/NAME; secrets and the version the fleet should run stay as they are once they are there."""
    refuse_foreign(places)
    replace(places.inventory / ".gitignore", "*\n")  # others belong into git, with the version that record.yml writes
    for name, content in plain_files(lab, places).items():
        path = places.inventory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        replace(path, f"---\n{MARK}\n{yaml.safe_dump(content, sort_keys=False, width=1000)}")
    vault = places.inventory / "group_vars/all/vault.yml"
    if not vault.exists():
        replace(vault, encrypt(new_secrets(), places.vault_password.read_text().strip()))
    version = places.inventory / "group_vars/app/version.yml"
    if not version.exists():
        version.parent.mkdir(parents=True, exist_ok=True)
        replace(version, '---\namebo_version: "1.0.0"\n')


def remove(places: Places) -> None:
    """Remove the inventory if the lab wrote it."""
    if places.inventory.exists() and is_ours(places.inventory):
        shutil.rmtree(places.inventory)


def refuse_foreign(places: Places) -> None:
    """Refuse to write into an inventory of this name that somebody else made."""
    if places.inventory.exists() and not is_ours(places.inventory):
        raise LabError(f"{places.inventory} was not written by the lab; choose another --name or move it away")


def is_ours(inventory: Path) -> bool:
    """Know the lab's own inventory by the mark in hosts.yml, its first file; before that there is nothing in it."""
    hosts = inventory / "hosts.yml"
    if hosts.exists():
        return MARK in hosts.read_text()
    return all(path.name.startswith(".") for path in inventory.iterdir())


def plain_files(lab: Lab, places: Places) -> dict[str, Any]:
    """Return every file that holds no secret, by its name below the inventory."""
    return {
        "hosts.yml": hosts(lab),
        "group_vars/all/main.yml": _all(lab, places),
        "group_vars/database/main.yml": _database(),
    }


def hosts(lab: Lab) -> dict[str, Any]:
    return {
        "all": {
            "children": {
                group: {"hosts": {host.name: _host(lab, host) for host in lab.hosts if group in host.groups}}
                for group in _GROUPS
            }
        }
    }


def new_secrets() -> dict[str, str]:
    return {f"vault_amebo_{name}": secrets.token_urlsafe(32) for name in _SECRETS}


def encrypt(values: dict[str, str], password: str) -> str:
    """Return `values` as a file that ansible-vault reads with `password`; nothing readable touches the disk."""
    vault = VaultLib([("default", VaultSecret(password.encode()))])
    return str(vault.encrypt(yaml.safe_dump(values)).decode())


def _host(lab: Lab, host: Host) -> dict[str, Any]:
    variables: dict[str, Any] = {"ansible_host": lab.address(host)}
    if "app" in host.groups:
        variables |= {"amebo_web_ports": [3310, 3311], "amebo_dispatchers": 1}
    return variables


def _all(lab: Lab, places: Places) -> dict[str, Any]:
    return {
        "ansible_user": "admin",
        "ansible_python_interpreter": "/usr/bin/python3",
        "ansible_ssh_private_key_file": str(places.key),
        "ansible_ssh_common_args": f"-o UserKnownHostsFile={places.known_hosts} -o StrictHostKeyChecking=yes"
        " -o IdentitiesOnly=yes",
        **({"amebo_address": lab.shared_address} if lab.shared_address else {}),
        "amebo_allow_private_handlers": lab.subnet,  # the lab's webhook receivers live in it, and nothing else may
    }


def _database() -> dict[str, Any]:
    """Size PostgreSQL for a host of 1 GiB, where the example inventory's values are for a whole server."""
    return {
        "postgresql_settings": {
            "max_connections": 200,
            "shared_buffers": "128MB",
            "effective_cache_size": "512MB",
        }
    }

"""A lab's own secrets: an SSH key, each host's key, a vault password. Made once, readable by their owner only."""

import secrets
from pathlib import Path

from fleet.lab.files import replace
from fleet.lab.model import Lab
from fleet.lab.places import Places
from fleet.lab.run import run


def ensure(lab: Lab, places: Places) -> None:
    """Make what is missing, and write what tells SSH where everything is."""
    places.state.mkdir(mode=0o700, parents=True, exist_ok=True)
    _ensure_key(places.key, f"{lab.name} lab")
    for host in lab.hosts:
        key = places.host(host.name).host_key
        key.parent.mkdir(parents=True, exist_ok=True)
        _ensure_key(key, host.name)
    if not places.vault_password.exists():
        replace(places.vault_password, secrets.token_urlsafe(24) + "\n")
    replace(places.known_hosts, known_hosts(lab, places))
    replace(places.ssh_config, ssh_config(lab, places))


def known_hosts(lab: Lab, places: Places) -> str:
    return "".join(f"{lab.address(host)} {_public(places.host(host.name).host_key)}" for host in lab.hosts)


def ssh_config(lab: Lab, places: Places) -> str:
    """Return a configuration for `ssh -F`, and for Fabric, that knows the hosts by name."""
    blocks = [f"Host {host.name}\n  HostName {lab.address(host)}\n" for host in lab.hosts]
    common = f"""Host *
  User admin
  IdentityFile {places.key}
  IdentitiesOnly yes
  UserKnownHostsFile {places.known_hosts}
  StrictHostKeyChecking yes
  ConnectTimeout 10
  LogLevel ERROR
"""
    return "".join(blocks) + common


def _ensure_key(path: Path, comment: str) -> None:
    if not path.exists():
        fresh = path.with_name(f"{path.name}.new")
        fresh.unlink(missing_ok=True)
        run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", comment, "-f", str(fresh)])
        fresh.with_name(f"{fresh.name}.pub").replace(path.with_name(f"{path.name}.pub"))
        fresh.replace(path)


def _public(key: Path) -> str:
    return key.with_name(f"{key.name}.pub").read_text()

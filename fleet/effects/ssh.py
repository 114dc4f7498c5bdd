"""Commands on hosts over SSH, by Fabric, with the connection variables of the inventory."""

import re
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from fabric import Connection
from invoke.exceptions import CommandTimedOut
from paramiko import RejectPolicy
from paramiko.ssh_exception import SSHException

from fleet.errors import HostUnreachable

T = TypeVar("T")
CONNECT_SECONDS = 5
_silent: set[str] = set()
"""Hosts that could not be connected to when they were asked last: they are not waited for as long again."""


@dataclass(frozen=True)
class Output:
    """What a command on a host printed, and its exit code."""

    code: int
    stdout: str
    stderr: str


def run(name: str, variables: Mapping[str, Any], command: str, timeout: int = 30) -> Output:
    """Run one shell command on a host; raises HostUnreachable when it cannot be asked within `timeout` seconds."""
    is_open = False
    try:
        with connection(name, variables) as host:
            host.open()
            is_open = True
            ended = host.run(command, hide=True, warn=True, in_stream=False, timeout=timeout)
            return Output(ended.exited, ended.stdout, ended.stderr)
    except (OSError, EOFError, SSHException, CommandTimedOut) as error:
        why = str(error).partition("\n")[0] or type(error).__name__
        raise HostUnreachable(
            f"{name} does not answer over SSH ({why}); try: ssh {variables.get('ansible_host', name)}"
        ) from error
    finally:
        (_silent.discard if is_open else _silent.add)(name)


def connection(name: str, variables: Mapping[str, Any]) -> Connection:
    """A connection, not yet open, that refuses a host whose key is not known."""
    key = variables.get("ansible_ssh_private_key_file")
    keys = {"key_filename": str(key), "look_for_keys": False, "allow_agent": False} if key else {}
    made = Connection(
        host=str(variables.get("ansible_host", name)),
        user=variables.get("ansible_user"),
        port=int(variables.get("ansible_port", 22)),
        connect_timeout=1 if name in _silent else CONNECT_SECONDS,
        connect_kwargs={**keys, "banner_timeout": 10, "auth_timeout": 10},
    )
    made.client.set_missing_host_key_policy(RejectPolicy())
    known = known_hosts(variables)
    if known and known.exists():
        made.client.load_host_keys(str(known))
    else:
        made.client.load_system_host_keys()
    return made


def known_hosts(variables: Mapping[str, Any]) -> Path | None:
    """The file that the inventory's SSH arguments name, if they do."""
    arguments = f"{variables.get('ansible_ssh_common_args', '')} {variables.get('ansible_ssh_extra_args', '')}"
    named = re.search(r"UserKnownHostsFile=([^\s'\"]+)", arguments)
    return Path(named[1]).expanduser() if named else None


def on_each(names: Iterable[str], ask: Callable[[str], T]) -> dict[str, T]:
    """Ask many hosts at the same time."""
    names = list(names)
    with ThreadPoolExecutor(max_workers=max(1, min(32, len(names)))) as pool:
        return dict(zip(names, pool.map(ask, names), strict=True))

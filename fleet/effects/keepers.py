"""Asks the hosts' keepers over SSH: one command a question, all hosts at once."""

import json
import shlex
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from fleet.effects import keeper, ssh
from fleet.effects.inventory import Inventory
from fleet.errors import FleetError, HostUnreachable

FOLDER = "/var/lib/amebo-fleet"
PROGRAM = Path(keeper.__file__).read_text()
SECONDS = 10  # for one answer, once connected: much less than a lease's ttl

Json = dict[str, Any]
Ask = Callable[[str, str, Mapping[str, Any]], Json]
"""Host, verb and request → answer; raises HostUnreachable when there is none."""


def over_ssh(inventory: Inventory, folder: str = FOLDER) -> Ask:
    """The keepers of an inventory's hosts."""

    def ask(host: str, verb: str, request: Mapping[str, Any]) -> Json:
        return answer(host, ssh.run(host, inventory.hosts[host], command(folder, verb, request), SECONDS))

    return ask


def command(folder: str, verb: str, request: Mapping[str, Any], python: str = "sudo -n python3") -> str:
    """For the host's shell. The program goes through a pipe, so that sudo's log has the question alone, every time."""
    words = shlex.join([folder, verb, json.dumps(request)])
    return f"printf %s {shlex.quote(PROGRAM)} | {python} - {words}"


def answer(host: str, output: ssh.Output) -> Json:
    """What the keeper printed; a keeper that failed is a host that does not answer, with its last words."""
    if output.code != 0:
        words = output.stderr.strip().splitlines()[-1:] or [f"exit code {output.code}"]
        raise HostUnreachable(f"{host}: the keeper failed: {words[0]}")
    try:
        found: Json = json.loads(output.stdout)
    except ValueError as error:
        raise HostUnreachable(f"{host}: the keeper's answer is no JSON; does a login script print?") from error
    return found


def each(
    ask: Ask, hosts: Iterable[str], verb: str, request: Mapping[str, Any]
) -> tuple[dict[str, Json], dict[str, str]]:
    """Answers by host, and why the other hosts gave none."""

    def asked(host: str) -> Json | str:
        try:
            return ask(host, verb, request)
        except FleetError as error:
            return str(error)

    found = ssh.on_each(hosts, asked)
    answers = {host: given for host, given in found.items() if not isinstance(given, str)}
    return answers, {host: given for host, given in found.items() if isinstance(given, str)}

"""The verbs of `ops.py lab`."""

import json
import os
import time
from typing import Annotated

import typer
from rich.console import Console

from fleet.lab import faults, lifecycle, observe, show, ssh, state
from fleet.lab.model import Fault, Limits
from fleet.lab.places import Places

lab = typer.Typer(help="Real Debian hosts on this machine, to rehearse on.", no_args_is_help=True)

Name = Annotated[str, typer.Option("--name", help="Which lab; several may be up at once.")]
HostName = Annotated[str, typer.Argument(help="The host's name, as in `lab status`.")]


@lab.command(epilog="Example: ./ops.py lab up --hosts 6 --debian bookworm")
def up(
    name: Name = "lab",
    hosts: Annotated[int | None, typer.Option(help="How many hosts (5): one to fifty.")] = None,
    balancers: Annotated[
        int | None, typer.Option(help="How many of them are load balancers (1); several share an address.")
    ] = None,
    debian: Annotated[str | None, typer.Option(help="Debian release: bookworm (12) or trixie (13).")] = None,
    cpus: Annotated[float | None, typer.Option(help="CPUs that each host may use (1).")] = None,
    memory: Annotated[int | None, typer.Option(help="Memory that each host may use, in MB (1024).")] = None,
) -> None:
    """Bring a lab up; on one that is up, boot the dead hosts and add those that are missing."""
    started = time.monotonic()
    limits = Limits(cpus or 1.0, memory or 1024) if cpus or memory else None
    made = lifecycle.up(name, hosts=hosts, balancers=balancers, debian=debian, limits=limits, say=_say)
    took = time.monotonic() - started
    _say(f"{made}; inventory/{name} is written ({took:.1f} s)")
    if name != "lab":
        variables = f"ANSIBLE_INVENTORY=inventory/{name} AMEBO_VAULT_PASSWORD_FILE=.lab/{name}/vault-password"
        _say(f"for Ansible and ops.py to use it: export {variables}")


@lab.command(epilog="Example: ./ops.py lab down --name lab")
def down(name: Name = "lab") -> None:
    """Take a lab down, leaving nothing behind, also after a crash; the image and package caches stay."""
    _say(f"lab {name} is down" if lifecycle.down(name, say=_say) else f"there was no lab called {name}")


@lab.command(epilog="Example: ./ops.py lab status --json")
def status(
    name: Name = "lab", as_json: Annotated[bool, typer.Option("--json", help="For programs to read.")] = False
) -> None:
    """Show the lab's hosts, their addresses, groups, states and faults, and the service's URL."""
    found = observe.status(name)
    if as_json:
        typer.echo(json.dumps(show.as_json(found), indent=2))
    else:
        out = Console(highlight=False)
        out.print(f"{found.lab}\nthe service, once deployed: {found.lab.url}")
        out.print(show.as_table(found))


@lab.command(
    name="ssh",
    context_settings={"ignore_unknown_options": True},
    epilog="Example: ./ops.py lab ssh app-1 systemctl status",
)
def shell(
    host: HostName,
    command: Annotated[list[str] | None, typer.Argument(help="A command to run there instead of a shell.")] = None,
    name: Name = "lab",
) -> None:
    """Open a shell on a host, as admin (who may use sudo without a password)."""
    places = Places(name)
    state.load(places).host(host)
    argv = ssh.argv(host, places, command or ())
    os.execvp(argv[0], argv)  # noqa: S606  # the shell takes this process' place, so its exit code is ours


@lab.command(name="break", epilog="Example: ./ops.py lab break app-1 freeze")
def break_(
    host: HostName,
    fault: Annotated[
        Fault,
        typer.Argument(
            help="kill: the power fails. freeze: it hangs, connections stay open. partition: the cable is out. "
            "slow: every round trip takes 200 ms longer. disk-full: not a byte is left."
        ),
    ],
    name: Name = "lab",
) -> None:
    """Break a host, for real, until it is mended."""
    faults.break_(host, fault, name=name, say=_say)


@lab.command(epilog="Example: ./ops.py lab mend app-1")
def mend(host: HostName, name: Name = "lab") -> None:
    """Undo all faults of a host and wait until it answers; a dead one boots from its disk as it was left."""
    faults.mend(host, name=name, say=_say)


def _say(line: str) -> None:
    Console(stderr=True, highlight=False, soft_wrap=True).print(line)

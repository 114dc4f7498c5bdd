"""`access`: changes what lets operators and publishers in, each host by itself, undone unless it is confirmed."""

import difflib
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from fleet import console, interlock
from fleet.commands.change import DryRun, Why, Yes, warn
from fleet.effects import confirm, inventory, ssh
from fleet.effects.confirm import SUBJECTS, Subject
from fleet.effects.inventory import Inventory
from fleet.errors import FleetError, StepFailed

LIMIT_KB = 32  # it is sent as a word of a command, which quoting makes longer

commands = typer.Typer()


class Name(StrEnum):
    """The subjects, as they are typed."""

    SSHD = "sshd"
    FIREWALL = "firewall"
    SUDO = "sudo"
    NGINX = "nginx"


@commands.command(epilog="Example: ./ops.py access sshd hardened.conf --host app-1 --dry-run")
def access(
    subject: Annotated[Name, typer.Argument(help="What the file is for.")],
    file: Annotated[Path, typer.Argument(help="The file that the hosts get, here.", exists=True, dir_okay=False)],
    host: Annotated[
        list[str] | None, typer.Option(help="Only this host; may be given again. Default: all that have it.")
    ] = None,
    reason: Why = "",
    dry_run: DryRun = False,
    yes: Yes = False,
) -> None:
    """Install a file for sshd, the firewall, sudo or nginx, host after host; stop at the first where it goes wrong.

    A host puts the old one back by itself unless a fresh SSH connection, with sudo, confirms the change within 30 s.
    """
    about, content = SUBJECTS[subject], file.read_bytes()
    if len(content) > LIMIT_KB * 1024:
        raise FleetError(f"{file} is larger than {LIMIT_KB} KB; is it the right one?")
    hosts = inventory.read()
    names = _chosen(hosts, about, host or [])
    if not _show(hosts, names, about, content) or dry_run:
        return
    console.confirm(f"Change {about.path} on {', '.join(names)}?", yes=yes)
    with interlock.change(hosts, "access", f"{subject} on {', '.join(names)}", reason) as change:
        _each(hosts, names, about, content, change)
    warn(change)


def _chosen(hosts: Inventory, subject: Subject, wanted: list[str]) -> list[str]:
    """Application hosts first: there are most of them, and one that goes wrong is missed least."""
    having = tuple(hosts.hosts) if subject.group == "all" else hosts.group(subject.group)
    if unknown := [name for name in wanted if name not in having]:
        raise FleetError(
            f"no host {', '.join(unknown)} in the inventory has {subject.name}; "
            f"{', '.join(having)} {'has' if len(having) == 1 else 'have'} it"
        )
    return [name for name in dict.fromkeys((*hosts.group("app"), *having)) if name in (wanted or having)]


def _show(hosts: Inventory, names: list[str], subject: Subject, content: bytes) -> bool:
    """What would change on each host; False when nothing would."""
    ask = confirm.over_ssh(hosts)
    found = ssh.on_each(names, lambda name: confirm.look(ask, name, subject, content))
    for name, now in found.items():
        if now["same"]:
            console.out.print(f"{name}: nothing to do", markup=False)
            continue
        old, new = ((now["text"] or "").splitlines(), content.decode(errors="replace").splitlines())
        lines = difflib.unified_diff(old, new, f"{name}:{subject.path}", "wanted", lineterm="")
        console.out.print("\n".join(lines) or f"{name}: {subject.path}: only its mode changes", markup=False)
    return not all(now["same"] for now in found.values())


def _each(hosts: Inventory, names: list[str], subject: Subject, content: bytes, change: interlock.Change) -> None:
    ask = confirm.over_ssh(hosts)
    for number, name in enumerate(names):
        what = f"{subject.name} on {name}"
        change.step(what)
        try:
            changed = confirm.change(ask, name, subject.on(hosts.hosts[name]), content)
        except StepFailed as error:
            untouched = ", ".join(names[number + 1 :])
            raise StepFailed(f"{error}" + (f"\nuntouched: {untouched}" if untouched else ""), error.hosts) from error
        change.step(what, "done")
        console.out.print(f"{name}: {'changed and confirmed' if changed else 'nothing to do'}", markup=False)

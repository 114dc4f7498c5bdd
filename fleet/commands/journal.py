"""The verbs of the fleet's lock and its journal: `lock`, `history`, `journal`."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from fleet import history as past
from fleet import interlock
from fleet.console import confirm, out
from fleet.effects import inventory, keepers
from fleet.effects import journal as copies
from fleet.effects.inventory import Inventory
from fleet.effects.lease import Holder
from fleet.errors import FleetError

commands = typer.Typer()
lock = typer.Typer(help="The lock that one change at a time holds.", no_args_is_help=True)
journal = typer.Typer(help="The journal of changes, kept on the load balancers.", no_args_is_help=True)
commands.add_typer(lock, name="lock")
commands.add_typer(journal, name="journal")

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]


@lock.command(epilog="Example: ./ops.py lock show")
def show(as_json: AsJson = False) -> None:
    """Show who changes the fleet now, since when, and why."""
    held = interlock.holder(inventory.read())
    if as_json:
        typer.echo(json.dumps(asdict(held) if held else None, indent=2))
    else:
        _show_holder(held)


@lock.command(name="break", epilog='Example: ./ops.py lock break --reason "their machine was stolen"')
def break_(
    reason: Annotated[str, typer.Option(help="Why; it goes into the journal.")],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show whose lock would be broken and stop.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """Take the lock from whoever holds it; their change stops before its next step, and says so."""
    if not reason.strip():
        raise FleetError("a lock is broken for a reason: --reason …")
    hosts = inventory.read()
    held = interlock.holder(hosts)
    _show_holder(held)
    if held is None or dry_run:
        return
    out.print(
        "\nThe step that runs now is not stopped by this. One that died needs no breaking: its lock ends by itself."
    )
    confirm(f"Break the lock of {held.who}?", yes=yes)
    interlock.break_(hosts, held, reason)
    out.print("It is broken, and the journal says so.")


@commands.command(epilog="Example: ./ops.py history --limit 5")
def history(
    limit: Annotated[int, typer.Option(min=1, help="How many changes, the latest last.")] = 20,
    change: Annotated[str, typer.Option(help="One change by its id, or how its id begins: every step.")] = "",
    as_json: AsJson = False,
) -> None:
    """Show what was changed: when, by whom, why, and how it ended."""
    hosts = inventory.read()
    found, away = _read(hosts)
    told = past.changes(found)
    chosen = _chosen(told, change) if change else told[-limit:]
    if as_json:
        typer.echo(json.dumps([_data(c) for c in chosen], indent=2, ensure_ascii=False))
        return
    out.print(_table(chosen) if chosen else "No change was written down yet.")
    if change:
        out.print("\n", _steps_table(chosen[0].steps))
    for why in past.findings(found, away).problems:
        out.print(f"[yellow]journal:[/yellow] {escape(why)}")


@journal.command(epilog="Example: ./ops.py journal verify")
def verify(as_json: AsJson = False) -> None:
    """Check every load balancer's copy line by line, and that all are the same; exit code 1 when not."""
    found = past.findings(*_read(inventory.read()))
    if as_json:
        typer.echo(json.dumps(asdict(found), indent=2))
    else:
        for problem in found.problems:
            out.print(f"[red]{escape(problem)}[/red]")
        out.print(f"{found.lines} lines" + ("" if found.problems else ", the same on every load balancer"))
        out.print(f"the last one's hash: {found.hash or 'none'}")
    if found.problems:
        raise typer.Exit(1)


def _read(hosts: Inventory) -> tuple[dict[str, copies.Copy], dict[str, str]]:
    """At least one copy, or there is nothing to tell."""
    found, away = copies.read(keepers.over_ssh(hosts), hosts.group("loadbalancers"))
    if not found:
        raise FleetError(f"no load balancer's journal could be read: {'; '.join(away.values())}")
    return found, away


def _chosen(told: Sequence[past.Change], begins: str) -> list[past.Change]:
    chosen = [change for change in told if change.id.startswith(begins)]
    if len(chosen) != 1:
        raise FleetError(f"{len(chosen)} changes have an id that begins with {begins!r}; look: ./ops.py history")
    return chosen


def _show_holder(held: Holder | None) -> None:
    if held is None:
        out.print("Nobody changes the fleet.")
        return
    rows = {
        "who": held.who,
        "since": held.since,
        "what": f"{held.verb}: {held.what}",
        "why": held.why,
        "change": held.id,
        "votes": f"{held.votes} of {held.of} hosts",
        "ends": f"in {held.left:.0f} s, unless it is renewed",
    }
    table = Table(box=None, show_header=False, pad_edge=False)
    for name, value in rows.items():
        table.add_row(name, escape(value))
    out.print(table)


def _table(changes: Sequence[past.Change]) -> Table:
    table = Table("WHEN (UTC)", "CHANGE", "WHO", "WHAT", "WHY", "RESULT", box=None, pad_edge=False, header_style="bold")
    table.add_column("SECONDS", justify="right")
    for c in changes:
        cells = (_when(c.began), c.id, c.who, f"{c.verb}: {c.what}", c.why)
        table.add_row(*map(escape, cells), _coloured(c.result), _seconds(c.seconds))
    return table


def _steps_table(steps: Sequence[past.Part]) -> Table:
    table = Table("WHEN (UTC)", "STEP", "RESULT", box=None, pad_edge=False, header_style="bold")
    table.add_column("SECONDS", justify="right")
    for step in steps:
        table.add_row(_when(step.began), escape(step.what), _coloured(step.result), _seconds(step.seconds))
    return table


def _coloured(result: str) -> str:
    colour = "green" if result == "done" else "yellow" if result == past.NOT_ENDED else "red"
    return f"[{colour}]{escape(result)}[/{colour}]"


def _when(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M:%S}"


def _seconds(seconds: float | None) -> str:
    return "" if seconds is None else f"{seconds:.1f}"


def _data(change: past.Change) -> dict[str, Any]:
    steps = [{**asdict(step), "began": step.began.isoformat()} for step in change.steps]
    return {**asdict(change), "began": change.began.isoformat(), "steps": steps}

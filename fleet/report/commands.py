"""The verb `report`: reads the journal and the load balancers' logs, writes one file."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from fleet import history
from fleet.effects import inventory, journal, keepers
from fleet.effects.inventory import Inventory
from fleet.errors import FleetError
from fleet.history import Change
from fleet.report import page, requests


def report(
    change: Annotated[str, typer.Argument(help="A change by its id, or how its id begins; the last one if none.")] = "",
    out: Annotated[Path, typer.Option(help="The HTML file that is written.")] = Path("change.html"),
) -> None:
    """Write a change as an HTML page: its steps beside requests, failures and latency by colour, a minute around it."""
    hosts = inventory.read()
    chosen, now = _chosen(hosts, change), datetime.now(UTC)
    since, until = page.span(chosen, now)
    counted = requests.ask(hosts, since, until, page.step_seconds(since, until))
    _write(out, page.render(chosen, counted, now))
    for notice in counted.notices:
        typer.secho(f"warning: {notice}", fg="yellow", err=True)
    typer.echo(f"{out}: {chosen.verb} {chosen.what} ({chosen.id}), {chosen.result}")


def _chosen(hosts: Inventory, begins: str) -> Change:
    found, away = journal.read(keepers.over_ssh(hosts), hosts.group("loadbalancers"))
    if not found:
        raise FleetError(f"no load balancer's journal could be read: {'; '.join(away.values())}")
    told = history.changes(found)
    if not told:
        raise FleetError("no change was written down yet")
    chosen = [each for each in told if each.id.startswith(begins)] if begins else [told[-1]]
    if len(chosen) != 1:
        raise FleetError(f"{len(chosen)} changes have an id that begins with {begins!r}; look: ./ops.py history")
    return chosen[0]


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise FleetError(f"cannot write {path}: {error.strerror}; name another file with --out") from error

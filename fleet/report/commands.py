"""The verb `report`, and the page that each change leaves: from the journal and the load balancers' logs."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from fleet import history, interlock
from fleet.effects import ansible, inventory, journal, keepers
from fleet.effects.inventory import Inventory
from fleet.errors import FleetError
from fleet.history import Change
from fleet.report import page, requests


def report(
    change: Annotated[str, typer.Argument(help="A change by its id, or how its id begins; the last one if none.")] = "",
    out: Annotated[Path, typer.Option(help="The HTML file that is written.")] = Path("change.html"),
) -> None:
    """Write a change as an HTML page: its steps, and requests, failures and latency by version around it."""
    hosts = inventory.read()
    chosen = _chosen(hosts, change)
    for notice in _render(hosts, chosen, out):
        typer.secho(f"warning: {notice}", fg="yellow", err=True)
    typer.echo(f"{out}: {chosen.verb} {chosen.what} ({chosen.id}), {chosen.result}")


@contextmanager
def reported_change(
    hosts: Inventory, verb: str, what: str, why: str, *, quiet: bool = False
) -> Iterator[interlock.Change]:
    """As `interlock.change`; when the lock is given back, the change's page is written, well ended or not."""
    made: interlock.Change | None = None
    try:
        with interlock.change(hosts, verb, what, why) as made:
            yield made
    finally:
        if made:
            _keep(hosts, made.lease.id, quiet=quiet)


def folder() -> Path:
    """Where the pages of changes go."""
    return Path(os.environ.get("AMEBO_REPORTS", ansible.ROOT / "reports"))


def _keep(hosts: Inventory, change_id: str, *, quiet: bool) -> None:
    """What is not known is said on the page; without one, the change is what it is."""
    try:
        change = _chosen(hosts, change_id)
        out = folder() / f"{change.began:%Y%m%d-%H%M%S}-{change.verb.replace(' ', '-')}-{change.id}.html"
        out.parent.mkdir(parents=True, exist_ok=True)
        _render(hosts, change, out)
    except (FleetError, OSError) as error:
        typer.secho(f"warning: there is no report of this change: {error}", fg="yellow", err=True)
        return
    if not quiet:
        typer.secho(f"report: {out}", err=True)


def _render(hosts: Inventory, change: Change, out: Path) -> tuple[str, ...]:
    """What is not known is returned, too."""
    now = datetime.now(UTC)
    since, until = page.span(change, now)
    counted = requests.ask(hosts, since, until, page.step_seconds(since, until))
    _write(out, page.render(change, counted, now))
    return tuple(counted.notices)


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

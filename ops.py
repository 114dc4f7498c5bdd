#!/usr/bin/env python3
"""Operate an Amebo fleet: build releases, change it safely, look at it, rehearse on a lab."""

import os
import sys
from pathlib import Path

os.environ["LC_ALL"] = "C.UTF-8"  # Ansible wants a UTF-8 locale, and SSH may bring one that is not installed here
_VENV_PYTHON = Path(__file__).resolve().parent / ".venv/bin/python"
if Path(sys.prefix) != _VENV_PYTHON.parent.parent and os.access(_VENV_PYTHON, os.X_OK):
    os.execv(_VENV_PYTHON, [str(_VENV_PYTHON), *sys.argv])  # noqa: S606  # so that ./ops.py works with nothing activated

import json as jsonlib
from typing import Annotated

import typer

from fleet import console, show
from fleet.commands import access, canary, change, explain, journal, top
from fleet.demo import story
from fleet.demo.story import Plot
from fleet.effects import inventory, release
from fleet.errors import FleetError
from fleet.lab.commands import lab
from fleet.observe import observe

app = typer.Typer(help=__doc__, no_args_is_help=True, pretty_exceptions_enable=False, rich_markup_mode="rich")
app.add_typer(change.commands)
app.add_typer(canary.commands)
app.add_typer(access.commands)
app.add_typer(journal.commands)
app.add_typer(explain.commands)
app.add_typer(top.commands)
app.add_typer(lab, name="lab")

Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]


@app.callback()
def common(
    inventory: Annotated[
        Path | None,
        typer.Option("--inventory", "-i", envvar="ANSIBLE_INVENTORY", help="Default: what ansible.cfg names."),
    ] = None,
) -> None:
    """Every Ansible process started from here reads the same inventory."""
    if inventory:
        os.environ["ANSIBLE_INVENTORY"] = str(inventory.resolve())


@app.command(epilog="Example: ./ops.py build 1.4.0")
def build(
    version: Annotated[str, typer.Argument(help="The new release's version, MAJOR.MINOR.PATCH.")],
    python: Annotated[str, typer.Option(help="The servers' Python: 3.11 on Debian 12, 3.13 on Debian 13.")] = "3.11",
) -> None:
    """Build a release, once, here: the service with all its dependencies in one archive, and its SHA-256."""
    built = release.build(version, python)
    typer.echo(f"{built.archive}  {built.archive.stat().st_size / 1e6:.1f} MB\nsha256 {built.sha256}")


@app.command(epilog="Example: ./ops.py status --watch")
def status(
    json: Json = False,
    watch: Annotated[bool, typer.Option("--watch", help="Look again and again, until Ctrl-C.")] = False,
    window: Annotated[float, typer.Option(help="Seconds over which rates and p95 are measured.")] = 2.0,
) -> None:
    """Show every instance and dispatcher: version, ready, since when, requests/s, p95, errors."""
    hosts = inventory.read()
    if not watch:
        fleet = observe(hosts, window)
        typer.echo(jsonlib.dumps(show.fleet_data(fleet), indent=2)) if json else console.show_fleet(fleet)
        return
    with console.live() as redraw:
        while True:
            redraw(observe(hosts, window))


@app.command(epilog="Example: ./ops.py demo --report /tmp/report.json")
def demo(
    report: Annotated[Path, typer.Option(help="Where the report goes, as JSON.")] = story.REPORT,
    rate: Annotated[float, typer.Option(min=1, max=500, help="Events published each second.")] = Plot.rate,
) -> None:
    """Start a lab, deploy, publish, update the fleet under the traffic; fail unless nothing failed or was lost."""
    if not story.tell(Plot(rate=rate), report):
        raise typer.Exit(1)


def main() -> None:
    """Run one verb; an error for the operator is a sentence on stderr and exit code 1."""
    try:
        app()
    except FleetError as error:
        typer.secho(f"error: {error}", fg="red", err=True)
        sys.exit(1)


if __name__ == "__main__":
    main()

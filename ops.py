#!/usr/bin/env python3
"""Operate an Amebo fleet: build releases, change it safely, look at it, rehearse on a lab."""

import os
import sys
from pathlib import Path

_VENV_PYTHON = Path(__file__).resolve().parent / ".venv/bin/python"
if Path(sys.prefix) != _VENV_PYTHON.parent.parent and _VENV_PYTHON.exists():
    os.execv(_VENV_PYTHON, [str(_VENV_PYTHON), *sys.argv])  # noqa: S606  # so that ./ops.py works with nothing activated

from typing import Annotated

import typer

from fleet.effects import release
from fleet.errors import FleetError
from fleet.lab.commands import lab

app = typer.Typer(help=__doc__, no_args_is_help=True, pretty_exceptions_enable=False, rich_markup_mode="rich")
app.add_typer(lab, name="lab")


@app.command(epilog="Example: ./ops.py build 1.4.0")
def build(
    version: Annotated[str, typer.Argument(help="The new release's version, MAJOR.MINOR.PATCH.")],
    python: Annotated[str, typer.Option(help="The servers' Python: 3.11 on Debian 12, 3.13 on Debian 13.")] = "3.11",
) -> None:
    """Build a release, once, here: the service with all its dependencies in one archive, and its SHA-256."""
    built = release.build(version, python)
    typer.echo(f"{built.archive}  {built.archive.stat().st_size / 1e6:.1f} MB\nsha256 {built.sha256}")


def main() -> None:
    """Run one verb; an error for the operator is a sentence on stderr and exit code 1."""
    try:
        app()
    except FleetError as error:
        typer.secho(f"error: {error}", fg="red", err=True)
        sys.exit(1)


if __name__ == "__main__":
    main()

"""The verbs of `ops.py lab`."""

import typer

lab = typer.Typer(help="Real Debian hosts on this machine, to rehearse on.", no_args_is_help=True)


@lab.callback()
def _lab() -> None: ...

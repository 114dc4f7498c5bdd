"""What a person sees while something runs: steps with their times, questions, reports."""

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime

import typer
from rich.console import Console, Group
from rich.live import Live

from fleet.errors import FleetError
from fleet.model import Fleet, Report, Step, Timed
from fleet.perform import Progress
from fleet.show import describe, fleet_table, plan_lines, summary

PIPED_WIDTH = 200  # who pipes a table into grep wants a row to be a line
out = Console(highlight=False, soft_wrap=True)


def confirm(question: str, *, yes: bool) -> None:
    """Ask unless `yes`; raises typer.Abort on no, FleetError where nobody can answer."""
    if yes:
        return
    if not sys.stdin.isatty():
        raise FleetError(f"{question} Nobody can answer here: add --yes to go on, or --dry-run to only look")
    typer.confirm(question, abort=True)


@contextmanager
def progress(*, quiet: bool = False) -> Iterator[Progress]:
    """A line for each step as it begins and ends; on a terminal the running task beside it."""
    if quiet:
        yield Progress()
        return
    with out.status("") as status:

        def begin(number: int, of: int, step: Step) -> None:
            out.print(f"[dim]{number:>3}/{of}[/dim] {describe(step)}")
            status.update(describe(step))

        def ended(timed: Timed) -> None:
            out.print(f"[green]       done[/green] [dim]in {timed.seconds:.1f} s[/dim]")

        yield Progress(step=begin, task=lambda task: status.update(f"[dim]{task}[/dim]"), ended=ended)


def show_fleet(fleet: Fleet) -> None:
    """The table and its sentence."""
    width = None if out.is_terminal else PIPED_WIDTH
    out.print(fleet_table(fleet, datetime.now(UTC)), width=width)
    out.print(f"\n{summary(fleet)}")


def show_plan(fleet: Fleet, steps: Sequence[Step]) -> None:
    """The fleet as it is, and what would be done."""
    show_fleet(fleet)
    out.print("\nThe plan:" if steps else "\nNothing to do.")
    out.print("\n".join(plan_lines(steps)), markup=False)


@contextmanager
def live() -> Iterator[Callable[[Fleet], None]]:
    """A screen that shows one fleet after the other in the same place, until Ctrl-C."""
    with suppress(KeyboardInterrupt), Live(console=out, auto_refresh=False) as screen:
        yield lambda fleet: screen.update(Group(fleet_table(fleet, datetime.now(UTC)), summary(fleet)), refresh=True)


def show_report(report: Report, *, resume: str) -> None:
    """Done, failed with the journal's last lines, untouched; `resume` is the command that goes on."""
    for word, instances in (("done", report.done), ("untouched", report.untouched)):
        if instances:
            out.print(f"[bold]{word}[/bold]  {', '.join(map(str, instances))}")
    for failed in report.failed:
        out.print(f"[bold red]failed[/bold red]  {failed.instance}: {failed.why}")
        if failed.instance in report.taken_out:
            out.print("        taken out of service: its socket is closed, the others serve")
        out.print("\n".join(f"        {line}" for line in failed.journal.splitlines()), style="dim", markup=False)
    if report.error:
        out.print("\n[red]Stopped:[/red]", end=" ")
        out.print(report.error, markup=False)
        for step in report.undone:
            out.print(f"[bold]taken back[/bold]  {describe(step)}", markup=True)
        then = "The others serve; look at the journal above" if report.failed else "Everything still serves; mend it"
        out.print(f"{then}, then go on with: {resume}")
    elif report.untouched:
        out.print(f"\nAll but the untouched run {report.version}. It took {report.seconds:.0f} s.")
    else:
        out.print(f"\nThe fleet runs {report.version}. It took {report.seconds:.0f} s.")

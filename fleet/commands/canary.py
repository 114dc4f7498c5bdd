"""`ops.py canary`: a release for a growing share of the publishers, compared with the old one at each step."""

import json as jsonlib
from contextlib import nullcontext
from typing import Annotated

import typer
from rich.table import Table

from fleet import canary as runner
from fleet import console, interlock, show
from fleet.commands.change import DryRun, Why, Yes
from fleet.effects import inventory, release, traffic
from fleet.effects.inventory import Inventory
from fleet.effects.synthetic import publishing
from fleet.errors import FleetError
from fleet.model import Step
from fleet.observe import observe
from fleet.plan import blue_green
from fleet.plan.canary import Abort, Advance, Decision, Finish, Hold, Policy
from fleet.plan.judge import Verdict
from fleet.report.commands import reported_change

commands = typer.Typer()
WISHES = {"pause": "pause", "go on": "", "promote": "promote", "abort": "abort"}


@commands.command(epilog="Example: ./ops.py canary 1.4.0 --steps 5,25,50,100 --soak 300")
def canary(
    version: Annotated[str | None, typer.Argument(help="A release in dist/.")] = None,
    steps: Annotated[
        str, typer.Option(help="Percent of the publishers at each step; the last is 100.")
    ] = "5,25,50,100",
    soak: Annotated[float, typer.Option(min=1, help="Seconds that each step takes at least.")] = 60.0,
    interval: Annotated[float, typer.Option(min=0.5, help="Seconds between two looks.")] = 10.0,
    ready: Annotated[int, typer.Option(min=0, help="Seconds that the old colour stays ready afterwards.")] = 600,
    synthetic: Annotated[
        float, typer.Option(min=0, help="While traffic is thin, publish so many probe events a second, to both sides.")
    ] = 0.0,
    pause: Annotated[bool, typer.Option("--pause", help="Hold the running canary where it is.")] = False,
    go_on: Annotated[bool, typer.Option("--go-on", help="End a pause.")] = False,
    promote: Annotated[bool, typer.Option("--promote", help="Give the running canary everything, unjudged.")] = False,
    abort: Annotated[bool, typer.Option("--abort", help="Give everything back to the old side.")] = False,
    reason: Why = "",
    dry_run: DryRun = False,
    yes: Yes = False,
    json: Annotated[bool, typer.Option("--json", help="With --dry-run: print the first steps as JSON.")] = False,
) -> None:
    """Give a release a growing share of the publishers, and compare both sides at each step.

    It goes on only when the new side is no worse; without enough data it holds; what is worse gets no traffic any more.
    The same command goes on where one was interrupted. --pause, --go-on, --promote and --abort are for a running one.
    """
    hosts = inventory.read()
    if wish := _wish(pause=pause, go_on=go_on, promote=promote, abort=abort):
        _tell_it(hosts, wish, yes=yes, dry_run=dry_run)
        return
    if version is None:
        raise FleetError("which version? For example: ./ops.py canary 1.4.0")
    release.find(version)
    policy = Policy(steps=_steps(steps), soak_seconds=soak, interval_seconds=interval)
    fleet = observe(hosts)
    first: tuple[Step, ...] = ()
    if runner.is_to_start(fleet, version):
        blue_green.serving(fleet)
        first = blue_green.start(fleet, version)
    if json:
        if not dry_run:
            raise FleetError("a canary's decisions are told as they come: --json goes with --dry-run")
        typer.echo(jsonlib.dumps(show.plan_data(first), indent=2))
        return
    if first:
        console.show_plan(fleet, first)
    console.out.print(
        f"Then {', '.join(f'{step} %' for step in policy.steps)} of the publishers, {soak:g} s each at least."
    )
    if dry_run:
        return
    console.confirm(f"Begin with {version}?", yes=yes)
    _run(hosts, version, policy, blue_green.Policy(ready_seconds=ready), synthetic, reason)


def _run(
    hosts: Inventory, version: str, policy: Policy, colours: blue_green.Policy, synthetic: float, reason: str
) -> None:
    with (
        reported_change(hosts, "canary", f"to {version}", reason) as change,
        publishing(hosts, synthetic) if synthetic else nullcontext() as probes,
        console.progress() as progress,
    ):
        traffic.change(hosts, hosts.group("loadbalancers"), {"wish": ""})
        report = runner.run(runner.Run(hosts, version, policy, colours, progress, change, _tell, probes))
        if report.error:
            change.failed(report.error)
    if probes:
        console.out.print(f"{probes.published} probe events were published; {probes.failed} of them failed")
    console.show_report(report, resume=f"./ops.py canary {version}")
    if report.error:
        raise typer.Exit(1)


def _tell(share: int, decision: Decision) -> None:
    """A line a look; the findings where it ends."""
    match decision:
        case Advance(to, verdict):
            console.out.print(
                f"       [green]{share} % passed[/green], on to {to} %" if verdict else f"       on to {to} %"
            )
        case Hold(why, _, is_overdue):
            console.out.print(f"       {'[yellow]' if is_overdue else '[dim]'}{why}[/]")
        case Abort(_, why):
            console.out.print(f"       [red]given up:[/red] {why}")
        case Finish(_, why):
            console.out.print(f"       [green]{share} % passed[/green]: {why}")
    is_news = not isinstance(decision, Hold) or decision.is_overdue
    if is_news and decision.verdict and decision.verdict.findings:
        console.out.print(_table(decision.verdict))


def _table(verdict: Verdict) -> Table:
    """Each metric a row, both sides beside each other."""
    table = Table(box=None, pad_edge=False, header_style="dim")
    for name in ("", "OLD", "NEW", "OF", "OF", ""):
        table.add_column(name, justify="left" if name == "" else "right")
    for found in verdict.findings:
        values = ("-" if value is None else f"{value:.4g}" for value in (found.old, found.new))
        colour = {"pass": "green", "fail": "red", "inconclusive": "yellow"}[found.outcome.value]
        sizes = (f"{found.old_sample:,}", f"{found.new_sample:,}")
        table.add_row(f"       [{colour}]{found.metric}[/{colour}]", *values, *sizes, found.why)
    return table


def _wish(**asked: bool) -> str:
    chosen = [name for name, wanted in asked.items() if wanted]
    if len(chosen) > 1:
        raise FleetError(f"one of {', '.join(chosen)}, please")
    return chosen[0].replace("_", " ") if chosen else ""


def _tell_it(hosts: Inventory, wish: str, *, yes: bool, dry_run: bool) -> None:
    """Whoever runs the canary reads it at the next look; where nobody does, nothing would happen."""
    held = interlock.holder(hosts)
    if held is None or held.verb != "canary":
        raise FleetError("no canary runs; to end one that was interrupted, run it again and tell it then")
    console.out.print(f"The canary of {held.who} ({held.what}) is told to {wish}.")
    if dry_run:
        return
    console.confirm(f"Tell it to {wish}?", yes=yes)
    traffic.change(hosts, hosts.group("loadbalancers"), {"wish": WISHES[wish]})


def _steps(text: str) -> tuple[int, ...]:
    try:
        return tuple(int(step) for step in text.split(","))
    except ValueError:
        raise FleetError(f"--steps is a list of percentages, as 5,25,50,100; got {text!r}") from None

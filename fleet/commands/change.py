"""The verbs that change the fleet: each looks, plans, shows it, asks, holds the lock, and does it step by step."""

import json as jsonlib
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from functools import partial
from typing import Annotated

import typer

from fleet import console, interlock, show
from fleet.effects import inventory, release, traffic
from fleet.effects.inventory import Inventory
from fleet.errors import FleetError, PlanRefused
from fleet.model import Fleet, Smoke, Step
from fleet.observe import observe
from fleet.perform import Undo, perform
from fleet.plan import blue_green as colours
from fleet.plan import rolling
from fleet.plan import scale as scaling
from fleet.report.commands import reported_change

commands = typer.Typer()

Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Show the plan and stop.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]
Why = Annotated[str, typer.Option("--reason", help="Why, for the journal.")]


class OnFailure(StrEnum):
    """What becomes of a rolling update that fails."""

    STOP = "stop"
    ROLLBACK = "rollback"


@dataclass(frozen=True)
class Verb:
    """A change by steps: its name, what the operator is asked, the plan for a fleet, the command that goes on.

    `what` is the journal's word for it, where that is not the version.
    """

    name: str
    question: str
    version: str
    plan: Callable[[Fleet], tuple[Step, ...]]
    resume: str
    policy: rolling.Policy = field(default_factory=rolling.Policy)
    undo: Undo | None = None
    what: str = ""


@commands.command(epilog="Example: ./ops.py rolling-update 1.4.0 --dry-run")
def rolling_update(
    version: Annotated[str | None, typer.Argument(help="A release in dist/; with --resume it can be left out.")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with an update that stopped part-way.")] = False,
    max_out: Annotated[
        float, typer.Option(min=0.01, help="Instances out of service at once: a share below 1, else a count.")
    ] = 0.25,
    soak: Annotated[float, typer.Option(min=0, help="Seconds that each stage has to stay ready.")] = 5.0,
    skip: Annotated[list[str] | None, typer.Option(help="Leave this host out; may be given again.")] = None,
    on_failure: Annotated[
        OnFailure, typer.Option(help="stop: leave what is done; rollback: take back what got the release.")
    ] = OnFailure.STOP,
    reason: Why = "",
    dry_run: DryRun = False,
    yes: Yes = False,
    json: Json = False,
) -> None:
    """Move every instance to a release: 1, 25 %, 50 %, 100 % of the fleet, never failing a request.

    It starts from what runs now, so that the same command goes on where one that failed or was killed stopped.
    """
    hosts = inventory.read()
    fleet = observe(hosts)
    version = version or _interrupted(fleet, resume=resume)
    release.find(version)
    policy = rolling.Policy(max_out=max_out, soak_seconds=soak, skip_hosts=frozenset(skip or ()))
    verb = Verb(
        "rolling-update",
        f"Move the fleet to {version}?",
        version,
        lambda found: rolling.plan(found, version, policy),
        f"./ops.py rolling-update {version} --resume",
        policy,
        (lambda found, _: rolling.undo(found, version, policy)) if on_failure is OnFailure.ROLLBACK else None,
    )
    _change(verb, hosts, fleet, reason, dry_run=dry_run, yes=yes, json=json)


@commands.command(epilog="Example: ./ops.py blue-green 1.4.0 --soak 60")
def blue_green(
    version: Annotated[str, typer.Argument(help="A release in dist/.")],
    soak: Annotated[float, typer.Option(min=0, help="Seconds that the new colour is watched.")] = 30.0,
    ready: Annotated[int, typer.Option(min=0, help="Seconds that the old colour stays ready to take over.")] = 600,
    reason: Why = "",
    dry_run: DryRun = False,
    yes: Yes = False,
    json: Json = False,
) -> None:
    """Start a release on the idle colour, ask it through the load balancers, switch all traffic, watch, keep the old.

    What turns bad while it is watched is taken back at once. The same command goes on where one was interrupted.
    """
    hosts = inventory.read()
    release.find(version)
    policy = colours.Policy(soak, ready)
    verb = Verb(
        "blue-green",
        f"Switch the fleet to {version}?",
        version,
        lambda found: colours.plan(found, version, policy),
        f"./ops.py blue-green {version}",
        undo=partial(colours.undo, policy=policy),
    )
    _change(verb, hosts, observe(hosts), reason, dry_run=dry_run, yes=yes, json=json)


@commands.command(epilog="Example: ./ops.py rollback --yes")
def rollback(
    reason: Why = "",
    dry_run: DryRun = False,
    yes: Yes = False,
    json: Json = False,
) -> None:
    """Go back to the version before: by a switch while the old colour is still ready, else by deploying it again."""
    hosts = inventory.read()
    fleet = observe(hosts)
    _change(_way_back(fleet), hosts, fleet, reason, dry_run=dry_run, yes=yes, json=json)


@commands.command(epilog="Example: ./ops.py scale 8")
def scale(
    instances: Annotated[int, typer.Argument(min=1, help="How many web instances the fleet should have.")],
    soak: Annotated[float, typer.Option(min=0, help="Seconds that new instances have to stay ready.")] = 5.0,
    reason: Why = "",
    dry_run: DryRun = False,
    yes: Yes = False,
    json: Json = False,
) -> None:
    """Start web instances on the hosts that have fewest, or stop some where there are most, never failing a request.

    It stops what runs and is not in the inventory, too. The same command goes on where one was interrupted.
    """
    hosts = inventory.read()
    fleet = observe(hosts)
    verb = Verb(
        "scale",
        f"Scale the fleet to {instances} instances?",
        scaling.version(fleet),
        lambda found: scaling.plan(found, instances, soak),
        f"./ops.py scale {instances}",
        what=f"to {instances} instances",
    )
    _change(verb, hosts, fleet, reason, dry_run=dry_run, yes=yes, json=json)


@commands.command(epilog="Example: ./ops.py maintenance-page on --queue")
def maintenance_page(
    state: Annotated[str, typer.Argument(help="on or off.")],
    queue: Annotated[bool, typer.Option("--queue", help="Hold requests for up to 30 s instead.")] = False,
    reason: Why = "",
    dry_run: DryRun = False,
    yes: Yes = False,
) -> None:
    """Answer publishers with 503 and Retry-After on all load balancers, or let them wait; reading goes on."""
    if state not in ("on", "off") or (queue and state == "off"):
        raise FleetError("maintenance-page is on, on --queue, or off")
    wanted = "queue" if queue else state
    hosts = inventory.read()
    names = hosts.group("loadbalancers")
    console.out.print(f"{', '.join(names)}: maintenance {wanted}")
    if dry_run:
        return
    console.confirm(f"Turn maintenance {state}?", yes=yes)
    with reported_change(hosts, "maintenance-page", f"maintenance {wanted}", reason) as change:
        traffic.change(hosts, names, {"maintenance": wanted})
    warn(change)


@commands.command(epilog="Example: ./ops.py shift 0 --reason 'lb-2 was away during the switch'")
def shift(
    green: Annotated[float, typer.Argument(min=0, max=100, help="Percent of the publishers that green gets.")],
    reason: Why = "",
    dry_run: DryRun = False,
    yes: Yes = False,
) -> None:
    """Set the share of green on all load balancers, by hand: where they disagree, or a canary was interrupted."""
    hosts = inventory.read()
    names = hosts.group("loadbalancers")
    console.out.print(f"{', '.join(names)}: {green:g} % of the traffic to green")
    if dry_run:
        return
    console.confirm(f"Send {green:g} % to green?", yes=yes)
    with reported_change(hosts, "shift", f"{green:g} % to green", reason) as change:
        traffic.change(hosts, names, {"green": green})
    warn(change)


def _way_back(fleet: Fleet) -> Verb:
    colours.serving(fleet)  # refuses a split, with what to do
    policy, version = colours.Policy(), colours.previous(fleet)
    if version:

        def back(found: Fleet) -> tuple[Step, ...]:
            if colours.previous(found) != version:
                raise PlanRefused(f"{version} is not ready to take traffic back any more; look again: ./ops.py status")
            return colours.back(found, policy)

        def let_go(found: Fleet, step: Step) -> tuple[Step, ...]:
            """What does not answer gets its time back, in which its hosts stop it."""
            return colours.undo(found, step, policy) if isinstance(step, Smoke) else ()

        return Verb(
            "rollback", f"Switch back to {version}?", version, back, f"./ops.py blue-green {version}", undo=let_go
        )
    before = _before(fleet)
    release.find(before)
    return Verb(
        "rollback",
        f"The old colour does not run any more. Deploy {before} again?",
        before,
        lambda found: colours.plan(found, before, policy),
        f"./ops.py blue-green {before}",
        undo=partial(colours.undo, policy=policy),
    )


def _before(fleet: Fleet) -> str:
    """What the idle colour ran last, unless that runs now."""
    releases = {o.release for o in fleet.idle if o.release}
    if len(releases) != 1 or releases == {o.version for o in fleet.instances}:
        raise PlanRefused(
            "cannot tell which version was before; name it: ./ops.py blue-green VERSION (see ./ops.py history)"
        )
    return releases.pop()


def _change(verb: Verb, hosts: Inventory, fleet: Fleet, reason: str, *, dry_run: bool, yes: bool, json: bool) -> None:
    steps = verb.plan(fleet)
    if not json:
        console.show_plan(fleet, steps)
    if not steps or dry_run:
        if json:
            typer.echo(jsonlib.dumps(show.plan_data(steps), indent=2))
        return
    console.confirm(verb.question, yes=yes)
    with reported_change(hosts, verb.name, verb.what or f"to {verb.version}", reason, quiet=json) as change:
        hosts = inventory.read()  # with the lock held nobody changes what is seen now
        steps = verb.plan(observe(hosts))
        with console.progress(quiet=json) as progress:
            report = perform(steps, verb.version, hosts, verb.policy, progress, change=change, undo=verb.undo)
        if report.error:
            change.failed(report.error)
    warn(change)
    if json:
        typer.echo(jsonlib.dumps(show.report_data(report), indent=2))
    else:
        console.show_report(report, resume=verb.resume)
    if report.error:
        raise typer.Exit(1)


def warn(change: interlock.Change) -> None:
    """On stderr, what the operator has to know beside the result."""
    for warning in change.warnings:
        typer.secho(f"warning: {warning}", fg="yellow", err=True)


def _interrupted(fleet: Fleet, *, resume: bool) -> str:
    if not resume:
        raise FleetError("which version? For example: ./ops.py rolling-update 1.4.0 (or --resume to go on)")
    return rolling.interrupted(fleet)

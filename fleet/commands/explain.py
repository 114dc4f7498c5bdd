"""The verbs that say why, and what would be: `explain`, `drift`, `plan`. They change nothing."""

import io
import json
import shlex
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import redirect_stdout
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape
from typer.main import get_command

from fleet import explain as explaining
from fleet import history, interlock
from fleet.commands import canary, change
from fleet.console import out
from fleet.effects import ansible, control, inventory, keepers, ssh
from fleet.effects import journal as copies
from fleet.effects.ansible import Play
from fleet.effects.inventory import Inventory
from fleet.effects.lease import Holder
from fleet.errors import FleetError, HostUnreachable
from fleet.facts import Facts, Finding, Guard, Guarded, Severity
from fleet.observe import observe
from fleet.plan import drift as drifting

commands = typer.Typer()

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")]

PLANNED = ("rolling-update", "blue-green", "canary", "rollback", "scale")
GUARD_STATE = "http://127.0.0.1:9405/state"
_CONTROL = Path(control.__file__).read_text()
_COLOURS = {Severity.WRONG: "red", Severity.UNSETTLED: "yellow", Severity.NOTE: "dim"}


@commands.command(epilog="Example: ./ops.py explain app-2:3310")
def explain(
    what: Annotated[
        str, typer.Argument(metavar="[HOST|INSTANCE]", help="A host, or a process as ./ops.py status names it.")
    ] = "",
    as_json: AsJson = False,
) -> None:
    """Say what is not as it should be, why, and what to do next; of a host or an instance, all that is known."""
    facts = _look(inventory.read())
    if what and what not in facts.names:
        raise FleetError(f"nothing here is called {what!r}; there are {', '.join(facts.names)}")
    findings = explaining.explain(facts, what)
    if as_json:
        typer.echo(json.dumps(explaining.data(facts, findings), indent=2, ensure_ascii=False))
        return
    for finding in findings:
        _show(finding)
    if not what:
        out.print(explaining.sentence(facts, findings), markup=False)


@commands.command(epilog="Example: ./ops.py drift --host app-1")
def drift(
    host: Annotated[str, typer.Option(help="One host instead of all.")] = "",
    as_json: AsJson = False,
) -> None:
    """Show what playbooks/site.yml would change now, as a diff; exit code 2 when it would change anything.

    Nothing is touched: Ansible runs in check mode, with the version that the inventory records.
    """
    hosts = inventory.read()
    if host and host not in hosts.hosts:
        raise FleetError(f"the inventory has no host {host!r}; it has {', '.join(sorted(hosts.hosts))}")
    if hosts.version is None:
        raise FleetError("the inventory records no version yet; playbooks/site.yml does, on its first run")
    result = _check(Play("site", {"amebo_version": hosts.version}, _limit(hosts, host), check=True), quiet=as_json)
    changes = [found for found in drifting.fold(result.changes) if host in ("", found.host)]
    if as_json:
        typer.echo(json.dumps(_drift_data(changes, result), indent=2, ensure_ascii=False))
    else:
        _show_changes(changes)
    _fail_with(result)
    if changes:
        raise typer.Exit(2)


@commands.command(
    context_settings={"allow_extra_args": True, "ignore_unknown_options": True},
    epilog="Example: ./ops.py plan blue-green 1.4.0 --soak 60",
)
def plan(
    context: typer.Context,
    verb: Annotated[str, typer.Argument(help=f"One of {', '.join(PLANNED)}; what it takes follows.")],
    as_json: AsJson = False,
) -> None:
    """Show the plan of a verb, and what bringing the release to the hosts would change there; nothing is touched."""
    if verb not in PLANNED:
        raise FleetError(f"there is no plan for {verb!r}; there is one for {', '.join(PLANNED)}")
    if not as_json:
        _dry_run(verb, context.args)
    steps = _steps(verb, context.args)
    stage = next((step for step in steps if step["step"] == "Stage"), None)
    result = _check(_staging(stage), quiet=as_json) if stage else None
    changes = drifting.fold(result.changes) if result else ()
    if as_json:
        staged = _drift_data(changes, result) if result else None
        typer.echo(json.dumps({"steps": steps, "stage": staged}, indent=2, ensure_ascii=False))
    elif stage:
        out.print(f"\nWhat the step “{stage['line']}” would change:\n", markup=False)
        _show_changes(changes)
    if result:
        _fail_with(result)


def _look(hosts: Inventory) -> Facts:
    """Everything at the same time: a host that does not answer is waited for once."""
    balancers = hosts.group("loadbalancers")
    with ThreadPoolExecutor() as pool:
        fleet = pool.submit(observe, hosts)
        guards = pool.submit(ssh.on_each, balancers, lambda name: _guard(hosts, name))
        lock = pool.submit(_holder, hosts)
        read = pool.submit(copies.read, keepers.over_ssh(hosts), balancers)
    found, away = read.result()
    held, unknown = lock.result()
    changes = history.changes(found)
    return Facts(
        fleet.result(),
        {name: guard for name, guard in guards.result().items() if guard},
        held,
        unknown,
        changes[-1] if changes else None,
        history.findings(found, {} if found else away).problems,
        hosts.groups.get("database", ()),
    )


def _holder(hosts: Inventory) -> tuple[Holder | None, str]:
    """Who has the lock, or why that cannot be told."""
    try:
        return interlock.holder(hosts), ""
    except FleetError as error:
        return None, str(error)


def _guard(hosts: Inventory, name: str) -> Guard | None:
    """None where there is none, and where the load balancer itself cannot be asked, which is found elsewhere."""
    request = json.dumps([{"method": "GET", "url": GUARD_STATE}])
    command = (
        "systemctl show --property=LoadState --value amebo-guard.service; "
        f"python3 -c {shlex.quote(_CONTROL)} {shlex.quote(request)}"
    )
    try:
        output = ssh.run(name, hosts.hosts[name], command)
    except HostUnreachable:
        return None
    installed, _, answers = output.stdout.partition("\n")
    if installed.strip() != "loaded" or output.code != 0:
        return None
    status, body = json.loads(answers)[0][0]
    return _guard_of(json.loads(body)) if status == 200 else Guard(error=f"it does not answer: {body.strip()[:200]}")


def _guard_of(state: Mapping[str, Any]) -> Guard:
    instances = {
        address: Guarded(str(found["state"]), str(found["why"]), int(found["ejections"]))
        for address, found in state["instances"].items()
    }
    return Guard(instances, bool(state["panic"]), str(state["error"]))


def _show(finding: Finding) -> None:
    """What, and under it why and what next."""
    colour = _COLOURS[finding.severity]
    out.print(f"[{colour}]{finding.severity.value:<9}[/{colour}]  {escape(finding.what)}")
    for word, text in (("why", finding.why), ("next", finding.next)):
        for number, line in enumerate(text.strip().splitlines()):
            out.print(f"[dim]{'' if number else word:>9}[/dim]  {escape(line)}")
    out.print()


def _limit(hosts: Inventory, host: str) -> tuple[str, ...]:
    """With the load balancers, who say which colour serves: without them a host would be told to serve the other."""
    return tuple(dict.fromkeys((host, *hosts.group("loadbalancers")))) if host else ()


def _check(play: Play, *, quiet: bool) -> ansible.Result:
    if quiet:
        return ansible.run(play)
    with out.status("") as status:
        return ansible.run(play, on_task=lambda task: status.update(f"[dim]{escape(task)}[/dim]"))


def _show_changes(changes: Sequence[drifting.Change]) -> None:
    for line in drifting.lines(changes):
        out.print(line, markup=False, style=_style(line.strip()))
    out.print(("\n" if changes else "") + drifting.summary(changes), markup=False)


def _style(line: str) -> str | None:
    return {"+": "green", "-": "red", "@": "cyan"}.get(line[:1])


def _drift_data(changes: Sequence[drifting.Change], result: ansible.Result) -> dict[str, Any]:
    by_host: dict[str, list[dict[str, Any]]] = {}
    for found in changes:
        by_host.setdefault(found.host, []).append({k: v for k, v in asdict(found).items() if k != "host"})
    return {"hosts": by_host, "failures": [asdict(failure) for failure in result.failures]}


def _fail_with(result: ansible.Result) -> None:
    """What a check did not get to is not known, and silence would look like nothing to do."""
    if not result.ok:
        said = "; ".join(f"{f.host}: {f.task}: {f.message}".lstrip(": ") for f in result.failures)
        raise FleetError(f"the check did not get everywhere, and what it did not get to is not known: {said}")


def _staging(stage: Mapping[str, Any]) -> Play:
    """As the step itself runs it."""
    return Play("stage", {"amebo_version": stage["version"]}, tuple(stage["hosts"]), check=True)


def _dry_run(verb: str, words: Sequence[str]) -> None:
    """The verb itself, as if it were typed."""
    commands = typer.Typer()
    commands.add_typer(change.commands)
    commands.add_typer(canary.commands)
    get_command(commands).main([verb, *words, "--dry-run"], prog_name="./ops.py", standalone_mode=False)


def _steps(verb: str, words: Sequence[str]) -> list[dict[str, Any]]:
    with redirect_stdout(io.StringIO()) as printed:
        _dry_run(verb, [*words, "--json"])
    steps: list[dict[str, Any]] = json.loads(printed.getvalue())
    return steps

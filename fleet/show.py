"""PURE: a fleet, a plan or a report as tables and lines for a person, and as plain data for JSON."""

from collections.abc import Sequence
from dataclasses import asdict, replace
from datetime import UTC, datetime
from typing import Any, assert_never

from rich.markup import escape
from rich.table import Table

from fleet.model import (
    Balance,
    Check,
    Dispatcher,
    Fleet,
    Instance,
    Keep,
    LoadBalancer,
    Migrate,
    Observed,
    Peer,
    Record,
    RecordPorts,
    Replace,
    ReplaceDispatchers,
    Report,
    Retire,
    Shift,
    Smoke,
    Soak,
    Stage,
    State,
    Step,
    Stop,
    SwitchDispatchers,
)

COLOURS = {
    State.READY: "green",
    State.DRAINING: "yellow",
    State.UNREADY: "red",
    State.STOPPED: "red",
    State.UNREACHABLE: "red",
}


def describe(step: Step) -> str:  # noqa: C901  # a case a step
    """One step in a line."""
    match step:
        case Check(version, hosts):
            return f"check that {version} could run on {_names(hosts)}"
        case Stage(version, hosts):
            return f"stage {version} on {_names(hosts)}"
        case Migrate(version, host):
            return f"migrate the database for {version}, from {host}"
        case Replace(version, instances):
            return f"replace {_names(instances)} with {version}"
        case Soak(version, instances, seconds):
            return f"soak: {_names(instances)} stay ready on {version} for {seconds:g} s"
        case ReplaceDispatchers(version, host):
            return f"restart {host}'s dispatchers on {version}"
        case Smoke(version, instances):
            return f"ask {_names(instances)} through every load balancer: ready on {version}"
        case Shift(green, load_balancers):
            return f"send {green:g} % of the traffic to green on {_names(load_balancers)}"
        case SwitchDispatchers(version, hosts):
            return f"stop all dispatchers, and start those of {_names(hosts)} on {version}"
        case Keep(instances):
            return f"keep {_names(instances)} from being stopped"
        case Retire(instances, seconds):
            return f"let {_names(instances)} stay ready for {seconds} s; then their hosts stop them"
        case Record(version):
            return f"record {version} in the inventory"
        case RecordPorts(hosts):
            ports = "; ".join(f"{host.name} has {_names(host.web_ports) or 'none'}" for host in hosts)
            return f"record the web ports in the inventory: {ports}"
        case Balance(load_balancers):
            return f"tell {_names(load_balancers)} which instances there are"
        case Stop(instances):
            return f"stop {_names(instances)}, once they have answered what they accepted"
        case _:
            assert_never(step)


def plan_lines(steps: Sequence[Step]) -> list[str]:
    """A numbered plan."""
    return [f"{number:>3}. {describe(step)}" for number, step in enumerate(steps, start=1)]


def plan_data(steps: Sequence[Step]) -> list[dict[str, Any]]:
    """A plan for JSON: each step's name, its fields and its line."""
    return [{"step": type(step).__name__, **asdict(step), "line": describe(step)} for step in steps]


def fleet_table(fleet: Fleet, now: datetime) -> Table:
    """Every process a row."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("PROCESS", "VERSION", "STATE", "SINCE"):
        table.add_column(name, no_wrap=True)
    for name in ("REQ/S", "P95 MS", "ERR/S"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("")
    for instance in fleet.instances:
        table.add_row(*_row(instance, now))
    for idle in fleet.idle:
        if idle.state is not State.STOPPED:
            table.add_row(*_row(idle, now))
    for stray in fleet.strays:
        table.add_row(*_row(replace(stray, detail="not in the inventory"), now))
    for dispatcher in fleet.dispatchers:
        table.add_row(*_row(dispatcher, now))
    return table


def fleet_data(fleet: Fleet) -> dict[str, Any]:
    """A fleet for JSON."""
    return {
        "version": fleet.version,
        "instances": [_data(o) | {"host": o.what.host, "port": o.what.port} for o in fleet.instances],
        "idle": [_data(o) | {"host": o.what.host, "port": o.what.port} for o in fleet.idle],
        "strays": [_data(o) | {"host": o.what.host, "port": o.what.port} for o in fleet.strays],
        "dispatchers": [_data(o) | {"host": o.what.host, "number": o.what.number} for o in fleet.dispatchers],
        "load_balancers": [asdict(each) for each in fleet.load_balancers],
        "full": dict(fleet.full),
    }


def report_data(report: Report) -> dict[str, Any]:
    """A report for JSON."""
    return {
        "version": report.version,
        "done": [str(i) for i in report.done],
        "failed": [{"instance": str(f.instance), "why": f.why, "journal": f.journal} for f in report.failed],
        "untouched": [str(i) for i in report.untouched],
        "taken_out": [str(i) for i in report.taken_out],
        "steps": [{"line": describe(t.step), "seconds": round(t.seconds, 2)} for t in report.steps],
        "undone": [describe(step) for step in report.undone],
        "error": report.error,
        "seconds": round(report.seconds, 2),
    }


def summary(fleet: Fleet) -> str:
    """The fleet in a sentence."""
    ready = [o for o in fleet.instances if o.state is State.READY]
    versions = sorted({o.version for o in fleet.instances if o.version})
    wanted = f"; the inventory asks for {fleet.version}" if fleet.version and versions != [fleet.version] else ""
    return (
        f"{len(ready)} of {len(fleet.instances)} instances ready, on {_names(versions) or 'no version'}{wanted}"
        + "".join(f"\n{line}" for line in map(_traffic, fleet.load_balancers))
    )


def _traffic(found: LoadBalancer) -> str:
    if found.green is None:
        return f"{found.name} cannot be asked: {found.detail}"
    shares: dict[float, str] = {0: "all traffic to blue", 100: "all traffic to green"}
    split = shares.get(found.green, f"{found.green:g} % of the traffic to green")
    out = [_reduced(each) for each in found.peers if each.weight < 100]
    parts = [
        *(["holds the shared address"] if found.holds else []),
        split,
        *out,
        *([f"maintenance: {found.maintenance}"] if found.maintenance != "off" else []),
    ]
    return f"{found.name}: {', '.join(parts)}"


def _reduced(peer: Peer) -> str:
    """What the guard took out is open, and half-open on its way back."""
    share = "out" if not peer.weight else f"at {peer.weight} %"
    state = {"": "", "guard": " (guard: open)" if not peer.weight else " (guard: half-open)"}
    return f"{peer.address} {share}{state.get(peer.by, f' (by {peer.by})')}"


def _row(found: Observed[Instance] | Observed[Dispatcher], now: datetime) -> tuple[str, ...]:
    colour, rates = COLOURS[found.state], found.rates
    numbers = ("", "", "")
    if rates:
        p95 = "" if rates.p95_ms is None else f"{rates.p95_ms:.0f}"
        numbers = (f"{rates.requests_per_second:.1f}", p95, f"{rates.errors_per_second:.1f}")
    state = f"[{colour}]{found.state.value}[/{colour}]"
    restarts = f"restarted {len(found.restarts)} times: {found.restarts[-1]}" if found.restarts else ""
    parts = (found.detail, restarts, "idle, retires" if found.retires else "")
    detail = escape(", ".join(part for part in parts if part))
    return (str(found.what), found.version or "", state, _ago(found.since, now), *numbers, detail)


def _data(found: Observed[Instance] | Observed[Dispatcher]) -> dict[str, Any]:
    return {
        "state": found.state.value,
        "ready": found.state is State.READY,
        "version": found.version,
        "since": found.since.isoformat() if found.since else None,
        "detail": found.detail,
        "restarts": list(found.restarts),
        "rates": asdict(found.rates) if found.rates else None,
    }


def _ago(since: datetime | None, now: datetime) -> str:
    if since is None:
        return ""
    seconds = max(0, int((now - since.astimezone(UTC)).total_seconds()))
    for size, letter in ((86400, "d"), (3600, "h"), (60, "m")):
        if seconds >= size:
            return f"{seconds // size} {letter}"
    return f"{seconds} s"


def _names(things: Sequence[object]) -> str:
    return ", ".join(map(str, things))

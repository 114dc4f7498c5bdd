"""PURE: what was seen of the fleet, one look after the other, as a screen for a person and as data for JSON."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from typing import Any

from rich.console import Group, JustifyMethod, RenderableType
from rich.table import Table
from rich.text import Text

from fleet.model import Colour, Dispatcher, Fleet, Host, Instance, LoadBalancer, Observed, Peer, State
from fleet.show import COLOURS, fleet_data

NARROW = 100  # columns; below, what can be missed is left out
SPARK = 40  # looks that a sparkline shows, where there is room
BARS = "▁▂▃▄▅▆▇█"
TROUBLES = 6  # sentences below the table


@dataclass(frozen=True)
class Running:
    """The change that holds the fleet's lock, and the last that the journal says of it."""

    change: str
    who: str
    verb: str
    what: str
    why: str
    since: str
    step: str = ""
    result: str = ""
    at: datetime | None = None


@dataclass(frozen=True)
class Lock:
    """Whether a change runs; `unknown` is why that cannot be told."""

    change: Running | None = None
    unknown: str = ""


Part = Fleet | Lock
Unasked = Callable[[str], Part]
"""Why somebody could not be asked → what is shown in the place of an answer."""


@dataclass(frozen=True)
class Answer:
    """What somebody said last, None before the first word, and for how many seconds nothing was heard since."""

    said: Part | None
    unasked: Unasked
    silent: float = 0.0


@dataclass(frozen=True)
class Snapshot:
    """The fleet at a moment; `addresses`: host → where load balancers find it; `awaited` said nothing yet."""

    at: datetime
    fleet: Fleet
    addresses: Mapping[str, str]
    lock: Lock = Lock()
    awaited: tuple[str, ...] = ()


@dataclass(frozen=True)
class Size:
    """Of the screen; a height of 0 has room for everything."""

    width: int = 80
    height: int = 0


@dataclass(frozen=True)
class Row:
    """A process as it is shown."""

    process: str
    colour: str
    version: str
    state: State
    since: str
    requests: str = ""
    p95: str = ""
    errors: str = ""
    traffic: str = ""

    @property
    def is_well(self) -> bool:
        return self.state is State.READY and (not self.traffic or self.traffic.startswith("idle"))


def snapshot(
    answers: Mapping[str, Answer],
    at: datetime,
    addresses: Mapping[str, str],
    *,
    version: str | None = None,
    patience: float = 0.0,
) -> Snapshot:
    """Put together what each said last; who has been silent for longer than `patience` counts as out of reach."""
    said = {name: _aged(name, answer, patience) for name, answer in answers.items()}
    parts = [part for part in said.values() if isinstance(part, Fleet)]
    locks = [part for part in said.values() if isinstance(part, Lock)]
    return Snapshot(
        at,
        _together(parts, version),
        addresses,
        locks[0] if locks else Lock(unknown="nobody has said yet whether a change runs"),
        tuple(name for name, part in said.items() if part is None),
    )


def unasked_host(host: Host, why: str) -> Fleet:
    """Everything that should run there, out of reach."""
    instances = (Instance(host.name, port, colour) for colour in Colour for port in host.ports(colour))
    dispatchers = (Dispatcher(host.name, number) for number in range(1, host.dispatchers + 1))
    return Fleet(
        tuple(Observed(each, State.UNREACHABLE, detail=why) for each in instances),
        tuple(Observed(each, State.UNREACHABLE, detail=why) for each in dispatchers),
    )


def unasked_balancer(name: str, why: str) -> Fleet:
    """A load balancer of which nothing is known."""
    return Fleet((), load_balancers=(LoadBalancer(name, detail=why),))


def unasked_lock(why: str) -> Lock:
    """Nobody knows whether a change runs."""
    return Lock(unknown=why)


def latest(lines: Sequence[str], running: Running) -> Running:
    """With the last step that these lines of the journal tell of this change."""
    entries = [entry for entry in map(json.loads, lines) if entry["change"] == running.change]
    steps = [entry for entry in entries if entry["what"] != running.what]
    if not steps:
        return running
    last = steps[-1]
    return replace(running, step=last["what"], result=last["result"], at=datetime.fromisoformat(last["time"]))


def frame(series: Sequence[Snapshot], size: Size) -> Group:
    """The last look as a screen, with the way to it as sparklines."""
    last = series[-1]
    above: list[RenderableType] = [_headline(last), *_sparklines(series, size), *_change(last)]
    below, rows = _troubles(last), _rows(last)
    if size.height:
        heads = len(above) + 1 + 1 + len(last.fleet.load_balancers) + 1 + 1  # two tables, a line before each
        height = sum(len(line) // max(1, size.width - 20) + 1 for line in below)  # words wrap a little before the edge
        rows, left_out = fitted(rows, max(1, size.height - heads - height - 1))  # the terminal's last line stays free
        below = [*([Text(left_out, "dim")] if left_out else []), *below]
    return Group(*above, Text(), _balancer_table(last.fleet, size), Text(), _process_table(rows, size), *below)


def data(last: Snapshot) -> dict[str, Any]:
    """A look for JSON."""
    found = fleet_data(last.fleet)
    for name, observed in (("instances", last.fleet.instances), ("idle", last.fleet.idle)):
        for entry, each in zip(found[name], observed, strict=True):
            entry |= {"colour": each.what.colour.value, "traffic": standing(each.what, last)}
    change = last.lock.change
    requests, errors = totals(last.fleet)
    return {
        "at": last.at.isoformat(),
        **found,
        "requests_per_second": requests,
        "errors_per_second": errors,
        "change": {**asdict(change), "at": change.at.isoformat() if change.at else None} if change else None,
        "change_unknown": last.lock.unknown,
        "awaited": list(last.awaited),
    }


def totals(fleet: Fleet) -> tuple[float | None, float | None]:
    """Requests and errors per second of all instances together; None when nothing is known of any."""
    known = [each.rates for each in (*fleet.instances, *fleet.idle) if each.rates]
    if not known:
        return None, None
    return sum(rates.requests_per_second for rates in known), sum(rates.errors_per_second for rates in known)


def sparkline(values: Sequence[float | None]) -> str:
    """A bar a value, from zero up to the largest; a gap where nothing is known, and more than zero always shows."""
    top = max((value for value in values if value), default=0.0)
    return "".join(" " if value is None else BARS[_height(value, top)] for value in values)


def standing(instance: Instance, seen: Snapshot) -> str:
    """What the load balancers make of an instance, where that is not all of its share; by name where they differ."""
    address = f"{seen.addresses.get(instance.host, instance.host)}:{instance.port}"
    said = {
        each.name: next((_weighed(peer) for peer in each.peers if peer.address == address), "not known there")
        for each in seen.fleet.load_balancers
        if each.green is not None
    }
    if len(set(said.values())) == 1:
        return next(iter(said.values()))
    return "; ".join(f"{name}: {word}" for name, word in said.items() if word)


def fitted(rows: Sequence[Row], room: int) -> tuple[tuple[Row, ...], str]:
    """As many as there is room for, the worst first, and a line that says what was left out."""
    if len(rows) <= room:
        return tuple(rows), ""
    kept = sorted(rows, key=lambda row: (row.state is State.READY, row.is_well))[: room - 1]
    left = [row for row in rows if row not in kept]
    unwell = sum(not row.is_well for row in left)
    word = f"{unwell} of them not well" if unwell else "all well"
    return tuple(row for row in rows if row in kept), f"… and {len(left)} more, {word}; a higher window shows them"


def _aged(name: str, answer: Answer, patience: float) -> Part | None:
    if answer.silent <= patience:
        return answer.said
    return answer.unasked(f"{name} has not answered for {answer.silent:.0f} s")


def _together(parts: Sequence[Fleet], version: str | None) -> Fleet:
    """One fleet of many looks. Who is idle is for the load balancers to say, whom the looks at hosts did not ask."""
    balancers = tuple(each for part in parts for each in part.load_balancers)
    shares = [each.green for each in balancers if each.green is not None]
    idle = {
        *({Colour.BLUE} if shares and all(share == 100 for share in shares) else ()),
        *({Colour.GREEN} if all(share == 0 for share in shares) else ()),
    }
    instances = [each for part in parts for each in (*part.instances, *part.idle)]
    instances.sort(key=lambda each: each.what)
    return Fleet(
        tuple(each for each in instances if each.what.colour not in idle),
        tuple(each for part in parts for each in part.dispatchers),
        version,
        tuple(each for each in instances if each.what.colour in idle),
        balancers,
    )


def _headline(seen: Snapshot) -> Text:
    instances = seen.fleet.instances
    ready = sum(each.state is State.READY for each in instances)
    versions = sorted({each.version for each in instances if each.version})
    is_other = seen.fleet.version and versions and versions != [seen.fleet.version]
    parts = [
        Text(f"{ready} of {len(instances)} instances ready", "bold green" if ready == len(instances) else "bold red"),
        Text(f"on {', '.join(versions) or 'no version'}"),
        *([Text(f"the inventory asks for {seen.fleet.version}", "yellow")] if is_other else []),
    ]
    asking = [Text(f"asking {', '.join(seen.awaited)} …", "yellow")] if seen.awaited else []
    line = Text(f"{seen.at.astimezone(UTC):%H:%M:%S} UTC  ", no_wrap=True, overflow="ellipsis")
    return line.append(Text(", ").join([*(parts if instances else []), *asking]))


def _sparklines(series: Sequence[Snapshot], size: Size) -> list[Text]:
    looks = [totals(each.fleet) for each in series[-min(SPARK, max(8, size.width - 40)) :]]
    return [
        _sparkline("requests/s", [requests for requests, _ in looks], "cyan"),
        _sparkline("errors/s", [errors for _, errors in looks], "red"),
    ]


def _sparkline(name: str, values: Sequence[float | None], style: str) -> Text:
    known = [value for value in values if value is not None]
    now = "?" if values[-1] is None else f"{values[-1]:.1f}"
    line = Text(f"{name:<10} {now:>8}  ", no_wrap=True)
    line.append(sparkline(values), style)
    return line.append(f"  at most {max(known):.1f}" if known else "", "dim")


def _change(seen: Snapshot) -> list[Text]:
    change = seen.lock.change
    if change is None:
        unknown = f"unknown: {seen.lock.unknown}" if seen.lock.unknown else ""
        return [_line("change     ", unknown or "none runs", "yellow" if unknown else "dim")]
    why = f": {change.why}" if change.why else ""
    first = f"{change.verb} {change.what}, by {change.who}, since {change.since}{why}"
    if not change.step:
        return [_line("change     ", first, "bold yellow")]
    ago = f" {_span((seen.at - change.at).total_seconds())} ago" if change.at else ""
    return [
        _line("change     ", first, "bold yellow"),
        _line("  step     ", f"{change.result}{ago}: {change.step}", "red" if "fail" in change.result else "yellow"),
    ]


def _line(name: str, text: str, style: str) -> Text:
    return Text(name, no_wrap=True, overflow="ellipsis").append(text, style)


def _balancer_table(fleet: Fleet, size: Size) -> Table:
    page = "PAGE" if size.width < NARROW else "MAINTENANCE"
    table = _table(size, "LOAD BALANCER", ">BLUE", ">GREEN", "SINCE", page, ">BUSY", "INSTANCES")
    for each in fleet.load_balancers:
        table.add_row(each.name, *_balancer_cells(each))
    return table


def _balancer_cells(found: LoadBalancer) -> tuple[str | Text, ...]:
    if found.green is None:
        return "", "", "", "", "", Text("cannot be asked", "red")
    page = Text(found.maintenance, "dim" if found.maintenance == "off" else "bold yellow")
    since = f"{datetime.fromtimestamp(found.since, UTC):%H:%M:%S}" if found.since else ""
    busy = str(sum(peer.active for peer in found.peers))
    blue, green = (_percent(share) for share in (100 - found.green, found.green))
    return blue, green, since, page, busy, _peers(found)


def _peers(found: LoadBalancer) -> Text:
    """How many are out of its groups, or get less; which, is said at the instance itself."""
    out = sum(not peer.weight for peer in found.peers)
    less = sum(0 < peer.weight < 100 for peer in found.peers)
    tripped = sum(peer.tripped for peer in found.peers)
    counts = ((out, "out"), (less, "with less"), (tripped, "tripped"))
    parts = [f"{count} {word}" for count, word in counts if count]
    parts += [f"wish: {found.wish}"] if found.wish else []
    return Text(", ".join(parts) or "all in", "yellow" if parts else "dim")


def _rows(seen: Snapshot) -> tuple[Row, ...]:
    idle = [each for each in seen.fleet.idle if each.state is not State.STOPPED]
    return (
        *(_row(each, seen, each.what.colour.value, standing(each.what, seen)) for each in seen.fleet.instances),
        *(_row(each, seen, each.what.colour.value, "idle, retires" if each.retires else "idle") for each in idle),
        *(_row(each, seen, "", "") for each in seen.fleet.dispatchers),
    )


def _row(found: Observed[Instance] | Observed[Dispatcher], seen: Snapshot, colour: str, traffic: str) -> Row:
    numbers = ("", "", "")
    if found.rates:
        p95 = "" if found.rates.p95_ms is None else f"{found.rates.p95_ms:.0f}"
        numbers = (f"{found.rates.requests_per_second:.1f}", p95, f"{found.rates.errors_per_second:.1f}")
    since = _span((seen.at - found.since).total_seconds()) if found.since else ""
    return Row(str(found.what), colour, found.version or "", found.state, since, *numbers, traffic=traffic)


def _process_table(rows: Sequence[Row], size: Size) -> Table:
    is_wide = size.width >= NARROW
    since = ("SINCE",) if is_wide else ()
    names = ("PROCESS", "COLOUR", "VERSION", "STATE", *since, ">REQ/S", ">P95 MS", ">ERR/S", "TRAFFIC")
    table = _table(size, *names)
    for row in rows:
        table.add_row(*_cells(row, is_wide=is_wide))
    return table


def _cells(row: Row, *, is_wide: bool) -> tuple[str | Text, ...]:
    errors = Text(row.errors, "bold red" if row.errors not in ("", "0.0") else "")
    state = Text(row.state.value, COLOURS[row.state])
    traffic = Text(row.traffic, "dim" if row.traffic.startswith("idle") else "yellow")
    since = (row.since,) if is_wide else ()
    return row.process, Text(row.colour, row.colour), row.version, state, *since, row.requests, row.p95, errors, traffic


def _troubles(seen: Snapshot) -> list[Text]:
    """Each reason once, however many processes have it."""
    whys: dict[str, None] = {}
    processes: tuple[Observed[Instance] | Observed[Dispatcher], ...]
    processes = (*seen.fleet.instances, *seen.fleet.idle, *seen.fleet.dispatchers)
    for each in processes:
        if each.detail:
            whys.setdefault(each.detail if each.state is State.UNREACHABLE else f"{each.what}: {each.detail}")
    for balancer in seen.fleet.load_balancers:
        if balancer.green is None:
            whys.setdefault(_with_name(balancer.name, balancer.detail))
    lines = [Text(why.replace("\n", " "), "red", overflow="fold") for why in whys]
    more = len(lines) - TROUBLES
    return [Text(), *lines[:TROUBLES], *([Text(f"… and {more} more", "dim")] if more > 0 else [])] if lines else []


def _table(size: Size, *names: str) -> Table:
    """No cell takes a second line, so that its height is known. A name after `>` is of numbers."""
    gap = 2 if size.width >= NARROW else 1
    table = Table(box=None, pad_edge=False, padding=(0, gap, 0, 0), header_style="bold")
    for name in names:
        justify: JustifyMethod = "right" if name.startswith(">") else "left"
        table.add_column(name.removeprefix(">"), justify=justify, no_wrap=True, overflow="ellipsis")
    return table


def _weighed(peer: Peer) -> str:
    by = f" by {peer.by}" if peer.by else ""
    if not peer.weight:
        return f"out{by}"
    less = [f"{peer.weight} %{by}"] if peer.weight < 100 else []
    return ", ".join([*less, *(["tripped"] if peer.tripped else [])])


def _height(value: float, top: float) -> int:
    if value <= 0:
        return 0
    return max(1, round((len(BARS) - 1) * value / top))


def _percent(share: float) -> str:
    return f"{share:g} %"


def _with_name(name: str, why: str) -> str:
    return why if name in why else f"{name}: {why}"


def _span(seconds: float) -> str:
    whole = max(0, int(seconds))
    for size, letter in ((86400, "d"), (3600, "h"), (60, "m")):
        if whole >= size:
            return f"{whole // size} {letter}"
    return f"{whole} s"

"""Hosts, web instances and dispatchers: which do not do their work, and which versions they run."""

from collections.abc import Iterator, Mapping, Sequence

from fleet.facts import Facts, Finding, Process, Severity
from fleet.findings.words import FULL, names, sentence
from fleet.model import Dispatcher, Instance, Observed, Peer, State

DATABASE = "database unreachable"  # in an instance's own words


def find(facts: Facts) -> Iterator[Finding]:
    """The hosts first: what cannot be asked says nothing."""
    for look in (_hosts, _disks, _database, _processes, _restarts, _strays, _versions):
        yield from look(facts)


def _hosts(facts: Facts) -> Iterator[Finding]:
    """One finding for a host, however much was to be asked there."""
    everything: tuple[Process, ...] = (*facts.processes, *facts.fleet.idle)
    lost = [o for o in everything if o.state is State.UNREACHABLE]
    for host in sorted({o.what.host for o in lost}):
        there = [o for o in lost if o.what.host == host]
        yield Finding(
            Severity.WRONG,
            (host,),
            f"{host} cannot be asked; nothing is known of {names(there)}.",
            f"{sentence(there[0].detail)}{_alive(facts, host)}",
            f"Bring it back. A rolling update can leave it out meanwhile, with --skip {host}",
        )


def _alive(facts: Facts, host: str) -> str:
    """What others know of a host that does not answer us."""
    guarded = [
        found
        for guard in facts.guards.values()
        if not guard.error
        for address, found in guard.instances.items()
        if (instance := facts.instance_at(address)) and instance.host == host
    ]
    if any(found.state == "closed" and not found.why for found in guarded):
        return " The guard finds that it serves, so SSH alone may be the matter."
    if guarded and all(found.state == "open" for found in guarded):
        return " The guard finds no life in it, either, and sends it no request."
    return ""


def _disks(facts: Facts) -> Iterator[Finding]:
    for host, left in facts.fleet.full:
        text = f"{host} has {left} MB of disk left: no release can be deployed to it."
        why = "What runs there goes on; without any, its journal and its log lose lines."
        after = f"What takes the room: ssh {host} 'sudo du -xm --max-depth=3 / | sort -n | tail'"
        yield Finding(Severity.UNSETTLED, (host,), text, why, after)


def _database(facts: Facts) -> Iterator[Finding]:
    """One finding, however many miss it: who else does says where to look."""
    processes = facts.processes
    asked = [o for o in processes if o.state in (State.READY, State.UNREADY)]
    missing = [o for o in asked if o.detail == DATABASE]
    name = facts.databases[0] if facts.databases else "the database's host"
    if not missing:
        ready = sum(o.state is State.READY for o in processes)
        text = f"Nothing is asked of {name} itself; {ready} of {len(processes)} processes say that they reach it."
        yield Finding(Severity.NOTE, facts.databases or (name,), text)
        return
    hosts = sorted({o.what.host for o in missing})
    if len(missing) == len(asked):
        why = "All that answer say so: it is the database, or the way to it."
        after = f"They come back by themselves. To look at it: ssh {name} sudo systemctl status 'postgresql@*'"
    else:
        why = "The others reach it: it is these processes, or the way from their hosts."
        after = "\n".join(f"What they say: ssh {host} sudo journalctl -n 30 -u 'amebo-*'" for host in hosts)
    about = (*facts.databases, *(str(o.what) for o in missing))
    yield Finding(Severity.WRONG, about, f"{names(missing)} cannot reach the database.", why, after)


def _processes(facts: Facts) -> Iterator[Finding]:
    for found in facts.processes:
        if found.state is not State.UNREACHABLE and found.detail != DATABASE:
            yield _process(facts, found)
    for idle in facts.fleet.idle:
        if idle.state is not State.UNREACHABLE:
            yield _idle(idle)


def _restarts(facts: Facts) -> Iterator[Finding]:
    """What came back by itself works, and will not for long."""
    for found in facts.processes:
        if found.restarts:
            times = "once" if len(found.restarts) == 1 else f"{len(found.restarts)} times"
            text = f"{found.what} ended {times} within the last hour, and its host started it again."
            why = _ENDS.get(found.restarts[-1], f"systemd calls it {found.restarts[-1]}.")
            after = f"Its journal says more: {_journal_of(found.what)}\nIf it began with a release: ./ops.py rollback"
            yield Finding(Severity.UNSETTLED, (str(found.what),), text, why, after)


_ENDS = {
    "exit-code": "It ended with an error.",
    "oom-kill": "It took more memory than amebo_memory_max allows, or than its host has, and was killed.",
    "signal": "It was killed: by somebody, or by the kernel for want of memory.",
    "core-dump": "It crashed.",
    "timeout": "It did not get ready in time, or did not end in time.",
}


def _strays(facts: Facts) -> Iterator[Finding]:
    """Under way while somebody scales the fleet; else left behind."""
    for stray in facts.fleet.strays:
        text = f"{stray.what} runs, and the inventory does not have it."
        why = "Scaling the fleet stopped part-way, or its port was taken out of the inventory by hand."
        after = f"To stop it: ./ops.py scale {facts.size}"
        if facts.holder:
            why, after = f"{facts.holder.verb} of {facts.holder.who} is under way.", ""
        yield Finding(Severity.UNSETTLED, (str(stray.what),), text, why, after)


def _process(facts: Facts, found: Process) -> Finding:
    about, version = (str(found.what),), facts.fleet.version or "VERSION"
    update = f"./ops.py rolling-update {version}"
    seen = _seen(facts, found.what)
    match found.state:
        case State.READY:
            since = f", since {found.since:%Y-%m-%d %H:%M:%S} UTC" if found.since else ""
            return Finding(Severity.NOTE, about, f"{found.what} is ready on {found.version}{since}.", seen)
        case State.DRAINING:
            text = f"{found.what} is about to end: it finishes what it holds and accepts nothing more."
            after = f"If it stays like this, its journal says why: {_journal_of(found.what)}"
            return Finding(Severity.UNSETTLED, about, text, seen, after)
        case State.STOPPED:
            why = f"systemd says: {found.detail}." if found.detail else _stopped(found.what)
            after = f"Its journal says more: {_journal_of(found.what)}\nThis starts it again: {update}"
            return Finding(Severity.WRONG, about, f"{found.what} does not run.", f"{why} {seen}", after)
    if found.detail in ("schema too old", "schema too new"):
        why, after = _SCHEMA[found.detail], f"This brings both together: {update}"
    else:
        why, after = f"It says: {found.detail}.", f"Its journal says more: {_journal_of(found.what)}"
    on = f" on {found.version}" if found.version else ""
    return Finding(Severity.WRONG, about, f"{found.what} runs{on}, and is not ready.", f"{why} {seen}", after)


_SCHEMA = {
    "schema too old": "The database lacks migrations that its release needs.",
    "schema too new": "Migrations have left its release behind.",
}


def _idle(found: Observed[Instance]) -> Finding:
    """Without traffic nothing that it does is wrong."""
    about, colour = (str(found.what),), found.what.colour
    if found.state is State.STOPPED:
        return Finding(Severity.NOTE, about, f"{found.what} is stopped: {colour} has no traffic.", _units(found))
    text = f"{found.what} has no traffic, like all of {colour}; it is {found.state.value} on {found.version}."
    if found.retires:
        after = "Until then ./ops.py rollback switches all traffic back to it."
        return Finding(Severity.NOTE, about, text, "It is kept to take traffic back; its host stops it soon.", after)
    return Finding(Severity.NOTE, about, text, "Nothing is going to stop it.")


def _units(found: Observed[Instance]) -> str:
    return f"systemd says: {found.detail}." if found.detail else ""


def _stopped(what: Instance | Dispatcher) -> str:
    if isinstance(what, Dispatcher):
        return "It was stopped; the others deliver."
    return "Its socket and both slots were stopped: by hand, or by an update that found it unwell and took it out."


def _journal_of(what: Instance | Dispatcher) -> str:
    unit = f"amebo-web-*@{what.port}" if isinstance(what, Instance) else f"amebo-dispatcher@{what.number}"
    return f"ssh {what.host} sudo journalctl -n 30 -u '{unit}.service'"


def _seen(facts: Facts, what: Instance | Dispatcher) -> str:
    """What the load balancers do with it."""
    return " ".join(
        f"{balancer.name} {_place(peer, facts.because(balancer.name, peer.address))}."
        for balancer in facts.fleet.load_balancers
        for peer in balancer.peers
        if facts.instance_at(peer.address) == what
    )


def _place(peer: Peer, why: str) -> str:
    if peer.weight and peer.tripped:
        return "avoids it, because requests to it failed"
    who = f" ({peer.by}{f': {why}' if why else ''})" if peer.by else ""
    share = "" if peer.weight == FULL else f" at {peer.weight} %"
    return f"has it in rotation{share}{who}" if peer.weight else f"leaves it out{who}"


def _versions(facts: Facts) -> Iterator[Finding]:
    """While somebody changes the fleet, or traffic is split, several versions are what is meant."""
    fleet = facts.fleet
    by_version: dict[str, list[Process]] = {}
    for found in facts.processes:
        if found.state is State.READY and found.version:
            by_version.setdefault(found.version, []).append(found)
    if fleet.version is None:
        text = "The inventory does not say which version the fleet should run."
        yield Finding(Severity.UNSETTLED, (), text, "", "An update writes it down: ./ops.py rolling-update VERSION")
    elif facts.holder is None and not facts.is_split and set(by_version) - {fleet.version}:
        yield _other_versions(fleet.version, by_version)


def _other_versions(recorded: str, by_version: Mapping[str, Sequence[Process]]) -> Finding:
    others = sorted(set(by_version) - {recorded})
    if len(by_version) == 1:
        text = f"The whole fleet runs {others[0]}, and the inventory asks for {recorded}."
        why = "Another copy of the inventory was used, or the last step of an update, which writes it down, is missing."
        after = f"To go to {recorded}: ./ops.py rolling-update {recorded}\n"
        after += f"To keep {others[0]}, and write it down: ./ops.py rolling-update {others[0]}"
        return Finding(Severity.UNSETTLED, (), text, why, after)
    behind = [found for version in others for found in by_version[version]]
    text = f"Several versions run: {'; '.join(f'{v} on {names(by_version[v])}' for v in sorted(by_version))}."
    why = f"An update stopped part-way; the inventory asks for {recorded}."
    after = f"To go on: ./ops.py rolling-update {others[-1]}\nTo go back: ./ops.py rolling-update {recorded}"
    return Finding(Severity.UNSETTLED, tuple(str(found.what) for found in behind), text, why, after)

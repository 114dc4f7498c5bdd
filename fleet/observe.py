"""Ask every app host what runs on it: one snapshot of the fleet. Reads only."""

import json
import shlex
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from pathlib import Path
from typing import Any

from fleet import rates
from fleet.effects import probe, ssh, traffic
from fleet.effects.inventory import Inventory
from fleet.errors import HostUnreachable
from fleet.model import Colour, Dispatcher, Fleet, Host, Instance, LoadBalancer, Observed, Process, Rates, State, Work

MIN_FREE_MEGABYTES = 200  # as in roles/amebo/defaults, which an inventory does not show
_PROBE = Path(probe.__file__).read_text()


def observe(inventory: Inventory, window: float = 0) -> Fleet:
    """One SSH command a host, all hosts at once; `window` seconds between the two readings that rates come from."""
    hosts = {host.name: host for host in inventory.app_hosts}
    with ThreadPoolExecutor(1) as beside:  # a host that is silent holds up everybody once, not twice
        balancers = beside.submit(traffic.read, inventory)
        answers = ssh.on_each(hosts, lambda name: _ask(hosts[name], inventory.hosts[name], window))
        load_balancers = balancers.result()
    instances = [
        _observed(Instance(host.name, port, colour), answers[host.name], f"web-{port}")
        for host in hosts.values()
        for colour in Colour
        for port in host.ports(colour)
    ]
    strays = [
        _observed(Instance(host.name, port), answers[host.name], f"web-{port}")
        for host in hosts.values()
        for port in _web_ports(answers[host.name]) - {*host.web_ports, *host.green_ports}
    ]
    dispatchers = [
        _observed(Dispatcher(host.name, number), answers[host.name], f"dispatcher-{number}")
        for host in hosts.values()
        for number in range(1, host.dispatchers + 1)
    ]
    serving = _serving(load_balancers)
    return Fleet(
        tuple(o for o in instances if o.what.colour in serving),
        tuple(dispatchers),
        inventory.version,
        tuple(o for o in instances if o.what.colour not in serving),
        load_balancers,
        tuple(sorted(strays, key=lambda stray: stray.what)),
        inventory.app_hosts,
        tuple(
            (name, int(answer["free_megabytes"]))
            for name, answer in answers.items()
            if not isinstance(answer, str) and answer["free_megabytes"] < _wanted(inventory, name)
        ),
    )


def _wanted(inventory: Inventory, name: str) -> int:
    """How many megabytes a release asks for."""
    return int(inventory.hosts[name].get("amebo_min_free_megabytes", MIN_FREE_MEGABYTES))


def _web_ports(answer: Mapping[str, Any] | str) -> set[int]:
    """Every port that a host told of."""
    return set() if isinstance(answer, str) else {int(key.removeprefix("web-")) for key in answer if key[:4] == "web-"}


def _serving(load_balancers: tuple[LoadBalancer, ...]) -> frozenset[Colour]:
    """The colours that have traffic anywhere; blue, where no load balancer says so."""
    shares = [each.green for each in load_balancers if each.green is not None]
    blue, green = any(share < 100 for share in shares), any(share > 0 for share in shares)
    return frozenset({Colour.BLUE} if blue or not green else ()) | frozenset({Colour.GREEN} if green else ())


def _ask(host: Host, variables: Mapping[str, Any], window: float) -> Mapping[str, Any] | str:
    """What the probe found, or why it could not be asked."""
    ports = ",".join(map(str, (*host.web_ports, *host.green_ports)))
    command = f"sudo -n python3 -c {shlex.quote(_PROBE)} {window} '{ports}' {host.dispatchers}"
    try:
        output = ssh.run(host.name, variables, command, timeout=int(30 + window))
    except HostUnreachable as error:
        return str(error)
    if output.code != 0:
        return f"{host.name}: the probe failed: {output.stderr.strip().splitlines()[-1:]}"
    answer: Mapping[str, Any] = json.loads(output.stdout)
    return answer


def _observed(what: Process, answer: Mapping[str, Any] | str, key: str) -> Observed[Process]:
    if isinstance(answer, str):
        return Observed(what, State.UNREACHABLE, detail=answer)
    found = answer[key]
    if found["ready"] is None:
        return Observed(what, State.STOPPED, detail=_units(found), release=found.get("release"))
    status, body = found["ready"]
    if status == 0:
        return Observed(what, State.UNREADY, detail=f"no answer: {body}")
    health = _health(body)
    return Observed(
        what,
        _state(status, health),
        version=health.get("version"),
        since=datetime.fromisoformat(health["since"]) if "since" in health else None,
        detail="" if status == 200 else str(health.get("status", f"answers {status}")),
        rates=_rates(found.get("readings", {})),
        release=found.get("release"),
        retires=bool(found.get("retires")),
        work=_work(found.get("readings", {})),
        restarts=tuple(found.get("restarts", ())),
    )


def _units(found: Mapping[str, Any]) -> str:
    """What is not simply off: a failed slot, a socket that still listens."""
    units = {f"slot {slot}" if slot else "unit": state for slot, state in found["slots"].items()}
    units |= {"socket": found["socket"]} if "socket" in found else {}
    return ", ".join(f"{unit} {state}" for unit, state in units.items() if state != "inactive")


def _health(body: str) -> dict[str, Any]:
    try:
        health = json.loads(body)
    except ValueError:
        return {}
    return health if isinstance(health, dict) else {}


def _state(status: int, health: Mapping[str, Any]) -> State:
    if status == 200:
        return State.READY
    return State.DRAINING if health.get("status") == "draining" else State.UNREADY


def _rates(readings: Mapping[str, list[dict[str, Any]]]) -> Rates | None:
    """Both slots' counts together: during a handover both answer."""
    pairs = [
        (rates.sample(r[0]["at"], r[0]["lines"]), rates.sample(r[1]["at"], r[1]["lines"]))
        for r in readings.values()
        if len(r) == 2
    ]
    return rates.between([before for before, _ in pairs], [after for _, after in pairs]) if pairs else None


def _work(readings: Mapping[str, list[dict[str, Any]]]) -> Work | None:
    """Of one process: during a handover there are two, and what either did alone says nothing of the instance."""
    last = [found[-1] for found in readings.values() if "cpu_seconds" in found[-1]]
    return (
        rates.work(last[0]["at"], last[0]["lines"], last[0]["cpu_seconds"], last[0]["cpus"]) if len(last) == 1 else None
    )

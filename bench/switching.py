"""Seconds that a switch, the way back, an ejection by the guard and a takeover take on a fleet of six instances."""

import shlex
import time
import urllib.request

from rich.table import Table

from fleet import lab
from fleet.console import out
from fleet.demo.traffic import Traffic
from fleet.effects import ssh, traffic
from fleet.effects.inventory import Inventory
from fleet.model import Instance, Keep, Shift, Smoke, Step, Timed
from fleet.observe import observe
from fleet.perform import Progress, perform
from fleet.plan import blue_green, rolling

RATE = 50.0
TARGETS = {
    "switch": 1.0,
    "way back": 2.0,
    "ejection of one that hangs": 3.0,
    "ejection of one that is stopped": 3.0,
    "ejection of a host that died": 3.0,
    "takeover from a load balancer that died": 3.0,
}
_WATCH = """
import json, time, urllib.request
began = time.monotonic()
while time.monotonic() - began < 60:
    with urllib.request.urlopen("http://127.0.0.1:8405/traffic", timeout=5) as answer:
        instances = json.load(answer)["instances"]
    if all(instances[address]["weight"] == {weight} for address in {addresses}):
        break
    time.sleep(0.02)
print(time.monotonic() - began)
"""


def measure(inventory: Inventory, version: str, name: str) -> dict[str, object]:
    """All under publishers that never retry, on the lab called `name`.

    What failed of their requests is part of the finding; until a takeover nobody can answer, so that is not under them.
    """
    password = str(inventory.hosts[inventory.group("app")[0]]["vault_amebo_admin_password"])
    policy = blue_green.Policy(soak_seconds=0)
    with Traffic(inventory.url, password, rate=RATE) as published:
        there = _steps(inventory, version, blue_green.plan(observe(inventory), version, policy))
        before = str(blue_green.previous(observe(inventory)))
        back = _steps(inventory, before, blue_green.back(observe(inventory), policy))
        found = {"switch": _seconds(there, Shift), "way back": _seconds(back, Keep, Smoke, Shift)}
        victims = [o.what for o in observe(inventory).instances][:2]
        found["ejection of one that hangs"] = _ejection(
            inventory, victims[0], "systemctl kill --signal=STOP {slot}", "systemctl kill --signal=CONT {slot}"
        )
        found["ejection of one that is stopped"] = _ejection(
            inventory,
            victims[1],
            "systemctl stop {socket}; systemctl stop --no-block {slot}",
            "systemctl stop {slot}; systemctl start {socket} {slot}",
        )
        found["ejection of a host that died"] = _death(inventory, name)
    found["takeover from a load balancer that died"] = _takeover(inventory, name)
    failed = sum(request.event is None for request in published.sent)
    lost = len(published.acknowledged() - published.delivered())
    _show(found, len(published.sent), failed, lost)
    rounded = {name: round(seconds, 2) for name, seconds in found.items()}
    return {"seconds": rounded, "targets": TARGETS, "requests": len(published.sent), "failed": failed, "lost": lost}


def _steps(inventory: Inventory, version: str, steps: tuple[Step, ...]) -> tuple[Timed, ...]:
    report = perform(steps, version, inventory, rolling.Policy(), Progress())
    if report.error:
        raise SystemExit(report.error)
    return report.steps


def _seconds(timed: tuple[Timed, ...], *kinds: type[Step]) -> float:
    return sum(each.seconds for each in timed if isinstance(each.step, kinds))


def _ejection(inventory: Inventory, victim: Instance, harm: str, heal: str) -> float:
    """From the harm until no request goes there; then it is healed, and awaited back."""
    socket = f"amebo-web@{victim.port}.socket"
    slots = f"amebo-web-a@{victim.port}.service amebo-web-b@{victim.port}.service"
    running = _on(inventory, victim.host, f"systemctl list-units --plain --no-legend --state=active {slots}").split()[0]
    address = f"{inventory.hosts[victim.host]['ansible_host']}:{victim.port}"
    began = time.monotonic()
    _on(inventory, victim.host, f"sudo -n sh -c '{harm.format(socket=socket, slot=running)}'")
    _watch(inventory, [address], 0)
    seconds = time.monotonic() - began
    _on(inventory, victim.host, f"sudo -n sh -c '{heal.format(socket=socket, slot=running)}'")
    _watch(inventory, [address], 100)
    return seconds


def _death(inventory: Inventory, name: str) -> float:
    """Of the last host: from its death until none of its instances gets a request."""
    victim = inventory.group("app")[-1]
    instances = [o.what for o in observe(inventory).instances if o.what.host == victim]
    addresses = [f"{inventory.hosts[victim]['ansible_host']}:{instance.port}" for instance in instances]
    began = time.monotonic()
    lab.break_(victim, lab.Fault.KILL, name=name)
    try:
        _watch(inventory, addresses, 0)
        return time.monotonic() - began
    finally:
        lab.mend(victim, name=name)
        _watch(inventory, addresses, 100)


def _takeover(inventory: Inventory, name: str) -> float:
    """From the death of the load balancer that holds the address until the address answers a new connection again."""
    victim = next(each.name for each in traffic.read(inventory) if each.holds)
    began = time.monotonic()
    lab.break_(victim, lab.Fault.KILL, name=name)
    try:
        while not _is_answered(inventory.url):
            if time.monotonic() - began > 60:
                raise SystemExit(f"nobody took {inventory.url} over")
        return time.monotonic() - began
    finally:
        lab.mend(victim, name=name)


def _is_answered(url: str) -> bool:
    try:
        with urllib.request.urlopen(f"{url}/health/ready", timeout=0.2) as answer:  # noqa: S310  # the lab's own address
            return bool(answer.status == 200)
    except OSError:
        return False


def _watch(inventory: Inventory, addresses: list[str], weight: int) -> None:
    """Until every load balancer gives them this weight; asked all at once, or asking would be measured, too."""
    command = f"python3 -c {shlex.quote(_WATCH.format(addresses=addresses, weight=weight))}"
    ssh.on_each(inventory.group("loadbalancers"), lambda name: _on(inventory, name, command, timeout=90))


def _on(inventory: Inventory, name: str, command: str, timeout: int = 60) -> str:
    ran = ssh.run(name, inventory.hosts[name], command, timeout)
    if ran.code != 0:
        raise SystemExit(f"{name}: {command} failed: {ran.stderr}")
    return ran.stdout


def _show(found: dict[str, float], requests: int, failed: int, lost: int) -> None:
    table = Table(
        "", "seconds", "at most", title=f"{requests} requests meanwhile, {failed} failed, {lost} lost", box=None
    )
    for name, seconds in found.items():
        table.add_row(name, f"{seconds:.2f}", f"{TARGETS[name]:g}", style="red" if seconds > TARGETS[name] else "")
    out.print(table)

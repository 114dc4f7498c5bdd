"""Seconds that a switch, the way back, and an ejection by the guard take on a fleet of six instances."""

import json
import shlex
import time

from rich.table import Table

from fleet.console import out
from fleet.demo.traffic import Traffic
from fleet.effects import ssh
from fleet.effects.inventory import Inventory
from fleet.model import Instance, Keep, Shift, Step, Timed
from fleet.observe import observe
from fleet.perform import Progress, perform
from fleet.plan import blue_green, rolling

RATE = 50.0
TARGETS = {"switch": 1.0, "way back": 2.0, "ejection of one that is silent": 3.0, "ejection of one that is gone": 3.0}
_WATCH = """
import json, time, urllib.request
began = time.monotonic()
while time.monotonic() - began < 60:
    with urllib.request.urlopen("http://127.0.0.1:8405/traffic", timeout=5) as answer:
        if json.load(answer)["instances"]["{address}"]["weight"] == {weight}:
            break
    time.sleep(0.02)
print(time.monotonic() - began)
"""


def measure(inventory: Inventory, version: str) -> dict[str, object]:
    """All under publishers that never retry; what failed of their requests is part of the finding."""
    password = str(inventory.hosts[inventory.group("app")[0]]["vault_amebo_admin_password"])
    policy = blue_green.Policy(soak_seconds=0)
    with Traffic(inventory.url, password, rate=RATE) as traffic:
        there = _steps(inventory, version, blue_green.plan(observe(inventory), version, policy))
        before = str(blue_green.previous(observe(inventory)))
        back = _steps(inventory, before, blue_green.back(observe(inventory), policy))
        found = {"switch": _seconds(there, Shift), "way back": _seconds(back, Shift) + _seconds(back, Keep)}
        victims = [o.what for o in observe(inventory).instances][:2]
        found["ejection of one that is silent"] = _ejection(
            inventory, victims[0], "kill --signal=STOP", "kill --signal=CONT"
        )
        found["ejection of one that is gone"] = _ejection(inventory, victims[1], "stop", "start")
    failed = sum(request.event is None for request in traffic.sent)
    lost = len(traffic.acknowledged() - traffic.delivered())
    _show(found, len(traffic.sent), failed, lost)
    rounded = {name: round(seconds, 2) for name, seconds in found.items()}
    return {"seconds": rounded, "targets": TARGETS, "requests": len(traffic.sent), "failed": failed, "lost": lost}


def _steps(inventory: Inventory, version: str, steps: tuple[Step, ...]) -> tuple[Timed, ...]:
    report = perform(steps, version, inventory, rolling.Policy(), Progress())
    if report.error:
        raise SystemExit(report.error)
    return report.steps


def _seconds(timed: tuple[Timed, ...], kind: type[Step]) -> float:
    return sum(each.seconds for each in timed if isinstance(each.step, kind))


def _ejection(inventory: Inventory, victim: Instance, harm: str, heal: str) -> float:
    """From the harm until no request goes there; then it is healed, and awaited back."""
    units = f"amebo-web@{victim.port}.socket" if harm == "stop" else ""
    slots = f"amebo-web-a@{victim.port}.service amebo-web-b@{victim.port}.service"
    running = _on(inventory, victim.host, f"systemctl list-units --plain --no-legend --state=active {slots}").split()[0]
    address = f"{inventory.hosts[victim.host]['ansible_host']}:{victim.port}"
    began = time.monotonic()
    _on(inventory, victim.host, f"sudo -n systemctl {harm} {units} {running}")
    _watch(inventory, address, 0)
    seconds = time.monotonic() - began
    _on(inventory, victim.host, f"sudo -n systemctl {heal} {units} {running}")
    _watch(inventory, address, 100)
    return seconds


def _watch(inventory: Inventory, address: str, weight: int) -> None:
    program = _WATCH.format(address=address, weight=weight)
    for name in inventory.group("loadbalancers"):
        json.loads(_on(inventory, name, f"python3 -c {shlex.quote(program)}", timeout=90))


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

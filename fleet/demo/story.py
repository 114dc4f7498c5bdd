"""The demo from beginning to end: a lab, a deploy, traffic, a rolling update under it, a report."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.table import Table

from fleet.console import out
from fleet.demo.report import Change, is_clean, report
from fleet.demo.traffic import Traffic
from fleet.effects import ansible, inventory, release
from fleet.effects.inventory import Inventory
from fleet.errors import FleetError, ReleaseExists, StepFailed
from fleet.observe import observe

ROOT = ansible.ROOT
LAB = {
    "ANSIBLE_INVENTORY": str(ROOT / "inventory/lab"),
    "AMEBO_VAULT_PASSWORD_FILE": str(ROOT / ".lab/lab/vault-password"),
}
REPORT = ROOT / ".lab/report.json"


@dataclass(frozen=True)
class Plot:
    """How long and how hard: hosts of the lab, events a second, seconds of traffic before and after the update."""

    hosts: int = 5
    rate: float = 50.0
    calm_seconds: float = 10.0


def tell(plot: Plot, path: Path) -> bool:
    """Run the demo, write the report to `path` as JSON, and say whether nothing failed and nothing was lost."""
    began = time.monotonic()
    os.environ |= LAB  # whatever inventory the shell names, the demo is for the lab
    _ops("lab", "up", "--hosts", str(plot.hosts))
    fleet = inventory.read()
    before = _deployed(fleet) or _deploy(fleet)
    after = _build_first_free(_next(before))
    counted = _update_under_traffic(plot, fleet, before, after)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(counted, indent=2) + "\n")
    _show(counted, path, fleet, time.monotonic() - began)
    return is_clean(counted)


def _deployed(fleet: Inventory) -> str | None:
    """The one version that all instances of a lab that is already up run, ready."""
    versions = {o.version if o.state.value == "ready" else None for o in observe(fleet).instances}
    return versions.pop() if len(versions) == 1 else None


def _deploy(fleet: Inventory) -> str:
    version = _build_first_free(fleet.version or "1.0.0")
    play = ansible.Play("site", {"amebo_version": version})
    with _said(f"ansible-playbook playbooks/site.yml -e amebo_version={version}"), out.status("") as status:
        result = ansible.run(play, on_task=lambda task: status.update(f"[dim]{task}[/dim]"), on_play=_say_play)
    if not result.ok:
        raise StepFailed("\n".join(f"{f.host}: {f.task}: {f.message}" for f in result.failures))
    return version


def _say_play(name: str) -> None:
    out.print(f"[dim]  {name}[/dim]")


def _update_under_traffic(plot: Plot, fleet: Inventory, before: str, after: str) -> dict[str, Any]:
    """Traffic that is calm, then updated under, then calm again."""
    password = str(fleet.hosts[fleet.group("app")[0]]["vault_amebo_admin_password"])
    out.print(f"Publishing {plot.rate:g} events/s through {fleet.url} over keep-alive connections, without any retry")
    with Traffic(fleet.url, password, rate=plot.rate) as traffic:
        time.sleep(plot.calm_seconds)
        began = time.monotonic()
        updated = _ops("rolling-update", after, "--yes", check=False)
        ended = time.monotonic()
        time.sleep(plot.calm_seconds)
        out.print("\nWaiting until everything that was acknowledged is delivered")
    if traffic.forged:
        raise FleetError(f"{traffic.forged} webhooks had a wrong signature; the receiver refused them")
    instances = sum(len(host.web_ports) for host in fleet.app_hosts)
    return report(traffic.sent, traffic.received, Change(began, ended, instances, before, after, updated))


def _build_first_free(version: str) -> str:
    """Build `version`, or the first one after it under which nothing else was released before."""
    for _ in range(1000):
        try:
            with _said(f"./ops.py build {version}"):
                release.build(version)
        except ReleaseExists:
            version = _next(version)
        else:
            return version
    raise FleetError("dist/ holds a thousand releases of other sources; remove some")


def _next(version: str) -> str:
    major, minor, patch = version.split(".")[:3]
    return f"{major}.{minor}.{int(''.join(filter(str.isdigit, patch))) + 1}"


def _ops(*words: str, check: bool = True) -> bool:
    """One of our own commands, as a person would type it; whether it went well."""
    with _said(f"./ops.py {' '.join(words)}"):
        ended = subprocess.run([sys.executable, "ops.py", *words], cwd=ROOT, check=False)
        if check and ended.returncode != 0:
            raise StepFailed(f"./ops.py {' '.join(words)} ended with {ended.returncode}; its own words are above")
    return ended.returncode == 0


@contextmanager
def _said(command: str) -> Iterator[None]:
    """Show the command before, and its time after."""
    out.print(f"\n[bold cyan]$ {command}[/bold cyan]")
    began = time.monotonic()
    yield
    out.print(f"[dim]{time.monotonic() - began:.1f} s[/dim]")


def _show(counted: dict[str, Any], path: Path, fleet: Inventory, seconds: float) -> None:
    table = Table(box=None, show_header=False, pad_edge=False)
    for key in ("requests", "acknowledged", "failed", "delivered", "lost", "duplicated"):
        colour = (
            "red" if key in ("failed", "lost") and counted[key] else "green" if key in ("failed", "lost") else "none"
        )
        table.add_row(key, f"[{colour}]{counted[key]}[/{colour}]")
    for part, cuts in counted["latency_ms"].items():
        table.add_row(f"latency {part}", ", ".join(f"{name} {value:g} ms" for name, value in cuts.items()))
    table.add_row("update", f"{counted['from_version']} → {counted['to_version']}, {counted['instances']} instances")
    table.add_row("", f"{counted['rollout_seconds']} s")
    out.print("\n", table)
    for error, count in counted["errors"].items():
        out.print(f"[red]{count} times {error}[/red]", markup=True)
    out.print(f"\nThe report: {path}. The lab stays up at {fleet.url}; the demo took {seconds:.0f} s. Try next:")
    for command, why in NEXT:
        out.print(f"  {command.format(**counted):<46} [dim]{why}[/dim]")


NEXT = (
    ("./ops.py status --watch", "every instance: version, requests/s, p95, errors"),
    ("./ops.py lab break app-2 kill", "pull a host's plug, look at the status; then: ./ops.py lab mend app-2"),
    ("./ops.py rolling-update {from_version} --dry-run", "the plan for going back"),
    (".venv/bin/ansible-playbook playbooks/site.yml", "changes nothing: all is as it should be"),
    ("./ops.py lab down", "leave nothing behind"),
)

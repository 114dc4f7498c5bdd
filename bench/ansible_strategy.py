"""site.yml with nothing to change: our settings (mitogen, pipelining) beside Ansible's stock ones, turn by turn."""

import time
from statistics import median

from rich.table import Table

from fleet.console import out
from fleet.effects import ansible

ROUNDS = 3
TARGET = 2.5  # times faster
STOCK = {"ANSIBLE_STRATEGY": "linear", "ANSIBLE_PIPELINING": "false", "ANSIBLE_FORKS": "5"}
SETTINGS = {"ours": {}, "stock": STOCK}


def measure() -> dict[str, object]:
    """Seconds of each run, their medians, and how many times faster ours are."""
    seconds: dict[str, list[float]] = {name: [] for name in SETTINGS}
    for _ in range(ROUNDS):
        for name, environment in SETTINGS.items():
            seconds[name].append(_run(environment))
    ratio = median(seconds["stock"]) / median(seconds["ours"])
    _show(seconds, ratio)
    return {"seconds": seconds, "times_faster": round(ratio, 2), "target": TARGET}


def _run(environment: dict[str, str]) -> float:
    began = time.monotonic()
    result = ansible.run(ansible.Play("site", {}), environment=environment)
    if not result.ok or any(result.changed.values()):
        raise SystemExit(f"site.yml was to change nothing: {result.failures or result.changed}")
    return time.monotonic() - began


def _show(seconds: dict[str, list[float]], ratio: float) -> None:
    table = Table("settings", "seconds", "median", title="site.yml, nothing to change", box=None)
    for name, runs in seconds.items():
        table.add_row(name, ", ".join(f"{run:.1f}" for run in runs), f"{median(runs):.1f}")
    out.print(table)
    out.print(f"ours are {ratio:.1f} times faster; the target is {TARGET}{'' if ratio >= TARGET else ': MISSED'}")

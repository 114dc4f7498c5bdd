"""The benches of the operator, on a lab of their own: two load balancers, a database, six instances on three hosts."""

import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from bench import ansible_strategy, rolling_update, switching
from fleet.console import out
from fleet.effects import ansible, inventory, release
from fleet.lab.places import name_of_this_tree

ROOT = Path(__file__).parents[1]
LAB = name_of_this_tree("bench")
VERSIONS = ("0.0.1-bench", "0.0.2-bench", "0.0.3-bench")
BENCHES = ("ansible_strategy", "rolling_update", "switching")


def measure(names: Sequence[str]) -> Iterator[tuple[str, dict[str, object]]]:
    """Those of BENCHES that are named, each as it is done; the lab goes down whatever happens."""
    os.environ["ANSIBLE_INVENTORY"] = str(ROOT / "inventory" / LAB)
    os.environ["AMEBO_VAULT_PASSWORD_FILE"] = str(ROOT / ".lab" / LAB / "vault-password")
    _forget()
    try:
        _ops("lab", "up", "--name", LAB, "--hosts", "6", "--balancers", "2")
        first, second, third = (release.build(version).version for version in VERSIONS)
        out.print("Deploying the fleet to measure on")
        deployed = ansible.run(ansible.Play("site", {"amebo_version": first}))
        if not deployed.ok:
            raise SystemExit(f"site.yml failed: {deployed.failures}")
        if "ansible_strategy" in names:
            yield "ansible_strategy", ansible_strategy.measure()
        if "rolling_update" in names:
            yield "rolling_update", rolling_update.measure(inventory.read(), second)
        if "switching" in names:
            yield "switching", switching.measure(inventory.read(), third, LAB)
    finally:
        _ops("lab", "down", "--name", LAB)
        _forget()


def _ops(*words: str) -> None:
    """One of our own commands."""
    subprocess.run([sys.executable, "ops.py", *words], cwd=ROOT, check=True)


def _forget() -> None:
    """The releases of an earlier bench were built from other sources."""
    for archive in (ROOT / "dist").glob("amebo-0.0.?-bench-*"):
        archive.unlink()

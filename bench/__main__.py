"""`make bench`: a lab of its own, every measurement, tables on the screen, JSON in bench/results."""

import json
import os
import platform
import subprocess
import sys
from pathlib import Path

from bench import ansible_strategy, rolling_update
from fleet.console import out
from fleet.effects import ansible, inventory, release

ROOT = Path(__file__).parents[1]
LAB = "bench"
VERSIONS = ("0.0.1-bench", "0.0.2-bench")


def main() -> None:
    """Five hosts, six instances on three of them; the lab goes down whatever happens."""
    os.environ["ANSIBLE_INVENTORY"] = str(ROOT / "inventory" / LAB)
    os.environ["AMEBO_VAULT_PASSWORD_FILE"] = str(ROOT / ".lab" / LAB / "vault-password")
    forget()
    try:
        ops("lab", "up", "--name", LAB, "--hosts", "5")
        first, second = (release.build(version).version for version in VERSIONS)
        out.print("Deploying the fleet to measure on")
        deployed = ansible.run(ansible.Play("site", {"amebo_version": first}))
        if not deployed.ok:
            sys.exit(f"site.yml failed: {deployed.failures}")
        save("ansible_strategy", ansible_strategy.measure())
        save("rolling_update", rolling_update.measure(inventory.read(), second))
    finally:
        ops("lab", "down", "--name", LAB)
        forget()


def ops(*words: str) -> None:
    """One of our own commands."""
    subprocess.run([sys.executable, "ops.py", *words], cwd=ROOT, check=True)


def forget() -> None:
    """The releases of an earlier bench were built from other sources."""
    for archive in (ROOT / "dist").glob("amebo-0.0.?-bench-*"):
        archive.unlink()


def save(name: str, measured: dict[str, object]) -> None:
    """With the machine it was measured on."""
    machine = {"cores": os.cpu_count(), "python": platform.python_version()}
    path = ROOT / "bench/results" / f"{name}.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps({"machine": machine, **measured}, indent=2) + "\n")
    out.print(f"[dim]saved {path.relative_to(ROOT)}[/dim]\n")


if __name__ == "__main__":
    main()

"""`make bench`: every measurement, or those that are named; tables on the screen, JSON in bench/results."""

import argparse
import json
import os
import platform
import signal
import time
from pathlib import Path
from typing import Protocol

from bench import fleet, page
from bench.broker import claims, delivery, fairness, latency, memory, publish, tuning
from bench.broker.lines import Findings, as_json, show
from bench.broker.postgres import SETTINGS, Durable, durable, filesystem
from fleet.console import out

ROOT = Path(__file__).parents[1]
LOAD = os.getloadavg()  # before anything was started: what else the machine was doing


class Bench(Protocol):
    """Measures on a PostgreSQL of its own; `quick` shrinks it to a few seconds, to see that it runs."""

    def __call__(self, cluster: Durable, *, quick: bool) -> Findings: ...


BROKER: dict[str, Bench] = {
    "publish": publish.measure,
    "delivery": delivery.measure,
    "claims": claims.measure,
    "latency": latency.measure,
    "fairness": fairness.measure,
    "memory": memory.measure,
    "tuning": tuning.measure,
}
EVERY = [*BROKER, *fleet.BENCHES]


def main() -> None:
    """Those of the service first: they need no lab."""
    chosen = _chosen()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that what was started is ended then, too
    names = chosen.names or EVERY
    missed = [name for name in BROKER if name in names and _measure(name, quick=chosen.quick)]
    of_fleet = [name for name in fleet.BENCHES if name in names]
    if of_fleet:
        for name, found in fleet.measure(of_fleet):
            save(name, found)
    if missed:
        out.print(f"missed a target: {', '.join(missed)}")


def _measure(name: str, *, quick: bool) -> bool:
    """Whether it missed a target."""
    out.print(f"[dim]measuring {name}[/dim]")
    began = time.monotonic()
    with durable() as cluster:
        disk = {"postgresql": SETTINGS, "filesystem": filesystem(cluster.folder)}
        findings = BROKER[name](cluster, quick=quick)
    show(findings)
    if not quick:
        save(name, {**disk, **as_json(findings), "took_seconds": round(time.monotonic() - began)})
    return any(line.missed for line in findings.lines)


def save(name: str, measured: dict[str, object]) -> None:
    """With the machine it was measured on; docs/performance.md shows it."""
    machine = {"cores": os.cpu_count(), "python": platform.python_version(), "load_before": LOAD[0]}
    path = ROOT / "bench/results" / f"{name}.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps({"machine": machine, **measured}, indent=2) + "\n")
    page.write()
    out.print(f"[dim]saved {path.relative_to(ROOT)}[/dim]\n")


def _chosen() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(EVERY)}; all without one")
    parser.add_argument("--quick", action="store_true", help="small counts, of the service's benches; nothing is saved")
    chosen = parser.parse_args()
    unknown = [name for name in chosen.names if name not in EVERY]
    if unknown:
        parser.error(f"there is no {', '.join(unknown)}; there are {', '.join(EVERY)}")
    return chosen


if __name__ == "__main__":
    main()

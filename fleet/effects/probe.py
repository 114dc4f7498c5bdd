"""Runs on a host, not here: asks systemd and each process' own status socket, and prints what it found as JSON.

It travels as `python3 -c`, so it needs nothing but the host's own Python. Arguments: seconds between two readings of
the metrics (0 reads them once), the web ports separated by commas, the number of dispatchers. A web port that is
open is told of also where nobody asked for it.
"""

import http.client
import json
import os
import re
import socket
import subprocess
import sys
import time
from pathlib import Path

METRICS = ("amebo_http_request_duration_seconds", "amebo_deliveries_total")
SECONDS = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "min": 60.0}


class UnixConnection(http.client.HTTPConnection):
    """HTTP on a Unix socket."""

    def connect(self) -> None:
        """Dial the path that was given as the host."""
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.host)


def get(connection: http.client.HTTPConnection, path: str) -> tuple[int, str]:
    """Status and body; status 0 and the error's words when nobody answers."""
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    except (OSError, http.client.HTTPException) as error:
        return 0, f"{type(error).__name__}: {error}"
    finally:
        connection.close()


def unit_state(unit: str) -> str:
    """As systemd says: active, activating, deactivating, inactive, failed."""
    command = ["systemctl", "show", "--property=ActiveState", "--value", unit]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()


def web(port: int) -> dict[str, object]:
    """One instance: the states of its units, and what its shared port answers if a slot runs at all."""
    slots = {slot: unit_state(f"amebo-web-{slot}@{port}.service") for slot in "ab"}
    running = [slot for slot, state in slots.items() if state in ("active", "deactivating")]
    found: dict[str, object] = {"slots": slots, "socket": unit_state(f"amebo-web@{port}.socket"), "ready": None}
    if running and found["socket"] == "active":
        found["ready"] = get(http.client.HTTPConnection("127.0.0.1", port, timeout=5), "/health/ready")
    found["paths"] = {f"/run/amebo/web-{port}-{slot}.sock": f"amebo-web-{slot}@{port}.service" for slot in running}
    found["restarts"] = [each for slot in running for each in restarts(f"amebo-web-{slot}@{port}.service")]
    found["release"] = release(f"web-{port}-a")
    found["retires"] = unit_state(f"amebo-retire-{port}.timer") == "active"
    return found


def open_ports() -> set[int]:
    """Those of every instance that systemd accepts connections for."""
    command = ["systemctl", "list-units", "--plain", "--no-legend", "--state=active", "amebo-web@*.socket"]
    listed = subprocess.run(command, capture_output=True, text=True, check=False).stdout.splitlines()
    return {int(line.split("@")[1].split(".")[0]) for line in listed}


def release(slot: str) -> str | None:
    """The version that a slot is, or would be, started with."""
    link = Path("/opt/amebo/slots", slot)
    return link.readlink().name if link.is_symlink() else None


def dispatcher(number: int) -> dict[str, object]:
    """One delivery process."""
    unit = f"amebo-dispatcher@{number}.service"
    state = unit_state(unit)
    path = f"/run/amebo/dispatcher-{number}.sock"
    ready = get(UnixConnection(path, timeout=5), "/health/ready") if state == "active" else None
    paths = {path: unit} if state == "active" else {}
    return {"slots": {"": state}, "ready": ready, "paths": paths, "restarts": restarts(unit)}


def restarts(unit: str) -> list[str]:
    """Why systemd started it again, for each time within the last hour: exit-code, signal, oom-kill and such."""
    command = ["systemctl", "show", "--property=NRestarts", "--value", unit]
    if subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip() in ("", "0"):
        return []
    command = ["journalctl", f"--unit={unit}", "--since=-1h", "--output=cat", "--no-pager"]
    lines = subprocess.run(command, capture_output=True, text=True, check=False).stdout
    return re.findall(r"^\S+: Failed with result '([\w-]+)'\.$", lines, re.MULTILINE)


def read_metrics(found: dict[str, dict[str, object]]) -> None:
    """Append a reading of every process that runs; lines about requests and deliveries are enough."""
    for process in found.values():
        for path, unit in process["paths"].items():  # type: ignore[attr-defined]  # strings, made above
            status, text = get(UnixConnection(path, timeout=5), "/metrics")
            lines = [line for line in text.splitlines() if line.startswith(METRICS)]
            if status == 200:
                reading = {"at": time.time(), "lines": lines, **cpu(unit)}
                process.setdefault("readings", {}).setdefault(path, []).append(reading)  # type: ignore[attr-defined]


def cpu(unit: str) -> dict[str, float]:
    """The CPU seconds of a unit's process since it started, and how many CPUs it may use: one, or less by a quota."""
    command = ["systemctl", "show", "--property=MainPID,CPUQuotaPerSecUSec", unit]
    shown = subprocess.run(command, capture_output=True, text=True, check=False).stdout
    properties = dict(line.split("=", 1) for line in shown.splitlines() if "=" in line)
    try:
        fields = Path("/proc", properties["MainPID"], "stat").read_text().rpartition(")")[2].split()
    except (OSError, KeyError):
        return {}
    parts = re.findall(r"([0-9.]+)(us|ms|s|min)", properties.get("CPUQuotaPerSecUSec", ""))
    quota = sum(float(number) * SECONDS[size] for number, size in parts)
    seconds = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    return {"cpu_seconds": seconds, "cpus": min(quota or 1.0, 1.0)}


def main(window: float, ports: list[int], dispatchers: int) -> None:
    """Print {"web-3310": …, "dispatcher-1": …, "free_megabytes": …}."""
    found = {f"web-{port}": web(port) for port in sorted({*ports, *open_ports()})}
    found |= {f"dispatcher-{number}": dispatcher(number) for number in range(1, dispatchers + 1)}
    read_metrics(found)
    if window:
        time.sleep(window)
        read_metrics(found)
    disk = os.statvfs("/opt")
    json.dump({**found, "free_megabytes": disk.f_bavail * disk.f_frsize // 1_000_000}, sys.stdout)


if __name__ == "__main__":
    main(float(sys.argv[1]), [int(port) for port in sys.argv[2].split(",") if port], int(sys.argv[3]))

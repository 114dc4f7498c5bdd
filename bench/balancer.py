"""`python -m bench.balancer`: requests a second through nginx, over its own least_conn group and over ours, in turn."""

import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median

from bench.__main__ import save
from bench.broker.lines import Findings, Line, as_json, show
from tests.balancer.conftest import Balancer, free_port

INSTANCES = 6
CONNECTIONS = 32
ROUNDS = 5
SECONDS = 4
NATIVE = "    upstream amebo {{ least_conn; zone amebo 64k; {servers} keepalive 16; keepalive_timeout 5s; }}\n"
SERVER = "server {address} max_fails=3 fail_timeout=30s;"
_QUICK = """
pid {folder}/pid; error_log {folder}/error.log; worker_processes 1;
events {{ worker_connections 1024; }}
http {{ access_log off; server {{ {listens} location / {{ return 200 "{{}}"; }} }} }}
"""


def main() -> None:
    """Instances that answer at once, so that the load balancer is what is measured."""
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        folder = Path(name)
        ports = [free_port() for _ in range(INSTANCES)]
        with _instances(folder / "instances", ports):
            addresses = [f"127.0.0.1:{port}" for port in ports]
            native = NATIVE.format(servers=" ".join(SERVER.format(address=each) for each in addresses))
            rates: dict[str, list[float]] = {native: [], "": []}
            for turn in range(ROUNDS):
                for upstream, found in rates.items():
                    found.append(_rate(folder / f"{turn}-{bool(upstream)}", addresses, upstream))
    ours, theirs = median(rates[""]), median(rates[native])
    line = Line(f"{CONNECTIONS} connections", ours, "requests/s", theirs, "nginx' own least_conn", target=0.9)
    findings = Findings("Balancing over six instances that answer at once", (line,), {"rounds": list(rates.values())})
    show(findings)
    save("balancer", as_json(findings))


def _rate(folder: Path, addresses: list[str], upstream: str) -> float:
    folder.mkdir()
    balancer = Balancer(folder, free_port(), free_port(), {})
    balancer.write(addresses, [])
    balancer.start(upstream)
    try:
        url = f"http://127.0.0.1:{balancer.port}/v1/events"
        argv = ["wrk", "--threads=1", f"--connections={CONNECTIONS}", f"--duration={SECONDS}s", url]
        ran = subprocess.run(argv, capture_output=True, text=True, check=True)
        if "Non-2xx" in ran.stdout:
            raise SystemExit(f"requests failed: {ran.stdout}")
        return next(float(line.split()[1]) for line in ran.stdout.splitlines() if line.startswith("Requests/sec"))
    finally:
        balancer.stop()


@contextmanager
def _instances(folder: Path, ports: list[int]) -> Iterator[None]:
    folder.mkdir()
    listens = " ".join(f"listen 127.0.0.1:{port};" for port in ports)
    (folder / "nginx.conf").write_text(_QUICK.format(folder=folder, listens=listens))
    argv = ["nginx", "-c", str(folder / "nginx.conf"), "-e", str(folder / "error.log")]
    subprocess.run(argv, check=True)
    try:
        yield
    finally:
        subprocess.run([*argv, "-s", "stop"], check=True)


if __name__ == "__main__":
    main()

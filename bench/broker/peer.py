"""The published `amebo` package in an environment of its own, on the same PostgreSQL, as its documentation starts it.

Its script runs one uvicorn process, which serves HTTP and delivers, too. It is given what ours is given: no access log,
one process, an API key (which it caches), deliveries to loopback. What it cannot be given is a process that only
serves: while publishing is measured, its subscriber is inactive, so that gists are made and nothing is delivered.
"""

import secrets
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import urllib3

from bench.broker.load import ACTION, SCHEMA, Publisher
from bench.broker.postgres import Database
from bench.broker.processes import ROOT, answers, running, until

VERSION = "0.9.6"
HOME = ROOT / ".cache/peer"


class Peer:
    """A running one, set up with a publisher and a subscriber."""

    def __init__(self, url: str, key: str) -> None:
        self.url = url
        self._headers = {"X-Amebo-Admin-Key": key}
        self._pool = urllib3.PoolManager(retries=False)

    def register(self, handler: str) -> Publisher:
        """Publisher and subscriber are two applications, so that the second can be switched off."""
        created = self._call("POST", "/v1/applications", {"application": "shop", "address": handler})
        self._call("POST", "/v1/applications", {"application": "subscriber", "address": handler})
        self._call("POST", "/v1/actions", {"action": ACTION, "application": "shop", "schemata": SCHEMA})
        grant = {"action": ACTION, "subject_type": "service", "subject_name": "subscriber", "read": True}
        self._call("POST", "/v1/authorizations", grant)
        self._call("POST", "/v1/subscriptions", {"application": "subscriber", "action": ACTION, "handler": "/hooks"})
        return Publisher(self.url, created["apikey"])

    def deliver(self, *, active: bool) -> None:
        """Whether the subscriber gets anything."""
        self._call("PATCH", "/v1/applications/subscriber", {"active": active})

    def delivered(self) -> int:
        return int(self._call("GET", "/v1/stats")["delivered"])

    def _call(self, method: str, path: str, body: object = None) -> Any:  # noqa: ANN401  # JSON
        answer = self._pool.request(method, f"{self.url}{path}", json=body, headers=self._headers)
        if answer.status >= 300:
            raise SystemExit(f"the peer answered {method} {path} with {answer.status}: {answer.data[:300]!r}")
        return answer.json()


@contextmanager
def peer(database: Database, **settings: str) -> Iterator[Peer]:
    """Install it when it is not there, and run it."""
    port, key = _free_port(), secrets.token_hex(24)
    environment = {
        "AMEBO_DSN": database.url,
        "AMEBO_SECRET": secrets.token_hex(32),
        "AMEBO_ADMIN_KEY": key,
        "AMEBO_LOG_LEVEL": "WARNING",
        **settings,
    }
    argv = [_python(), "-m", "uvicorn", "amebo.router:router"]
    argv += ["--host=127.0.0.1", f"--port={port}", "--log-level=warning"]
    with tempfile.TemporaryDirectory() as folder, running(argv, environment, Path(folder, "log")) as popen:
        until(partial(_has_started, popen, port), 60, "the peer to be ready")
        if popen.poll() is not None:
            raise SystemExit(f"the peer ended by itself: {Path(folder, 'log').read_text()[-3000:]}")
        yield Peer(f"http://127.0.0.1:{port}", key)


def _has_started(popen: subprocess.Popen[bytes], port: int) -> bool:
    """Or has ended already."""
    return popen.poll() is not None or answers(HTTPConnection("127.0.0.1", port, timeout=2), "/readyz")


def _python() -> str:
    """The interpreter of the peer's environment, which is made at the first use."""
    python = str(HOME / VERSION / "bin/python")
    if not (HOME / VERSION / "bin/uvicorn").exists():
        subprocess.run([sys.executable, "-m", "venv", str(HOME / VERSION)], check=True)
        pip = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", f"amebo=={VERSION}"]
        ran = subprocess.run(pip, capture_output=True, text=True, check=False)
        if ran.returncode != 0:
            raise SystemExit(f"the peer cannot be installed in {HOME}: {ran.stderr.strip()[-1000:]}")
    return python


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])

"""Real processes of the service, a client that behaves as nginx does, and a receiver that really listens."""

import contextlib
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
Call = Callable[[str, str, object], tuple[int, Any]]
SECRET = "a secret of thirty-two characters"
USERNAME, PASSWORD = "admin", "a password"
_AS_SYSTEMD = """
import os, sys
os.dup2(int(sys.argv[1]), 3)
os.environ.update(LISTEN_FDS="1", LISTEN_PID=str(os.getpid()))
os.execv(sys.executable, [sys.executable, "-m", "app", "web"])
"""


@dataclass
class Process:
    """A running `python -m app VERB`, with its status socket."""

    popen: subprocess.Popen[bytes]
    status_socket: Path

    def status(self) -> dict[str, Any]:
        """Its own /health/ready; what it answers when it does not answer is {}."""
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as connection:
            connection.connect(str(self.status_socket))
            connection.sendall(b"GET /health/ready HTTP/1.0\r\n\r\n")
            answer = connection.makefile("rb").read()
            found: dict[str, Any] = json.loads(answer.partition(b"\r\n\r\n")[2])
            return found
        return {}

    def await_ready(self) -> "Process":
        until(lambda: self.status().get("status") == "ready" or self.popen.poll() is not None)
        assert self.popen.poll() is None, "it ended"
        return self

    def stop(self, number: signal.Signals = signal.SIGTERM) -> float:
        """Returns the seconds it took to end."""
        started = time.monotonic()
        self.popen.send_signal(number)
        self.popen.wait(timeout=40)
        return time.monotonic() - started


class Processes:
    """Starts processes on one database, and ends them all."""

    def __init__(self, dsn: str, folder: Path, **settings: str) -> None:
        self._folder = folder
        self._started: list[Process] = []
        self.environment = {
            **os.environ,
            "AMEBO_DSN": dsn,
            "AMEBO_SECRET": SECRET,
            "AMEBO_USERNAME": USERNAME,
            "AMEBO_PASSWORD": PASSWORD,
            "AMEBO_HOST": "127.0.0.1",
            "AMEBO_ALLOW_PRIVATE_HANDLERS": "127.0.0.0/8",
            "AMEBO_LOG_LEVEL": "warning",
            **settings,
        }

    def web(self, listener: socket.socket) -> Process:
        """A web process that takes the listening socket over as systemd would hand it."""
        argv = [sys.executable, "-c", _AS_SYSTEMD, str(listener.fileno())]
        return self._start(argv, pass_fds=[listener.fileno()])

    def dispatcher(self) -> Process:
        return self._start([sys.executable, "-m", "app", "dispatcher"])

    def end(self) -> None:
        for process in self._started:
            if process.popen.poll() is None:
                process.stop(signal.SIGKILL)

    def _start(self, argv: list[str], pass_fds: list[int] | None = None) -> Process:
        path = self._folder / f"{len(self._started)}.sock"
        environment = {**self.environment, "AMEBO_STATUS_SOCKET": str(path)}
        popen = subprocess.Popen(argv, cwd=ROOT, env=environment, pass_fds=pass_fds or [])
        self._started.append(Process(popen, path))
        return self._started[-1]


class Client:
    """One keep-alive connection, used as nginx uses an upstream's: closed after an answer that says so."""

    def __init__(self, port: int, token: str = "") -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        self._headers = {"Content-Type": "application/json"}
        if token:
            self._headers["Authorization"] = f"Bearer {token}"

    def call(self, method: str, path: str, body: object = None) -> tuple[int, Any]:
        """One request, never repeated; an error of the connection is raised."""
        self._connection.request(method, path, None if body is None else json.dumps(body), self._headers)
        response = self._connection.getresponse()
        content = response.read()
        return response.status, json.loads(content) if content else None

    def close(self) -> None:
        self._connection.close()


@dataclass
class Receiver:
    """Listens for webhooks; `answer` gives the status for each."""

    answer: Callable[[dict[str, Any]], int] = lambda _: 200
    raw: list[bytes] = field(default_factory=list)
    bodies: list[dict[str, Any]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    url: str = ""

    def events(self) -> list[str]:
        return [body["event"] for body in self.bodies]


@contextlib.contextmanager
def receiving(receiver: Receiver) -> Iterator[Receiver]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            raw = self.rfile.read(int(self.headers["Content-Length"]))
            body = json.loads(raw)
            receiver.raw.append(raw)
            receiver.headers.append(dict(self.headers))
            receiver.bodies.append(body)
            self.send_response(receiver.answer(body))
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    class Server(ThreadingHTTPServer):
        daemon_threads = True
        request_queue_size = 512

        def handle_error(self, *_: object) -> None:
            """A client that was killed is part of the test."""

    server = Server(("127.0.0.1", 0), Handler)
    receiver.url = f"http://127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield receiver
    server.shutdown()
    server.server_close()


def login(port: int) -> str:
    status, answer = Client(port).call("POST", "/v1/tokens", {"username": USERNAME, "password": PASSWORD})
    assert status == 202, answer
    return str(answer["token"])


def set_up(call: Call, address: str, **subscription: object) -> None:
    """An application "shop" that subscribes to its own action "order.placed"."""
    schemata = {"type": "object", "properties": {"id": {"type": "integer"}}, "required": ["id"]}
    for path, body in (
        ("/v1/applications", {"application": "shop", "address": address}),
        ("/v1/actions", {"action": "order.placed", "application": "shop", "schemata": schemata}),
        ("/v1/subscriptions", {"application": "shop", "action": "order.placed", "handler": "/hooks", **subscription}),
    ):
        status, answer = call("POST", path, body)
        assert status == 201, answer


def until(condition: Callable[[], bool], seconds: float = 20.0) -> None:
    """Wait for something to become true; fails when it does not."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come true in time"
        time.sleep(0.01)

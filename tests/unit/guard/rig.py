"""Real servers on loopback around the real guard: instances, and something that speaks and logs as nginx does."""

import contextlib
import http.client
import json
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from roles.guard.files.guard.model import Placed

PROGRAM = Path(__file__).parents[3] / "roles/guard/files"
POLICY = {  # a twentieth of the usual times, so a turn stands for a second
    "interval": 0.05,
    "suspect_interval": 0.025,
    "probe_timeout": 0.5,  # not scaled: the machine is slow, and nobody here is slower
    "suspect_timeout": 0.5,
    "windows": [0.1, 1.5],
    "weight_seconds": 0.1,
    "wait": 0.2,
    "longest_wait": 15,
}


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, *_: object) -> None:
        """A client that gave up is part of the test."""


class _Handler(BaseHTTPRequestHandler):
    def answer(self, status: int, body: object) -> None:
        content = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@dataclass
class Instance:
    """Answers as an instance of the service does; `status` is that of /health/ready, `post` what each POST gets."""

    status: str = "ready"
    post: int = 201
    hangs: bool = False
    asked: Callable[[], None] = lambda: None  # called with each probe
    posts: int = 0
    address: str = ""
    _server: _Server | None = None

    def start(self) -> "Instance":
        """On the port that it had, if it had one."""
        instance = self
        released = threading.Event()

        class Handler(_Handler):
            def do_GET(self) -> None:
                instance.asked()
                if instance.hangs:
                    released.wait(20)
                self.answer(200 if instance.status == "ready" else 503, {"status": instance.status})

            def do_POST(self) -> None:
                instance.posts += 1
                self.answer(instance.post, {})

        port = int(self.address.rpartition(":")[2] or 0)
        self._server = _Server(("127.0.0.1", port), Handler)
        self.address = f"127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()
        return self

    def stop(self) -> None:
        """From now on it refuses."""
        if self._server:
            self._server.shutdown()
            self._server.server_close()
            self._server = None


@dataclass
class Balancer:
    """The control address of nginx and what it does with requests: by weights, tried again after a 500, logged.

    Whenever the guard looks at the traffic, some requests come first, so that nothing depends on the clock. It looks
    once in each turn, and once more before it changes something.
    """

    log: Path
    placed: dict[str, Placed] = field(default_factory=dict)
    green: int = 0
    requests_a_turn: int = 24
    looks: int = 0
    requests: int = 0
    patches: list[tuple[int, dict[str, Any]]] = field(default_factory=list)  # with the look that each followed
    refuses: bool = False

    def weights(self, address: str) -> list[int]:
        """What an instance was given, one after the other."""
        found = [body["weights"].get(address) for _, body in self.patches]
        return [weight for weight in found if weight is not None]

    def request(self) -> None:
        """One POST, tried again on the next instance while it is answered with 500."""
        self.requests += 1
        began = time.time()
        serving = [a for a, p in self.placed.items() if p.weight and (p.colour == "green") == (self.green == 100)]
        turn = self.requests % len(serving)
        tried: list[tuple[str, int, float]] = []
        for address in (serving[turn:] + serving[:turn])[:3]:
            tried.append((address, *_post(address)))
            if tried[-1][1] < 500:
                break
        self._write(began, tried)

    def _write(self, began: float, tried: list[tuple[str, int, float]]) -> None:
        now = time.time()
        line = {
            "msec": round(now, 3),
            "colour": self.placed[tried[-1][0]].colour,
            "method": "POST",
            "uri": "/v1/events",
            "status": tried[-1][1],
            "request_time": round(now - began, 3),
            "upstream": ", ".join(address for address, _, _ in tried),
            "upstream_status": ", ".join(str(status or "-") for _, status, _ in tried),
            "upstream_response_time": ", ".join(f"{seconds:.3f}" for _, _, seconds in tried),
        }
        with self.log.open("a") as file:
            file.write(json.dumps(line) + "\n")

    def traffic(self) -> dict[str, Any]:
        """As GET /traffic shows it."""
        instances = {
            a: {"colour": p.colour, "weight": p.weight, "by": p.by, "active": 0, "fails": 0, "tripped": False}
            for a, p in self.placed.items()
        }
        return {"green": self.green, "maintenance": "off", "revision": len(self.patches), "instances": instances}

    def patch(self, body: object) -> tuple[int, dict[str, Any]]:
        """As PATCH /traffic answers it."""
        weights = body.get("weights") if isinstance(body, dict) else None
        if not isinstance(body, dict) or not isinstance(weights, dict):
            return 400, {"error": "weights are wanted"}
        if not all(isinstance(weight, int) and 0 <= weight <= 100 for weight in weights.values()):
            return 400, {"error": "a weight is from 0 to 100"}
        if body.get("revision", len(self.patches)) != len(self.patches):
            return 409, {"error": "somebody changed it meanwhile"}
        if unknown := weights.keys() - self.placed.keys():
            return 404, {"error": f"no instance is at {sorted(unknown)}"}
        for address, weight in weights.items():
            self.placed[address] = replace(self.placed[address], weight=weight, by=body.get("by", ""))
        self.patches.append((self.looks, body))
        return 200, self.traffic()


def _post(address: str) -> tuple[int, float]:
    """Status, 0 when nobody answers, and seconds."""
    began = time.monotonic()
    host, _, port = address.rpartition(":")
    connection = http.client.HTTPConnection(host, int(port), timeout=5)
    try:
        connection.request("POST", "/v1/events", b"{}")
        return connection.getresponse().status, time.monotonic() - began
    except OSError:
        return 0, time.monotonic() - began
    finally:
        connection.close()


@contextlib.contextmanager
def listening(balancer: Balancer) -> Iterator[str]:
    """The address at which it may be asked."""

    class Handler(_Handler):
        def do_GET(self) -> None:
            if balancer.refuses:
                self.answer(503, {"error": "not now"})
                return
            for _ in range(balancer.requests_a_turn):
                balancer.request()
            balancer.looks += 1
            self.answer(200 if self.path == "/traffic" else 404, balancer.traffic())

        def do_PATCH(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            self.answer(*balancer.patch(body))

    server = _Server(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    yield f"127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@dataclass
class Program:
    """`python3 -m guard` in a process of its own, with the standard library and nothing else."""

    settings: Path
    listen: str
    popen: subprocess.Popen[bytes] | None = None

    def start(self, **environment: str) -> "Program":
        argv = [sys.executable, "-S", "-s", "-B", "-m", "guard", str(self.settings)]
        self.popen = subprocess.Popen(argv, cwd=PROGRAM, env=environment)
        until(lambda: self.get("/state")[0] == 200)
        return self

    def kill(self) -> None:
        if self.popen:
            self.popen.kill()
            self.popen.wait(timeout=10)

    def get(self, path: str) -> tuple[int, str]:
        """Status, 0 when nobody answers, and body."""
        assert self.popen is None or self.popen.poll() is None, "the guard ended"
        host, _, port = self.listen.rpartition(":")
        connection = http.client.HTTPConnection(host, int(port), timeout=5)
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            return answer.status, answer.read().decode()
        except OSError:
            return 0, ""
        finally:
            connection.close()

    def state(self, address: str = "") -> dict[str, Any]:
        """GET /state, all of it or of one instance."""
        found: dict[str, Any] = json.loads(self.get("/state")[1])
        return found["instances"].get(address, {}) if address else found


def free_address() -> str:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return f"127.0.0.1:{taken.getsockname()[1]}"


def until(condition: Any, seconds: float = 30.0) -> None:
    """Wait for something to become true; fails when it does not."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come true in time"
        time.sleep(0.005)


@dataclass
class Rig:
    """Three blue instances, a balancer in front of them, and a guard beside it that is not yet started."""

    instances: list[Instance]
    balancer: Balancer
    guard: Program

    def looks(self, number: int) -> None:
        """Let the guard look so many times more, from now on."""
        first = self.balancer.looks
        until(lambda: self.balancer.looks >= first + number + 1)


@contextlib.contextmanager
def rigged(folder: Path, policy: dict[str, Any] | None = None, instances: int = 3) -> Iterator[Rig]:
    """All of it started but the guard; everything is ended afterwards."""
    log = folder / "access.log"
    log.touch()
    started = [Instance().start() for _ in range(instances)]
    balancer = Balancer(log, {instance.address: Placed("blue") for instance in started})
    with listening(balancer) as traffic:
        listen = free_address()
        settings = {"traffic": traffic, "access_log": str(log), "listen": listen, "policy": POLICY | (policy or {})}
        (folder / "guard.json").write_text(json.dumps(settings))
        guard = Program(folder / "guard.json", listen)
        try:
            yield Rig(started, balancer, guard)
        finally:
            guard.kill()
            for instance in started:
                instance.stop()

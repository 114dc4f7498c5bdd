"""A real nginx on loopback with the role's own configuration, and instances whose answers a test chooses."""

import json
import os
import secrets
import socket
import subprocess
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import urllib3

from tests.rendering import NGINX, render_one

WORKERS = 2
Behaviour = Callable[[BaseHTTPRequestHandler], int]


class Instance:
    """Answers with its address, and a status that `behaviour` chooses; counts what it is asked."""

    def __init__(self, port: int = 0) -> None:
        self.asked: Counter[str] = Counter()
        self.seen: list[dict[str, str]] = []
        self.behaviour: Behaviour = lambda _request: 200
        self._lock = threading.Lock()
        self._server = ThreadingHTTPServer(("127.0.0.1", port), self._handler())
        self._server.daemon_threads = True
        self.address = f"127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()

    def close(self) -> None:
        """Nobody listens there any more: connections are refused."""
        self._server.shutdown()
        self._server.server_close()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        instance = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def answer(self) -> None:
                self.rfile.read(int(self.headers.get("Content-Length", 0)))
                with instance._lock:
                    instance.asked[self.command] += 1
                    instance.seen.append(dict(self.headers))
                status = instance.behaviour(self)
                if not status:  # hangs up without an answer
                    self.close_connection = True
                    return
                body = json.dumps({"instance": instance.address}).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            do_GET = do_POST = do_PATCH = answer  # noqa: N815  # the names that http.server calls

            def log_message(self, *_: Any) -> None:
                """Nothing to say."""

        return Handler


@dataclass
class Balancer:
    """nginx with its ports, and the folder that holds all it writes."""

    folder: Path
    port: int
    control: int
    settings: dict[str, Any]
    pool: urllib3.PoolManager = field(default_factory=lambda: urllib3.PoolManager(retries=False, maxsize=64))

    def write(self, blue: list[str], green: list[str]) -> None:
        """Who exists, as the role writes it."""
        colours = dict.fromkeys(blue, "blue") | dict.fromkeys(green, "green")
        (self.folder / "instances.json").write_text(json.dumps(colours))

    def start(self, native: str = "") -> None:
        """With the rendered configuration; `native` takes the place of its upstream group and its Lua."""
        text = render_one(
            "nginx.conf.j2",
            nginx_listen_port=self.port,
            nginx_control_port=self.control,
            nginx_lua_directory=str(NGINX / "lua"),
            nginx_state_directory=str(self.folder),
            nginx_instances_file=str(self.folder / "instances.json"),
            nginx_worker_processes=str(WORKERS),
            **self.settings,
        )
        if native:
            text = as_native(text, native)
        for theirs, ours in (("/var/log/nginx", str(self.folder)), ("/run/nginx.pid", f"{self.folder}/pid")):
            text = text.replace(theirs, ours)
        if os.geteuid() == 0:
            text = text.replace("user www-data;", "user root;")  # pytest's folders are for their owner alone
        (self.folder / "nginx.conf").write_text(text)
        self._nginx()
        while len(self.workers()) < WORKERS:  # the second is started a moment after the first
            pass

    def stop(self) -> None:
        pid = self.folder / "pid"
        if pid.exists():
            self._nginx("-s", "stop")
            while pid.exists():  # the last thing that nginx takes away
                pass

    def reload(self) -> None:
        self._nginx("-s", "reload")

    def workers(self) -> set[int]:
        pid = int((self.folder / "pid").read_text())
        return {int(each) for each in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()}

    def traffic(self) -> dict[str, Any]:
        return self._control("GET", "/traffic")[1]

    def change(self, **wanted: Any) -> tuple[int, dict[str, Any]]:
        return self._control("PATCH", "/traffic", wanted)

    def reread(self) -> dict[str, Any]:
        return self._control("POST", "/instances")[1]

    def ask(self, method: str = "GET", path: str = "/v1/events", **headers: str) -> urllib3.BaseHTTPResponse:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        body = b"{}" if method == "POST" else None
        return self.pool.request(method, f"http://127.0.0.1:{self.port}{path}", headers=named, body=body)

    def log(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in (self.folder / "access.log").read_text().splitlines()]

    def _control(self, method: str, path: str, body: Any = None) -> tuple[int, dict[str, Any]]:
        answer = self.pool.request(
            method,
            f"http://127.0.0.1:{self.control}{path}",
            json=body,
            retries=urllib3.Retry(connect=20, backoff_factor=0.02),
        )
        return answer.status, answer.json()

    def _nginx(self, *words: str) -> None:
        argv = ["nginx", "-c", str(self.folder / "nginx.conf"), "-e", str(self.folder / "error.log"), *words]
        ended = subprocess.run(argv, capture_output=True, text=True, check=False)
        assert ended.returncode == 0, ended.stderr


def as_native(text: str, upstream: str) -> str:
    """The same site over nginx' own upstream group."""
    start, end = text.index("    # Instances come and go"), text.index("    server {")
    kept = [line for line in text[end:].splitlines() if "_by_lua_block" not in line]
    site = "\n".join(kept[: kept.index("    # Where traffic is changed and looked at: from this host alone.")])
    site = site.replace("set $amebo_publishing 0;", "set $amebo_publishing 0; set $amebo_colour native;")
    return f"{text[:start]}{upstream}{site}\n}}\n"


def free_port() -> int:
    """Below those that the kernel gives to connections, so that none of these takes it before nginx does."""
    while True:
        port = 20_000 + secrets.randbelow(12_000)
        with suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port


@pytest.fixture
def settings() -> dict[str, Any]:
    """Values of the role that a test wants otherwise."""
    return {"nginx_fail_timeout_seconds": 1, "nginx_queue_seconds": 5}


@pytest.fixture
def balancer(tmp_path: Path, settings: dict[str, Any]) -> Iterator[Balancer]:
    made = Balancer(tmp_path, free_port(), free_port(), settings)
    try:
        yield made
    finally:
        made.stop()


@pytest.fixture
def instances() -> Iterator[list[Instance]]:
    """Two blue, two green."""
    made = [Instance() for _ in range(4)]
    yield made
    for instance in made:
        instance.close()


@pytest.fixture
def serving(balancer: Balancer, instances: list[Instance]) -> Balancer:
    """Nginx in front of them, everything on blue."""
    addresses = [instance.address for instance in instances]
    balancer.write(addresses[:2], addresses[2:])
    balancer.start()
    return balancer

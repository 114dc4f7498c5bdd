"""Ours, as it runs in production: web processes that share a socket, dispatchers, set up over HTTP."""

import secrets
import socket
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import urllib3

from bench.broker.load import ACTION, SCHEMA, Publisher
from bench.broker.postgres import Database
from bench.broker.processes import UnixConnection, answers, running, until

SHOP = "shop"
USERNAME, PASSWORD, SECRET = "bench", secrets.token_urlsafe(24), secrets.token_urlsafe(32)
_AS_SYSTEMD = """
import os, sys
os.dup2(int(sys.argv[1]), 3)
os.environ.update(LISTEN_FDS="1", LISTEN_PID=str(os.getpid()))
os.execv(sys.executable, [sys.executable, "-m", "app", "web"])
"""


class Service:
    """Its processes on one database; settings are named as in app.settings."""

    def __init__(self, database: Database, folder: Path, listener: socket.socket, stack: ExitStack) -> None:
        self._folder, self._listener, self._stack = folder, listener, stack
        self._pool = urllib3.PoolManager(retries=False)
        self._token = ""
        self.url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        self.log = folder / "service.log"
        self._environment = {
            "AMEBO_DSN": database.url,
            "AMEBO_SECRET": SECRET,
            "AMEBO_USERNAME": USERNAME,
            "AMEBO_PASSWORD": PASSWORD,
            "AMEBO_ALLOW_PRIVATE_HANDLERS": "127.0.0.0/8",
            "AMEBO_DRAIN_TIMEOUT": "5",
            "AMEBO_LOG_LEVEL": "warning",
        }

    def web(self, **settings: object) -> int:
        """A web process that takes the listening socket over as systemd would hand it; returns its pid."""
        argv = [sys.executable, "-c", _AS_SYSTEMD, str(self._listener.fileno())]
        return self._start(self._stack, argv, [self._listener], settings)

    def dispatcher(self, **settings: object) -> int:
        """A dispatcher; returns its pid."""
        return self._start(self._stack, [sys.executable, "-m", "app", "dispatcher"], [], settings)

    @contextmanager
    def dispatching(self, **settings: object) -> Iterator[int]:
        """A dispatcher for a while."""
        with ExitStack() as stack:
            yield self._start(stack, [sys.executable, "-m", "app", "dispatcher"], [], settings)

    @contextmanager
    def serving(self, **settings: object) -> Iterator[int]:
        """A web process for a while."""
        argv = [sys.executable, "-c", _AS_SYSTEMD, str(self._listener.fileno())]
        with ExitStack() as stack:
            yield self._start(stack, argv, [self._listener], settings)

    def migrate(self) -> None:
        argv = [sys.executable, "-m", "app", "migrate"]
        with running(argv, self._environment, self.log) as migration:
            if migration.wait(60) != 0:
                raise SystemExit(f"the migration failed: {self.log.read_text()}")

    def register(self, *handlers: str) -> Publisher:
        """An application with an action, and a subscription of its own for each handler."""
        created = self.call("POST", "/v1/applications", {"application": SHOP, "address": handlers[0]})
        self.call("POST", "/v1/actions", {"action": ACTION, "application": SHOP, "schemata": SCHEMA})
        for handler in handlers:
            self.call(
                "POST", "/v1/subscriptions", {"application": SHOP, "action": ACTION, "handler": f"{handler}/hooks"}
            )
        return Publisher(self.url, created["apikey"])

    def call(self, method: str, path: str, body: object = None) -> Any:  # noqa: ANN401  # JSON
        """As the administrator."""
        if not self._token and path != "/v1/tokens":
            self._token = self.call("POST", "/v1/tokens", {"username": USERNAME, "password": PASSWORD})["token"]
        headers = {"Authorization": f"Bearer {self._token}"} if self._token else {}
        answer = self._pool.request(method, f"{self.url}{path}", json=body, headers=headers)
        if answer.status >= 300:
            raise SystemExit(f"{method} {path} was answered with {answer.status}: {answer.data[:300]!r}")
        return answer.json()

    def _start(
        self, stack: ExitStack, argv: list[str], sockets: list[socket.socket], settings: dict[str, object]
    ) -> int:
        status = self._folder / f"{secrets.token_hex(4)}.sock"
        chosen = {f"AMEBO_{name.upper()}": str(value) for name, value in settings.items()}
        environment = {**self._environment, **chosen, "AMEBO_STATUS_SOCKET": str(status)}
        popen = stack.enter_context(running(argv, environment, self.log, sockets))
        until(lambda: popen.poll() is not None or answers(UnixConnection(status), "/health/ready"), 30, "a process")
        if popen.poll() is not None:
            raise SystemExit(f"a process ended by itself: {self.log.read_text()[-3000:]}")
        return popen.pid


@contextmanager
def service(database: Database) -> Iterator[Service]:
    """Migrated, and nothing running yet; all that is started ends with it."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-")))
        listener = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=1024))
        made = Service(database, folder, listener, stack)
        made.migrate()
        yield made

"""The web process: waitress, on systemd's sockets or its own, and a drain that loses no request."""

import logging
import resource
import signal
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

from waitress import create_server, wasyncore
from waitress.server import BaseWSGIServer

from app import __version__, systemd
from app.channel import Channel
from app.health import Health
from app.loop import Loop
from app.settings import Settings

LARGEST_REQUEST = 8 * 1024 * 1024  # what is larger never reaches the service, which has tighter limits of its own
PIECE = 64 * 1024  # of a body that is read at once: for each the loop has to take the interpreter's lock from a batch
TICK = 1.0
IDENT = f"amebo/{__version__}"  # load balancers log it, and hide it from clients
App = Callable[..., Any]
IsQuick = Callable[[str, str, int], bool]  # of a request's method, path and length: it needs no thread of its own
log = logging.getLogger("amebo.web")


class Server:
    """Serves until SIGTERM, then drains: accepts no more, answers what came in, lets connections go.

    Every response of a draining server says `Connection: close`, so that a client with a keep-alive connection
    sends its next request elsewhere. Idle connections are left to their clients until the deadline: closing one
    at the moment when its client sends a request would lose that request.
    """

    def __init__(self, app: App, settings: Settings, health: Health, is_quick: IsQuick) -> None:
        _allow_files(settings.connections)
        inherited = systemd.listen_sockets()
        self._keeps_listening = bool(inherited)  # systemd and the next process go on with these
        self._map: dict[int, Any] = {}
        self._health = health
        self._timeout = settings.drain_timeout
        self._server = create_server(
            app,
            map=self._map,
            sockets=inherited or [_listen(settings.host, settings.port)],
            threads=settings.threads,
            connection_limit=settings.connections,
            max_request_body_size=LARGEST_REQUEST,
            recv_bytes=PIECE,
            clear_untrusted_proxy_headers=False,  # who is believed is decided in http/limits.py
            ident=IDENT,
        )
        self._listeners = [each for each in self._map.values() if isinstance(each, BaseWSGIServer)]
        self._loop = Loop(self._map, settings.threads)
        self._is_quick = is_quick
        self._to_threads = self._listeners[0].task_dispatcher.add_task
        self._wake = self._listeners[0].pull_trigger
        for listener in self._listeners:
            listener.channel_class, listener.health, listener.loop = Channel, health, self._loop
            listener.add_task = self._serve
            listener.pull_trigger = _nothing  # threads arm their connections themselves

    def run(self) -> None:
        """Serve, and return when drained."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._stop)
        self._wait_for_our_turn()
        systemd.notify("READY=1")
        while not self._health.draining:
            self._turn()
        systemd.notify("STOPPING=1")
        self._drain()

    def _wait_for_our_turn(self) -> None:
        """Leave a shared port to the process before until this one may take traffic too."""
        said = ""
        while not self._health.draining and not self._health.may_accept():
            status = self._health.ready()[1]["status"]
            if status != said:
                log.warning("not ready, so it accepts nothing yet: %s", status)
            said = status
            time.sleep(TICK / 5)

    def _stop(self, _signal: int, _frame: FrameType | None) -> None:
        """Only flags, and a byte through a pipe to end the poll: locks may be held where a signal strikes."""
        self._health.draining = True
        self._wake()

    def _drain(self) -> None:
        for listener in self._listeners:
            self._stop_accepting(listener)
        deadline = time.monotonic() + self._timeout
        while self._channels() and time.monotonic() < deadline:
            self._turn()
        busy = sum(bool(channel.requests) for channel in self._channels())
        log.log(logging.WARNING if busy else logging.INFO, "drained, %d requests unanswered", busy)

    def _stop_accepting(self, listener: BaseWSGIServer) -> None:
        """An inherited socket stays open, for whoever shares it; one of our own is closed: clients go elsewhere."""
        if self._keeps_listening:
            listener.accepting = False
            self._loop.forget(listener._fileno)  # noqa: SLF001  # waitress' name for it
            listener.del_channel()
            return
        known = -1
        while known != len(listener.active_channels):  # what the kernel accepted already would be reset by closing
            known = len(listener.active_channels)
            listener.handle_accept()
        wasyncore.dispatcher.close(listener)

    def _channels(self) -> list[Channel]:
        return [channel for channel in self._map.values() if isinstance(channel, Channel)]

    def _serve(self, channel: Channel) -> None:
        """Its first request: as a fiber of the loop, or on a thread."""
        request = channel.requests[0]
        is_quick = not request.error and self._is_quick(request.command, request.path, request.body_bytes_received)
        if not (is_quick and self._loop.takes(channel)):
            self._to_threads(channel)

    def _turn(self) -> None:
        self._loop.turn(TICK)


def _nothing() -> None:
    """Wakes nobody."""


def serve_status(app: App, address: str) -> None:
    """Answer health and metrics beside the service, on a thread of its own, until the process ends.

    The address, a unix socket's path or host:port, is of this process alone: so are the metrics.
    """
    if not address:
        return
    server = create_server(app, map={}, threads=2, ident=IDENT, **_beside(address))
    threading.Thread(target=server.run, name="status", daemon=True).start()


def _beside(address: str) -> dict[str, Any]:
    host, colon, port = address.rpartition(":")
    if colon and "/" not in address:
        return {"sockets": [_listen(host, int(port))]}
    Path(address).unlink(missing_ok=True)
    return {"unix_socket": address, "unix_socket_perms": "660"}


def _allow_files(connections: int) -> None:
    """A descriptor for each connection and some for the rest; the usual soft limit of 1024 is too close."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = connections + 200
    if soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(wanted, hard), hard))


def _listen(host: str, port: int) -> socket.socket:
    host = host.strip("[]")  # as an IPv6 address is written beside a port
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    return socket.create_server((host, port), family=family, backlog=1024)

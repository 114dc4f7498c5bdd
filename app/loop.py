"""The loop that waits for a web process' sockets: epoll, where waitress asks every connection at every turn.

waitress' own loop looks at all connections twice a request, when it comes and when a thread has answered it; with 64
of them that took more time than the requests. Here a connection is looked at when something happened to it: what the
kernel says, and what a thread says that has served it. (ONESHOT: after an event the kernel is silent about a connection
until it is armed again.)
"""

import select
import time
from contextlib import suppress
from threading import Lock
from typing import Any

from waitress import wasyncore

_IN, _OUT = select.EPOLLIN | select.EPOLLPRI, select.EPOLLOUT
_EVERYTHING = 1.0  # seconds after which all are looked at: the server's limits, and connections that it gave up


class Loop:
    """Watches waitress' map from file descriptors to dispatchers; `turn` is for one thread, `arm` for all."""

    def __init__(self, watched: dict[int, Any]) -> None:
        self._watched = watched
        self._epoll = select.epoll()
        self._lock = Lock()
        self._known: dict[int, Any] = {}
        self._next = 0.0

    def arm(self, dispatcher: Any) -> None:  # noqa: ANN401  # waitress has no types
        """Let the kernel tell of what a dispatcher waits for now.

        What it waits for is read under the lock: else a thread that has just served it could be overruled by the main
        thread that saw it busy a moment before, and nobody would ever hear of it again.
        """
        with self._lock:
            number = dispatcher._fileno  # noqa: SLF001  # waitress' name for it; None when it is closed
            is_open = self._watched.get(number) is dispatcher
            if not is_open:
                return
            flags = (_IN if dispatcher.readable() else 0) | (
                _OUT if dispatcher.writable() and not dispatcher.accepting else 0
            )
            if self._known.get(number) is dispatcher:
                self._epoll.modify(number, flags | select.EPOLLONESHOT)
            else:  # the kernel forgets a descriptor that is closed, and the next connection gets its number
                self._known[number] = dispatcher
                self._epoll.register(number, flags | select.EPOLLONESHOT)

    def turn(self, timeout: float) -> None:
        """Handle what happened, or what happens within the time."""
        if time.monotonic() >= self._next:
            self._look_at_all()
        for number, flags in self._epoll.poll(timeout):
            dispatcher = self._watched.get(number)
            if dispatcher is not None:
                wasyncore.readwrite(dispatcher, flags)
                self.arm(dispatcher)

    def forget(self, number: int) -> None:
        """A descriptor that stays open, but is not ours to wait for any more."""
        with self._lock, suppress(OSError):
            self._known.pop(number, None)
            self._epoll.unregister(number)

    def _look_at_all(self) -> None:
        self._next = time.monotonic() + _EVERYTHING
        for number in self._known.keys() - self._watched.keys():
            self.forget(number)
        for dispatcher in list(self._watched.values()):
            self.arm(dispatcher)

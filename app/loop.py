"""The loop that waits for a web process' sockets: epoll, where waitress asks every connection at every turn.

waitress' own loop looks at all connections twice a request, when it comes and when a thread has answered it; with 64
of them that took more time than the requests. Here a connection is looked at when something happened to it: what the
kernel says, and what a thread says that has served it. Requests that are quick are served here, as fibers.
"""

import select
import time
from collections import deque
from contextlib import suppress
from threading import Lock, get_ident
from typing import Any

from waitress import wasyncore

from app.fibers import Hub

_IN, _OUT = select.EPOLLIN | select.EPOLLPRI, select.EPOLLOUT
_MOST = 4  # happenings in a turn: a commit that is done, and the next, shall not wait for many requests
_EVERYTHING = 1.0  # seconds after which all are looked at: the server's limits, and connections that it gave up


class Loop:
    """Watches waitress' map from file descriptors to dispatchers; `turn` is for one thread, `arm` for all."""

    def __init__(self, watched: dict[int, Any], threads: int) -> None:
        self._watched = watched
        self._thread = get_ident()
        self._epoll = select.epoll()
        self._hub = Hub(threads, self._epoll)
        self._lock = Lock()
        self._known: dict[int, tuple[Any, int]] = {}  # a dispatcher, and what the kernel watches for
        self._quick: deque[Any] = deque()
        self._next = 0.0

    def takes(self, channel: Any) -> bool:  # noqa: ANN401  # waitress has no types
        """Take the channel to serve it as a fiber, unless another thread asks."""
        if get_ident() != self._thread:
            return False
        self._quick.append(channel)
        return True

    def arm(self, dispatcher: Any) -> None:  # noqa: ANN401
        """Let the kernel tell of what a dispatcher waits for now.

        What it waits for is read under the lock: else a thread that has just served it could be overruled by the main
        thread that saw it busy a moment before, and nobody would ever hear of it again.
        """
        with self._lock:
            number = dispatcher._fileno  # noqa: SLF001  # waitress' name for it; None when it is closed
            if self._watched.get(number) is not dispatcher:
                return
            wanted = _wanted(dispatcher)
            known, flags = self._known.get(number, (None, 0))
            if known is not dispatcher:  # the kernel forgets what is closed, and the next connection gets its number
                self._epoll.register(number, wanted)
            elif wanted != flags or wanted == select.EPOLLONESHOT:
                self._epoll.modify(number, wanted)
            self._known[number] = dispatcher, wanted

    def turn(self, timeout: float) -> None:
        """Handle what happened, or what happens within the time."""
        if time.monotonic() >= self._next:
            self._look_at_all()
        for number, flags in self._epoll.poll(min(timeout, self._hub.patience), _MOST):
            if not self._hub.happened(number, flags):
                self._handle(self._watched.get(number), flags)
            while self._quick:
                self._hub.start(self._quick.popleft().service)
        self._hub.end_turn()

    def forget(self, number: int) -> None:
        """A descriptor that stays open, but is not ours to wait for any more."""
        with self._lock, suppress(OSError):
            self._known.pop(number, None)
            self._epoll.unregister(number)

    def _handle(self, dispatcher: Any, flags: int) -> None:  # noqa: ANN401
        """What it does not want to know now, as a next request before the first is answered, it hears when it does."""
        if dispatcher is None:
            return
        heard = flags & (_wanted(dispatcher) | ~(_IN | _OUT))
        if heard:
            wasyncore.readwrite(dispatcher, heard)
        if not self._quick:
            self.arm(dispatcher)

    def _look_at_all(self) -> None:
        self._next = time.monotonic() + _EVERYTHING
        self._hub.give_up()
        for number in self._known.keys() - self._watched.keys():
            self._known.pop(number)  # closed, so the kernel forgot it; its number may be somebody else's by now
        for dispatcher in list(self._watched.values()):
            self.arm(dispatcher)


def _wanted(dispatcher: Any) -> int:  # noqa: ANN401
    """Who wants nothing is not told twice that its client is gone."""
    flags = (_IN if dispatcher.readable() else 0) | (_OUT if dispatcher.writable() and not dispatcher.accepting else 0)
    return flags or select.EPOLLONESHOT

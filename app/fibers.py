"""Fibers: requests that wait, for a commit or for an answer of the database, while their thread goes on with others.

A thread for each request that waits costs more than the request: it is woken several times, and has to take the
interpreter's lock from another each time. A fiber (a greenlet) is resumed by the loop that started it.
"""

import logging
import os
import select
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from threading import Lock
from typing import Any, TypeVar

from greenlet import GreenletExit, getcurrent, greenlet

Result = TypeVar("Result")
FOREVER = 3600.0  # seconds: until something happens
log = logging.getLogger("amebo.web")


class Hub:
    """The fibers of one loop, which calls all of this on its own thread, but `wake`.

    `patience` is how long the loop's next turn may wait for something to happen.
    """

    def __init__(self, threads: int, epoll: select.epoll) -> None:
        self.home = getcurrent()
        self.patience = FOREVER
        self.threads = ThreadPoolExecutor(threads, thread_name_prefix="errand")
        self.idle: list[Fiber] = []  # a new one is dear
        self._epoll = epoll
        self._bell = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._epoll.register(self._bell, select.EPOLLIN)
        self._woken: deque[Fiber] = deque()
        self._lock = Lock()  # two who wake at the same moment must not each take the other for the first
        self._resting: list[Fiber] = []
        self._watching: dict[int, tuple[Fiber, float]] = {}  # by descriptor: who waits for it, and until when

    def start(self, work: Callable[[], None]) -> None:
        """Do it, until it waits for the first time."""
        fiber = self.idle.pop() if self.idle else Fiber(self)
        self._resume(fiber, work)

    def wake(self, fiber: "Fiber") -> None:
        """Let it be resumed, from any thread; where a fiber of the same loop says so, as soon as that waits or ends."""
        with self._lock:
            self._woken.append(fiber)
            is_first = len(self._woken) == 1  # else the loop has yet to come to the one before, and then to this one
        if is_first and not is_fiber():
            os.eventfd_write(self._bell, 1)

    def happened(self, number: int, flags: int) -> bool:
        """Whether what epoll says was for fibers, which then have gone on."""
        if number == self._bell:
            os.eventfd_read(self._bell)
            self._resume_woken()
            return True
        if number in self._watching:
            self._resume(self._unwatch(number), flags)
            return True
        return False

    def rest(self, fiber: "Fiber", seconds: float) -> None:
        self.patience = min(self.patience, seconds)
        self._resting.append(fiber)

    def end_turn(self) -> None:
        """Go on with those who rested."""
        resting, self._resting, self.patience = self._resting, [], FOREVER
        for fiber in resting:
            self._resume(fiber)

    def watch(self, fiber: "Fiber", number: int, flags: int, seconds: float) -> None:
        self._epoll.register(number, flags)
        self._watching[number] = fiber, time.monotonic() + seconds

    def give_up(self) -> None:
        """Go on with those whose descriptor has kept them waiting for too long."""
        now = time.monotonic()
        for number in [number for number, (_, until) in self._watching.items() if until <= now]:
            self._resume(self._unwatch(number), 0)

    def close(self) -> None:
        """Of a loop that has ended."""
        self.threads.shutdown(wait=False)
        os.close(self._bell)

    def _resume(self, fiber: "Fiber", *told: object) -> None:
        """Go on with one, and with those whom it woke."""
        fiber.switch(*told)
        self._resume_woken()

    def _resume_woken(self) -> None:
        while self._woken:
            self._woken.popleft().switch()

    def _unwatch(self, number: int) -> "Fiber":
        self._epoll.unregister(number)
        return self._watching.pop(number)[0]


class Fiber(greenlet):
    """Serves one request after another, each of which ends on the thread on which it began."""

    def __init__(self, hub: Hub) -> None:
        super().__init__(self._run)
        self.hub = hub

    def _run(self, work: Callable[[], None]) -> None:
        while True:
            try:
                work()
            except GreenletExit:  # the process ends, and nobody will ever resume it
                raise
            except BaseException:  # as waitress' threads do: the loop goes on
                log.exception("a request failed")
            self.hub.idle.append(self)
            work = self.hub.home.switch()

    def pause(self) -> Any:  # noqa: ANN401  # what epoll says, for those who asked
        """Until it is resumed."""
        return self.hub.home.switch()


class Signal:
    """Given from any thread to whoever made it: a fiber, or else a thread. It is waited for as often as it is given."""

    def __init__(self) -> None:
        self._fiber = _here()
        if self._fiber is None:
            self._given = Lock()
            self._given.acquire()

    def wait(self) -> None:
        if self._fiber is None:
            self._given.acquire()
        else:
            self._fiber.pause()

    def give(self) -> None:
        if self._fiber is None:
            self._given.release()
        else:
            self._fiber.hub.wake(self._fiber)


def offload(work: Callable[[], Result]) -> Result:
    """Do what may take its time: on a thread of its own where a fiber asks, which waits; else here and now."""
    fiber = _here()
    if fiber is None:
        return work()
    doing = fiber.hub.threads.submit(copy_context().run, work)
    doing.add_done_callback(lambda _: fiber.hub.wake(fiber))
    fiber.pause()
    return doing.result()


def rest(seconds: float = 0.0) -> None:
    """A fiber: until the end of a turn of its loop, which waits so long at most. A thread: for so long."""
    fiber = _here()
    if fiber is None:
        time.sleep(seconds)
    else:
        fiber.hub.rest(fiber, seconds)
        fiber.pause()


def is_fiber() -> bool:
    return _here() is not None


def ready(number: int, flags: int, seconds: float) -> int:
    """What epoll says of the descriptor, which a fiber waits for; 0 when it says nothing for so long."""
    fiber = _here()
    if fiber is None:
        raise RuntimeError("only a fiber can wait like that")
    fiber.hub.watch(fiber, number, flags, seconds)
    return int(fiber.pause())


def _here() -> Fiber | None:
    current = getcurrent()
    return current if isinstance(current, Fiber) else None

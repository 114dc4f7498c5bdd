"""Fibers: requests that wait, for a commit or for an answer of the database, while their thread goes on with others.

A thread for each request that waits costs more than the request: it is woken several times, and has to take the
interpreter's lock from another each time. A fiber (a greenlet) is resumed by the loop that started it.
"""

import logging
import os
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from threading import Lock
from typing import TypeVar

from greenlet import GreenletExit, getcurrent, greenlet

Result = TypeVar("Result")
log = logging.getLogger("amebo.web")


class Hub:
    """The fibers of one loop, which calls all of this on its own thread, but `wake`.

    `number` is a descriptor that is readable when fibers are to be resumed.
    """

    def __init__(self, threads: int) -> None:
        self.home = getcurrent()
        self.number = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self.threads = ThreadPoolExecutor(threads, thread_name_prefix="errand")
        self.idle: list[Fiber] = []  # a new one costs as much as a quarter of a request
        self._woken: deque[Fiber] = deque()
        self._lock = Lock()  # two who wake at the same moment must not each take the other for the first
        self._later: dict[Callable[[], None], None] = {}

    def start(self, work: Callable[[], None]) -> None:
        """Do it, until it waits for the first time."""
        fiber = self.idle.pop() if self.idle else Fiber(self)
        fiber.switch(work)

    def wake(self, fiber: "Fiber") -> None:
        """Let it be resumed; from any thread."""
        with self._lock:
            self._woken.append(fiber)
            is_first = len(self._woken) == 1  # else the loop has yet to come to the one before, and then to this one
        if is_first:
            os.eventfd_write(self.number, 1)

    def resume(self) -> None:
        """Go on with all that were woken."""
        os.eventfd_read(self.number)
        while self._woken:
            self._woken.popleft().switch()

    def close(self) -> None:
        """Of a loop that has ended."""
        self.threads.shutdown(wait=False)
        os.close(self.number)

    def later(self, work: Callable[[], None]) -> None:
        self._later[work] = None

    def end_turn(self) -> None:
        """Do what was to be done once for all fibers of this turn."""
        while self._later:
            self._later.popitem()[0]()


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

    def pause(self) -> None:
        """Until it is woken."""
        self.hub.home.switch()


class Signal:
    """Given once, from any thread, to whoever made it: a fiber, or else a thread."""

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


def later(work: Callable[[], None]) -> None:
    """Do it once for all fibers of this turn of the loop, at its end; without a fiber, now."""
    fiber = _here()
    if fiber is None:
        work()
    else:
        fiber.hub.later(work)


def _here() -> Fiber | None:
    current = getcurrent()
    return current if isinstance(current, Fiber) else None

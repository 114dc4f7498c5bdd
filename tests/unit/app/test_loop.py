"""What the loop keeps in mind of descriptors, whose numbers the kernel gives to others once they are closed."""

import os
import select

from app import fibers
from app.loop import Loop


class Dispatcher:
    """As much of waitress' as the loop asks: it reads, and nothing more."""

    accepting = False

    def __init__(self, number: int) -> None:
        self._fileno = number

    def readable(self) -> bool:
        return True

    def writable(self) -> bool:
        return False


def test_a_fiber_that_waits_for_a_closed_client_s_number_is_not_forgotten_with_it() -> None:
    watched: dict[int, Dispatcher] = {}
    loop = Loop(watched, threads=1)
    closed, writer = os.pipe()
    watched[closed] = Dispatcher(closed)
    loop.arm(watched[closed])
    del watched[closed]
    os.close(closed)
    os.close(writer)
    reader, writer = os.pipe()
    assert reader == closed

    heard: list[int] = []
    loop._hub.start(lambda: heard.append(fibers.ready(reader, select.EPOLLIN, 10)))
    loop._next = 0.0
    loop.turn(0)  # looks at all
    os.write(writer, b"x")
    loop.turn(1)
    assert heard == [select.EPOLLIN]
    loop._hub.close()
    os.close(reader)
    os.close(writer)

"""Fibers: who waits lets others go on, and is resumed once, on the thread of its loop."""

import logging
import os
import select
import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import pytest

from app import fibers
from app.fibers import FOREVER, Hub, Signal, offload, rest

PATIENT = 10.0


class Loop:
    """As much of a loop as fibers need."""

    def __init__(self) -> None:
        self.epoll = select.epoll()
        self.hub = Hub(2, self.epoll)

    def turn(self) -> None:
        """Wait until something is to be resumed, and resume it."""
        happened = self.epoll.poll(min(PATIENT, self.hub.patience))
        assert happened or self.hub.patience < FOREVER, "nobody was woken"
        assert all(self.hub.happened(*each) for each in happened)
        self.hub.end_turn()

    def until(self, done: Callable[[], bool]) -> None:
        while not done():
            self.turn()


@pytest.fixture
def loop() -> Iterator[Loop]:
    made = Loop()
    yield made
    made.hub.close()
    made.epoll.close()


def test_others_go_on_while_one_waits(loop: Loop) -> None:
    signals: list[Signal] = []
    said: list[str] = []

    def work(name: str) -> None:
        signals.append(Signal())
        said.append(f"{name} waits")
        signals[-1].wait()
        said.append(f"{name} goes on")

    loop.hub.start(lambda: work("first"))
    loop.hub.start(lambda: work("second"))
    for signal in reversed(signals):
        signal.give()
    loop.turn()
    assert said == ["first waits", "second waits", "second goes on", "first goes on"]


def test_what_is_given_by_another_thread_is_taken_on_the_loop_s(loop: Loop) -> None:
    threads: list[threading.Thread] = []

    def work() -> None:
        signal = Signal()
        threading.Thread(target=signal.give).start()
        signal.wait()
        threads.append(threading.current_thread())

    loop.hub.start(work)
    loop.until(lambda: bool(threads))
    assert threads == [threading.current_thread()]


def test_what_was_given_before_it_is_waited_for_is_not_lost(loop: Loop) -> None:
    done = []

    def work() -> None:
        signal = Signal()
        signal.give()
        signal.wait()
        done.append(True)

    loop.hub.start(work)
    work()  # on a thread
    assert done == [True, True]


def test_many_that_are_woken_from_many_threads_are_each_resumed_once(loop: Loop) -> None:
    many, resumed = 400, []
    signals: list[Signal] = []

    def work(number: int) -> None:
        for _ in range(5):
            signals[number] = Signal()
            signals[number].wait()
            resumed.append(number)

    def give(first: int) -> None:
        for number in range(first, many, 4):
            signals[number].give()

    for number in range(many):
        signals.append(Signal())
        loop.hub.start(lambda number=number: work(number))  # type: ignore[misc]
    for round_ in range(1, 6):
        threads = [threading.Thread(target=give, args=(first,)) for first in range(4)]
        for thread in threads:
            thread.start()
        loop.until(lambda wanted=round_ * many: len(resumed) == wanted)  # type: ignore[misc]
        for thread in threads:
            thread.join()
    assert sorted(resumed) == sorted(list(range(many)) * 5)


def test_two_that_are_woken_at_the_same_moment_are_both_resumed(loop: Loop) -> None:
    resumed: list[int] = []
    signals: list[Signal] = []

    def work(number: int) -> None:
        signals.append(Signal())
        signals[number].wait()
        resumed.append(number)

    class Meeting(deque[Any]):
        """Where each who comes waits a little for the other."""

        def append(self, item: Any) -> None:
            super().append(item)
            with suppress(threading.BrokenBarrierError):
                both.wait(0.2)

    both = threading.Barrier(2)
    loop.hub._woken = Meeting()
    for number in range(2):
        loop.hub.start(lambda number=number: work(number))  # type: ignore[misc]
    threads = [threading.Thread(target=signal.give) for signal in signals]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    loop.until(lambda: len(resumed) == 2)


def test_what_takes_its_time_is_done_elsewhere_and_its_result_or_error_comes_back(loop: Loop) -> None:
    found: list[object] = []

    def fail() -> None:
        raise LookupError("not there")

    def work() -> None:
        found.append(offload(threading.current_thread))
        with pytest.raises(LookupError, match="not there"):
            offload(fail)
        found.append(threading.current_thread())

    loop.hub.start(work)
    loop.until(lambda: len(found) == 2)
    elsewhere, here = found
    assert elsewhere is not here is threading.current_thread()
    assert offload(threading.current_thread) is here  # who is no fiber may wait


def test_who_rests_goes_on_at_the_end_of_the_turn_and_again_at_that_of_a_short_one(loop: Loop) -> None:
    said: list[str] = []

    def work() -> None:
        rest()
        said.append("this turn")
        rest(0.01)
        said.append("the next")

    loop.hub.start(work)
    assert said == []
    loop.hub.end_turn()
    assert said == ["this turn"]
    loop.turn()  # nothing happens in it
    assert said == ["this turn", "the next"]
    assert loop.hub.patience == FOREVER
    work()  # on a thread
    assert len(said) == 4


def test_who_waits_for_a_descriptor_hears_what_the_kernel_says_of_it(loop: Loop) -> None:
    reader, writer = os.pipe()
    heard: list[int] = []
    loop.hub.start(lambda: heard.extend(fibers.ready(reader, select.EPOLLIN, PATIENT) for _ in range(2)))
    assert heard == []
    os.write(writer, b"x")
    loop.turn()
    os.close(writer)
    os.read(reader, 1)
    loop.turn()
    assert heard == [select.EPOLLIN, select.EPOLLHUP]
    os.close(reader)


def test_a_descriptor_of_which_nothing_is_heard_is_given_up_and_can_be_waited_for_again(loop: Loop) -> None:
    reader, writer = os.pipe()
    heard: list[int] = []
    loop.hub.start(lambda: heard.extend(fibers.ready(reader, select.EPOLLIN, seconds) for seconds in (0, PATIENT)))
    loop.hub.start(lambda: heard.append(fibers.ready(writer, select.EPOLLIN, PATIENT)))
    loop.hub.give_up()
    assert heard == [0]
    os.write(writer, b"x")
    loop.turn()
    assert heard == [0, select.EPOLLIN]
    os.close(reader)
    os.close(writer)


def test_one_that_fails_is_logged_and_the_next_is_served(loop: Loop, caplog: pytest.LogCaptureFixture) -> None:
    done = []

    def fail() -> None:
        raise RuntimeError("a bug")

    with caplog.at_level(logging.ERROR):
        loop.hub.start(fail)
    loop.hub.start(lambda: done.append(True))
    assert [str(record.exc_info[1]) for record in caplog.records if record.exc_info] == ["a bug"]
    assert done == [True]

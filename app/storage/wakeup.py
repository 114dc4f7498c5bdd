"""Waking dispatchers: NOTIFY outside of any data transaction and at most 20 times a second, LISTEN on its own session.

Losing a wake-up costs a poll's time, never an event.
"""

import asyncio
import logging
import threading
from collections.abc import Callable
from typing import Any

from psycopg import AsyncConnection, Connection, Error

from app.storage.connection import patient

CHANNEL = "amebo_gists"
DEBOUNCE = 0.05
RETRY = 2.0
log = logging.getLogger("amebo.wakeup")


class Waker:
    """Says on a connection of its own, from a thread of its own, that there is work; `wake` never waits."""

    def __init__(self, dsn: str) -> None:
        self._dsn = patient(dsn)
        self._work = threading.Event()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="waker", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def wake(self) -> None:
        if not self._work.is_set():  # which costs a tenth of setting it
            self._work.set()

    def stop(self) -> None:
        """Send what is to be sent, and end."""
        self._ended.set()
        self._work.set()
        self._thread.join(timeout=2)

    def _run(self) -> None:
        while not self._ended.is_set():
            try:
                with Connection[Any].connect(self._dsn, autocommit=True) as connection:
                    self._notify(connection)
            except Error as error:
                log.warning("dispatchers cannot be woken, they poll: %s", error)
                self._work.set()  # what could not be said is said after the next connect
                self._ended.wait(RETRY)

    def _notify(self, connection: Connection[Any]) -> None:
        while True:
            self._work.wait()
            self._work.clear()
            connection.execute(f"NOTIFY {CHANNEL}", prepare=False)  # prepared, nobody would count it
            if self._ended.wait(DEBOUNCE):
                return


async def listen(dsn: str, wake: Callable[[], None]) -> None:
    """Call `wake` at every notification, and once after each connect, until cancelled."""
    while True:
        try:
            async with await AsyncConnection[Any].connect(patient(dsn), autocommit=True) as connection:
                await connection.execute(f"LISTEN {CHANNEL}")
                wake()
                async for _ in connection.notifies():
                    wake()
        except Error as error:
            log.warning("no wake-ups, polling instead: %s", error)
        await asyncio.sleep(RETRY)

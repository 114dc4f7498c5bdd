"""What this process counts minute by minute, added up in the storage for the console; statistics, never the truth.

What was counted since the last time it was stored is lost with the process: some seconds of a curve, never an event.
"""

import logging
import threading
from collections.abc import Callable, Sequence
from datetime import UTC, datetime

from app import rules
from app.errors import AmeboError
from app.model import Minute, Published, Status
from app.ports import Storage

EVERY = 10.0  # seconds between two times that it is stored
log = logging.getLogger("amebo.minutes")
Key = tuple[datetime, str]


class Tally:
    """Counts for one minute and one application."""

    def __init__(self) -> None:
        self.published = self.delivered = self.retried = self.failed = self.due = 0
        self.oldest = 0.0
        self.latency = [0] * (len(rules.LATENCY_BOUNDS) + 1)


class Minutes:
    """Counts from any thread; `store` writes down what came together."""

    def __init__(self, storage: Storage, clock: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._storage = storage
        self._clock = clock
        self._lock = threading.Lock()
        self._tallies: dict[Key, Tally] = {}
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="minutes", daemon=True)

    def published(self, published: Sequence[Published]) -> None:
        """Events were stored for their publishers."""
        minute = self._minute()
        with self._lock:
            for each in published:
                if not each.duplicate:
                    self._tally(each.event.application, minute).published += 1

    def delivered(self, application: str, status: Status, latency: float | None) -> None:
        """A delivery ended in this status; `latency` are the seconds since the event was published."""
        with self._lock:
            tally = self._tally(application, self._minute())
            tally.delivered += status is Status.DELIVERED
            tally.retried += status is Status.RETRYING
            tally.failed += status is Status.FAILED
            if latency is not None:
                tally.latency[rules.latency_bucket(latency)] += 1

    def level(self, due: int, oldest_seconds: float) -> None:
        """How much waits at this moment."""
        with self._lock:
            tally = self._tally("", self._minute())
            tally.due, tally.oldest = max(tally.due, due), max(tally.oldest, oldest_seconds)

    def store(self) -> None:
        """Add it to what is stored; what cannot be stored now is dropped."""
        with self._lock:
            tallies, self._tallies = self._tallies, {}
        if not tallies:
            return
        try:
            self._storage.add_minutes([_as_minute(key, tally) for key, tally in sorted(tallies.items(), key=_first)])
        except AmeboError as error:
            log.warning("statistics of some seconds are lost: %s", error)

    def start(self) -> None:
        """Store from a thread of its own from now on."""
        self._thread.start()

    def stop(self) -> None:
        self._ended.set()
        self._thread.join(timeout=5)

    def _run(self) -> None:
        while not self._ended.wait(EVERY):
            self.store()
        self.store()

    def _minute(self) -> datetime:
        return self._clock().replace(second=0, microsecond=0)

    def _tally(self, application: str, minute: datetime) -> Tally:
        key = minute, application
        found = self._tallies.get(key)
        if found is None:
            found = self._tallies[key] = Tally()
        return found


def _first(item: tuple[Key, Tally]) -> Key:
    return item[0]


def _as_minute(key: Key, tally: Tally) -> Minute:
    minute, application = key
    return Minute(
        minute=minute,
        application=application,
        published=tally.published,
        delivered=tally.delivered,
        retried=tally.retried,
        failed=tally.failed,
        latency=tuple(tally.latency),
        due=tally.due,
        oldest_seconds=tally.oldest,
    )

"""What the service keeps about itself, in memory."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import zip_longest

from app.model import Minute
from app.storage.memory.state import MemoryState, within
from app.storage.migrate import MIGRATIONS, REQUIRED, oldest


class MemoryUpkeep(MemoryState):
    """The port Upkeep."""

    def schema_version(self) -> int:
        return REQUIRED

    def oldest_schema(self) -> int:
        return oldest(MIGRATIONS[-1])

    def expire(self, keys: timedelta, most: int) -> int:
        with self._lock:
            old = [name for name, key in self._keys.items() if not within(key.timestamped, keys, self.clock())][:most]
            for name in old:
                del self._keys[name]
            day, now = timedelta(days=1), self.clock()
            self._sign_ins = {who: each for who, each in self._sign_ins.items() if within(each[0], day, now)}
            self._minutes = {name: each for name, each in self._minutes.items() if within(name[0], 8 * day, now)}
            return len(old)

    def failed_sign_ins(self, who: Sequence[str], window: timedelta) -> int:
        known = [self._sign_ins[each] for each in who if each in self._sign_ins]
        return max((failures for since, failures in known if within(since, window, self.clock())), default=0)

    def count_sign_in(self, who: Sequence[str], window: timedelta, *, failed: bool) -> None:
        with self._lock:
            for each in who:
                since, failures = self._sign_ins.pop(each, (self.clock(), 0))
                if failed and within(since, window, self.clock()):
                    self._sign_ins[each] = (since, failures + 1)
                elif failed:
                    self._sign_ins[each] = (self.clock(), 1)

    def add_minutes(self, minutes: Sequence[Minute]) -> None:
        with self._lock:
            for each in minutes:
                name = (each.minute, each.application)
                self._minutes[name] = together(self._minutes[name], each) if name in self._minutes else each

    def minutes(self, application: str | None, since: datetime) -> tuple[Minute, ...]:
        found: dict[datetime, Minute] = {}
        for minute in self._minutes.values():
            if minute.minute >= since and application in (None, minute.application):
                known = found.get(minute.minute, replace(Minute(minute.minute, application or "")))
                found[minute.minute] = replace(together(known, minute), application=application or "")
        return tuple(found[minute] for minute in sorted(found))


def together(one: Minute, other: Minute) -> Minute:
    """The sums of two, and the larger of what is a level rather than a count."""
    return replace(
        one,
        published=one.published + other.published,
        delivered=one.delivered + other.delivered,
        retried=one.retried + other.retried,
        failed=one.failed + other.failed,
        latency=tuple(a + b for a, b in zip_longest(one.latency, other.latency, fillvalue=0)),
        due=max(one.due, other.due),
        oldest_seconds=max(one.oldest_seconds, other.oldest_seconds),
    )

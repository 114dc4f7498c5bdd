"""Events in memory."""

from collections.abc import Sequence
from dataclasses import replace
from uuid import UUID

from app.model import Event, Filters, Page, Permission, Publication, Published
from app.storage.memory.state import Key, MemoryState, matches, selected


class MemoryEvents(MemoryState):
    """The port Events."""

    def publish(self, publications: Sequence[Publication]) -> tuple[Published | None, ...]:
        with self._lock:
            return tuple(self._publish(each) if each.revision == self._revision else None for each in publications)

    def event(self, event: UUID) -> Event | None:
        return self._events.get(event)

    def events(self, filters: Filters, readable: Sequence[str], page: Page) -> tuple[Event, ...]:
        own = filters.application
        visible = [each for each in self._events.values() if own in (None, each.application) or each.action in readable]
        return selected(visible, "event", replace(filters, application=None), page)

    def readable(self, application: str) -> tuple[str, ...]:
        grants = self._grants.values()
        return tuple(
            each.action for each in grants if (each.application, each.permission) == (application, Permission.READ)
        )

    def backfill(
        self, subscription: UUID, filters: Filters, after: UUID | None, most: int, *, dry_run: bool
    ) -> tuple[int, UUID | None]:
        with self._lock:
            if subscription in self._deleted:
                return 0, None
            target = self._subscriptions[subscription]
            wanted = Filters(action=target.action, since=filters.since, until=filters.until)
            later = sorted(event for event in self._events if after is None or event > after)
            seen = [self._events[event] for event in later if matches(self._events[event], wanted)][:most]
            missing = [event for event in seen if not self._has_gist(event, subscription)]
            for event in () if dry_run else missing:
                self._fan_out(event, target, now := self.clock(), now)
                self._events[event.event] = replace(event, fanout=event.fanout + 1)
            return len(missing), seen[-1].event if len(seen) == most else None

    def _has_gist(self, event: Event, subscription: UUID) -> bool:
        return any((each.event, each.subscription) == (event.event, subscription) for each in self._gists.values())

    def _publish(self, publication: Publication) -> Published:
        if publication.key is None:
            return Published(self._store(publication))
        known = self._keys.get((publication.publisher, publication.key))
        if known is not None:
            same = known.digest == publication.digest
            return Published(self._events[known.event], duplicate=True, same_content=same)
        key = Key(publication.event, publication.digest, self.clock())
        self._keys[publication.publisher, publication.key] = key
        return Published(self._store(publication))

    def _store(self, publication: Publication) -> Event:
        now = self.clock()
        subscribers = [
            each
            for each in self._subscriptions.values()
            if each.action == publication.action and self._receives(each) and each.subscription not in self._deleted
        ]
        event = Event(
            event=publication.event,
            action=publication.action,
            application=publication.application,
            payload=publication.payload,
            metadata=publication.metadata,
            deduper=publication.deduper,
            sleep_until=publication.sleep_until,
            timestamped=now,
            fanout=len(subscribers),
        )
        self._events[event.event] = event
        self._positions[event.event] = len(self._positions) + 1
        for subscription in subscribers:
            self._fan_out(event, subscription, now, event.sleep_until or now)
        return event

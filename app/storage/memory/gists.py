"""Gists in memory: the queue."""

import secrets
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from itertools import groupby
from uuid import UUID, uuid4

from app import jsontext, rules
from app.model import (
    Backlog,
    Breaker,
    Claim,
    Completion,
    Delivery,
    Endpoint,
    Filters,
    Gist,
    Page,
    Publication,
    Room,
    Selection,
    Situation,
    Status,
)
from app.storage.memory.events import MemoryEvents
from app.storage.memory.state import matches, position, resumed, selected


class MemoryGists(MemoryEvents):
    """The port Gists."""

    def gist(self, gist: UUID) -> Gist | None:
        return self._gists.get(gist)

    def gists(self, filters: Filters, page: Page) -> tuple[Gist, ...]:
        return tuple(replace(gist, tries=()) for gist in selected(self._gists.values(), "gist", filters, page))

    def situation(self, gist: UUID) -> Situation | None:
        with self._lock:
            found = self._gists.get(gist)
            if found is None:
                return None
            return Situation(
                gist=found,
                subscription=self._subscriptions[found.subscription],
                application_active=self._applications[found.application].active,
                endpoint=self._endpoints[found.subscription],
                before=self._before(found),
                now=self.clock(),
            )

    def requeue(self, selection: Selection, after: UUID | None, most: int, *, dry_run: bool) -> tuple[int, UUID | None]:
        with self._lock:
            found = sorted(gist for gist in self._gists if self._is_selected(gist, selection, after))[:most]
            for gist in () if dry_run else found:
                again = replace(self._gists[gist], status=Status.PENDING, retries=0, due=self.clock(), leased=None)
                self._gists[gist] = again
                self._claims.pop(gist, None)
            return len(found), found[-1] if len(found) == most else None

    def claim(self, room: Room, lease: timedelta) -> Claim:
        with self._lock:
            ready = self._ready()
            taken, more = [], False
            for subscription, gists in ready.items():
                held = room.busy.get(subscription, 0)
                if held >= room.free:
                    continue
                wanted = rules.quota(room.limit, len(ready), room.free, held)
                allowed = self._allowed(subscription)
                quota = wanted if allowed is None else min(wanted, allowed)
                taken += gists[:quota]
                more = more or (len(gists) >= wanted and (allowed is None or allowed > wanted))
            return Claim(self._take(taken[: room.limit], lease), more)

    def complete(self, completions: Sequence[Completion], announcements: Sequence[Publication]) -> int:
        with self._lock:
            held = [each for each in completions if self._claims.get(each.delivery.gist) == each.delivery.claim]
            for completion in held:
                if completion.gone:
                    self._switch_off(completion.delivery.subscription)
            for completion in held:
                self._complete(completion)
            keys = {rules.announcement_key(each.delivery) for each in held}
            self.publish([replace(each, revision=self._revision) for each in announcements if each.key in keys])
            self._judge(held)
            return len(held)

    def release(self, deliveries: Sequence[Delivery]) -> None:
        with self._lock:
            for delivery in deliveries:
                if self._claims.get(delivery.gist) == delivery.claim:
                    del self._claims[delivery.gist]
                    self._gists[delivery.gist] = replace(self._gists[delivery.gist], leased=None)

    def next_due(self) -> float | None:
        now = self.clock()
        dues = [gist.due for gist in self._open() if gist.due > now and gist.lane is None]
        return (min(dues) - now).total_seconds() if dues else None

    def endpoints(self, subscriptions: Sequence[UUID]) -> tuple[Endpoint, ...]:
        return tuple(self._endpoints[each] for each in sorted(subscriptions) if each in self._endpoints)

    def backlog(self) -> Backlog:
        with self._lock:
            now = self.clock()
            due = [gist for gist in self._open() if gist.due <= now]
            states = [endpoint.breaker for endpoint in self._endpoints.values()]
            oldest = max(((now - gist.due).total_seconds() for gist in due), default=0.0)
            return Backlog(len(due), oldest, {str(state): states.count(state) for state in Breaker})

    def _is_selected(self, gist: UUID, selection: Selection, after: UUID | None) -> bool:
        named = not selection.gists or gist in selection.gists
        return named and (after is None or gist > after) and matches(self._gists[gist], selection.filters)

    def _ready(self) -> dict[UUID, list[Gist]]:
        """What may go out now, by subscription, from a random one on, the longest due first; not where none may."""
        free = [gist for gist in self._open() if self._is_free(gist) and self._before(gist) is None]
        free.sort(key=lambda gist: (gist.subscription, gist.due, position(gist)))
        grouped = {subscription: list(gists) for subscription, gists in groupby(free, lambda gist: gist.subscription)}
        ready = [(each, gists) for each, gists in grouped.items() if self._allowed(each) != 0]
        start = secrets.randbelow(len(ready)) if ready else 0
        return dict(ready[start:] + ready[:start])

    def _allowed(self, subscription: UUID) -> int | None:
        """How many its breaker and its rate limit let through, None for any number."""
        endpoint, limit = self._endpoints[subscription], self._subscriptions[subscription].rate_limit
        if endpoint.breaker is not Breaker.CLOSED:
            return int(endpoint.until is not None and endpoint.until <= self.clock())
        return None if limit is None else rules.allowance(limit, endpoint.slot, self.clock())

    def _take(self, gists: list[Gist], lease: timedelta) -> tuple[Delivery, ...]:
        claim, until = uuid4(), self.clock() + lease
        for gist in gists:
            self._claims[gist.gist] = claim
            self._gists[gist.gist] = replace(gist, leased=until)
            self._spend(gist.subscription, lease)
        return tuple(self._delivery(gist, claim) for gist in gists)

    def _spend(self, subscription: UUID, lease: timedelta) -> None:
        endpoint, limit, now = self._endpoints[subscription], self._subscriptions[subscription].rate_limit, self.clock()
        if endpoint.breaker is not Breaker.CLOSED:
            endpoint = replace(endpoint, breaker=Breaker.HALF_OPEN, until=now + lease)
        if limit is not None:
            earliest = now - rules.burst(limit)
            slot = max(endpoint.slot or earliest, earliest) + timedelta(seconds=1 / limit)
            endpoint = replace(endpoint, slot=slot)
        self._endpoints[subscription] = endpoint

    def _delivery(self, gist: Gist, claim: UUID) -> Delivery:
        event, subscription = self._events[gist.event], self._subscriptions[gist.subscription]
        application = self._applications[subscription.application]
        return Delivery(
            gist=gist.gist,
            claim=claim,
            event=event.event,
            subscription=gist.subscription,
            action=event.action,
            application=subscription.application,
            payload=jsontext.dumps(event.payload),
            metadata=jsontext.dumps(event.metadata),
            timestamped=event.timestamped,
            wanted=max(gist.timestamped, event.sleep_until or gist.timestamped),
            url=rules.handler_url(application.address, subscription.handler),
            secrets=rules.secrets_of(application, self.clock()),
            attempt=gist.attempts + 1,
            retries=gist.retries,
            max_retries=subscription.max_retries,
            active=subscription.active and application.active,
            in_lane=gist.lane is not None,
        )

    def _complete(self, completion: Completion) -> None:
        gist = self._gists[completion.delivery.gist]
        attempt = completion.attempt
        self._gists[gist.gist] = replace(
            gist,
            status=self._status(gist, completion),
            attempts=attempt.attempt if attempt else gist.attempts,
            retries=completion.retries,
            due=self.clock() + timedelta(seconds=completion.delay),
            leased=None,
            tries=(*gist.tries, replace(attempt, retry_after=None)) if attempt else gist.tries,
        )
        del self._claims[gist.gist]

    def _status(self, gist: Gist, completion: Completion) -> Status:
        """What would pause is due at once if its subscription is on again."""
        if completion.status is Status.PAUSED and self._receives(self._subscriptions[gist.subscription]):
            return resumed(gist)
        return completion.status

    def _switch_off(self, subscription: UUID) -> None:
        found = self._subscriptions[subscription]
        if found.active:
            self._subscriptions[subscription] = replace(found, active=False)
            self._changed(rules.SYSTEM, "switch off", str(subscription), {"reason": "its handler answered 410"})

    def _judge(self, recorded: list[Completion]) -> None:
        tried = [each for each in recorded if each.attempt is not None]
        for subscription in sorted({each.delivery.subscription for each in tried}):
            of_it = [each.attempt for each in tried if each.delivery.subscription == subscription]
            failed = sum(attempt is None or not attempt.succeeded for attempt in of_it)
            judged = rules.judge(self._endpoints[subscription], len(of_it), failed, self.clock())
            self._endpoints[subscription] = judged

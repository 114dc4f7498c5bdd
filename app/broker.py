"""The use cases of what was published: reading, delivering, and delivering again. Publishing is in publishing.py."""

import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from uuid import UUID

from app import rules
from app.errors import NotFound
from app.model import (
    Attempt,
    Backlog,
    Claim,
    Completion,
    Delivery,
    Event,
    Filters,
    Gist,
    Listing,
    Minute,
    Page,
    Principal,
    Publication,
    Room,
    Selection,
    Situation,
    Status,
)
from app.ports import Storage

AT_ONCE = 5_000  # gists a statement, so that none takes long
MOST = 100_000  # gists a request


@dataclass(frozen=True)
class Explanation:
    """Why a gist is where it is: a word for programs, a sentence for people, and what they follow from."""

    reason: str
    sentence: str
    situation: Situation


@dataclass(frozen=True)
class Again:
    """How many gists were, or with a dry run would be, due again; `more` when others were not reached."""

    gists: int
    more: bool


class Broker:
    """Hands gists out, and answers for them. `wake` is called when there is something new to deliver."""

    def __init__(self, storage: Storage, wake: Callable[[], None] = lambda: None) -> None:
        self._storage = storage
        self._wake = wake

    def event(self, principal: Principal, event: UUID) -> Event:
        found = self._storage.event(event)
        if found is None or not self._may_read(principal, found):
            raise NotFound(f"there is no event {event}")
        return found

    def events(self, principal: Principal, filters: Filters, page: Page) -> Listing[Event]:
        """An application sees the events of its own actions, and of those that it was granted to read."""
        if principal.administrator:
            found = self._storage.events(filters, (), page)
        else:
            readable = self._storage.readable(principal.name)
            found = self._storage.events(rules.only_own(principal, filters), readable, page)
        return rules.listing(found, page, lambda event: str(event.event))

    def gist(self, principal: Principal, gist: UUID) -> Gist:
        found = self._storage.gist(gist)
        if found is None or not (principal.administrator or found.application == principal.name):
            raise NotFound(f"there is no gist {gist}")
        return found

    def gists(self, principal: Principal, filters: Filters, page: Page) -> Listing[Gist]:
        return rules.listing(
            self._storage.gists(rules.only_own(principal, filters), page), page, lambda gist: str(gist.gist)
        )

    def explain(self, principal: Principal, gist: UUID) -> Explanation:
        self.gist(principal, gist)
        situation = self._storage.situation(gist)
        if situation is None:
            raise NotFound(f"there is no gist {gist}")
        return Explanation(*rules.explain(situation), situation)

    def replay(self, principal: Principal, gist: UUID) -> Gist:
        """Send a gist once more, whatever became of it, with all its retries before it."""
        self.gist(principal, gist)
        self._storage.requeue(Selection((gist,)), None, 1, dry_run=False)
        self._wake()
        return self.gist(principal, gist)

    def requeue(self, principal: Principal, selection: Selection, *, dry_run: bool) -> Again:
        """Send many gists once more; of an application only its own. What fails meanwhile is not sent twice."""
        until = min(selection.filters.until or datetime.now(UTC), datetime.now(UTC))
        filters = replace(rules.only_own(principal, selection.filters), until=until)
        wanted = replace(selection, filters=filters)
        return self._in_steps(
            lambda after: self._storage.requeue(wanted, after, AT_ONCE, dry_run=dry_run), woken=not dry_run
        )

    def backfill(self, principal: Principal, subscription: UUID, filters: Filters, *, dry_run: bool) -> Again:
        """Send a subscription what its action had before, from `filters.since` on; what it got already is left out."""
        found = self._storage.subscription(subscription)
        if found is None or not (principal.administrator or found.application == principal.name):
            raise NotFound(f"there is no subscription {subscription}")
        return self._in_steps(
            lambda after: self._storage.backfill(subscription, filters, after, AT_ONCE, dry_run=dry_run),
            woken=not dry_run,
        )

    def claim(self, room: Room, lease: timedelta) -> Claim:
        return self._storage.claim(room, lease)

    def complete(self, done: Sequence[tuple[Delivery, Attempt | None]]) -> tuple[Completion, ...]:
        """Decide what comes next for each delivery, and record it; without an attempt it was paused.

        Each gist that fails for good is announced as an event, but not the announcements themselves.
        """
        completions = tuple(_completion(delivery, attempt) for delivery, attempt in done)
        failed = [each for each in completions if each.status is Status.FAILED]
        news = [_announcement(each) for each in failed if each.delivery.action != rules.FAILED_ACTION]
        self._storage.complete(completions, news)
        return completions

    def release(self, deliveries: Sequence[Delivery]) -> None:
        self._storage.release(deliveries)

    def next_due(self) -> float | None:
        return self._storage.next_due()

    def backlog(self) -> Backlog:
        return self._storage.backlog()

    def minutes(self, principal: Principal, since: datetime) -> tuple[Minute, ...]:
        """What happened minute by minute: to an application, or for an administrator to all."""
        return self._storage.minutes(None if principal.administrator else principal.name, since)

    def _may_read(self, principal: Principal, event: Event) -> bool:
        if principal.administrator or event.application == principal.name:
            return True
        return event.action in self._storage.readable(principal.name)

    def _in_steps(self, step: Callable[[UUID | None], tuple[int, UUID | None]], *, woken: bool) -> Again:
        many, after = step(None)
        while after is not None and many < MOST:
            more, after = step(after)
            many += more
        if woken and many:
            self._wake()
        return Again(many, after is not None)


def _completion(delivery: Delivery, attempt: Attempt | None) -> Completion:
    if attempt is None:
        return rules.paused(delivery)
    return rules.retry_decision(delivery, attempt, secrets.randbelow(1001) / 1000)


def _announcement(completion: Completion) -> Publication:
    """The event that tells of a dead letter; it names the gist and carries nothing of its payload."""
    delivery, attempt = completion.delivery, completion.attempt
    payload = {
        "gist": str(delivery.gist),
        "event": str(delivery.event),
        "subscription": str(delivery.subscription),
        "action": delivery.action,
        "application": delivery.application,
        "attempts": delivery.attempt,
        "status": attempt.status if attempt else None,
        "error": attempt.error if attempt else None,
    }
    return Publication(
        event=rules.uuid7(datetime.now(UTC), secrets.randbits(62)),
        action=rules.FAILED_ACTION,
        application=rules.SYSTEM,
        payload=payload,
        metadata={"key": delivery.application},
        deduper=None,
        sleep_until=None,
        publisher=rules.SYSTEM,
        key=rules.announcement_key(delivery),
        digest=rules.content_digest(rules.FAILED_ACTION, payload, {}, None),
        lane=rules.lane({"key": delivery.application}),
        revision=0,
    )

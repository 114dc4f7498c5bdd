"""The use cases of publishing and delivering. Registrations are in registry.py."""

import secrets
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID

from app import rules
from app.errors import Conflict, Forbidden, Invalid, NotFound, Violation
from app.model import (
    Action,
    Attempt,
    Completion,
    Delivery,
    Event,
    Filters,
    Gist,
    Json,
    Listing,
    Page,
    Principal,
    Publication,
    Published,
)
from app.ports import Storage

Check = Callable[[Json, object, str], tuple[Violation, ...]]
LATEST_SLEEP = timedelta(days=365)


@dataclass(frozen=True)
class Draft:
    """An event as its publisher wrote it; `request` is the load balancer's id of the request."""

    action: str
    payload: Json
    metadata: Json
    deduper: str | None = None
    sleep_until: float | str | None = None
    request: str | None = None


class Broker:
    """Takes events in and hands gists out.

    `check` lists how a payload breaks a schema; `wake` is called after a commit that made gists.
    """

    def __init__(self, storage: Storage, check: Check, wake: Callable[[], None] = lambda: None) -> None:
        self._storage = storage
        self._check = check
        self._wake = wake

    def publish(self, principal: Principal, draft: Draft) -> Published:
        """Store an event once for each idempotency key, and its gists with it; it is durable when this returns."""
        action = self._publishable(principal, draft.action)
        found = self._check(action.schemata, draft.payload, "payload")
        if found:
            raise Invalid(f"the payload does not satisfy the schema of {draft.action!r}", found)
        published = self._storage.publish(_publication(principal, action, draft, datetime.now(UTC)))
        if not published.same_content:
            raise Conflict(f"the key {draft.deduper!r} was used before, for event {published.event.event}")
        if published.event.fanout and not published.duplicate:
            self._wake()
        return published

    def event(self, principal: Principal, event: UUID) -> Event:
        found = self._storage.event(event)
        if found is None or not (principal.administrator or found.application == principal.name):
            raise NotFound(f"there is no event {event}")
        return found

    def events(self, principal: Principal, filters: Filters, page: Page) -> Listing[Event]:
        return rules.listing(
            self._storage.events(rules.only_own(principal, filters), page), page, lambda event: str(event.event)
        )

    def gist(self, principal: Principal, gist: UUID) -> Gist:
        found = self._storage.gist(gist)
        if found is None or not (principal.administrator or found.application == principal.name):
            raise NotFound(f"there is no gist {gist}")
        return found

    def gists(self, principal: Principal, filters: Filters, page: Page) -> Listing[Gist]:
        return rules.listing(
            self._storage.gists(rules.only_own(principal, filters), page), page, lambda gist: str(gist.gist)
        )

    def replay(self, principal: Principal, gist: UUID) -> Gist:
        """Send a gist once more, whatever became of it, with all its retries before it."""
        self.gist(principal, gist)
        self._storage.replay(gist)
        self._wake()
        return self.gist(principal, gist)

    def claim(self, limit: int, lease: timedelta) -> tuple[Delivery, ...]:
        return self._storage.claim(limit, lease)

    def complete(self, done: tuple[tuple[Delivery, Attempt | None], ...]) -> tuple[Completion, ...]:
        """Decide what comes next for each delivery, and record it; without an attempt it was paused."""
        completions = tuple(_completion(delivery, attempt) for delivery, attempt in done)
        self._storage.complete(completions)
        return completions

    def release(self, deliveries: tuple[Delivery, ...]) -> None:
        self._storage.release(deliveries)

    def next_due(self) -> float | None:
        return self._storage.next_due()

    def _publishable(self, principal: Principal, name: str) -> Action:
        action = self._storage.action(name)
        if action is None:
            raise NotFound(f"there is no action {name!r}; register it with POST /v1/actions")
        if not (principal.administrator or action.application == principal.name):
            raise Forbidden(f"application {principal.name!r} may not publish {name!r}")
        return action


def _publication(principal: Principal, action: Action, draft: Draft, now: datetime) -> Publication:
    """The key is the publisher's own, else the load balancer's for this request, else one of a kind."""
    event = rules.uuid7(now, secrets.randbits(62))
    key = f"deduper:{draft.deduper}" if draft.deduper else f"request:{draft.request or event}"
    return Publication(
        event=event,
        action=action.action,
        application=action.application,
        payload=draft.payload,
        metadata=draft.metadata,
        deduper=draft.deduper,
        sleep_until=_wake_time(draft.sleep_until, now),
        publisher=f"@{principal.name}" if principal.administrator else principal.name,
        key=key,
        digest=rules.content_digest(action.action, draft.payload, draft.metadata, draft.sleep_until),
    )


def _wake_time(sleep_until: float | str | None, now: datetime) -> datetime | None:
    """Seconds from now, or an ISO time; at most a year away: PostgreSQL keeps times that Python cannot read back."""
    if sleep_until is None:
        return None
    try:
        time = now + timedelta(seconds=sleep_until) if not isinstance(sleep_until, str) else _parse(sleep_until)
        if abs(time - now) <= LATEST_SLEEP:
            return time
    except (ValueError, OverflowError):
        pass
    raise Invalid(
        "sleep_until cannot be used", (Violation("sleep_until", "is not seconds or an ISO 8601 time within a year"),)
    )


def _parse(text: str) -> datetime:
    time = datetime.fromisoformat(text)
    return time if time.tzinfo else time.replace(tzinfo=UTC)


def _completion(delivery: Delivery, attempt: Attempt | None) -> Completion:
    if attempt is None:
        return rules.paused(delivery)
    return rules.retry_decision(delivery, attempt, secrets.randbelow(1001) / 1000)

"""What the core needs of the outside: adapters in storage/ and delivery/ fulfil these.

Every method is one transaction, and raises Unavailable while the database does not answer. Lists return up to one item
more than the page holds; what is not there is None. A method with `by` leaves an entry in the audit under that name.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Protocol
from uuid import UUID

from app.model import (
    Action,
    Application,
    Attempt,
    AuditEntry,
    Backlog,
    Claim,
    Completion,
    Delivery,
    Endpoint,
    Event,
    Filters,
    Gist,
    Grant,
    Minute,
    Page,
    Permission,
    Publication,
    Published,
    Room,
    Selection,
    Situation,
    Subscription,
)


class Registrations(Protocol):
    """Applications, actions, grants and subscriptions; every change raises the revision."""

    def revision(self) -> int: ...

    def add_application(self, application: Application, by: str) -> Application: ...
    def application(self, name: str) -> Application | None: ...
    def application_by_apikey(self, apikey_hash: bytes) -> Application | None: ...
    def applications(self, filters: Filters, page: Page) -> tuple[Application, ...]: ...
    def save_application(self, application: Application, by: str, verb: str) -> Application | None:
        """Also what paused while it was inactive is due again when it is active."""
        ...

    def remove_application(self, name: str, by: str) -> bool: ...

    def add_action(self, action: Action, by: str) -> Action: ...
    def action(self, name: str) -> Action | None: ...
    def actions(self, filters: Filters, page: Page) -> tuple[Action, ...]: ...
    def save_action(self, action: Action, by: str, verb: str) -> Action | None:
        """Refused with a Conflict when the version stored is not the one before, or the same; see Action.version."""
        ...

    def remove_action(self, name: str, by: str) -> bool: ...

    def grant(self, grant: Grant, by: str) -> Grant: ...
    def grants(self, action: str) -> tuple[Grant, ...]: ...
    def revoke(self, action: str, application: str, permission: Permission, by: str) -> bool:
        """With the permission to read goes the application's subscription."""
        ...

    def subscribe(self, subscription: Subscription, by: str) -> Subscription: ...
    def subscription(self, subscription: UUID) -> Subscription | None: ...
    def subscriptions(self, filters: Filters, page: Page) -> tuple[Subscription, ...]: ...
    def save_subscription(self, subscription: Subscription, by: str) -> Subscription | None: ...
    def remove_subscription(self, subscription: UUID, by: str) -> bool: ...

    def audit(self, after: int, most: int) -> tuple[AuditEntry, ...]: ...
    def audit_head(self) -> tuple[int, bytes]:
        """The number and the hash of the last entry, kept apart from the entries."""
        ...


class Events(Protocol):
    """What was published."""

    def publish(self, publications: Sequence[Publication]) -> tuple[Published | None, ...]:
        """Store events, gists and keys at once, all or nothing, or find what a key stands for already.

        None for one that was checked against another revision than the present one.
        """
        ...

    def event(self, event: UUID) -> Event | None: ...
    def events(self, filters: Filters, readable: Sequence[str], page: Page) -> tuple[Event, ...]:
        """Those of the filters' application, and of the actions that are `readable` to it."""
        ...

    def readable(self, application: str) -> tuple[str, ...]:
        """The actions that an application was granted to read."""
        ...

    def backfill(
        self, subscription: UUID, filters: Filters, after: UUID | None, most: int, *, dry_run: bool
    ) -> tuple[int, UUID | None]:
        """Gists for events that the subscription has none of: how many, and the event to go on after, if any."""
        ...


class Gists(Protocol):
    """What is on its way."""

    def gist(self, gist: UUID) -> Gist | None: ...
    def gists(self, filters: Filters, page: Page) -> tuple[Gist, ...]: ...
    def situation(self, gist: UUID) -> Situation | None: ...

    def requeue(self, selection: Selection, after: UUID | None, most: int, *, dry_run: bool) -> tuple[int, UUID | None]:
        """Deliver gists again, with all their retries: how many, and the gist to go on after, if any."""
        ...

    def claim(self, room: Room, lease: timedelta) -> Claim:
        """Take due gists for the length of the lease, by the clock of the storage; see docs/decisions/016."""
        ...

    def complete(self, completions: Sequence[Completion], announcements: Sequence[Publication]) -> int:
        """Record outcomes, but those whose claim was lost; returns how many were recorded.

        An announcement is published when the completion of the gist that its key names was recorded. What was paused
        for a subscription that is on again by now is due at once instead.
        """
        ...

    def release(self, deliveries: Sequence[Delivery]) -> None: ...

    def next_due(self) -> float | None:
        """Seconds until something gets due that is not yet."""
        ...

    def endpoints(self, subscriptions: Sequence[UUID]) -> tuple[Endpoint, ...]: ...
    def backlog(self) -> Backlog: ...


class Upkeep(Protocol):
    """What the service keeps about itself."""

    def schema_version(self) -> int: ...
    def oldest_schema(self) -> int:
        """The schema of the oldest releases that run on the database's."""
        ...

    def expire(self, keys: timedelta, most: int) -> int:
        """Forget idempotency keys, and whatever else has had its time; returns how many keys."""
        ...

    def failed_sign_ins(self, who: Sequence[str], window: timedelta) -> int:
        """The most failures within the window of any of these names and addresses."""
        ...

    def count_sign_in(self, who: Sequence[str], window: timedelta, *, failed: bool) -> None:
        """One more failure of each, or all forgotten."""
        ...

    def add_minutes(self, minutes: Sequence[Minute]) -> None: ...
    def minutes(self, application: str | None, since: datetime) -> tuple[Minute, ...]:
        """Oldest first; without an application the sums of all."""
        ...


class Storage(Registrations, Events, Gists, Upkeep, Protocol):
    """Keeps everything."""


class Courier(Protocol):
    """Carries one delivery to its handler and reports; never raises for what a handler does."""

    async def deliver(self, delivery: Delivery) -> Attempt: ...

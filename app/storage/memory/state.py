"""What the storage in memory holds, and what its parts share."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from threading import RLock
from typing import Any, TypeVar
from uuid import UUID

from app import rules
from app.model import (
    Action,
    Application,
    AuditEntry,
    Endpoint,
    Event,
    Filters,
    Gist,
    Grant,
    Json,
    Minute,
    Page,
    Status,
    Subscription,
)

Item = TypeVar("Item", Application, Action, Event, Subscription, Gist)
OPEN = (Status.PENDING, Status.RETRYING)
_LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass
class Key:
    """What an idempotency key stands for, and since when."""

    event: UUID
    digest: bytes
    timestamped: datetime


def _system() -> dict[str, Application]:
    amebo = Application(
        rules.SYSTEM, "http://amebo.invalid", "", b"", "Amebo itself", active=True, timestamped=_LONG_AGO
    )
    return {amebo.application: amebo}


def _announcements() -> dict[str, Action]:
    action = Action(rules.FAILED_ACTION, rules.SYSTEM, {"type": "object"}, 1, _LONG_AGO)
    return {action.action: action}


@dataclass
class MemoryState:
    """Everything, under one lock."""

    clock: Callable[[], datetime] = lambda: datetime.now(UTC)
    _lock: RLock = field(default_factory=RLock)
    _revision: int = 1
    _applications: dict[str, Application] = field(default_factory=_system)
    _actions: dict[str, Action] = field(default_factory=_announcements)
    _grants: dict[tuple[str, str, str], Grant] = field(default_factory=dict)
    _events: dict[UUID, Event] = field(default_factory=dict)
    _positions: dict[UUID, int] = field(default_factory=dict)
    _keys: dict[tuple[str, str], Key] = field(default_factory=dict)
    _subscriptions: dict[UUID, Subscription] = field(default_factory=dict)
    _deleted: set[UUID] = field(default_factory=set)
    _endpoints: dict[UUID, Endpoint] = field(default_factory=dict)
    _gists: dict[UUID, Gist] = field(default_factory=dict)
    _claims: dict[UUID, UUID] = field(default_factory=dict)
    _audit: list[AuditEntry] = field(default_factory=list)
    _sign_ins: dict[str, tuple[datetime, int]] = field(default_factory=dict)
    _minutes: dict[tuple[datetime, str], Minute] = field(default_factory=dict)

    def _changed(self, by: str, verb: str, subject: str, details: Json) -> None:
        """What goes with every change: an entry of the audit, and the next revision."""
        previous = self._audit[-1].hash if self._audit else b""
        entry = AuditEntry(len(self._audit) + 1, datetime.now(UTC), by, verb, subject, details)
        self._audit.append(rules.chained(entry, previous))
        self._revision += 1

    def _receives(self, subscription: Subscription) -> bool:
        return subscription.active and self._applications[subscription.application].active

    def _fan_out(self, event: Event, subscription: Subscription, now: datetime, due: datetime) -> bool:
        """Make the gist of an event and a subscription, unless it is there."""
        identity = rules.gist_of(event.event, subscription.subscription)
        if identity in self._gists:
            return False
        self._gists[identity] = Gist(
            gist=identity,
            event=event.event,
            subscription=subscription.subscription,
            action=event.action,
            application=subscription.application,
            status=Status.PENDING,
            attempts=0,
            retries=0,
            due=due,
            timestamped=now,
            lane=rules.lane(event.metadata) if subscription.ordered else None,
            position=self._positions[event.event],
        )
        return True

    def _resume(self, subscription: Subscription) -> None:
        """What paused while it was off is due again."""
        for gist in list(self._gists.values()):
            if gist.subscription == subscription.subscription and gist.status is Status.PAUSED:
                self._gists[gist.gist] = replace(gist, status=resumed(gist), due=self.clock())

    def _open(self) -> list[Gist]:
        return [gist for gist in self._gists.values() if gist.status in OPEN]

    def _is_free(self, gist: Gist) -> bool:
        """Due, and nobody's."""
        return gist.due <= self.clock() and (gist.leased is None or gist.leased <= self.clock())

    def _before(self, gist: Gist) -> UUID | None:
        """The first open gist of its lane, where that is another one."""
        if gist.lane is None:
            return None
        same = [each for each in self._open() if (each.subscription, each.lane) == (gist.subscription, gist.lane)]
        first = min(same, key=position, default=gist)
        return first.gist if position(first) < position(gist) else None


def position(gist: Gist) -> int:
    return gist.position or 0


def resumed(gist: Gist) -> Status:
    return Status.RETRYING if gist.attempts else Status.PENDING


def selected(items: Iterable[Item], key: str, filters: Filters, page: Page) -> tuple[Item, ...]:
    """One page, and one item more where there is one."""

    def name(item: Item) -> str:
        return str(getattr(item, key))

    found = sorted((item for item in items if matches(item, filters)), key=name, reverse=page.reads_downwards)
    if page.key is not None:
        found = [item for item in found if (name(item) < page.key) == page.reads_downwards and name(item) != page.key]
    return tuple(found[: page.per_page + 1])


def matches(item: Any, filters: Filters) -> bool:  # noqa: ANN401  # whichever noun has the field
    wanted = {name: value for name, value in vars(filters).items() if value is not None and hasattr(item, name)}
    since, until = filters.since or item.timestamped, filters.until
    in_time = since <= item.timestamped and (until is None or item.timestamped < until)
    return in_time and all(getattr(item, name) == value for name, value in wanted.items())


def within(since: datetime, window: timedelta, now: datetime) -> bool:
    return since > now - window

"""Storage in memory: the same behaviour as PostgreSQL's, for tests and for reading what that is."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from threading import RLock
from typing import Any, TypeVar
from uuid import UUID, uuid4

from app import rules
from app.errors import Conflict
from app.model import (
    Action,
    Application,
    Completion,
    Delivery,
    Event,
    Filters,
    Gist,
    Page,
    Publication,
    Published,
    Status,
    Subscription,
)
from app.storage.migrate import REQUIRED

Item = TypeVar("Item", Application, Action, Event, Subscription, Gist)
_OPEN = (Status.PENDING, Status.RETRYING)


@dataclass
class MemoryStorage:
    """The port Storage; `clock` is the storage's own, by which leases run out."""

    clock: Callable[[], datetime] = lambda: datetime.now(UTC)
    _lock: RLock = field(default_factory=RLock)
    _applications: dict[str, Application] = field(default_factory=dict)
    _actions: dict[str, Action] = field(default_factory=dict)
    _events: dict[UUID, Event] = field(default_factory=dict)
    _keys: dict[tuple[str, str], tuple[UUID, bytes]] = field(default_factory=dict)
    _subscriptions: dict[UUID, Subscription] = field(default_factory=dict)
    _deleted: set[UUID] = field(default_factory=set)
    _gists: dict[UUID, Gist] = field(default_factory=dict)
    _claims: dict[UUID, UUID] = field(default_factory=dict)

    def schema_version(self) -> int:
        return REQUIRED

    def add_application(self, application: Application) -> Application:
        return self._add(self._applications, application.application, application, "application")

    def application(self, name: str) -> Application | None:
        return self._applications.get(name)

    def application_by_apikey(self, apikey_hash: bytes) -> Application | None:
        return next((each for each in self._applications.values() if each.apikey_hash == apikey_hash), None)

    def applications(self, filters: Filters, page: Page) -> tuple[Application, ...]:
        return _page(self._applications.values(), "application", filters, page)

    def save_application(self, application: Application) -> Application | None:
        return _save(self._applications, application.application, application)

    def remove_application(self, name: str) -> bool:
        with self._lock:
            owners = {each.application for each in self._actions.values()}
            if name in owners | {each.application for each in self._subscriptions.values()}:
                raise Conflict(f"application {name!r} still owns actions or has had subscriptions")
            return self._applications.pop(name, None) is not None

    def add_action(self, action: Action) -> Action:
        return self._add(self._actions, action.action, action, "action")

    def action(self, name: str) -> Action | None:
        return self._actions.get(name)

    def actions(self, filters: Filters, page: Page) -> tuple[Action, ...]:
        return _page(self._actions.values(), "action", filters, page)

    def save_action(self, action: Action) -> Action | None:
        with self._lock:
            current = self._actions.get(action.action)
            return current and _save(self._actions, action.action, replace(action, version=current.version + 1))

    def remove_action(self, name: str) -> bool:
        with self._lock:
            if any(each.action == name for each in self._subscriptions.values()):
                raise Conflict(f"action {name!r} has or has had subscriptions")
            return self._actions.pop(name, None) is not None

    def publish(self, publication: Publication) -> Published:
        with self._lock:
            key = (publication.publisher, publication.key)
            if key in self._keys:
                event, digest = self._keys[key]
                return Published(self._events[event], duplicate=True, same_content=digest == publication.digest)
            self._keys[key] = (publication.event, publication.digest)
            return Published(self._store(publication), duplicate=False, same_content=True)

    def event(self, event: UUID) -> Event | None:
        return self._events.get(event)

    def events(self, filters: Filters, page: Page) -> tuple[Event, ...]:
        return _page(self._events.values(), "event", filters, page)

    def subscribe(self, subscription: Subscription) -> Subscription:
        with self._lock:
            same = self._same(subscription)
            if same is not None:
                subscription = replace(subscription, subscription=same.subscription, timestamped=same.timestamped)
            self._deleted.discard(subscription.subscription)
            self._subscriptions[subscription.subscription] = subscription
            self._resume(subscription)
            return subscription

    def subscription(self, subscription: UUID) -> Subscription | None:
        return None if subscription in self._deleted else self._subscriptions.get(subscription)

    def subscriptions(self, filters: Filters, page: Page) -> tuple[Subscription, ...]:
        there = [each for each in self._subscriptions.values() if each.subscription not in self._deleted]
        return _page(there, "subscription", filters, page)

    def save_subscription(self, subscription: Subscription) -> Subscription | None:
        with self._lock:
            if self.subscription(subscription.subscription) is None:
                return None
            same = self._same(subscription)
            if same is not None and same.subscription != subscription.subscription:
                raise Conflict("another subscription of the application sends this action to this handler")
            self._subscriptions[subscription.subscription] = subscription
            self._resume(subscription)
            return subscription

    def remove_subscription(self, subscription: UUID) -> bool:
        with self._lock:
            found = self.subscription(subscription)
            if found is None:
                return False
            self._subscriptions[subscription] = replace(found, active=False)
            self._deleted.add(subscription)
            return True

    def gist(self, gist: UUID) -> Gist | None:
        return self._gists.get(gist)

    def gists(self, filters: Filters, page: Page) -> tuple[Gist, ...]:
        return tuple(replace(gist, tries=()) for gist in _page(self._gists.values(), "gist", filters, page))

    def replay(self, gist: UUID) -> bool:
        with self._lock:
            found = self._gists.get(gist)
            if found is None:
                return False
            self._gists[gist] = replace(found, status=Status.PENDING, retries=0, due=self.clock())
            self._claims.pop(gist, None)
            return True

    def claim(self, limit: int, lease: timedelta) -> tuple[Delivery, ...]:
        with self._lock:
            now, claim = self.clock(), uuid4()
            due = sorted((gist for gist in self._open() if gist.due <= now), key=lambda gist: gist.due)[:limit]
            for gist in due:
                self._claims[gist.gist] = claim
                self._gists[gist.gist] = replace(gist, due=now + lease)
            return tuple(self._delivery(gist, claim) for gist in due)

    def complete(self, completions: tuple[Completion, ...]) -> int:
        with self._lock:
            held = [each for each in completions if self._claims.get(each.delivery.gist) == each.delivery.claim]
            for completion in held:
                self._complete(completion)
            return len(held)

    def release(self, deliveries: tuple[Delivery, ...]) -> None:
        with self._lock:
            for delivery in deliveries:
                if self._claims.get(delivery.gist) == delivery.claim:
                    del self._claims[delivery.gist]
                    self._gists[delivery.gist] = replace(self._gists[delivery.gist], due=self.clock())

    def next_due(self) -> float | None:
        dues = [gist.due for gist in self._open()]
        return (min(dues) - self.clock()).total_seconds() if dues else None

    def _add(self, kept: dict[str, Item], name: str, item: Item, what: str) -> Item:
        with self._lock:
            if name in kept:
                raise Conflict(f"{what} {name!r} is already registered")
            kept[name] = item
            return item

    def _store(self, publication: Publication) -> Event:
        now = self.clock()
        subscribers = [each for each in self._subscriptions.values() if self._receives(each, publication.action)]
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
        for subscription in subscribers:
            self._fan_out(event, subscription)
        return event

    def _receives(self, subscription: Subscription, action: str) -> bool:
        active = subscription.active and self._applications[subscription.application].active
        return active and subscription.action == action

    def _fan_out(self, event: Event, subscription: Subscription) -> None:
        gist = Gist(
            gist=UUID(f"{str(event.event)[:18]}{str(uuid4())[18:]}"),
            event=event.event,
            subscription=subscription.subscription,
            action=event.action,
            application=subscription.application,
            status=Status.PENDING,
            attempts=0,
            retries=0,
            due=event.sleep_until or event.timestamped,
            timestamped=event.timestamped,
        )
        self._gists[gist.gist] = gist

    def _same(self, wanted: Subscription) -> Subscription | None:
        def key(each: Subscription) -> tuple[str, str, str]:
            return each.application, each.action, each.handler

        return next((each for each in self._subscriptions.values() if key(each) == key(wanted)), None)

    def _resume(self, subscription: Subscription) -> None:
        for gist in list(self._gists.values()):
            if subscription.active and gist.subscription == subscription.subscription and gist.status is Status.PAUSED:
                self._gists[gist.gist] = replace(gist, status=_resumed(gist), due=self.clock())

    def _open(self) -> list[Gist]:
        return [gist for gist in self._gists.values() if gist.status in _OPEN]

    def _delivery(self, gist: Gist, claim: UUID) -> Delivery:
        event, subscription = self._events[gist.event], self._subscriptions[gist.subscription]
        application = self._applications[subscription.application]
        return Delivery(
            gist=gist.gist,
            claim=claim,
            event=event.event,
            action=event.action,
            payload=event.payload,
            metadata=event.metadata,
            timestamped=event.timestamped,
            url=rules.handler_url(application.address, subscription.handler),
            secret=application.secret,
            attempt=gist.attempts + 1,
            retries=gist.retries,
            max_retries=subscription.max_retries,
            active=subscription.active and application.active,
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
            tries=(*gist.tries, attempt) if attempt else gist.tries,
        )
        del self._claims[gist.gist]

    def _status(self, gist: Gist, completion: Completion) -> Status:
        """What would pause is due at once if its subscription is on again."""
        subscription = self._subscriptions[gist.subscription]
        if completion.status is Status.PAUSED and self._receives(subscription, gist.action):
            return _resumed(gist)
        return completion.status


def _resumed(gist: Gist) -> Status:
    return Status.RETRYING if gist.attempts else Status.PENDING


def _save(kept: dict[str, Item], name: str, item: Item) -> Item | None:
    if name not in kept:
        return None
    kept[name] = item
    return item


def _page(items: Iterable[Item], key: str, filters: Filters, page: Page) -> tuple[Item, ...]:
    def name(item: Item) -> str:
        return str(getattr(item, key))

    found = sorted((item for item in items if _matches(item, filters)), key=name, reverse=page.reads_downwards)
    if page.key is not None:
        found = [item for item in found if (name(item) < page.key) == page.reads_downwards and name(item) != page.key]
    return tuple(found[: page.per_page + 1])


def _matches(item: Any, filters: Filters) -> bool:  # noqa: ANN401  # whichever noun has the field
    wanted = {name: value for name, value in vars(filters).items() if value is not None and hasattr(item, name)}
    since, until = filters.since or item.timestamped, filters.until
    in_time = since <= item.timestamped and (until is None or item.timestamped < until)
    return in_time and all(getattr(item, name) == value for name, value in wanted.items())

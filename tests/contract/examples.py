"""Things to store, and short ways to store, claim and complete them; what is not given is made up."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

from app import rules
from app.model import (
    Action,
    Application,
    Attempt,
    Claim,
    Completion,
    Delivery,
    Endpoint,
    Event,
    Gist,
    Publication,
    Published,
    Room,
    Status,
    Subscription,
)
from app.ports import Storage
from app.storage.postgres import PostgresStorage

ADMIN = "@admin"
LEASE = timedelta(seconds=60)
NOW = datetime(2026, 1, 1, tzinfo=UTC)
AGEING = (  # every moment that is written down
    "UPDATE gists SET due = due - %(passed)s, leased = leased - %(passed)s, timestamped = timestamped - %(passed)s",
    "UPDATE endpoints SET until = until - %(passed)s, since = since - %(passed)s, slot = slot - %(passed)s",
    "UPDATE events SET timestamped = timestamped - %(passed)s, sleep_until = sleep_until - %(passed)s",
    "UPDATE idempotency_keys SET timestamped = timestamped - %(passed)s",
    "UPDATE applications SET rotated = rotated - %(passed)s",
    "UPDATE sign_in_failures SET since = since - %(passed)s",
)


def application(name: str, **fields: Any) -> Application:
    common = Application(
        name, "http://shop.test", f"a secret of {name}", name.encode(), "", active=True, timestamped=NOW
    )
    return replace(common, **fields)


def action(name: str = "order.placed", application: str = "shop", **fields: Any) -> Action:
    return replace(Action(name, application, {"type": "object"}, 1, NOW), **fields)


def subscription(handler: str = "/hooks", **fields: Any) -> Subscription:
    common = Subscription(new_id(), "shop", "order.placed", handler, 5, "", active=True, timestamped=NOW)
    return replace(common, **fields)


def new_id() -> UUID:
    return rules.uuid7(datetime.now(UTC), uuid4().int)


def shop(storage: Storage, **fields: Any) -> Subscription:
    """An application with an action and a subscription to it."""
    storage.add_application(application("shop"), ADMIN)
    storage.add_action(action(), ADMIN)
    return storage.subscribe(subscription(**fields), ADMIN)


def publication(storage: Storage, key: str | None = None, *, content: str = "same", **fields: Any) -> Publication:
    """Checked against the present revision; `metadata` decides on the lane."""
    metadata = fields.pop("metadata", {"trace": "t"})
    common = Publication(
        event=new_id(),
        action="order.placed",
        application="shop",
        payload={"z": 1, "a": content},
        metadata=metadata,
        deduper=key,
        sleep_until=None,
        publisher="shop",
        key=key,
        digest=content.encode(),
        lane=rules.lane(metadata),
        revision=storage.revision(),
    )
    return replace(common, **fields)


def publish(storage: Storage, key: str | None = None, *, content: str = "same", **fields: Any) -> Published:
    """One event, or what its key stands for."""
    (published,) = storage.publish([publication(storage, key, content=content, **fields)])
    assert published is not None, "it was checked against another revision"
    return published


def publish_many(storage: Storage, number: int, **fields: Any) -> list[Event]:
    """So many events in one batch, without keys."""
    stored = storage.publish([publication(storage, **fields) for _ in range(number)])
    return [each.event for each in stored if each]


def take(
    storage: Storage,
    limit: int = 100,
    *,
    free: int = 1000,
    busy: Mapping[UUID, int] | None = None,
    lease: timedelta = LEASE,
) -> Claim:
    return storage.claim(Room(limit, free, busy or {}), lease)


def claim(storage: Storage, limit: int = 100, **room: Any) -> tuple[Delivery, ...]:
    return take(storage, limit, **room).deliveries


def outcome(delivery: Delivery, status: Status, delay: float = 0.0, **answer: Any) -> Completion:
    """Answered 200 when it is delivered, else 500."""
    code = answer.pop("code", 200 if status is Status.DELIVERED else 500)
    attempt = Attempt(delivery.attempt, code, 12, "body", answer.pop("error", None), NOW)
    return Completion(delivery, status, attempt, delivery.retries + (status is Status.RETRYING), delay, **answer)


def complete(storage: Storage, deliveries: Iterable[Delivery], status: Status, delay: float = 0.0) -> int:
    return storage.complete([outcome(each, status, delay) for each in deliveries], ())


def gist_of(storage: Storage, delivery: Delivery) -> Gist:
    found = storage.gist(delivery.gist)
    assert found is not None
    return found


def endpoint_of(storage: Storage, subscription: Subscription) -> Endpoint:
    (found,) = storage.endpoints([subscription.subscription])
    return found


def paused(delivery: Delivery) -> Completion:
    return Completion(delivery, Status.PAUSED, None, delivery.retries)


def grow_older(storage: PostgresStorage, passed: timedelta) -> None:
    """As if all that is stored had been stored so much earlier."""
    with storage._connection() as connection, connection.transaction():
        for statement in AGEING:
            connection.execute(statement.encode(), {"passed": passed})

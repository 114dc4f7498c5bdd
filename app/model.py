"""The nouns of Amebo. Everything that travels between the layers is one of these."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, Generic, TypeVar
from uuid import UUID

Json = Mapping[str, Any]
Item = TypeVar("Item")


@dataclass(frozen=True)
class Principal:
    """Who is asking: an application, or an administrator, who may do all."""

    name: str
    administrator: bool = False


@dataclass(frozen=True)
class Application:
    """A program that publishes and subscribes; `secret` signs in both directions."""

    application: str
    address: str
    secret: str = field(repr=False)
    apikey_hash: bytes = field(repr=False)
    description: str
    active: bool
    timestamped: datetime


@dataclass(frozen=True)
class Action:
    """A type of event; `version` counts the changes of its schema."""

    action: str
    application: str
    schemata: Json
    version: int
    timestamped: datetime


@dataclass(frozen=True)
class Event:
    """One occurrence of an action; `fanout` is the number of gists it became."""

    event: UUID
    action: str
    application: str
    payload: Json
    metadata: Json
    deduper: str | None
    sleep_until: datetime | None
    timestamped: datetime
    fanout: int = 0


@dataclass(frozen=True)
class Publication:
    """An event to be stored once per `publisher` and `key`; `digest` tells whether a repeat has the same content."""

    event: UUID
    action: str
    application: str
    payload: Json
    metadata: Json
    deduper: str | None
    sleep_until: datetime | None
    publisher: str
    key: str
    digest: bytes


@dataclass(frozen=True)
class Published:
    """What became of a publication: the event stored for its key, now or before."""

    event: Event
    duplicate: bool
    same_content: bool


@dataclass(frozen=True)
class Subscription:
    """Sends an action's events to a handler: a path on the application's address, or a URL of its own."""

    subscription: UUID
    application: str
    action: str
    handler: str
    max_retries: int
    description: str
    active: bool
    timestamped: datetime


class Status(StrEnum):
    """Where a gist stands. `failed` is the dead letter; `paused` waits for its subscription to be active again."""

    PENDING = "pending"
    RETRYING = "retrying"
    DELIVERED = "delivered"
    FAILED = "failed"
    PAUSED = "paused"


@dataclass(frozen=True)
class Attempt:
    """One try to deliver a gist. `status` is the HTTP status, None when there was no answer."""

    attempt: int
    status: int | None
    milliseconds: int
    response: str
    error: str | None
    timestamped: datetime

    @property
    def succeeded(self) -> bool:
        return self.status is not None and 200 <= self.status < 300


@dataclass(frozen=True)
class Gist:
    """One event on its way to one subscription. `retries` counts since the first try or the last replay."""

    gist: UUID
    event: UUID
    subscription: UUID
    action: str
    application: str
    status: Status
    attempts: int
    retries: int
    due: datetime
    timestamped: datetime
    tries: tuple[Attempt, ...] = ()


@dataclass(frozen=True)
class Delivery:
    """A claimed gist with all that sending it takes. `claim` fences it: a lost claim completes nothing."""

    gist: UUID
    claim: UUID
    event: UUID
    action: str
    payload: Json
    metadata: Json
    timestamped: datetime
    url: str
    secret: str = field(repr=False)
    attempt: int
    retries: int
    max_retries: int
    active: bool


@dataclass(frozen=True)
class Completion:
    """What a delivery came to: its next status, and the seconds until it is due again when it is to be retried."""

    delivery: Delivery
    status: Status
    attempt: Attempt | None
    retries: int
    delay: float = 0.0


@dataclass(frozen=True)
class Page:
    """Which part of a list: `per_page` items beyond `key` (None: from the start), in order of the key."""

    per_page: int = 50
    key: str | None = None
    descending: bool = False
    backwards: bool = False

    @property
    def reads_downwards(self) -> bool:
        """Whether storage must walk from larger keys to smaller ones."""
        return self.descending != self.backwards


@dataclass(frozen=True)
class Listing(Generic[Item]):
    """One page of items, and the keys to continue from where there is more."""

    items: tuple[Item, ...]
    next: str | None = None
    prev: str | None = None


@dataclass(frozen=True)
class Filters:
    """Which items of a list; None does not restrict. Each list looks at those that it has."""

    application: str | None = None
    action: str | None = None
    deduper: str | None = None
    status: str | None = None
    subscription: UUID | None = None
    event: UUID | None = None
    since: datetime | None = None
    until: datetime | None = None


@dataclass(frozen=True)
class Registration:
    """A new application together with its API key, which is shown this once and stored only as a hash."""

    application: Application
    apikey: str = field(repr=False)

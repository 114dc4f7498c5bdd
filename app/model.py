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

    @property
    def label(self) -> str:
        """How audit and idempotency keys name it: an administrator's name never is an application's."""
        return f"@{self.name}" if self.administrator else self.name


@dataclass(frozen=True)
class Application:
    """A program that publishes and subscribes; `secret` signs in both directions.

    The secret before it counts, too, until a while after `rotated`. What is kept secret is not part of the repr, and
    not of the audit.
    """

    application: str
    address: str
    secret: str = field(repr=False)
    apikey_hash: bytes = field(repr=False)
    description: str
    active: bool
    timestamped: datetime
    previous_secret: str | None = field(default=None, repr=False)
    rotated: datetime | None = None


class Lifecycle(StrEnum):
    """Where an action stands: a deprecated one still takes events and says so, a retired one takes none."""

    ACTIVE = "active"
    DEPRECATED = "deprecated"
    RETIRED = "retired"


class Compatibility(StrEnum):
    """Which changes of a schema are let through: readers of the new one, of the old one, or of both keep working."""

    NONE = "NONE"
    BACKWARD = "BACKWARD"
    FORWARD = "FORWARD"
    FULL = "FULL"


@dataclass(frozen=True)
class Action:
    """A type of event; `version` counts the changes of its schema, `successor` names the action to go on with."""

    action: str
    application: str
    schemata: Json
    version: int
    timestamped: datetime
    compatibility: Compatibility = Compatibility.NONE
    status: Lifecycle = Lifecycle.ACTIVE
    successor: str | None = None


class Permission(StrEnum):
    """What an action's owner may let another application do: publish it, or subscribe to it and read its events."""

    PUBLISH = "publish"
    READ = "read"


@dataclass(frozen=True)
class Grant:
    """Lets an application do to an action what else only its owner may."""

    action: str
    application: str
    permission: Permission
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
    """An event to be stored once per `publisher` and `key`; `digest` tells whether a repeat has the same content.

    Without a key it is stored in any case. `lane` stands for its ordering key; `revision` is that of the registry it
    was checked against: where the registry has changed since, nothing is stored.
    """

    event: UUID
    action: str
    application: str
    payload: Json
    metadata: Json
    deduper: str | None
    sleep_until: datetime | None
    publisher: str
    key: str | None
    digest: bytes
    lane: int
    revision: int


@dataclass(frozen=True)
class Published:
    """What became of a publication: the event stored for its key, now or before."""

    event: Event
    duplicate: bool = False
    same_content: bool = True


@dataclass(frozen=True)
class Subscription:
    """Sends an action's events to a handler: a path on the application's address, or a URL of its own.

    At most `rate_limit` of them a second; where it is `ordered`, in the order of publication for each `metadata.key`.
    """

    subscription: UUID
    application: str
    action: str
    handler: str
    max_retries: int
    description: str
    active: bool
    timestamped: datetime
    rate_limit: float | None = None
    ordered: bool = False


class Breaker(StrEnum):
    """Whether an endpoint gets deliveries: open keeps them back, half open lets one through to try."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


@dataclass(frozen=True)
class Endpoint:
    """How it goes with the handler of one subscription, for all dispatchers together.

    `requests` and `failures` count from `since` on; `until` is when an open breaker lets a probe through, or the
    next one where nobody reported of the last; the rate limit's allowance is spent up to `slot`.
    """

    subscription: UUID
    breaker: Breaker = Breaker.CLOSED
    until: datetime | None = None
    since: datetime | None = None
    requests: int = 0
    failures: int = 0
    slot: datetime | None = None


class Status(StrEnum):
    """Where a gist stands. `failed` is the dead letter; `paused` waits for its subscription to be active again."""

    PENDING = "pending"
    RETRYING = "retrying"
    DELIVERED = "delivered"
    FAILED = "failed"
    PAUSED = "paused"


@dataclass(frozen=True)
class Attempt:
    """One try to deliver a gist. `status` is the HTTP status, None when there was no answer.

    `retry_after` are the seconds that the handler asked for; they are not kept.
    """

    attempt: int
    status: int | None
    ms: int
    response: str
    error: str | None
    timestamped: datetime
    retry_after: float | None = field(default=None, repr=False)

    @property
    def succeeded(self) -> bool:
        return self.status is not None and 200 <= self.status < 300


@dataclass(frozen=True)
class Gist:
    """One event on its way to one subscription. `retries` counts since the first try or the last replay.

    A dispatcher holds it until `leased`. In a lane only the gist with the lowest position goes out.
    """

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
    leased: datetime | None = None
    lane: int | None = field(default=None, repr=False)
    position: int | None = field(default=None, repr=False)
    tries: tuple[Attempt, ...] = ()


@dataclass(frozen=True)
class Delivery:
    """A claimed gist with all that sending it takes. `claim` fences it: a lost claim completes nothing.

    Payload and metadata are JSON text, as they are sent; `secrets` has two while a secret is being rotated; `wanted` is
    when it was first to be delivered.
    """

    gist: UUID
    claim: UUID
    event: UUID
    subscription: UUID
    action: str
    application: str
    payload: str
    metadata: str
    timestamped: datetime
    wanted: datetime
    url: str
    secrets: tuple[str, ...] = field(repr=False)
    attempt: int
    retries: int
    max_retries: int
    active: bool
    in_lane: bool = False


@dataclass(frozen=True)
class Claim:
    """What a dispatcher took; `more` when an endpoint has more that is due than was taken for it."""

    deliveries: tuple[Delivery, ...] = ()
    more: bool = False


@dataclass(frozen=True)
class Room:
    """How much a dispatcher can take: `limit` at once, `free` places, and how many each subscription holds already."""

    limit: int
    free: int
    busy: Mapping[UUID, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Completion:
    """What a delivery came to: its next status, and the seconds until it is due again when it is to be retried.

    `gone` when the handler asked never to be called again: the subscription is switched off.
    """

    delivery: Delivery
    status: Status
    attempt: Attempt | None
    retries: int
    delay: float = 0.0
    gone: bool = False


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


@dataclass(frozen=True)
class AuditEntry:
    """Who changed what; `hash` covers the entry and the hash before it, so that no entry can be changed alone."""

    entry: int
    timestamped: datetime
    actor: str
    verb: str
    subject: str
    details: Json
    hash: bytes = b""


@dataclass(frozen=True)
class Backlog:
    """What waits: gists that are due, how long the oldest of them has been, and breakers by their state."""

    due: int
    oldest_seconds: float
    breakers: Mapping[str, int]


@dataclass(frozen=True)
class Minute:
    """What happened in one minute for one application; `latency` counts deliveries by rules.LATENCY_BOUNDS.

    What is of nobody in particular is kept under the name "": how much was due, and for how long.
    """

    minute: datetime
    application: str
    published: int = 0
    delivered: int = 0
    retried: int = 0
    failed: int = 0
    latency: tuple[int, ...] = ()
    due: int = 0
    oldest_seconds: float = 0.0


@dataclass(frozen=True)
class Situation:
    """All that says why a gist is where it is, read at one moment `now` of the storage's clock."""

    gist: Gist
    subscription: Subscription
    application_active: bool
    endpoint: Endpoint
    before: UUID | None
    now: datetime


@dataclass(frozen=True)
class Selection:
    """Gists by their ids, or by a filter."""

    gists: tuple[UUID, ...] = ()
    filters: Filters = field(default_factory=Filters)

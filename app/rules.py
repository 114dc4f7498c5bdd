"""Decisions as functions of their arguments: no clock, no randomness, no input or output."""

import base64
import binascii
import hashlib
import hmac
import json
from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import fields, replace
from datetime import UTC, datetime, timedelta
from enum import Enum
from typing import Any
from uuid import UUID

from app import jsontext
from app.errors import Forbidden
from app.model import (
    Application,
    Attempt,
    AuditEntry,
    Breaker,
    Completion,
    Delivery,
    Endpoint,
    Filters,
    Item,
    Json,
    Listing,
    Page,
    Principal,
    Situation,
    Status,
)

SYSTEM = "amebo"  # the application that is Amebo itself
FAILED_ACTION = "amebo.gist.failed"
LONGEST_DELAY = 3600.0
JITTER = 0.2
SIGNATURE_AGE = timedelta(seconds=300)
ROTATION = timedelta(hours=24)  # how long the secret before a rotation still counts
BREAKER_WINDOW, BREAKER_LEAST, BREAKER_RATIO = timedelta(minutes=5), 10, 0.7  # Convoy's: of 10 or more, 70 % failed
BREAKER_MEMORY = 100  # attempts; of more, half is forgotten, so that a busy endpoint that dies is found out soon
BREAKER_REST = timedelta(seconds=30)
# In seconds, from a millisecond to two hours and a half.
LATENCY_BOUNDS: tuple[float, ...] = tuple(0.001 * 2.0**power for power in range(24))
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def retry_decision(delivery: Delivery, attempt: Attempt, luck: float) -> Completion:
    """Delivered, due again after a delay, or failed when no retry is left; `luck` in 0..1 places it in the jitter.

    Gone (410) is neither: the gist waits until somebody switches its subscription on again.
    """
    if attempt.succeeded:
        return Completion(delivery, Status.DELIVERED, attempt, delivery.retries)
    if attempt.status == 410:
        return Completion(delivery, Status.PAUSED, attempt, delivery.retries, gone=True)
    if delivery.retries >= delivery.max_retries:
        return Completion(delivery, Status.FAILED, attempt, delivery.retries)
    retry = delivery.retries + 1
    delay = max(retry_delay(retry, luck), _asked_delay(attempt))
    return Completion(delivery, Status.RETRYING, attempt, retry, delay)


def _asked_delay(attempt: Attempt) -> float:
    """What a handler that is busy asked for, up to the longest delay there is."""
    return min(attempt.retry_after or 0.0, LONGEST_DELAY) if attempt.status in (429, 503) else 0.0


def retry_delay(retry: int, luck: float) -> float:
    """Seconds before the nth retry: 0, 2, 4, 8, 16 … doubling to an hour, 20 % more or less."""
    if retry <= 1:
        return 0.0
    exact = min(2.0 ** min(retry - 1, 32), LONGEST_DELAY)
    return exact * (1 + JITTER * (2 * luck - 1))


def paused(delivery: Delivery) -> Completion:
    """A gist that came up while its subscription or application is off: it was not tried, and waits."""
    return Completion(delivery, Status.PAUSED, None, delivery.retries)


def judge(endpoint: Endpoint, tried: int, failed: int, now: datetime) -> Endpoint:
    """An endpoint after so many more tries: open when most failed of late, and after a probe what the probe says."""
    if endpoint.breaker is Breaker.HALF_OPEN:
        endpoint = replace(endpoint, requests=0, failures=0, since=None, until=None)
        return replace(endpoint, breaker=Breaker.CLOSED) if failed < tried else _opened(endpoint, now)
    if endpoint.since is None or endpoint.since < now - BREAKER_WINDOW:
        endpoint = replace(endpoint, since=now, requests=0, failures=0)
    if endpoint.requests > BREAKER_MEMORY:
        kept = BREAKER_MEMORY // 2
        endpoint = replace(endpoint, requests=kept, failures=endpoint.failures * kept // endpoint.requests)
    endpoint = replace(endpoint, requests=endpoint.requests + tried, failures=endpoint.failures + failed)
    enough = endpoint.requests >= BREAKER_LEAST and endpoint.failures >= BREAKER_RATIO * endpoint.requests
    return _opened(endpoint, now) if enough and endpoint.breaker is Breaker.CLOSED else endpoint


def _opened(endpoint: Endpoint, now: datetime) -> Endpoint:
    opened = replace(endpoint, breaker=Breaker.OPEN, until=now + BREAKER_REST)
    return replace(opened, since=None, requests=0, failures=0)


def allowance(rate_limit: float, slot: datetime | None, now: datetime) -> int:
    """How many deliveries a rate limit lets through now: what added up since `slot`, a second's worth at most."""
    since = max(slot or _EPOCH, now - burst(rate_limit))
    return int((now - since).total_seconds() * rate_limit + 1e-5)  # clocks count microseconds, a third of a second not


def burst(rate_limit: float) -> timedelta:
    """How long an unused allowance adds up: a second, or the time of one delivery where that is longer."""
    return timedelta(seconds=max(1.0, 1.0 / rate_limit))


def quota(limit: int, ready: int, free: int, held: int) -> int:
    """An endpoint's share of a claim: as much as each that is `ready`, and never more places than stay free."""
    return min(-(-limit // ready), max(1, (free - held) // 2))


def secrets_of(application: Application, now: datetime) -> tuple[str, ...]:
    """Those that count: the present one, and for a day after its rotation the one before."""
    previous, rotated = application.previous_secret, application.rotated
    if previous is None or rotated is None or rotated < now - ROTATION:
        return (application.secret,)
    return (application.secret, previous)


def envelope(delivery: Delivery) -> bytes:
    """The body of a delivery, exactly the bytes that its signatures cover."""
    return (
        f'{{"event":"{delivery.event}","action":{json.dumps(delivery.action)},"payload":{delivery.payload},'
        f'"metadata":{delivery.metadata},"timestamped":"{delivery.timestamped.isoformat()}",'
        f'"attempt":{delivery.attempt}}}'
    ).encode()


def delivery_headers(delivery: Delivery, body: bytes, now: datetime) -> dict[str, str]:
    """Standard Webhooks 1.0 headers, and Amebo's own."""
    gist, timestamp = str(delivery.gist), str(int(now.timestamp()))
    signed = (standard_signature(secret, gist, timestamp, body) for secret in delivery.secrets)
    return {
        "Content-Type": "application/json",
        "webhook-id": gist,
        "webhook-timestamp": timestamp,
        "webhook-signature": " ".join(signed),
        "X-Amebo-Event": delivery.action,
        "X-Amebo-Delivery": f"{gist}_{delivery.attempt}",
        "X-Amebo-Signature": f"sha256={signature(delivery.secrets[0], body)}",
    }


def standard_signature(secret: str, identity: str, timestamp: str, body: bytes) -> str:
    """`v1,` and the base64 of HMAC-SHA256 over `id.timestamp.body`, as Standard Webhooks 1.0 says."""
    signed = f"{identity}.{timestamp}.".encode() + body
    digest = hmac.new(standard_key(secret), signed, hashlib.sha256).digest()
    return f"v1,{base64.b64encode(digest).decode()}"


def standard_key(secret: str) -> bytes:
    """`whsec_` announces base64; any other secret is a key as it stands."""
    if secret.startswith("whsec_"):
        text = secret.removeprefix("whsec_")
        try:
            return base64.b64decode(text + "=" * (-len(text) % 4), validate=True)  # as other libraries do
        except binascii.Error:
            pass
    return secret.encode()


def signature(secret: str, body: bytes, timestamp: str | None = None) -> str:
    """Hex HMAC-SHA256 of the body, or of `timestamp.body`."""
    signed = body if timestamp is None else timestamp.encode() + b"." + body
    return hmac.new(secret.encode(), signed, hashlib.sha256).hexdigest()


def signature_holds(secret: str, given: str, body: bytes, timestamp: str | None, now: datetime) -> bool:
    """Whether a publisher's signature is right and, when it covers a timestamp, not older than 300 s."""
    if timestamp is not None and not _is_recent(timestamp, now):
        return False
    expected = signature(secret, body, timestamp)
    return hmac.compare_digest(expected.encode(), given.removeprefix("sha256=").encode())


def _is_recent(timestamp: str, now: datetime) -> bool:
    try:
        return abs(now.timestamp() - float(timestamp)) <= SIGNATURE_AGE.total_seconds()
    except ValueError:
        return False


def content_digest(action: str, payload: Json, metadata: Json, sleep_until: float | str | None) -> bytes:
    """The same for two publications with the same content, whatever the order of their keys."""
    return hashlib.sha256(jsontext.canonical([action, payload, metadata, sleep_until])).digest()


def lane(metadata: Json) -> int:
    """The lane of an event, as a signed number of 64 bits: events with the same `metadata.key` share it."""
    if "key" not in metadata:
        return _NO_KEY
    key = metadata["key"]
    return _lane(key if isinstance(key, str) else json.dumps(key, sort_keys=True))


def _lane(text: str) -> int:
    return int.from_bytes(hashlib.sha256(text.encode(errors="surrogatepass")).digest()[:8], signed=True)


_NO_KEY = _lane("")


def gist_of(event: UUID, subscription: UUID) -> UUID:
    """The one gist of an event and a subscription: begins as the event does, then a hash of both."""
    digest = hashlib.md5(f"{event}{subscription}".encode(), usedforsecurity=False).hexdigest()
    return UUID(f"{str(event)[:18]}8{digest[:15]}")


def gists_of(event: UUID) -> tuple[UUID, UUID]:
    """Between which ids the gists of an event are."""
    begin = event.int >> 64 << 64
    return UUID(int=begin), UUID(int=begin | (1 << 64) - 1)


def announcement_key(delivery: Delivery) -> str:
    """The idempotency key of what is published when a gist fails; a replay that fails again is news, too."""
    return f"failed:{delivery.gist}:{delivery.attempt}"


def public(item: Any) -> dict[str, Any]:  # noqa: ANN401  # whichever noun
    """What the audit may know of an item: the fields that its repr shows, as JSON."""
    return {each.name: _plain(getattr(item, each.name)) for each in fields(item) if each.repr}


def _plain(value: object) -> object:
    if isinstance(value, datetime | UUID):
        return value.isoformat() if isinstance(value, datetime) else str(value)
    return value.value if isinstance(value, Enum) else value


def chained(entry: AuditEntry, previous: bytes) -> AuditEntry:
    """An entry with its hash: SHA-256 over the hash before it and its own content."""
    content = [entry.entry, entry.timestamped.isoformat(), entry.actor, entry.verb, entry.subject, entry.details]
    text = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return replace(entry, hash=hashlib.sha256(previous + text.encode()).digest())


def latency_bucket(seconds: float) -> int:
    """Which of LATENCY_BOUNDS a delivery falls under; one more than the last for what is slower than all."""
    return bisect_left(LATENCY_BOUNDS, seconds)


def latency_quantile(counts: Sequence[int], quantile: float) -> float | None:
    """The bound in seconds under which this share of the deliveries fell, None without deliveries."""
    wanted: float = quantile * sum(counts)
    seen = 0
    for place, count in enumerate(counts):
        seen += count
        if count and seen >= wanted:
            return LATENCY_BOUNDS[min(place, len(LATENCY_BOUNDS) - 1)]
    return None


def handler_url(address: str, handler: str) -> str:
    """A handler is a URL of its own, or a path on its application's address."""
    return address.rstrip("/") + handler if handler.startswith("/") else handler


def uuid7(now: datetime, random: int) -> UUID:
    """An id that sorts by time (RFC 9562): 48 bits of milliseconds, 12 of their fraction, 62 of `random`."""
    since = now - _EPOCH
    milliseconds, rest = divmod(since.microseconds, 1000)
    milliseconds += (since.days * 86_400 + since.seconds) * 1000
    return UUID(int=milliseconds << 80 | 0x7 << 76 | rest * 4096 // 1000 << 64 | 0b10 << 62 | random % (1 << 62))


def explain(situation: Situation) -> tuple[str, str]:
    """Why a gist is not delivered yet, as a word for programs and a sentence for people."""
    gist, endpoint, now = situation.gist, situation.endpoint, situation.now
    match gist.status:
        case Status.DELIVERED:
            return "delivered", f"It is delivered, with attempt {gist.attempts}."
        case Status.FAILED:
            return "failed", (
                f"No retry is left after attempt {gist.attempts}; replay it with POST /v1/regists/{gist.gist}."
            )
        case Status.PAUSED:
            return "paused", f"{_who_is_off(situation)}; switched on again, it goes on."
        case Status.PENDING | Status.RETRYING:
            return _why_open(gist.leased, gist.due, situation, endpoint, now)


def _who_is_off(situation: Situation) -> str:
    return "Its application is inactive" if not situation.application_active else "Its subscription is off"


def _why_open(
    leased: datetime | None, due: datetime, situation: Situation, endpoint: Endpoint, now: datetime
) -> tuple[str, str]:
    """In the order in which a claim looks at it."""
    limit = situation.subscription.rate_limit
    if leased is not None and leased > now:
        return "under_way", f"A dispatcher is sending it now; if that dies, it is due again at {_at(leased)}."
    if due > now:
        word = "sleeping" if situation.gist.status is Status.PENDING else "waiting_for_retry"
        return word, f"It is due at {_at(due)}, in {(due - now).total_seconds():.0f} s."
    if not (situation.subscription.active and situation.application_active):
        return "about_to_pause", f"{_who_is_off(situation)}; it pauses as soon as a dispatcher comes to it."
    if situation.before is not None:
        return "in_line", f"Its subscription is ordered, and gist {situation.before} with the same key goes first."
    if endpoint.breaker is not Breaker.CLOSED:
        until = f" at {_at(endpoint.until)}" if endpoint.until else ""
        return (
            f"breaker_{endpoint.breaker}",
            f"Its handler failed too often; one is let through to try{until}.",
        )
    if limit is not None and allowance(limit, endpoint.slot, now) < 1:
        return "rate_limited", f"Its subscription takes at most {limit:g} deliveries a second."
    return "due", f"It is due since {_at(due)}; no dispatcher has come to it yet. Is one running?"


def _at(time: datetime) -> str:
    return time.isoformat(timespec="seconds")


def only_own(principal: Principal, filters: Filters) -> Filters:
    """Narrow a list to what belongs to the application that asks; an administrator sees all."""
    if principal.administrator:
        return filters
    if filters.application not in (None, principal.name):
        raise Forbidden(f"application {principal.name!r} may not see what belongs to {filters.application!r}")
    return replace(filters, application=principal.name)


def listing(rows: Sequence[Item], page: Page, key: Callable[[Item], str]) -> Listing[Item]:
    """Cut what storage read, one row more than a page, into the page and the keys to go on from."""
    more = len(rows) > page.per_page
    items = tuple(rows[: page.per_page])
    if page.backwards:
        items = items[::-1]
    if not items:
        return Listing(())
    has_next = more if not page.backwards else True
    has_prev = more if page.backwards else page.key is not None
    return Listing(items, key(items[-1]) if has_next else None, key(items[0]) if has_prev else None)

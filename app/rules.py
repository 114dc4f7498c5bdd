"""Decisions as functions of their arguments: no clock, no randomness, no input or output."""

import base64
import binascii
import hashlib
import hmac
import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID

from app.errors import Forbidden
from app.model import Attempt, Completion, Delivery, Filters, Item, Json, Listing, Page, Principal, Status

LONGEST_DELAY = 3600.0
JITTER = 0.2
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
SIGNATURE_AGE = timedelta(seconds=300)


def retry_decision(delivery: Delivery, attempt: Attempt, luck: float) -> Completion:
    """Delivered, due again after a delay, or failed when no retry is left; `luck` in 0..1 places it in the jitter."""
    if attempt.succeeded:
        return Completion(delivery, Status.DELIVERED, attempt, delivery.retries)
    if delivery.retries >= delivery.max_retries:
        return Completion(delivery, Status.FAILED, attempt, delivery.retries)
    retry = delivery.retries + 1
    return Completion(delivery, Status.RETRYING, attempt, retry, retry_delay(retry, luck))


def retry_delay(retry: int, luck: float) -> float:
    """Seconds before the nth retry: 0, 2, 4, 8, 16 … doubling to an hour, 20 % more or less."""
    if retry <= 1:
        return 0.0
    exact = min(2.0 ** min(retry - 1, 32), LONGEST_DELAY)
    return exact * (1 + JITTER * (2 * luck - 1))


def paused(delivery: Delivery) -> Completion:
    """A gist that came up while its subscription or application is off: it was not tried, and waits."""
    return Completion(delivery, Status.PAUSED, None, delivery.retries)


def envelope(delivery: Delivery) -> bytes:
    """The body of a delivery, exactly the bytes that its signatures cover."""
    body = {
        "event": str(delivery.event),
        "action": delivery.action,
        "payload": delivery.payload,
        "metadata": delivery.metadata,
        "timestamped": delivery.timestamped.isoformat(),
        "attempt": delivery.attempt,
    }
    return json.dumps(body, separators=(",", ":")).encode()


def delivery_headers(delivery: Delivery, body: bytes, now: datetime) -> dict[str, str]:
    """Standard Webhooks 1.0 headers, and Amebo's own."""
    gist, timestamp = str(delivery.gist), str(int(now.timestamp()))
    return {
        "Content-Type": "application/json",
        "webhook-id": gist,
        "webhook-timestamp": timestamp,
        "webhook-signature": standard_signature(delivery.secret, gist, timestamp, body),
        "X-Amebo-Event": delivery.action,
        "X-Amebo-Delivery": f"{gist}_{delivery.attempt}",
        "X-Amebo-Signature": f"sha256={signature(delivery.secret, body)}",
    }


def standard_signature(secret: str, identity: str, timestamp: str, body: bytes) -> str:
    """`v1,` and the base64 of HMAC-SHA256 over `id.timestamp.body`, as Standard Webhooks 1.0 says."""
    signed = f"{identity}.{timestamp}.".encode() + body
    digest = hmac.new(standard_key(secret), signed, hashlib.sha256).digest()
    return f"v1,{base64.b64encode(digest).decode()}"


def standard_key(secret: str) -> bytes:
    """`whsec_` announces base64; any other secret is a key as it stands."""
    if secret.startswith("whsec_"):
        try:
            return base64.b64decode(secret.removeprefix("whsec_"), validate=True)
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
    content = json.dumps([action, payload, metadata, sleep_until], sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(content.encode()).digest()


def handler_url(address: str, handler: str) -> str:
    """A handler is a URL of its own, or a path on its application's address."""
    return address.rstrip("/") + handler if handler.startswith("/") else handler


def uuid7(now: datetime, random: int) -> UUID:
    """An id that sorts by time (RFC 9562): 48 bits of milliseconds, 12 of their fraction, 62 of `random`."""
    microseconds = (now - _EPOCH) // timedelta(microseconds=1)
    milliseconds, rest = divmod(microseconds, 1000)
    return UUID(int=milliseconds << 80 | 0x7 << 76 | rest * 4096 // 1000 << 64 | 0b10 << 62 | random % (1 << 62))


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

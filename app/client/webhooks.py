"""Verify Amebo's webhooks. This file stands alone: it needs Python 3.11, and nothing else at all."""

import base64
import binascii
import hmac
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol
from uuid import UUID

TOLERANCE = timedelta(seconds=300)


class Headers(Protocol):
    """What every framework has for a request's headers."""

    def items(self) -> Iterable[tuple[str, str]]: ...


class BadWebhook(Exception):
    """A request that must not be trusted: answer 401."""


@dataclass(frozen=True)
class Webhook:
    """A verified delivery; `webhook_id` is the same at each attempt, so that repeats can be told."""

    webhook_id: str
    event: UUID
    action: str
    payload: Mapping[str, Any]
    metadata: Mapping[str, Any]
    timestamped: datetime
    attempt: int


def verify(
    body: bytes,
    headers: Headers,
    *secrets: str,
    now: datetime | None = None,
    tolerance: timedelta = TOLERANCE,
) -> Webhook:
    """The webhook in a request whose signature holds for one of the secrets; else raises BadWebhook.

    `body` are the bytes as they came in. Two secrets are for the time of a rotation.
    """
    verify_signature(body, headers, *secrets, now=now, tolerance=tolerance)
    try:
        return _webhook(_lowered(headers)["webhook-id"], json.loads(body))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise BadWebhook("the signature is right, but the body is not a delivery of Amebo") from error


def verify_signature(
    body: bytes,
    headers: Headers,
    *secrets: str,
    now: datetime | None = None,
    tolerance: timedelta = TOLERANCE,
) -> None:
    """Standard Webhooks 1.0, whatever the body is; raises BadWebhook."""
    keys = [signing_key(secret) for secret in secrets]
    if not keys or not all(keys):
        raise ValueError("a secret is needed to verify a webhook, and it must not be empty")
    given = _lowered(headers)
    for name in ("webhook-id", "webhook-timestamp", "webhook-signature"):
        if not given.get(name):
            raise BadWebhook(f"the header {name} is missing")
    _check_age(given["webhook-timestamp"], now or datetime.now(UTC), tolerance)
    signed = f"{given['webhook-id']}.{given['webhook-timestamp']}.".encode(errors="surrogatepass") + body
    expected = [hmac.digest(key, signed, "sha256") for key in keys]
    candidates = [_digest(signature) for signature in given["webhook-signature"].split()]
    if not any(hmac.compare_digest(right, candidate) for right in expected for candidate in candidates):
        raise BadWebhook("no signature is right for this body: another secret, or not what was sent")


def signing_key(secret: str) -> bytes:
    """`whsec_` announces base64; any other secret is a key as it stands."""
    if secret.startswith("whsec_"):
        text = secret.removeprefix("whsec_")
        try:
            return base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
        except binascii.Error:
            pass
    return secret.encode()


def _lowered(headers: Headers) -> dict[str, str]:
    return {name.lower(): value for name, value in headers.items()}


def _check_age(timestamp: str, now: datetime, tolerance: timedelta) -> None:
    try:
        age = now.timestamp() - int(timestamp)
    except (ValueError, OverflowError) as error:
        raise BadWebhook("the header webhook-timestamp is not a number of seconds") from error
    if abs(age) > tolerance.total_seconds():
        side = "old" if age > 0 else "ahead of this clock"
        raise BadWebhook(f"the webhook is {abs(age):.0f} s {side}, more than {tolerance.total_seconds():.0f}")


def _digest(signature: str) -> bytes:
    """Of a `v1,` signature; of another version, or of none, nothing that any digest equals."""
    version, _, encoded = signature.partition(",")
    try:
        return base64.b64decode(encoded, validate=True) if version == "v1" else b""
    except ValueError:
        return b""


def _webhook(webhook_id: str, body: dict[str, Any]) -> Webhook:
    return Webhook(
        webhook_id=webhook_id,
        event=UUID(body["event"]),
        action=str(body["action"]),
        payload=dict(body["payload"]),
        metadata=dict(body["metadata"]),
        timestamped=datetime.fromisoformat(body["timestamped"]),
        attempt=int(body["attempt"]),
    )

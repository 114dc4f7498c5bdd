"""Deliveries over HTTP with aiohttp: one session, connections reused, an answer's head read and no more."""

import time
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from aiohttp import ClientError, ClientResponse, ClientSession, ClientTimeout, DummyCookieJar, TCPConnector

from app import rules
from app.delivery.guard import Guard
from app.model import Attempt, Delivery

RESPONSE_HEAD = 1024


class HttpCourier:
    """The port Courier; made inside the running loop, closed by it."""

    def __init__(self, guard: Guard, timeout: float = 30.0) -> None:
        connector = TCPConnector(limit=0, socket_factory=guard.open_socket)
        self._session = ClientSession(
            connector=connector,
            timeout=ClientTimeout(total=timeout),
            cookie_jar=DummyCookieJar(),
            auto_decompress=False,
            headers={"User-Agent": "Amebo"},
        )

    async def deliver(self, delivery: Delivery) -> Attempt:
        """POST once; whatever happens is an attempt, and only 2xx succeeds. Redirects are not followed."""
        started, now = time.monotonic(), datetime.now(UTC)
        body = rules.envelope(delivery)
        headers = rules.delivery_headers(delivery, body, now)
        status, head, error, asked = None, "", None, None
        try:
            async with self._session.post(delivery.url, data=body, headers=headers, allow_redirects=False) as response:
                status, asked = response.status, _retry_after(response.headers.get("Retry-After"), now)
                head = await _head(response)
        except TimeoutError:
            error = "no answer in time"
        except (ClientError, OSError, ValueError) as failure:
            error = f"{type(failure).__name__}: {failure}"[:RESPONSE_HEAD]
        milliseconds = round((time.monotonic() - started) * 1000)
        return Attempt(delivery.attempt, status, milliseconds, head, error, now, asked)

    async def close(self) -> None:
        await self._session.close()


async def _head(response: ClientResponse) -> str:
    """The first bytes as text that PostgreSQL can keep."""
    return (
        (await response.content.read(RESPONSE_HEAD)).decode(errors="replace").replace("\0", "\N{REPLACEMENT CHARACTER}")
    )


def _retry_after(value: str | None, now: datetime) -> float | None:
    """Seconds, or a date: RFC 9110 has both."""
    if value is None:
        return None
    if value.strip().isdecimal():
        return float(value[:10])
    try:
        date = parsedate_to_datetime(value)
    except ValueError:
        return None
    return max((date - now).total_seconds(), 0.0) if date.tzinfo else None

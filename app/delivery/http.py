"""Deliveries over HTTP with aiohttp: one session, connections reused, an answer's head read and no more."""

import time
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from aiohttp import ClientResponse, ClientResponseError, ClientSession, ClientTimeout, DummyCookieJar, TCPConnector

from app import rules
from app.delivery.guard import Guard
from app.delivery.resolver import Resolver
from app.model import Attempt, Delivery

RESPONSE_HEAD = 1024


class HttpCourier:
    """The port Courier; made inside the running loop, closed by it."""

    def __init__(self, guard: Guard, timeout: float = 30.0) -> None:
        self._resolver = Resolver()
        self._session = ClientSession(
            connector=TCPConnector(limit=0, socket_factory=guard.open_socket, resolver=self._resolver),
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
                status, asked = response.status, _retry_after(response.headers, now)
                head = await _head(response)
        except TimeoutError:
            error = "no answer in time" if status is None else "an answer without its body in time"
        except Exception as failure:  # noqa: BLE001  # without an attempt the gist would come up again for ever
            error = _reason(failure)
        milliseconds = round((time.monotonic() - started) * 1000)
        return Attempt(delivery.attempt, status, milliseconds, head, error, now, asked)

    async def close(self) -> None:
        await self._session.close()
        await self._resolver.close()


async def _head(response: ClientResponse) -> str:
    return _storable((await response.content.read(RESPONSE_HEAD)).decode(errors="replace"))


def _reason(failure: Exception) -> str:
    """What went wrong; the 400 that aiohttp puts on what is not HTTP is not the handler's."""
    text = failure.message if isinstance(failure, ClientResponseError) else str(failure)
    return _storable(f"{type(failure).__name__}: {text}"[:RESPONSE_HEAD])


def _storable(text: str) -> str:
    """Text that PostgreSQL can keep: without NULs and lone surrogates."""
    return text.encode(errors="replace").decode().replace("\0", "\N{REPLACEMENT CHARACTER}")


def _retry_after(headers: Mapping[str, str], now: datetime) -> float | None:
    """Seconds, or a date (RFC 9110 has both), which is by the handler's clock, so from the answer's own date on."""
    value = headers.get("Retry-After", "")
    if value.isascii() and value.isdecimal():
        return float(value[:10])
    date = _date(value)
    return None if date is None else max((date - (_date(headers.get("Date", "")) or now)).total_seconds(), 0.0)


def _date(value: str) -> datetime | None:
    try:
        date = parsedate_to_datetime(value)
    except (ValueError, OverflowError):
        return None
    return date if date.tzinfo else None

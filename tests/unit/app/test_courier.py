"""Deliveries over HTTP to handlers that misbehave, each of which is an attempt with a reason."""

import asyncio
import ipaddress
from collections.abc import Awaitable, Callable
from dataclasses import replace

import pytest

from app.delivery.guard import Guard
from app.delivery.http import RESPONSE_HEAD, HttpCourier
from app.model import Attempt
from tests.unit.app.test_rules import DELIVERY

LOOPBACK = Guard((ipaddress.IPv4Network("127.0.0.0/8"),))
Answer = Callable[[asyncio.StreamWriter], Awaitable[None]]


async def _deliver(answer: Answer, guard: Guard = LOOPBACK) -> Attempt:
    """Send one delivery to a server on loopback that answers as it is told."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"}")
        await answer(writer)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    courier = HttpCourier(guard, timeout=0.5)
    try:
        return await courier.deliver(replace(DELIVERY, url=f"http://127.0.0.1:{port}/hooks"))
    finally:
        await courier.close()
        server.close()


def deliver(raw: bytes, guard: Guard = LOOPBACK) -> Attempt:
    async def answer(writer: asyncio.StreamWriter) -> None:
        writer.write(raw)
        await writer.drain()

    return asyncio.run(_deliver(answer, guard))


def test_keeps_the_head_of_the_answer() -> None:
    attempt = deliver(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\na\0\xffbc")
    assert (attempt.status, attempt.response, attempt.error) == (200, "a\ufffd\ufffdbc", None)
    assert attempt.succeeded


@pytest.mark.parametrize(
    ("raw", "status"),
    [
        (b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n", 302),
        (b"HTTP/1.1 500 Oh\r\nContent-Length: 0\r\n\r\n", 500),
        (b"garbage\r\n\r\n", None),
        (b"", None),
    ],
)
def test_what_is_not_2xx_has_not_succeeded(raw: bytes, status: int | None) -> None:
    attempt = deliver(raw)
    assert (attempt.status, attempt.succeeded) == (status, False)
    assert (attempt.error is None) == (status is not None)


def test_does_not_read_an_endless_answer() -> None:
    async def answer(writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        while not writer.is_closing():
            writer.write(b"1000\r\n" + b"x" * 0x1000 + b"\r\n")
            await writer.drain()

    attempt = asyncio.run(_deliver(answer))
    assert (attempt.status, len(attempt.response)) == (200, RESPONSE_HEAD)


def test_does_not_wait_for_ever() -> None:
    async def answer(_: asyncio.StreamWriter) -> None:
        await asyncio.Event().wait()

    attempt = asyncio.run(asyncio.wait_for(_deliver(answer), 5))
    assert (attempt.status, attempt.error) == (None, "no answer in time")


def test_does_not_dial_a_private_address() -> None:
    attempt = deliver(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", Guard())
    assert attempt.status is None
    assert "private" in (attempt.error or "")

"""One HTTP request that ends in time, whatever the other side does."""

import asyncio
from dataclasses import dataclass

LARGEST = 1024 * 1024


@dataclass(frozen=True)
class Answer:
    """Status and body."""

    status: int
    body: bytes


async def call(address: str, method: str, path: str, body: bytes = b"", *, timeout: float) -> Answer:
    """Ask on a connection of its own, in HTTP/1.0, so that the answer ends with the connection.

    All of it together takes at most `timeout` seconds, else TimeoutError; OSError without a connection, ValueError for
    what is no HTTP.
    """
    request = (
        f"{method} {path} HTTP/1.0\r\nHost: {address}\r\nUser-Agent: amebo-guard\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    async with asyncio.timeout(timeout):
        host, _, port = address.rpartition(":")
        reader, writer = await asyncio.open_connection(host.strip("[]"), int(port))
        try:
            writer.write(request.encode() + body)
            return _answer(await _everything(reader))
        finally:
            writer.transport.abort()  # whoever is silent would make closing wait, too


async def _everything(reader: asyncio.StreamReader) -> bytes:
    received = bytearray()
    while part := await reader.read(65536):
        received += part
        if len(received) > LARGEST:
            raise ValueError(f"the answer is longer than {LARGEST} bytes")
    return bytes(received)


def _answer(received: bytes) -> Answer:
    head, end, body = received.partition(b"\r\n\r\n")
    words = head.split(None, 2)
    if not end or len(words) < 2 or not words[0].startswith(b"HTTP/") or not words[1].isdigit():
        raise ValueError("the answer is not HTTP, or not whole")
    return Answer(int(words[1]), body)

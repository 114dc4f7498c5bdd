"""Handlers on raw connections, on a loop and a thread of their own: some answer, most do to a sender what one fears."""

import asyncio
import contextlib
import gzip
import json
import socket
import ssl
import struct
import threading
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from itertools import count
from typing import Any

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
PAUSE = 0.02  # between the bytes of one who answers slowly


@dataclass(frozen=True)
class Request:
    """What came in, and the way back."""

    headers: dict[str, str]
    raw: bytes
    reader: asyncio.StreamReader = field(repr=False)
    writer: asyncio.StreamWriter = field(repr=False)

    @property
    def body(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.raw)
        return found

    async def send(self, raw: bytes) -> None:
        self.writer.write(raw)
        await self.writer.drain()


Answer = Callable[[Request], Awaitable[bool]]  # whether the connection stays


@dataclass
class Endpoint:
    """One listening socket; `answer` may be changed while it runs. `open` are the connections there are now."""

    answer: Answer
    url: str = ""
    requests: list[Request] = field(default_factory=list)
    connections: int = 0
    open: int = 0

    def events(self) -> list[str]:
        return [request.body["event"] for request in self.requests]

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.open += 1
        with contextlib.suppress(OSError, EOFError, asyncio.CancelledError):  # it went away, or the test is over
            stays = True
            while stays:
                request = await self._read(reader, writer)
                stays = await self.answer(request)
        self.open -= 1
        writer.close()

    async def _read(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> Request:
        first = await reader.readexactly(1)
        if first == b"\x16":  # TLS, where plain HTTP is spoken: answered as nginx does
            writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
            raise EOFError
        lines = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")[1:]
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines if line)}
        raw = await reader.readexactly(int(headers["content-length"]))
        self.requests.append(Request(headers, raw, reader, writer))
        return self.requests[-1]


class Receivers:
    """Starts endpoints on loopback."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()

    def endpoint(self, answer: Answer, tls: ssl.SSLContext | None = None) -> Endpoint:
        endpoint = Endpoint(answer)
        starting = asyncio.start_server(endpoint.serve, "127.0.0.1", 0, ssl=tls, backlog=512)
        server = asyncio.run_coroutine_threadsafe(starting, self._loop).result(5)
        endpoint.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        return endpoint

    def end(self) -> None:
        asyncio.run_coroutine_threadsafe(self._cancel(), self._loop).result(5)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5)
        self._loop.close()

    async def _cancel(self) -> None:
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)


@contextlib.contextmanager
def receiving() -> Iterator[Receivers]:
    receivers = Receivers()
    yield receivers
    receivers.end()


async def accept(request: Request) -> bool:
    """As it should be."""
    await request.send(OK)
    return True


def say(raw: bytes) -> Answer:
    """These bytes, and then the end."""

    async def answer(request: Request) -> bool:
        await request.send(raw)
        return False

    return answer


def status(code: int, *headers: str) -> Answer:
    """An ordinary answer, and the connection stays."""
    head = "\r\n".join((f"HTTP/1.1 {code} So", "Content-Length: 0", *headers, "", "")).encode()

    async def answer(request: Request) -> bool:
        await request.send(head)
        return True

    return answer


async def hang(request: Request) -> bool:
    """Never a byte, as long as the sender stays."""
    await request.reader.read()
    return False


async def drip(request: Request) -> bool:
    """A byte at a time; each comes soon after the last, the end never."""
    for number in count():
        await request.send(OK[number : number + 1] if number < 17 else b"X")
        await asyncio.sleep(PAUSE)
    return False


def endless(head: bytes, part: bytes) -> Answer:
    """The same again and again, as fast as it is taken."""

    async def answer(request: Request) -> bool:
        await request.send(head)
        while not request.writer.is_closing():
            await request.send(part)
        return False

    return answer


endless_headers = endless(b"HTTP/1.1 200 OK\r\n", b"X-More: of the same\r\n" * 100)
endless_header = endless(b"HTTP/1.1 200 OK\r\nX-More: ", b"x" * 4096)
endless_body = endless(b"HTTP/1.1 200 OK\r\n\r\n", b"x" * 65536)
endless_chunks = endless(
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"10000\r\n" + b"x" * 65536 + b"\r\n"
)
endless_provisional = endless(b"", b"HTTP/1.1 102 Processing\r\n\r\n" * 100)


_BOMB = gzip.compress(b"\0" * 1_000_000) * 100  # a hundred megabytes in a hundred kilobytes
gzip_bomb = say(b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(_BOMB) + _BOMB)


async def reset(request: Request) -> bool:
    """As a machine does that has just been switched on."""
    found: socket.socket = request.writer.get_extra_info("socket")
    found.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    request.writer.transport.abort()
    return False


def once_each_connection() -> Answer:
    """Keeps a connection, as far as anybody can tell, until the next request comes on it."""
    known: set[int] = set()

    async def answer(request: Request) -> bool:
        seen = id(request.writer) in known
        known.add(id(request.writer))
        return False if seen else await accept(request)

    return answer

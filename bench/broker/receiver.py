"""A receiver of webhooks that costs next to nothing: python -m bench.broker.receiver PORTS, in a process of its own.

Each port answers 200 to every POST and counts. GET /counts and /stamps read what came, /hang lets a port accept and
never answer again, /answer lets it answer again, /reset forgets.
"""

import asyncio
import json
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import urllib3

from bench.broker.processes import running, until

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
_LENGTH = b"content-length:"
_POOL = urllib3.PoolManager(retries=False)


@dataclass
class Port:
    """What came to one port. Times are those of the machine's monotonic clock, which all processes share."""

    hangs: bool = False
    count: int = 0
    first: float = 0.0
    last: float = 0.0
    stamps: dict[int, float] = field(default_factory=dict)

    def take(self, body: bytes) -> None:
        """The payload's number, if it has one, tells which event this is; only its first arrival counts."""
        self.last = time.monotonic()
        self.first = self.first or self.last
        self.count += 1
        start = body.find(b'"number":')
        if start >= 0:
            number = int(body[start + 9 : start + 21].split(b",")[0].split(b"}")[0])
            self.stamps.setdefault(number, self.last)

    def command(self, path: bytes) -> object:
        if path in (b"/hang", b"/answer"):
            self.hangs = path == b"/hang"
        elif path == b"/reset":
            self.count, self.first, self.last = 0, 0.0, 0.0
            self.stamps.clear()
        elif path == b"/stamps":
            return self.stamps
        return {"count": self.count, "first": self.first, "last": self.last, "distinct": len(self.stamps)}


class Connection(asyncio.Protocol):
    """HTTP/1.1 as far as clients that send a Content-Length speak it."""

    def __init__(self, port: Port) -> None:
        self._port = port
        self._data = b""
        self._transport: asyncio.WriteTransport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.WriteTransport)  # noqa: S101  # it is a TCP connection
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._data += data
        while (request := self._request()) is not None:
            head, body = request
            if head.startswith(b"POST"):
                self._port.take(body)
                if not self._port.hangs:
                    self._transport.write(OK)
            else:
                self._answer(self._port.command(head.split(b" ", 2)[1]))

    def _request(self) -> tuple[bytes, bytes] | None:
        end = self._data.find(b"\r\n\r\n")
        if end < 0:
            return None
        head = self._data[:end]
        at = head.lower().find(_LENGTH)
        length = int(head[at + len(_LENGTH) :].split(b"\r\n", 1)[0]) if at >= 0 else 0
        if len(self._data) < end + 4 + length:
            return None
        body = self._data[end + 4 : end + 4 + length]
        self._data = self._data[end + 4 + length :]
        return head, body

    def _answer(self, content: object) -> None:
        body = json.dumps(content).encode()
        self._transport.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))


@dataclass(frozen=True)
class Receiver:
    """One port of a running receiver."""

    url: str

    def ask(self, path: str) -> Any:  # noqa: ANN401  # JSON
        return _POOL.request("GET", f"{self.url}{path}").json()

    def count(self) -> int:
        return int(self.ask("/counts")["count"])

    def rate(self) -> float:
        """Receipts a second, from the first to the last."""
        counts = self.ask("/counts")
        return float((counts["count"] - 1) / (counts["last"] - counts["first"]))

    def stamps(self) -> dict[int, float]:
        """When each number arrived first."""
        return {int(number): when for number, when in self.ask("/stamps").items()}


@contextmanager
def receiving(ports: int = 1) -> Iterator[tuple[Receiver, ...]]:
    """A receiver with so many ports."""
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder, "receiver.log")
        with running([sys.executable, "-m", "bench.broker.receiver", str(ports)], {}, log):
            until(lambda: log.read_text().endswith("]\n"), 10, f"the receiver to listen; it said: {log.read_text()}")
            yield tuple(Receiver(f"http://127.0.0.1:{port}") for port in json.loads(log.read_text()))


async def _serve(ports: int) -> None:
    loop, ended, numbers = asyncio.get_running_loop(), asyncio.Event(), []
    loop.add_signal_handler(signal.SIGTERM, ended.set)
    for port in [Port() for _ in range(ports)]:
        server = await loop.create_server(partial(Connection, port), "127.0.0.1", 0, backlog=1024)
        numbers.append(server.sockets[0].getsockname()[1])
    print(json.dumps(numbers), flush=True)
    await ended.wait()


if __name__ == "__main__":
    asyncio.run(_serve(int(sys.argv[1])))

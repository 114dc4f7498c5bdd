"""A publisher that never retries and a receiver that counts, in a thread of their own while the fleet is changed."""

import asyncio
import socket
import threading
import time
from contextlib import suppress
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

from aiohttp import ClientSession, ClientTimeout, TCPConnector, web
from standardwebhooks import Webhook, WebhookVerificationError

from fleet.demo.report import Received, Sent
from fleet.demo.setup import Credentials, Publisher, register
from fleet.errors import FleetError


@dataclass
class Traffic:
    """Publish `rate` events a second over `connections` keep-alive connections from enter to exit.

    They are of `publishers` applications in turn, because a load balancer splits traffic by credential. Bounded: after
    `longest` seconds it stops by itself. On exit it waits up to `patience` seconds for deliveries.
    """

    url: str
    admin_password: str = field(repr=False)
    rate: float = 50.0
    connections: int = 8
    publishers: int = 8
    longest: float = 900.0
    patience: float = 90.0
    sent: list[Sent] = field(default_factory=list)
    received: list[Received] = field(default_factory=list)
    forged: int = 0
    _stop: threading.Event = field(default_factory=threading.Event)
    _started: threading.Event = field(default_factory=threading.Event)
    _broken: BaseException | None = None
    _thread: threading.Thread | None = None

    def __enter__(self) -> Self:
        """Return when the first events were acknowledged."""
        self._thread = threading.Thread(target=self._main, name="traffic", daemon=True)
        self._thread.start()
        if not self._started.wait(timeout=60):
            raise FleetError(f"nothing was answered by {self.url} within 60 s")
        if self._broken:
            raise self._broken
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop publishing, wait for what is still to be delivered, close the receiver."""
        self._stop.set()
        assert self._thread is not None  # noqa: S101  # made in __enter__
        self._thread.join()
        if self._broken and error is None:
            raise self._broken

    def acknowledged(self) -> set[str]:
        """Ids of the events that the publisher may rely on."""
        return {sent.event for sent in self.sent if sent.event}

    def delivered(self) -> set[str]:
        """Ids of the events that arrived."""
        return {received.event for received in self.received}

    def _main(self) -> None:
        try:
            asyncio.run(self._run())
        except Exception as error:  # noqa: BLE001  # raised again in the thread that waits for this one
            self._broken = error
        finally:
            self._started.set()

    async def _run(self) -> None:
        runner = web.AppRunner(self._receiver())
        await runner.setup()
        try:
            site = web.TCPSite(runner, local_address(self.url), 0)
            await site.start()
            address = runner.addresses[0]
            credentials = await register(
                self.url, self.admin_password, f"http://{address[0]}:{address[1]}", self.publishers
            )
            self._verify = Webhook(credentials.subscriber_secret).verify
            await self._publish_until_stopped(credentials)
            await self._wait_for_deliveries()
        finally:
            await runner.cleanup()

    async def _publish_until_stopped(self, credentials: Credentials) -> None:
        """Each request in its turn on the clock, whether the ones before it were answered or not."""
        publishers = credentials.publishers
        connector = TCPConnector(limit=self.connections, keepalive_timeout=60)
        async with ClientSession(self.url, connector=connector, timeout=ClientTimeout(30)) as session:
            begun = time.monotonic()
            number, running = 0, set[asyncio.Task[None]]()
            while not self._stop.is_set() and time.monotonic() - begun < self.longest:
                due = begun + number / self.rate
                await asyncio.sleep(max(0.0, due - time.monotonic()))
                task = asyncio.create_task(self._publish(session, publishers[number % len(publishers)], number, due))
                running.add(task)
                task.add_done_callback(running.discard)
                number += 1
            await asyncio.gather(*running)

    async def _publish(self, session: ClientSession, publisher: Publisher, number: int, due: float) -> None:
        headers = {"Authorization": f"Bearer {publisher.key}"}
        body = {"action": publisher.action, "payload": {"order": number, "cents": 100 + number % 900}}
        event, error = None, ""
        try:
            async with session.post("/v1/events", json=body, headers=headers) as answer:
                if answer.status in (200, 201):  # 200: a load balancer asked twice, and it is still one event
                    event = str((await answer.json())["event"])
                else:
                    error = f"{answer.status}: {(await answer.text())[:200]}"
        except Exception as failure:  # noqa: BLE001  # whatever it was, the publisher has no acknowledgement
            error = f"{type(failure).__name__}: {failure}"
        self.sent.append(Sent(due, time.monotonic() - due, event, error))
        self._started.set()

    def _receiver(self) -> web.Application:
        app = web.Application()
        app.router.add_post("/hook", self._receive)
        return app

    async def _receive(self, request: web.Request) -> web.Response:
        """A repeat is counted like a first; only the signature decides whether it counts at all."""
        body = await request.text()
        try:
            event: dict[str, Any] = self._verify(body, dict(request.headers))
        except WebhookVerificationError:
            self.forged += 1
            return web.Response(status=401)
        self.received.append(Received(time.monotonic(), str(event["event"])))
        return web.Response(status=204)

    async def _wait_for_deliveries(self) -> None:
        """And a moment longer, because a repeat comes after the first."""
        until = time.monotonic() + self.patience
        while self.acknowledged() - self.delivered() and time.monotonic() < until:
            await asyncio.sleep(0.5)
        await asyncio.sleep(1)


def local_address(url: str) -> str:
    """The address of this machine on the network where the fleet is, so that its hosts can reach a receiver here."""
    parts = urlsplit(url)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe, suppress(OSError):
        probe.connect((parts.hostname or "", parts.port or 80))
        return str(probe.getsockname()[0])
    return "127.0.0.1"

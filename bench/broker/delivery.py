"""A backlog drained by one dispatcher to a local receiver, from the first receipt until the last is recorded.

The limit is aiohttp signing and posting the same events from memory to the same receiver, with nothing stored. The
peer drains a backlog of its own: as it comes, and with as many deliveries at once as our dispatcher.
"""

import asyncio
import json
import secrets
import time
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, datetime
from uuid import UUID

from aiohttp import ClientSession, DummyCookieJar, TCPConnector

from app import rules
from app.model import Delivery
from app.settings import Settings
from bench.broker import load
from bench.broker.lines import Findings, Line
from bench.broker.peer import peer
from bench.broker.postgres import Database, Durable
from bench.broker.processes import until
from bench.broker.receiver import Receiver, receiving
from bench.broker.service import Service, service

AT_ONCE = Settings().places_at_once
PATIENCE = 600.0
_NOBODY = UUID(int=0)
_SECRET = secrets.token_urlsafe(24)


def measure(cluster: Durable, *, quick: bool) -> Findings:
    backlog = 2_000 if quick else 50_000
    with receiving() as (receiver,):
        limit = from_memory(receiver, backlog)
        one, two, received, repeats = _ours(cluster.database("delivery_ours"), receiver, backlog)
        stock = _theirs(cluster.database("delivery_peer"), receiver, 60 if quick else 400)
        wide_database, wide_backlog = cluster.database("delivery_peer_wide"), 300 if quick else 2_000
        wide = _theirs(wide_database, receiver, wide_backlog, AMEBO_DELIVERY_CONCURRENCY=str(AT_ONCE))
    lines = (
        Line("until recorded", one, "deliveries/s", limit, "aiohttp from memory", target=0.4),
        Line("until received", received, "deliveries/s", limit, "aiohttp from memory"),
        Line("until recorded, 2 dispatchers", two, "deliveries/s", limit, "aiohttp from memory"),
        Line("beside the peer as it comes", one, "deliveries/s", stock, "peer"),
        Line(f"beside the peer, {AT_ONCE} at once", one, "deliveries/s", wide, "peer"),
    )
    return Findings(f"Delivery of a backlog of {backlog:,}", lines, {"backlog": backlog, "delivered_again": repeats})


def from_memory(receiver: Receiver, count: int) -> float:
    """Deliveries a second of a client that has nothing else to do."""
    receiver.ask("/reset")
    asyncio.run(_post_all(f"{receiver.url}/hooks", count))
    return receiver.rate()


async def _post_all(url: str, count: int) -> None:
    deliveries = _deliveries(url, count)
    connector = TCPConnector(limit=0)
    async with ClientSession(connector=connector, cookie_jar=DummyCookieJar(), auto_decompress=False) as session:
        await asyncio.gather(*(_post_each(session, deliveries) for _ in range(AT_ONCE)))


async def _post_each(session: ClientSession, deliveries: Iterator[Delivery]) -> None:
    for delivery in deliveries:
        body = rules.envelope(delivery)
        headers = rules.delivery_headers(delivery, body, datetime.now(UTC))
        async with session.post(delivery.url, data=body, headers=headers, allow_redirects=False) as response:
            await response.read()


def _deliveries(url: str, count: int) -> Iterator[Delivery]:
    """As they come from a claim."""
    now = datetime.now(UTC)
    for number in range(count):
        yield Delivery(
            gist=rules.uuid7(now, number),
            claim=_NOBODY,
            event=rules.uuid7(now, number),
            subscription=_NOBODY,
            action=load.ACTION,
            application="shop",
            payload=json.dumps(load.payload(number)),
            metadata="{}",
            timestamped=now,
            wanted=now,
            url=url,
            secrets=(_SECRET,),
            attempt=1,
            retries=0,
            max_retries=5,
            active=True,
        )


def _ours(database: Database, receiver: Receiver, backlog: int) -> tuple[float, float, float, int]:
    with service(database) as running:
        running.web()
        publisher = running.register(receiver.url)
        load.fill(publisher, backlog)
        one, received = drained(running, database, receiver, backlog)
        repeats = receiver.count() - len(receiver.stamps())
        load.fill(publisher, backlog)
        two, _ = drained(running, database, receiver, backlog, dispatchers=2)
        return one, two, received, repeats


def drained(
    running: Service, database: Database, receiver: Receiver, backlog: int, dispatchers: int = 1, **settings: object
) -> tuple[float, float]:
    """Deliveries a second from the first receipt until all are recorded, and until all are received."""
    database.level()
    receiver.ask("/reset")
    with ExitStack() as stack:
        for _ in range(dispatchers):
            stack.enter_context(running.dispatching(**settings))
        until(lambda: receiver.count() >= backlog, PATIENCE, f"{backlog} deliveries; {receiver.count()} came")
        until(database.is_delivered, PATIENCE, "deliveries to be recorded")
        return backlog / (time.monotonic() - float(receiver.ask("/counts")["first"])), receiver.rate()


def _theirs(database: Database, receiver: Receiver, backlog: int, **settings: str) -> float:
    with peer(database, **settings) as running:
        publisher = running.register(receiver.url)
        running.deliver(active=False)
        load.fill_singly(publisher, backlog)
        database.level()
        receiver.ask("/reset")
        running.deliver(active=True)
        until(lambda: receiver.count() >= backlog, PATIENCE, f"{backlog} deliveries of the peer")
        until(lambda: running.delivered() >= backlog, PATIENCE, "the peer's deliveries to be recorded")
        return backlog / (time.monotonic() - float(receiver.ask("/counts")["first"]))

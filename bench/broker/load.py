"""Publishers: as fast as the answers come (wrk), in batches, or at times that do not depend on the answers."""

import asyncio
import json
import os
import secrets
import shutil
import subprocess
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from statistics import quantiles
from typing import Any

import urllib3
from aiohttp import ClientSession, TCPConnector

ACTION = "order.placed"
BATCH = 1000
SCHEMA = {
    "type": "object",
    "properties": {
        "number": {"type": "integer", "minimum": 0},
        "customer": {
            "type": "object",
            "properties": {
                "name": {"type": "string", "minLength": 1, "maxLength": 100},
                "address": {
                    "type": "object",
                    "properties": {"street": {"type": "string"}, "city": {"type": "string"}},
                    "required": ["street", "city"],
                },
            },
            "required": ["name", "address"],
        },
        "items": {
            "type": "array",
            "minItems": 1,
            "items": {
                "type": "object",
                "properties": {"sku": {"type": "string"}, "count": {"type": "integer", "minimum": 1}},
                "required": ["sku", "count"],
            },
        },
        "total": {"type": "number", "minimum": 0},
        "currency": {"enum": ["EUR", "USD", "NGN"]},
    },
    "required": ["number", "customer", "items", "total", "currency"],
    "additionalProperties": False,
}


@dataclass(frozen=True)
class Publisher:
    """Where an application publishes, and its API key."""

    url: str
    key: str = field(repr=False)

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.key}", "Content-Type": "application/json"}


@dataclass(frozen=True)
class Pace:
    """What wrk found: answers a second, and milliseconds until an answer."""

    rate: float
    p50: float
    p95: float
    p99: float
    answers: int


def payload(number: int = 0) -> dict[str, Any]:
    """Satisfies SCHEMA; some 190 bytes as JSON."""
    return {
        "number": number,
        "customer": {"name": "Ada Obi", "address": {"street": "12 Broad Street", "city": "Lagos"}},
        "items": [{"sku": "A-1001", "count": 2}, {"sku": "B-2002", "count": 1}],
        "total": 129.9,
        "currency": "NGN",
    }


def event(number: int, deduper: str) -> dict[str, Any]:
    return {"action": ACTION, "payload": payload(number), "deduper": deduper}


def hammer(publisher: Publisher, connections: int, seconds: int, batch: int = 1) -> Pace:
    """Keep so many connections busy with requests of `batch` events; any answer but 2xx fails the bench."""
    if shutil.which("wrk") is None:
        raise SystemExit("there is no wrk on this machine; try: apt-get install wrk")
    path = "/v1/events" if batch == 1 else "/v1/events/batch"
    argv = ["wrk", "--threads=1", f"--connections={connections}", f"--duration={seconds}s", "--timeout=30s"]
    argv += [f"--script={Path(__file__).with_name('publish.lua')}", publisher.url + path]
    ran = subprocess.run(argv, env=_told(publisher, batch), capture_output=True, text=True, check=False)
    if ran.returncode != 0:
        raise SystemExit(f"wrk failed: {ran.stderr.strip()}")
    found = json.loads(ran.stdout.splitlines()[-1])
    if found["refused"] or found["broken"] or not found["requests"]:
        raise SystemExit(f"publishing to {publisher.url}{path} went wrong: {found}")
    rate = found["requests"] / found["seconds"]
    return Pace(rate, found["p50"], found["p95"], found["p99"], found["requests"])


def _told(publisher: Publisher, batch: int) -> dict[str, str]:
    template = json.dumps(event(0, "@"), separators=(",", ":"))
    told = {"EVENT": template, "BATCH": str(batch), "RUN": secrets.token_hex(4), "KEY": publisher.key}
    return {**os.environ, **{f"BENCH_{name}": value for name, value in told.items()}}


def fill(publisher: Publisher, count: int, start: int = 0) -> None:
    """Publish so many events by the batch route, numbered from `start` on."""
    run, pool = secrets.token_hex(4), urllib3.PoolManager(retries=False)
    for first in range(start, start + count, BATCH):
        numbers = range(first, min(first + BATCH, start + count))
        body = {"events": [event(number, f"{run}-{number}") for number in numbers]}
        answer = pool.request("POST", f"{publisher.url}/v1/events/batch", json=body, headers=publisher.headers)
        if answer.status != 207:
            raise SystemExit(f"the batch was answered with {answer.status}: {answer.data[:300]!r}")


def fill_singly(publisher: Publisher, count: int, connections: int = 16) -> None:
    """The same, an event a request, for whoever has no batch route."""
    asyncio.run(_fill_singly(publisher, count, connections))


async def _fill_singly(publisher: Publisher, count: int, connections: int) -> None:
    async with _session(publisher, connections) as session:
        await asyncio.gather(*(_post(session, publisher, number) for number in range(count)))


def open_loop(publisher: Publisher, rate: float, seconds: float, seed: int = 1) -> dict[int, float]:
    """Publish at random times, `rate` a second on average, whether answers come or not; when each number was to go."""
    random = Random(seed)  # noqa: S311  # the same times in each run
    pauses = [random.expovariate(rate) for _ in range(int(rate * seconds))]
    return asyncio.run(_open_loop(publisher, pauses))


async def _open_loop(publisher: Publisher, pauses: Iterable[float]) -> dict[int, float]:
    at, intended, posts = time.monotonic() + 0.1, {}, []
    async with _session(publisher, 0) as session:
        for number, pause in enumerate(pauses):
            at += pause
            await asyncio.sleep(max(at - time.monotonic(), 0))
            intended[number] = at
            posts.append(asyncio.create_task(_post(session, publisher, number)))
        await asyncio.gather(*posts)
    return intended


def _session(publisher: Publisher, connections: int) -> ClientSession:
    return ClientSession(connector=TCPConnector(limit=connections), headers=publisher.headers)


async def _post(session: ClientSession, publisher: Publisher, number: int) -> None:
    body = json.dumps(event(number, secrets.token_hex(8)))
    async with session.post(f"{publisher.url}/v1/events", data=body) as answer:
        if answer.status != 201:
            raise SystemExit(f"an event was answered with {answer.status}: {(await answer.text())[:300]}")


def percentiles(milliseconds: Iterable[float]) -> tuple[float, float, float]:
    """p50, p95 and p99."""
    cuts = quantiles(milliseconds, n=100, method="inclusive")
    return cuts[49], cuts[94], cuts[98]

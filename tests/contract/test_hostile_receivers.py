"""Handlers that mean harm, or are broken as if they did: each is a truthful attempt, and harms nobody else."""

import asyncio
import ipaddress
import socket
import ssl
import tracemalloc
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Event as Flag
from typing import Any
from uuid import UUID

import pytest

from app.broker import Broker
from app.delivery.guard import Guard
from app.delivery.http import RESPONSE_HEAD, HttpCourier
from app.dispatcher import Dispatcher
from app.minutes import Minutes
from app.model import Action, Application, Attempt, Delivery, Publication, Subscription
from app.rules import uuid7
from app.settings import Settings
from app.storage.memory import MemoryStorage
from tests.contract import receivers, shop
from tests.contract.processes import Process, until
from tests.contract.receivers import Answer, Endpoint, Receivers, accept, say, status

LOOPBACK = Guard((ipaddress.IPv4Network("127.0.0.0/8"),))
NOW = datetime(2026, 1, 1, tzinfo=UTC)
NOBODY = UUID(int=0)
DELIVERY = Delivery(
    gist=NOBODY,
    claim=NOBODY,
    event=NOBODY,
    subscription=NOBODY,
    action="order.placed",
    application="shop",
    payload="{}",
    metadata="{}",
    timestamped=NOW,
    wanted=NOW,
    url="",
    secrets=("a secret of the shop",),
    attempt=1,
    retries=0,
    max_retries=5,
    active=True,
)
MEMORY = 8_000_000  # bytes that one delivery may take, whatever its handler does; the bombs are of a hundred millions
TIMEOUT = 1.0
NOT_HTTP = "ClientResponseError"
GONE = "ServerDisconnected"
UNSTORABLE = b"a\0b\xff\xfe\xed\xa0\x80c"  # a NUL, what is not UTF-8, and half of a surrogate pair
STORED = "a\ufffdb" + "\ufffd" * 5 + "c"
BROKEN = b"HTTP/1.1 500 So\r\nContent-Length: %d\r\n\r\n%b" % (len(UNSTORABLE), UNSTORABLE)

# What a handler does, and what of it is kept: the HTTP status, and a part of the error.
HOSTILE: dict[str, tuple[Answer, int | None, str | None]] = {
    "hangs": (receivers.hang, None, "no answer in time"),
    "drips": (receivers.drip, None, "no answer in time"),
    "endless headers": (receivers.endless_headers, None, "Too many headers"),
    "endless header": (receivers.endless_header, None, NOT_HTTP),
    "endless 1xx": (receivers.endless_provisional, None, "no answer in time"),
    "endless body": (receivers.endless_body, 200, None),
    "endless chunks": (receivers.endless_chunks, 200, None),
    "gzip bomb": (receivers.gzip_bomb, 200, None),
    "a head and no body": (say(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"), 200, "ClientPayloadError"),
    "reset": (receivers.reset, None, "reset"),
    "silence": (say(b""), None, GONE),
    "garbage": (say(b"\0\xff\xfe\xed\xa0\x80 garbage\r\n\r\n"), None, NOT_HTTP),
    "half a head": (say(b"HTTP/1.1 200 OK\r\nContent-Le"), None, ""),
    "NUL in a header": (say(b"HTTP/1.1 200 OK\r\nX-A: a\0b\r\n\r\n"), None, NOT_HTTP),
    "a size that is none": (say(b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\n"), None, NOT_HTTP),
    "a status that is none": (say(b"HTTP/1.1 99999 So\r\n\r\n"), None, NOT_HTTP),
    "HTTP/2": (say(b"\0\0\x12\x04\0\0\0\0\0\0\x03\0\0\0\x80"), None, ""),
    "another protocol": (say(b"HTTP/1.1 101 So\r\nUpgrade: h2c\r\nConnection: upgrade\r\n\r\n"), 101, None),
    "what PostgreSQL cannot keep": (say(BROKEN), 500, None),
}


@pytest.fixture
def handlers() -> Iterator[Receivers]:
    with receivers.receiving() as started:
        yield started


def deliver(url: str, guard: Guard = LOOPBACK, times: int = 1) -> list[Attempt]:
    """One after the other with one courier, which leaves nothing behind."""

    async def run() -> list[Attempt]:
        courier = HttpCourier(guard, TIMEOUT)
        found = [await courier.deliver(replace(DELIVERY, url=url, attempt=number + 1)) for number in range(times)]
        await courier.close()
        assert asyncio.all_tasks() == {asyncio.current_task()}
        return found

    return asyncio.run(run())


@pytest.mark.parametrize("name", HOSTILE)
def test_whatever_a_handler_does_is_an_attempt(handlers: Receivers, name: str) -> None:
    answer, code, error = HOSTILE[name]
    endpoint = handlers.endpoint(answer)
    tracemalloc.start()
    (attempt,) = deliver(endpoint.url)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert (attempt.status, attempt.error is None) == (code, error is None), attempt
    assert (error or "") in (attempt.error or "")
    assert attempt.succeeded is (code == 200)
    assert len(attempt.response) <= RESPONSE_HEAD
    assert (attempt.response + (attempt.error or "")).encode().count(b"\0") == 0
    assert peak < MEMORY
    until(lambda: endpoint.open == 0)  # nothing holds on to the connection


def test_keeps_what_postgresql_can_keep_of_an_answer(handlers: Receivers) -> None:
    (attempt,) = deliver(handlers.endpoint(say(BROKEN)).url)
    assert attempt.response == STORED


def test_plain_where_tls_is_expected_and_tls_where_plain_is(handlers: Receivers) -> None:
    plain = handlers.endpoint(accept)
    secure = handlers.endpoint(accept, ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER))
    (at_plain,) = deliver(plain.url.replace("http:", "https:"))
    (at_secure,) = deliver(secure.url)
    assert (at_plain.status, at_secure.status) == (None, None)
    assert "SSL" in (at_plain.error or "")
    assert at_secure.error
    assert plain.requests == secure.requests == []


def test_follows_no_redirect(handlers: Receivers) -> None:
    inside = handlers.endpoint(accept)
    for code in (301, 302, 303, 307, 308):
        (attempt,) = deliver(handlers.endpoint(status(code, f"Location: {inside.url}/admin")).url)
        assert (attempt.status, attempt.succeeded) == (code, False)
    assert inside.connections == 0


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("120", 120.0),
        ("9" * 5000, 9_999_999_999.0),
        ("-5", None),
        ("1e9", None),
        ("soon", None),
        ("", None),
        ("\u00a0" * 12 + "5", None),
        ("\u0663", None),
        ("Wed, 21 Oct 99999999999999999999 07:28:00 GMT", None),
        ("Wed, 21 Oct 2026 07:28:00 +99999999999999", None),
        ("Thu, 01 Jan 1970 00:00:00 GMT", 0.0),
        ("Wed, 21 Oct 2026 07:38:00 GMT\r\nDate: Wed, 21 Oct 2026 07:28:00 GMT", 600.0),
    ],
)
def test_takes_retry_after_for_what_it_is(handlers: Receivers, value: str, seconds: float | None) -> None:
    head = f"HTTP/1.1 503 So\r\nContent-Length: 0\r\nRetry-After: {value}\r\n\r\n"
    (attempt,) = deliver(handlers.endpoint(say(head.encode())).url)
    assert (attempt.status, attempt.error, attempt.retry_after) == (503, None, seconds)


def test_a_connection_that_was_closed_meanwhile_costs_an_attempt(handlers: Receivers) -> None:
    endpoint = handlers.endpoint(receivers.once_each_connection())
    attempts = deliver(endpoint.url, times=3)
    assert [attempt.status for attempt in attempts] == [200, None, 200]
    assert GONE in (attempts[1].error or "")
    assert endpoint.connections == 2


# Where a name leads when the delivery dials it, after it led to a public address when it was registered.
@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "0.0.0.0",  # noqa: S104  # an address like the others here
        "10.0.0.1",
        "169.254.169.254",
        "100.64.0.1",
        "::1",
        "::",
        "::ffff:127.0.0.1",
        "::ffff:0:127.0.0.1",
        "::127.0.0.1",
        "64:ff9b::127.0.0.1",
        "64:ff9b::169.254.169.254",
        "64:ff9b:1::127.0.0.1",
        "2002:7f00:1::",
        "fe80::1",
        "fec0::1",
        "fd00::1",
        "ff02::1",
    ],
)
def test_a_name_that_leads_elsewhere_after_the_check_is_refused(monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    answers = iter(("93.184.215.14", address))

    def look_up(*_: object, **__: object) -> list[Any]:
        found = next(answers)
        family, rest = (socket.AF_INET6, (0, 0)) if ":" in found else (socket.AF_INET, ())
        return [(family, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (found, 80, *rest))]

    monkeypatch.setattr(socket, "getaddrinfo", look_up)  # no name server changes its mind at the moment it is told to
    url = "http://hooks.example/"
    assert Guard().refusal(url) is None
    (attempt,) = deliver(url, Guard())
    assert attempt.status is None
    assert "private address" in (attempt.error or "")


@pytest.mark.parametrize("host", ["127.0.0.1", "127.1", "2130706433", "0x7f000001", "[::ffff:7f00:1]", "0"])
def test_no_spelling_of_loopback_is_dialled(handlers: Receivers, host: str) -> None:
    endpoint = handlers.endpoint(accept)
    (attempt,) = deliver(endpoint.url.replace("127.0.0.1", host), Guard())
    assert (attempt.status, endpoint.connections) == (None, 0)
    assert attempt.error


class InMemory:
    """A dispatcher in this process, with nothing but HTTP outside of memory."""

    def __init__(self) -> None:
        self.storage = MemoryStorage()
        application = Application("shop", "http://shop.test", "a secret", b"", "", active=True, timestamped=NOW)
        self.storage.add_application(application, "admin")
        self.storage.add_action(Action("order.placed", "shop", {}, 1, NOW), "admin")

    def subscribe(self, url: str) -> None:
        identity = uuid7(datetime.now(UTC), hash(url))
        wish = Subscription(identity, "shop", "order.placed", url, 0, "", active=True, timestamped=NOW)
        self.storage.subscribe(wish, "admin")

    def publish(self, number: int) -> None:
        revision = self.storage.revision()
        for each in range(number):
            event = uuid7(datetime.now(UTC), each)
            self.storage.publish(
                [Publication(event, "order.placed", "shop", {}, {}, None, None, "shop", None, b"", 0, revision)]
            )

    def deliver_until(self, condition: Callable[[], bool], then: Callable[[], None]) -> None:
        asyncio.run(self._deliver_until(condition, then))

    async def _deliver_until(self, condition: Callable[[], bool], then: Callable[[], None]) -> None:
        courier = HttpCourier(LOOPBACK, timeout=60)
        settings = Settings(envelope=256, idles=0.1, drain_timeout=3)
        dispatcher = Dispatcher(Broker(self.storage), courier, Minutes(self.storage), settings)
        running = asyncio.create_task(dispatcher.run())
        try:
            async with asyncio.timeout(10):
                while not condition():
                    await asyncio.sleep(0.01)
        finally:
            then()
            dispatcher.stop()
            await running
            await courier.close()


def test_names_that_nobody_answers_for_keep_no_delivery_waiting(
    handlers: Receivers, monkeypatch: pytest.MonkeyPatch
) -> None:
    released, look_up = Flag(), socket.getaddrinfo

    def hang(host: str, *arguments: Any, **named: Any) -> Any:
        if host.endswith(".hangs.test"):
            released.wait()
            raise socket.gaierror(socket.EAI_AGAIN, "no answer")
        return look_up(host, *arguments, **named)

    monkeypatch.setattr(socket, "getaddrinfo", hang)  # as where a name server takes questions and gives no answers
    endpoint, memory = handlers.endpoint(accept), InMemory()
    for number in range(20):
        memory.subscribe(f"http://{number}.hangs.test/hooks")
    memory.subscribe(f"{endpoint.url}/hooks".replace("127.0.0.1", "localhost"))
    memory.publish(20)
    memory.deliver_until(lambda: len(endpoint.requests) == 20, then=released.set)


def test_nine_endpoints_get_everything_while_one_hangs(dsn: str, tmp_path: Path, handlers: Receivers) -> None:
    hanging, good = handlers.endpoint(receivers.hang), [handlers.endpoint(accept) for _ in range(9)]
    with shop.opened(dsn, tmp_path, AMEBO_ENVELOPE="32") as opened:
        slow = opened.subscribe(hanging.url)
        for endpoint in good:
            opened.subscribe(endpoint.url)
        opened.dispatcher()
        published = opened.publish(100)
        until(lambda: all(len(endpoint.requests) >= 100 for endpoint in good))
        assert all(sorted(endpoint.events()) == sorted(published) for endpoint in good)
        assert opened.count("subscription = %s AND status = 'pending' AND attempts = 0", slow) == 100
        assert 0 < len(hanging.requests) <= 64


def test_hostile_endpoints_harm_themselves_alone(dsn: str, tmp_path: Path, handlers: Receivers) -> None:
    good = [handlers.endpoint(accept) for _ in range(9)]
    bad = {name: handlers.endpoint(answer) for name, (answer, _, _) in HOSTILE.items()}
    with shop.opened(dsn, tmp_path, AMEBO_DELIVERY_TIMEOUT=str(TIMEOUT)) as opened:
        process = opened.dispatcher()
        memory, files = _resident(process), _files(process)
        subscriptions = {name: opened.subscribe(endpoint.url, max_retries=1) for name, endpoint in bad.items()}
        for endpoint in good:
            opened.subscribe(endpoint.url, max_retries=0)
        published = opened.publish(4)  # with a retry each fewer than a breaker asks for
        until(lambda: all(sorted(endpoint.events()) == sorted(published) for endpoint in good))
        for name, subscription in subscriptions.items():
            _assert_truthful(name, opened.await_end(subscription))
        assert _resident(process) < memory + 64_000_000
        until(lambda: _files(process) <= files + len(good) * len(published))
        assert all(endpoint.open == 0 for endpoint in bad.values())


def _assert_truthful(name: str, gists: list[dict[str, Any]]) -> None:
    _, code, error = HOSTILE[name]
    expected = ("delivered", 1) if code == 200 else ("failed", 2)
    for gist in gists:
        assert (gist["status"], gist["attempts"]) == expected, (name, gist)
        assert [each["attempt"] for each in gist["tries"]] == list(range(1, expected[1] + 1))
        for each in gist["tries"]:
            assert (each["status"], each["error"] is None) == (code, error is None), (name, each)
            assert (error or "") in (each["error"] or "")
            assert each["response"] == STORED or name != "what PostgreSQL cannot keep"


def _resident(process: Process) -> int:
    """The most bytes of memory that a process ever had."""
    lines = Path(f"/proc/{process.popen.pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))


def _files(process: Process) -> int:
    return len(list(Path(f"/proc/{process.popen.pid}/fd").iterdir()))


def test_a_breaker_opens_and_closes_again(dsn: str, tmp_path: Path, handlers: Receivers) -> None:
    endpoint = handlers.endpoint(status(500))
    with shop.opened(dsn, tmp_path) as opened:
        subscription = opened.subscribe(endpoint.url)
        opened.dispatcher()
        assert opened.breaker(subscription) == "closed"
        published = opened.publish(20)
        until(lambda: opened.breaker(subscription) == "open")
        until(lambda: opened.count("leased IS NOT NULL") == 0)
        tried = len(endpoint.requests)
        _rested(opened)
        until(lambda: len(endpoint.requests) == tried + 1 and opened.breaker(subscription) == "open")  # a probe failed
        endpoint.answer = accept
        _rested(opened)
        until(lambda: opened.breaker(subscription) == "closed")
        opened.sql("UPDATE gists SET due = clock_timestamp() WHERE status = 'retrying'")
        opened.wake()
        assert {each["status"] for each in opened.await_end(subscription)} == {"delivered"}
        assert set(endpoint.events()) == set(published)


def _rested(opened: shop.Shop) -> None:
    """As when an open breaker's time has passed, and a gist is due for it to try."""
    opened.sql("UPDATE endpoints SET until = clock_timestamp() WHERE breaker = 'open'")
    opened.sql("UPDATE gists SET due = clock_timestamp() WHERE status = 'retrying'")
    opened.wake()


def test_nobody_is_put_off_for_longer_than_an_hour(dsn: str, tmp_path: Path, handlers: Receivers) -> None:
    endpoint = handlers.endpoint(status(429, f"Retry-After: {'9' * 30}"))
    with shop.opened(dsn, tmp_path) as opened:
        subscription = opened.subscribe(endpoint.url)
        opened.dispatcher()
        opened.publish(1)
        until(lambda: opened.count("status = 'retrying'") == 1)
        (gist,) = opened.gists(subscription)
        wait = datetime.fromisoformat(gist["due"]) - datetime.fromisoformat(gist["tries"][0]["timestamped"])
        assert timedelta(minutes=55) < wait <= timedelta(hours=1, seconds=TIMEOUT)


def test_connections_closed_under_a_delivery_lose_nothing(dsn: str, tmp_path: Path, handlers: Receivers) -> None:
    endpoint: Endpoint = handlers.endpoint(receivers.once_each_connection())
    with shop.opened(dsn, tmp_path) as opened:
        subscription = opened.subscribe(endpoint.url)
        opened.dispatcher()
        for _ in range(4):
            opened.publish(2)
            gists = opened.await_end(subscription)
        assert {gist["status"] for gist in gists} == {"delivered"}
        errors = [each["error"] for gist in gists for each in gist["tries"] if each["status"] is None]
        assert all(GONE in error for error in errors)

"""Machines whose clocks are wrong by an hour, beside a database whose clock is right; and what signatures say of time.

Leases and retries go by the database's clock, so that nothing is early, late or sent twice for it. A signature carries
the dispatcher's time: a receiver that checks it refuses what comes from such a machine.
"""

import signal
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from socket import create_server
from typing import Any

import pytest
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from tests.contract import receivers, shop
from tests.contract.processes import Client, Process, login, until
from tests.contract.receivers import Endpoint, Receivers, Request, accept, status
from tests.contract.shop import Shop

HOUR = timedelta(hours=1)
TOLERANCE = timedelta(minutes=1)
LIBRARY = next(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"), None)  # Debian's faketime


@pytest.fixture
def handlers() -> Iterator[Receivers]:
    with receivers.receiving() as started:
        yield started


@pytest.fixture
def opened(dsn: str, tmp_path: Path) -> Iterator[Shop]:
    with shop.opened(dsn, tmp_path, AMEBO_LEASE="30", AMEBO_ENVELOPE="8") as started:
        yield started


def off_by(opened: Shop, hours: int) -> Shop:
    """What is started from now on has a clock that is wrong; how time passes is not."""
    assert LIBRARY, "no libfaketime on this machine; try: apt-get install faketime"
    wrong = {"LD_PRELOAD": str(LIBRARY), "FAKETIME": f"{hours:+d}h", "FAKETIME_DONT_FAKE_MONOTONIC": "1"}
    opened.processes.environment.update(wrong)
    return opened


def dispatchers(opened: Shop) -> tuple[Process, Process]:
    """One an hour ahead, one an hour behind."""
    return off_by(opened, +1).dispatcher(), off_by(opened, -1).dispatcher()


def skew(request: Request, opened: Shop) -> timedelta:
    """How far the sender's clock is from the database's."""
    ((now,),) = opened.sql("SELECT clock_timestamp()")
    sent = datetime.fromtimestamp(int(request.headers["webhook-timestamp"]), now.tzinfo)
    found: timedelta = sent - now
    return found


def is_about(found: timedelta, expected: timedelta) -> bool:
    return abs(found - expected) < TOLERANCE


def test_leases_hold_between_dispatchers_whose_clocks_differ(opened: Shop, handlers: Receivers) -> None:
    slow, quick = handlers.endpoint(receivers.hang), handlers.endpoint(accept)
    held = opened.subscribe(slow.url)
    opened.subscribe(quick.url)
    dispatchers(opened)
    published = opened.publish(10)
    until(lambda: len(slow.requests) == len(quick.requests) == 10)
    leases = opened.sql("SELECT leased - clock_timestamp() FROM gists WHERE subscription = %s", held)
    assert all(timedelta() < lease <= timedelta(seconds=30) for (lease,) in leases)
    published += opened.publish(200)  # so both of them claim again and again, and see what the other one holds
    until(lambda: set(quick.events()) == set(published))
    assert len(quick.requests) == len(published)
    assert max(Counter(slow.events()).values()) == 1
    assert {round(skew(each, opened) / HOUR) for each in quick.requests} == {-1, 1}  # both of them sent


@pytest.mark.parametrize("hours", [1, -1])
def test_a_retry_comes_neither_early_nor_late(opened: Shop, handlers: Receivers, hours: int) -> None:
    came: list[datetime] = []

    async def fail(request: Request) -> bool:
        came.append(datetime.now(UTC))
        return await status(500)(request)

    opened.subscribe(handlers.endpoint(fail).url)
    off_by(opened, hours).dispatcher()
    opened.publish(1)
    until(lambda: opened.count("attempts = 2") == 1)
    ((due,),) = opened.sql("SELECT due FROM gists")
    assert timedelta(seconds=1.6) <= due - came[1] < TOLERANCE  # the second retry is after 2 s, 20 % more or less


@pytest.mark.parametrize("hours", [1, -1])
@pytest.mark.parametrize("asked", ["in seconds", "as a date"])
def test_a_retry_is_put_off_for_as_long_as_its_handler_asks(
    opened: Shop, handlers: Receivers, hours: int, asked: str
) -> None:
    headers = {
        "in seconds": ("Retry-After: 600",),
        "as a date": ("Date: Wed, 21 Oct 2026 07:28:00 GMT", "Retry-After: Wed, 21 Oct 2026 07:38:00 GMT"),
    }[asked]
    endpoint = handlers.endpoint(status(503, *headers))
    opened.subscribe(endpoint.url)
    off_by(opened, hours).dispatcher()
    opened.publish(1)
    until(lambda: opened.count("status = 'retrying'") == 1)
    ((wait,),) = opened.sql("SELECT due - clock_timestamp() FROM gists")
    assert is_about(wait, timedelta(minutes=10))
    assert is_about(skew(endpoint.requests[0], opened), hours * HOUR)


def test_a_web_process_whose_clock_is_wrong_publishes_for_now(opened: Shop, handlers: Receivers) -> None:
    endpoint = handlers.endpoint(accept)
    opened.subscribe(endpoint.url)
    opened.dispatcher()
    for hours in (1, -1):
        with create_server(("127.0.0.1", 0)) as listener:
            web = off_by(opened, hours).processes.web(listener).await_ready()
            port = listener.getsockname()[1]
            code, answer = Client(port, login(port)).call("POST", "/v1/events", {"action": shop.ACTION, "payload": {}})
            assert code == 201
            ((now,),) = opened.sql("SELECT clock_timestamp()")
            assert is_about(datetime.fromisoformat(answer["timestamped"]) - now, timedelta())
            until(lambda: endpoint.events()[-1:] == [answer["event"]])  # noqa: B023  # awaited here
            web.stop(signal.SIGKILL)


def test_a_receiver_refuses_what_is_signed_at_a_wrong_time(opened: Shop, handlers: Receivers) -> None:
    endpoint = handlers.endpoint(accept)
    opened.subscribe(endpoint.url)
    for hours, reason in ((1, "too new"), (-1, "too old")):
        process = off_by(opened, hours).dispatcher()
        known = len(endpoint.requests)
        opened.publish(1)
        until(lambda: len(endpoint.requests) > known)  # noqa: B023  # awaited here
        with pytest.raises(WebhookVerificationError, match=reason):
            verified(endpoint, opened.secret)
        process.stop()


def test_signatures_verify_with_both_secrets_for_a_day_after_a_rotation(opened: Shop, handlers: Receivers) -> None:
    endpoint = handlers.endpoint(accept)
    opened.subscribe(endpoint.url)
    opened.dispatcher()
    old = opened.secret
    delivered(opened, endpoint)
    assert verified(endpoint, old)
    new = opened.call("PUT", "/v1/applications/shop/secret", {})["secret"]
    delivered(opened, endpoint)
    assert verified(endpoint, old) == verified(endpoint, new)
    assert len(endpoint.requests[-1].headers["webhook-signature"].split()) == 2
    opened.sql("UPDATE applications SET rotated = rotated - interval '25 hours'")
    delivered(opened, endpoint)
    assert verified(endpoint, new)
    with pytest.raises(WebhookVerificationError):
        verified(endpoint, old)


def delivered(opened: Shop, endpoint: Endpoint) -> None:
    (event,) = opened.publish(1)
    until(lambda: endpoint.events()[-1:] == [event])


def verified(endpoint: Endpoint, secret: str) -> Any:
    """The last delivery's body, as a receiver with the library of Standard Webhooks gets it."""
    request = endpoint.requests[-1]
    return Webhook(secret).verify(request.raw, request.headers)

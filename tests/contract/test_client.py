"""The client against real processes: what it retries is one event, and what the dispatcher sends it verifies."""

import contextlib
import http.client
import json
import signal
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from standardwebhooks.webhooks import Webhook as Reference

from app.client import (
    AmeboRefused,
    AmeboUnavailable,
    BadWebhook,
    Client,
    Draft,
    Published,
    Refused,
    Unauthorized,
    verify,
)
from tests.contract import processes
from tests.contract.processes import Call, Process, Processes, Receiver, login, receiving, until

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
SCHEMATA = {"type": "object", "properties": {"id": {"type": "integer"}}, "required": ["id"]}


@dataclass
class Shop:
    """A running service, in which the application "shop" publishes "order.placed" and subscribes to it."""

    processes: Processes
    web: Process
    receiver: Receiver
    url: str
    token: str
    apikey: str
    call: Call

    def client(self, url: str = "") -> Client:
        return Client(url or self.url, apikey=self.apikey)

    def events(self, query: str = "") -> list[dict[str, Any]]:
        status, answer = self.call("GET", f"/v1/events?per_page=100&sort=event{query}", None)
        assert status == 200, answer
        found: list[dict[str, Any]] = answer["data"]
        return found


@pytest.fixture
def shop(dsn: str, tmp_path: Path) -> Iterator[Shop]:
    started = Processes(dsn, tmp_path)
    with socket.create_server(("127.0.0.1", 0), backlog=256) as listener, receiving(Receiver()) as receiver:
        port = listener.getsockname()[1]
        web = started.web(listener).await_ready()
        token = login(port)
        call = processes.Client(port, token).call
        yield Shop(started, web, receiver, f"http://127.0.0.1:{port}", token, register(call, receiver.url), call)
        started.end()


def register(call: Call, address: str) -> str:
    """Returns the shop's API key."""
    made = {
        "/v1/applications": {"application": "shop", "address": address, "secret": SECRET},
        "/v1/actions": {"action": "order.placed", "application": "shop", "schemata": SCHEMATA},
        "/v1/subscriptions": {"application": "shop", "action": "order.placed", "handler": "/hooks"},
    }
    answers = [call("POST", path, body) for path, body in made.items()]
    assert [status for status, _ in answers] == [201, 201, 201], answers
    return str(answers[0][1]["apikey"])


@dataclass
class Relay:
    """Stands before the service; of its first answer it passes `cut` bytes on, and hangs up."""

    service: str
    cut: int = 0
    url: str = ""
    answers: list[tuple[int, Any]] = field(default_factory=list)

    def ask(self, path: str, body: bytes, headers: dict[str, str]) -> bytes:
        """The service's answer as it goes over the wire, or what is let through of it."""
        connection = http.client.HTTPConnection(self.service.removeprefix("http://"), timeout=30)
        connection.request("POST", path, body, headers)
        answer = connection.getresponse()
        content = answer.read()
        self.answers.append((answer.status, json.loads(content)))
        whole = b"HTTP/1.1 %d X\r\nContent-Length: %d\r\n\r\n%b" % (answer.status, len(content), content)
        return whole[: self.cut] if len(self.answers) == 1 else whole


@contextlib.contextmanager
def relaying(relay: Relay) -> Iterator[Relay]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            self.wfile.write(relay.ask(self.path, body, dict(self.headers)))
            self.close_connection = True

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    relay.url = f"http://127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield relay
    server.shutdown()
    server.server_close()


CUTS = {"before the answer": 0, "in its first line": 10, "in its headers": 25, "in its body": 90}


@pytest.mark.parametrize("cut", CUTS.values(), ids=CUTS)
def test_a_connection_that_is_cut_after_the_request_makes_no_second_event(shop: Shop, cut: int) -> None:
    shop.processes.dispatcher().await_ready()
    with relaying(Relay(shop.url, cut)) as relay, shop.client(relay.url) as client:
        published = client.publish("order.placed", {"id": 1})
    assert [status for status, _ in relay.answers] == [201, 200]
    assert relay.answers[0][1]["event"] == str(published.event)
    assert published.duplicate
    assert [event["event"] for event in shop.events()] == [str(published.event)]
    until(lambda: shop.receiver.events() == [str(published.event)])


def test_publishes_with_each_kind_of_credentials(shop: Shop) -> None:
    clients = (
        Client(shop.url, apikey=shop.apikey),
        Client(shop.url, token=shop.token),
        Client(shop.url, application="shop", secret=SECRET),
    )
    published = [client.publish("order.placed", {"id": 1}, deduper=uuid4().hex) for client in clients]
    assert [str(each.event) for each in published] == [event["event"] for event in shop.events()]
    assert {each.fanout for each in published} == {1}


def test_says_what_was_stored(shop: Shop) -> None:
    until_then = timedelta(hours=1)
    published = shop.client().publish(
        "order.placed", {"id": 1}, deduper="order-1", metadata={"key": "a"}, sleep_until=until_then
    )
    (event,) = shop.events("&deduper=order-1")
    assert (event["payload"], event["metadata"]) == ({"id": 1}, {"key": "a"})
    assert published.sleep_until == datetime.fromisoformat(event["sleep_until"])
    assert (str(published.event), published.deduper, published.duplicate) == (event["event"], "order-1", False)
    assert published.timestamped == datetime.fromisoformat(event["timestamped"])


def test_the_same_key_is_the_same_event_or_a_conflict(shop: Shop) -> None:
    client = shop.client()
    first = client.publish("order.placed", {"id": 1}, deduper="order-1")
    again = client.publish("order.placed", {"id": 1}, deduper="order-1")
    assert (again.event, again.duplicate) == (first.event, True)
    with pytest.raises(AmeboRefused) as raised:
        client.publish("order.placed", {"id": 2}, deduper="order-1")
    assert raised.value.status == 409


@pytest.mark.parametrize(
    ("credentials", "stale"),
    [
        ({"apikey": "amebo_wrong"}, 0),
        ({"token": "a.b.c"}, 0),
        ({"application": "shop", "secret": "a wrong secret"}, 0),
        ({"application": "shop", "secret": SECRET}, 400),
    ],
)
def test_wrong_or_stale_credentials_are_an_error_of_their_own(
    shop: Shop, credentials: dict[str, Any], stale: float
) -> None:
    client = Client(shop.url, **credentials, now=lambda: time.time() - stale)
    with pytest.raises(Unauthorized) as raised:
        client.publish("order.placed", {"id": 1})
    assert raised.value.request_id
    assert shop.events() == []


def test_a_refusal_names_the_fields(shop: Shop) -> None:
    with pytest.raises(AmeboRefused) as raised:
        shop.client().publish("order.placed", {"id": "one"})
    assert raised.value.status == 422
    assert [detail.field for detail in raised.value.details] == ["payload.id"]


def test_an_event_of_which_nothing_is_known_can_be_published_again_with_its_key(shop: Shop) -> None:
    hasty = Client(shop.url, apikey=shop.apikey, timeout=timedelta(seconds=0.3), deadline=timedelta(seconds=1))
    shop.web.popen.send_signal(signal.SIGSTOP)  # what is sent to it now, it may store when it goes on
    with pytest.raises(AmeboUnavailable) as raised:
        hasty.publish("order.placed", {"id": 1})
    shop.web.popen.send_signal(signal.SIGCONT)
    published = shop.client().publish("order.placed", {"id": 1}, deduper=raised.value.deduper)
    assert [event["event"] for event in shop.events()] == [str(published.event)]


def test_a_batch_is_stored_in_order_and_one_bad_event_does_not_spoil_the_rest(shop: Shop) -> None:
    drafts = [Draft("order.placed", {"id": number}) for number in range(30)]
    drafts[7] = Draft("order.placed", {"id": "seven"})
    drafts[8] = Draft("order.lost", {"id": 8})
    results = shop.client().publish_batch(drafts)
    refused = {place: each for place, each in enumerate(results) if isinstance(each, Refused)}
    assert {place: each.status for place, each in refused.items()} == {7: 422, 8: 404}
    assert [detail.field for detail in refused[7].details] == ["payload.id"]
    stored = [str(each.event) for each in results if isinstance(each, Published)]
    assert [(event["event"], event["payload"]["id"]) for event in shop.events()] == list(
        zip(stored, [number for number in range(30) if number not in (7, 8)], strict=True)
    )


def test_a_batch_larger_than_a_request_is_stored_whole(shop: Shop) -> None:
    results = shop.client().publish_batch(Draft("order.placed", {"id": number}) for number in range(2100))
    assert len({each.event for each in results if isinstance(each, Published) and not each.duplicate}) == 2100


def test_a_batch_whose_connection_is_cut_makes_no_second_events(shop: Shop) -> None:
    drafts = [Draft("order.placed", {"id": number}) for number in range(20)]
    with relaying(Relay(shop.url)) as relay, shop.client(relay.url) as client:
        results = client.publish_batch(drafts)
    assert [status for status, _ in relay.answers] == [207, 207]
    assert [each.duplicate for each in results if isinstance(each, Published)] == [True] * 20
    assert [event["payload"]["id"] for event in shop.events()] == list(range(20))


@pytest.fixture
def delivered(shop: Shop) -> tuple[Published, bytes, dict[str, str]]:
    """An event as it was published, and the body and headers of its webhook."""
    shop.processes.dispatcher().await_ready()
    published = shop.client().publish("order.placed", {"id": 1}, metadata={"key": "ä"})
    until(lambda: len(shop.receiver.bodies) == 1)
    return published, shop.receiver.raw[0], shop.receiver.headers[0]


def test_a_webhook_of_the_dispatcher_verifies(delivered: tuple[Published, bytes, dict[str, str]]) -> None:
    published, body, headers = delivered
    webhook = verify(body, headers, "another secret", SECRET)
    assert (webhook.event, webhook.action, webhook.timestamped) == (
        published.event,
        "order.placed",
        published.timestamped,
    )
    assert (webhook.payload, webhook.metadata, webhook.attempt) == ({"id": 1}, {"key": "ä"}, 1)
    assert webhook.webhook_id == str(UUID(webhook.webhook_id))
    assert Reference(SECRET).verify(body, headers)["event"] == str(webhook.event)


def test_a_webhook_that_was_tampered_with_or_is_old_does_not(
    delivered: tuple[Published, bytes, dict[str, str]],
) -> None:
    _, body, headers = delivered
    for changed, other, secret in (
        (body.replace(b'"id":1', b'"id":2'), {}, SECRET),
        (body, {"webhook-id": str(uuid4())}, SECRET),
        (body, {}, "another secret"),
    ):
        assert (changed, other, secret) != (body, {}, SECRET)
        with pytest.raises(BadWebhook, match="no signature is right"):
            verify(changed, {**headers, **other}, secret)
    with pytest.raises(BadWebhook, match="old"):
        verify(body, headers, SECRET, now=datetime.now(UTC) + timedelta(minutes=6))

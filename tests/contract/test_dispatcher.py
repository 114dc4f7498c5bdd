"""Delivery by real dispatchers: nothing lost when one is killed, nothing twice when one is told to end."""

import signal
import socket
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from standardwebhooks.webhooks import Webhook

from tests.contract.processes import Client, Process, Processes, Receiver, login, receiving, set_up, until

EVENT = {"action": "order.placed", "payload": {"id": 1}}


class Service:
    """A web process on a port of its own, and a receiver that the shop's events go to."""

    def __init__(self, processes: Processes, receiver: Receiver, listener: socket.socket) -> None:
        port = listener.getsockname()[1]
        self.web = processes.web(listener).await_ready()
        self.client = Client(port, login(port))
        self.receiver = receiver
        self._processes = processes

    def publish(self, number: int) -> list[str]:
        return [self.client.call("POST", "/v1/events", EVENT)[1]["event"] for _ in range(number)]

    def dispatcher(self) -> Process:
        return self._processes.dispatcher().await_ready()

    def gists(self, **filters: str) -> list[dict[str, object]]:
        query = "&".join(f"{name}={value}" for name, value in filters.items())
        found: list[dict[str, object]] = self.client.call("GET", f"/v1/gists?{query}")[1]["data"]
        return found


@pytest.fixture
def service(dsn: str, tmp_path: Path) -> Iterator[Service]:
    processes = Processes(dsn, tmp_path, AMEBO_LEASE="2", AMEBO_ENVELOPE="32")
    with receiving(Receiver()) as receiver, socket.create_server(("127.0.0.1", 0)) as listener:
        yield Service(processes, receiver, listener)
        processes.end()


def test_delivers_at_once(service: Service) -> None:
    set_up(service.client, service.receiver.url)
    service.dispatcher()
    (event,) = service.publish(1)
    until(lambda: service.receiver.events() == [event], seconds=2)
    until(lambda: len(service.gists(status="delivered")) == 1, seconds=2)


def test_a_killed_dispatcher_loses_nothing(service: Service) -> None:
    set_up(service.client, service.receiver.url)
    first = service.dispatcher()
    published = service.publish(150)
    until(lambda: len(service.receiver.bodies) > 20)
    first.stop(signal.SIGKILL)
    published += service.publish(50)
    service.dispatcher()
    until(lambda: set(published) <= set(service.receiver.events()))
    until(lambda: service.gists(status="pending") == service.gists(status="retrying") == [])


def test_dispatchers_that_replace_each_other_deliver_once(service: Service) -> None:
    set_up(service.client, service.receiver.url)
    serving, published = service.dispatcher(), []
    for _ in range(3):
        published += service.publish(100)
        following = service.dispatcher()
        serving.stop()
        assert serving.popen.returncode == 0
        serving = following
    until(lambda: set(published) <= set(service.receiver.events()))
    assert [event for event, times in Counter(service.receiver.events()).items() if times > 1] == []


def test_retries_then_gives_up_and_can_be_replayed(service: Service) -> None:
    answers = iter([500, 301, 503, 200])
    service.receiver.answer = lambda _: next(answers)
    set_up(service.client, service.receiver.url, max_retries=2)
    service.dispatcher()
    service.publish(1)
    until(lambda: len(service.gists(status="failed")) == 1)
    gist = service.gists(status="failed")[0]["gist"]
    assert service.client.call("POST", f"/v1/regists/{gist}")[0] == 202
    until(lambda: len(service.gists(status="delivered")) == 1)
    tries = service.client.call("GET", f"/v1/gists/{gist}")[1]["tries"]
    assert [attempt["status"] for attempt in tries] == [500, 301, 503, 200]
    assert [body["attempt"] for body in service.receiver.bodies] == [1, 2, 3, 4]


def test_its_signatures_are_those_of_standard_webhooks(service: Service) -> None:
    application = {"application": "shop", "address": service.receiver.url}
    secret = service.client.call("POST", "/v1/applications", application)[1]["secret"]
    action = {"action": "order.placed", "application": "shop", "schemata": {}}
    service.client.call("POST", "/v1/actions", action)
    subscription = {"application": "shop", "action": "order.placed", "handler": f"{service.receiver.url}/hooks"}
    service.client.call("POST", "/v1/subscriptions", subscription)
    service.dispatcher()
    service.publish(1)
    until(lambda: len(service.receiver.raw) == 1)
    headers = {name.lower(): value for name, value in service.receiver.headers[0].items()}
    assert Webhook(secret).verify(service.receiver.raw[0], headers)["payload"] == {"id": 1}

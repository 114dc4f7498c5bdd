"""Delivery by real dispatchers: nothing lost when one is killed, nothing twice when one is told to end."""

import signal
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from falcon.testing import TestClient
from standardwebhooks.webhooks import Webhook

from app.__main__ import compose
from app.http import create_app
from app.model import Principal
from app.settings import EVERYWHERE, Settings
from app.storage import postgres
from app.storage.postgres import PostgresStorage
from app.storage.wakeup import Waker
from tests.contract.processes import SECRET, Process, Processes, Receiver, receiving, set_up, until

EVENT = {"action": "order.placed", "payload": {"id": 1}}


class Service:
    """The HTTP API in this process, dispatchers in their own, and a receiver that the shop's events go to."""

    def __init__(self, dsn: str, folder: Path, receiver: Receiver) -> None:
        self.receiver = receiver
        self.waker = Waker(dsn)
        self.pool = postgres.connect(dsn, 2)
        chosen = Settings(dsn=dsn, secret=SECRET, allow_private_handlers=EVERYWHERE)
        self._processes = Processes(dsn, folder, AMEBO_LEASE="2", AMEBO_ENVELOPE="32")
        services = compose(chosen, PostgresStorage(self.pool), wake=self.waker.wake)
        token = services.tokens.issue(Principal("admin", administrator=True), datetime.now(UTC))
        self._client = TestClient(create_app(services), headers={"Authorization": f"Bearer {token}"})
        self.waker.start()

    def call(self, method: str, path: str, body: object = None) -> tuple[int, Any]:
        answer = self._client.simulate_request(method, path, json=body)
        return answer.status_code, answer.json

    def publish(self, number: int) -> list[str]:
        return [self.call("POST", "/v1/events", EVENT)[1]["event"] for _ in range(number)]

    def dispatcher(self) -> Process:
        return self._processes.dispatcher().await_ready()

    def gists(self, status: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self._client.simulate_get("/v1/gists", params={"status": status}).json["data"]
        return found

    def end(self) -> None:
        self._processes.end()
        self.waker.stop()
        self.pool.close()


@pytest.fixture
def service(dsn: str, tmp_path: Path) -> Iterator[Service]:
    with receiving(Receiver()) as receiver:
        started = Service(dsn, tmp_path, receiver)
        yield started
        started.end()


def test_delivers_at_once(service: Service) -> None:
    set_up(service.call, service.receiver.url)
    service.dispatcher()
    (event,) = service.publish(1)
    until(lambda: service.receiver.events() == [event], seconds=2)
    until(lambda: len(service.gists(status="delivered")) == 1, seconds=2)


def test_a_killed_dispatcher_loses_nothing(service: Service) -> None:
    set_up(service.call, service.receiver.url)
    first = service.dispatcher()
    published = service.publish(150)
    until(lambda: len(service.receiver.bodies) > 20)
    first.stop(signal.SIGKILL)
    published += service.publish(50)
    service.dispatcher()
    until(lambda: set(published) <= set(service.receiver.events()))
    until(lambda: service.gists(status="pending") == service.gists(status="retrying") == [])


def test_dispatchers_that_replace_each_other_deliver_once(service: Service) -> None:
    set_up(service.call, service.receiver.url)
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
    set_up(service.call, service.receiver.url, max_retries=2)
    service.dispatcher()
    service.publish(1)
    until(lambda: len(service.gists(status="failed")) == 1)
    gist = service.gists(status="failed")[0]["gist"]
    assert service.call("POST", f"/v1/regists/{gist}")[0] == 202
    until(lambda: len(service.gists(status="delivered")) == 1)
    tries = service.call("GET", f"/v1/gists/{gist}")[1]["tries"]
    assert [attempt["status"] for attempt in tries] == [500, 301, 503, 200]
    assert [body["attempt"] for body in service.receiver.bodies] == [1, 2, 3, 4]


def test_its_signatures_are_those_of_standard_webhooks(service: Service) -> None:
    application = {"application": "shop", "address": service.receiver.url}
    secret = service.call("POST", "/v1/applications", application)[1]["secret"]
    action = {"action": "order.placed", "application": "shop", "schemata": {}}
    service.call("POST", "/v1/actions", action)
    subscription = {"application": "shop", "action": "order.placed", "handler": f"{service.receiver.url}/hooks"}
    service.call("POST", "/v1/subscriptions", subscription)
    service.dispatcher()
    service.publish(1)
    until(lambda: len(service.receiver.raw) == 1)
    headers = {name.lower(): value for name, value in service.receiver.headers[0].items()}
    assert Webhook(secret).verify(service.receiver.raw[0], headers)["payload"] == {"id": 1}

"""A shop with subscriptions: the HTTP API in this process, dispatchers in processes of their own."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg
from falcon.testing import TestClient

from app.__main__ import compose
from app.http import create_app
from app.model import Principal
from app.settings import EVERYWHERE, Settings
from app.storage.postgres import PostgresStorage, connect
from app.storage.wakeup import Waker
from tests.contract.processes import SECRET, Process, Processes, until

ACTION = "order.placed"


class Shop:
    """An application "shop" that subscribes to its own action; `settings` are those of its dispatchers."""

    def __init__(self, dsn: str, folder: Path, **settings: str) -> None:
        self.dsn = dsn
        self.processes = Processes(dsn, folder, **settings)
        self._pool = connect(dsn, 2)
        self._waker = Waker(dsn)
        chosen = Settings(dsn=dsn, secret=SECRET, allow_private_handlers=EVERYWHERE)
        services = compose(chosen, PostgresStorage(self._pool), wake=self._waker.wake)
        token = services.tokens.issue(Principal("admin", administrator=True), datetime.now(UTC))
        self._client = TestClient(create_app(services), headers={"Authorization": f"Bearer {token}"})
        self._waker.start()
        application = {"application": "shop", "address": "http://127.0.0.1:9"}
        self.secret: str = self.call("POST", "/v1/applications", application)["secret"]
        self.call("POST", "/v1/actions", {"action": ACTION, "application": "shop", "schemata": {}})

    def call(self, method: str, path: str, body: object = None) -> Any:
        answer = self._client.simulate_request(method, path, json=body)
        assert 200 <= answer.status_code < 300, answer.text
        return answer.json

    def subscribe(self, url: str, **options: object) -> str:
        wish = {"application": "shop", "action": ACTION, "handler": f"{url}/hooks", **options}
        return str(self.call("POST", "/v1/subscriptions", wish)["subscription"])

    def publish(self, number: int) -> list[str]:
        drafts = [{"action": ACTION, "payload": {"id": each}} for each in range(number)]
        return [each["event"] for each in self.call("POST", "/v1/events/batch", {"events": drafts})["events"]]

    def dispatcher(self) -> Process:
        return self.processes.dispatcher().await_ready()

    def breaker(self, subscription: str) -> str:
        return str(self.call("GET", f"/v1/subscriptions/{subscription}")["endpoint"]["breaker"])

    def gists(self, subscription: str) -> list[dict[str, Any]]:
        """All of them, each with its attempts."""
        found = self.call("GET", f"/v1/gists?per_page=100&subscription={subscription}")["data"]
        return [self.call("GET", f"/v1/gists/{each['gist']}") for each in found]

    def await_end(self, subscription: str, seconds: float = 30.0) -> list[dict[str, Any]]:
        """Until nothing of a subscription is open; returns its gists."""
        until(lambda: self.count("status IN ('pending', 'retrying') AND subscription = %s", subscription) == 0, seconds)
        return self.gists(subscription)

    def count(self, where: str, *values: object) -> int:
        """Gists that fulfil a condition."""
        return int(self.sql(f"SELECT count(*) FROM gists WHERE {where}", *values)[0][0])  # noqa: S608  # a test's own words

    def sql(self, statement: str, *values: object) -> list[tuple[Any, ...]]:
        with psycopg.connect(self.dsn, autocommit=True) as connection:
            cursor = connection.execute(statement.encode(), values)
            return cursor.fetchall() if cursor.description else []

    def wake(self) -> None:
        self._waker.wake()

    def end(self) -> None:
        self.processes.end()
        self._waker.stop()
        self._pool.close()


@contextmanager
def opened(dsn: str, folder: Path, **settings: str) -> Iterator[Shop]:
    shop = Shop(dsn, folder, **settings)
    try:
        yield shop
    finally:
        shop.end()

"""The HTTP API in this process, and short ways to ask it as one principal or another."""

import json
from dataclasses import replace
from datetime import UTC, datetime
from itertools import count
from typing import Any

from falcon.testing import Result, TestClient

from app import rules
from app.__main__ import compose
from app.http import create_app
from app.model import Principal
from app.ports import Storage
from app.settings import EVERYWHERE, Settings

CHOSEN = Settings(
    secret="a secret of thirty-two characters",
    username="admin",
    password="a password",
    instance="app-1:3310",
    allow_private_handlers=EVERYWHERE,
)
SCHEMATA = {"type": "object", "properties": {"id": {"type": "integer"}, "to": {"format": "email"}}, "required": ["id"]}
_NUMBERS = count(1)


class Api:
    """A composition of the service; each name that it makes up is one that nobody used before."""

    def __init__(self, storage: Storage, **chosen: Any) -> None:
        services = compose(replace(CHOSEN, **chosen), storage)
        token = services.tokens.issue(Principal("admin", administrator=True), datetime.now(UTC))
        self.storage = storage
        self.client = TestClient(create_app(services))
        self.admin = {"Authorization": f"Bearer {token}"}
        self.health = services.health

    def call(self, method: str, path: str, body: object = None, headers: dict[str, str] | None = None) -> Result:
        headers = self.admin if headers is None else headers
        return self.client.simulate_request(method, path, json=body, headers=headers)

    def raw(self, path: str, body: bytes, headers: dict[str, str] | None = None) -> Result:
        """POST exactly these bytes as JSON."""
        headers = {"Content-Type": "application/json", **(self.admin if headers is None else headers)}
        return self.client.simulate_post(path, body=body, headers=headers)

    def application(self, **fields: object) -> dict[str, Any]:
        new = {"application": f"shop-{number()}", "address": "http://127.0.0.1:9", **fields}
        return made(self.call("POST", "/v1/applications", new))

    def action(self, application: str, schemata: object = SCHEMATA, **fields: object) -> str:
        new = {"action": f"order.placed-{number()}", "application": application, "schemata": schemata, **fields}
        return str(made(self.call("POST", "/v1/actions", new))["action"])

    def subscription(self, application: str, action: str, **fields: object) -> dict[str, Any]:
        new = {"application": application, "action": action, "handler": "/hooks", **fields}
        return made(self.call("POST", "/v1/subscriptions", new))

    def publish(self, action: str, headers: dict[str, str] | None = None, **fields: object) -> Result:
        return self.call("POST", "/v1/events", {"action": action, "payload": {"id": 1}, **fields}, headers)

    def gist(self, event: str) -> dict[str, Any]:
        """The one gist of an event."""
        (found,) = self.call("GET", f"/v1/gists?event={event}").json["data"]
        return dict(found)


def number() -> int:
    return next(_NUMBERS)


def made(answer: Result) -> dict[str, Any]:
    assert answer.status_code == 201, answer.json
    return dict(answer.json)


def bearer(application: dict[str, Any]) -> dict[str, str]:
    return {"Authorization": f"Bearer {application['apikey']}"}


def signed(name: str, secret: str, event: object, timestamp: str | None = None) -> tuple[bytes, dict[str, str]]:
    """A body and the headers that sign it as an application."""
    body = json.dumps(event).encode()
    headers = {"X-Amebo-Application": name, "X-Amebo-Signature": rules.signature(secret, body, timestamp)}
    return body, headers | ({"X-Amebo-Timestamp": timestamp} if timestamp else {})

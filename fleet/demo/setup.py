"""Register what the demo needs through the service's own HTTP API: publishers, their actions, and who subscribes."""

import secrets
from dataclasses import dataclass, field
from typing import Any

from aiohttp import ClientSession, ClientTimeout

from fleet.errors import FleetError

SCHEMA = {
    "type": "object",
    "properties": {"order": {"type": "integer"}, "cents": {"type": "integer", "minimum": 1}},
    "required": ["order", "cents"],
    "additionalProperties": False,
}


@dataclass(frozen=True)
class Publisher:
    """What one publishes, and what it signs in with."""

    action: str
    key: str = field(repr=False)


@dataclass(frozen=True)
class Credentials:
    """Of the publishers, and what the receiver checks signatures with."""

    publishers: tuple[Publisher, ...]
    subscriber_secret: str = field(repr=False)


async def register(url: str, admin_password: str, receiver: str, publishers: int) -> Credentials:
    """New names at each run, so that a second run counts nothing of the first."""
    run = secrets.token_hex(3)
    async with ClientSession(url, timeout=ClientTimeout(30)) as session:
        token = (await _post(session, "/v1/tokens", {"username": "administrator", "password": admin_password}))["token"]
        session.headers["Authorization"] = f"Bearer {token}"
        mail = await _post(session, "/v1/applications", {"application": f"mail-{run}", "address": receiver})
        made = [await _publisher(session, f"{run}-{number}", f"mail-{run}", receiver) for number in range(publishers)]
    return Credentials(tuple(made), subscriber_secret=mail["secret"])


async def _publisher(session: ClientSession, name: str, subscriber: str, receiver: str) -> Publisher:
    action = f"order.placed.{name}"
    shop = await _post(session, "/v1/applications", {"application": f"shop-{name}", "address": receiver})
    await _post(session, "/v1/actions", {"action": action, "application": f"shop-{name}", "schemata": SCHEMA})
    await _post(session, "/v1/subscriptions", {"application": subscriber, "action": action, "handler": "/hook"})
    return Publisher(action, shop["apikey"])


async def _post(session: ClientSession, path: str, body: dict[str, Any]) -> dict[str, Any]:
    async with session.post(path, json=body) as answer:
        if answer.status not in (201, 202):
            raise FleetError(f"POST {path} was answered {answer.status}: {(await answer.text())[:300]}")
        created: dict[str, Any] = await answer.json()
        return created

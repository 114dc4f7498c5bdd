"""Register what the demo needs through the service's own HTTP API: two applications, an action, a subscription."""

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
class Credentials:
    """What the publisher signs in with, and what the receiver checks signatures with."""

    action: str
    publisher_key: str = field(repr=False)
    subscriber_secret: str = field(repr=False)


async def register(url: str, admin_password: str, receiver: str) -> Credentials:
    """New names at each run, so that a second run counts nothing of the first."""
    run = secrets.token_hex(3)
    action = f"order.placed.{run}"
    async with ClientSession(url, timeout=ClientTimeout(30)) as session:
        token = (await _post(session, "/v1/tokens", {"username": "administrator", "password": admin_password}))["token"]
        session.headers["Authorization"] = f"Bearer {token}"
        shop = await _post(session, "/v1/applications", {"application": f"shop-{run}", "address": receiver})
        mail = await _post(session, "/v1/applications", {"application": f"mail-{run}", "address": receiver})
        await _post(session, "/v1/actions", {"action": action, "application": f"shop-{run}", "schemata": SCHEMA})
        subscription = {"application": f"mail-{run}", "action": action, "handler": "/hook"}
        await _post(session, "/v1/subscriptions", subscription)
    return Credentials(action, publisher_key=shop["apikey"], subscriber_secret=mail["secret"])


async def _post(session: ClientSession, path: str, body: dict[str, Any]) -> dict[str, Any]:
    async with session.post(path, json=body) as answer:
        if answer.status not in (201, 202):
            raise FleetError(f"POST {path} was answered {answer.status}: {(await answer.text())[:300]}")
        created: dict[str, Any] = await answer.json()
        return created

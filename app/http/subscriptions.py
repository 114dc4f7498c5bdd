"""Subscriptions: an action's events for a handler."""

from dataclasses import replace
from typing import Any

import falcon

from app.http.body import NAME, TEXT, URL, fields, parse
from app.http.lists import answer, filters, identity, page
from app.model import Subscription
from app.registry import Registry, Wish

PATH = {"type": "string", "maxLength": 2000, "pattern": r"^/[^\s\\\x00-\x1f\ud800-\udfff]*\Z"}
HANDLER = {"anyOf": [PATH, URL]}
OPTIONS = {
    "max_retries": {"type": "integer", "minimum": 0, "maximum": 100},
    "description": TEXT,
    "active": {"type": "boolean"},
}
NEW = fields({"application": NAME, "action": NAME, "handler": HANDLER}, OPTIONS)
CHANGED = fields({"handler": HANDLER}, OPTIONS)


class SubscriptionList:
    """GET and POST /v1/subscriptions."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        asked = page(req, "subscription")
        wanted = filters(req, "application", "action")
        resp.media = answer(asked, self._registry.subscriptions(req.context.principal, wanted, asked), show)

    def on_post(self, req: falcon.Request, resp: falcon.Response) -> None:
        resp.media = show(self._registry.subscribe(req.context.principal, Wish(**parse(req, NEW))))
        resp.status = falcon.HTTP_201


class SubscriptionItem:
    """GET, PUT and DELETE /v1/subscriptions/{subscription}."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    def on_get(self, req: falcon.Request, resp: falcon.Response, subscription: str) -> None:
        resp.media = show(self._of(req, subscription))

    def on_put(self, req: falcon.Request, resp: falcon.Response, subscription: str) -> None:
        changed = replace(self._of(req, subscription), **parse(req, CHANGED))
        resp.media = show(self._registry.change_subscription(req.context.principal, changed))

    def on_delete(self, req: falcon.Request, resp: falcon.Response, subscription: str) -> None:
        self._registry.remove_subscription(req.context.principal, identity(subscription, "subscription"))
        resp.status = falcon.HTTP_204

    def _of(self, req: falcon.Request, subscription: str) -> Subscription:
        return self._registry.subscription(req.context.principal, identity(subscription, "subscription"))


def show(subscription: Subscription) -> dict[str, Any]:
    return {
        "subscription": str(subscription.subscription),
        "application": subscription.application,
        "action": subscription.action,
        "handler": subscription.handler,
        "max_retries": subscription.max_retries,
        "description": subscription.description,
        "active": subscription.active,
        "timestamped": subscription.timestamped.isoformat(),
    }

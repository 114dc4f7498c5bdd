"""Subscriptions: an action's events for a handler."""

from dataclasses import replace

import falcon

from app.http.body import NAME, TEXT, URL, parse
from app.http.lists import answer, filters, identity, page
from app.http.operations import operation, shape
from app.http.present import present, schema_of
from app.model import Endpoint, Subscription
from app.registry import Registry, Wish

PATH = {"type": "string", "maxLength": 2000, "pattern": r"^/[^\s\\\x00-\x1f]*$"}
HANDLER = {"anyOf": [PATH, URL]}
OPTIONS = {
    "max_retries": {"type": "integer", "minimum": 0, "maximum": 100},
    "description": TEXT,
    "active": {"type": "boolean"},
    "rate_limit": {"type": ["number", "null"], "minimum": 0.001, "maximum": 100_000},
    "ordered": {"type": "boolean"},
}
NEW = shape(
    {"application": NAME, "action": NAME, "handler": HANDLER},
    OPTIONS,
    example={"application": "shop", "action": "order.placed", "handler": "/webhooks"},
)
CHANGED = shape({"handler": HANDLER}, OPTIONS, example={"handler": "/webhooks", "max_retries": 10})
SHOWN = schema_of(Subscription)
WITH_ENDPOINT = {**SHOWN, "properties": {**SHOWN["properties"], "endpoint": schema_of(Endpoint, "subscription")}}


class SubscriptionList:
    """GET and POST /v1/subscriptions."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    @operation("List subscriptions.", lists=Subscription, filters=("application", "action"))
    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        asked = page(req, "subscription")
        wanted = filters(req, "application", "action")
        resp.media = answer(asked, self._registry.subscriptions(req.context.principal, wanted, asked), present)

    @operation(
        "Subscribe a handler to an action; subscribing again revives.",
        {201: Subscription},
        body=NEW,
        refusals=(403, 409, 422),
    )
    def on_post(self, req: falcon.Request, resp: falcon.Response) -> None:
        resp.media = present(self._registry.subscribe(req.context.principal, Wish(**parse(req, NEW))))
        resp.status = falcon.HTTP_201


class SubscriptionItem:
    """GET, PUT and DELETE /v1/subscriptions/{subscription}."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    @operation("Look at a subscription, and how it goes with its handler.", {200: WITH_ENDPOINT}, refusals=(404,))
    def on_get(self, req: falcon.Request, resp: falcon.Response, subscription: str) -> None:
        found = self._of(req, subscription)
        endpoint = self._registry.endpoints((found,))[found.subscription]
        resp.media = {**present(found), "endpoint": present(endpoint, "subscription")}

    @operation(
        "Change a subscription; what is not named stays.",
        {200: Subscription},
        body=CHANGED,
        refusals=(403, 404, 409, 422),
    )
    def on_put(self, req: falcon.Request, resp: falcon.Response, subscription: str) -> None:
        changed = replace(self._of(req, subscription), **parse(req, CHANGED))
        resp.media = present(self._registry.change_subscription(req.context.principal, changed))

    @operation("Unsubscribe; what was not delivered yet waits, should it be revived.", {204: None}, refusals=(404,))
    def on_delete(self, req: falcon.Request, resp: falcon.Response, subscription: str) -> None:
        self._registry.remove_subscription(req.context.principal, identity(subscription, "subscription"))
        resp.status = falcon.HTTP_204

    def _of(self, req: falcon.Request, subscription: str) -> Subscription:
        return self._registry.subscription(req.context.principal, identity(subscription, "subscription"))

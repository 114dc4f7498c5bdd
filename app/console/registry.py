"""What is registered: applications, actions and subscriptions; the last can be switched on and off."""

from dataclasses import dataclass, replace

import falcon

from app.console.pages import Page, render, shelf
from app.errors import Forbidden
from app.http.lists import filters, identity, page
from app.model import Action, Endpoint, Filters, Grant, Lifecycle, Principal, Subscription
from app.model import Page as Part
from app.registry import Registry

MOST = 100  # subscriptions on the page of an action or an application


@dataclass(frozen=True)
class Subscribed:
    """A subscription, and how it goes with its handler."""

    subscription: Subscription
    endpoint: Endpoint


class ApplicationsPage(Page):
    """GET /console/applications."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        asked = page(req, "application")
        found = self._registry.applications(req.context.principal, filters(req), asked)
        render(req, resp, "applications.html", shelf=shelf(req, asked, found))


class ApplicationPage(Page):
    """GET /console/applications/{name}."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    def on_get(self, req: falcon.Request, resp: falcon.Response, name: str) -> None:
        found, only = self._registry.application(req.context.principal, name), Filters(application=name)
        render(
            req,
            resp,
            "application.html",
            application=found,
            actions=self._registry.actions(only, Part(MOST)),
            subscriptions=subscribed(self._registry, req.context.principal, only),
        )


class ActionsPage(Page):
    """GET /console/actions."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        asked, names = page(req, "action"), ("application", "status")
        found = self._registry.actions(filters(req, *names, states=tuple(Lifecycle)), asked)
        render(req, resp, "actions.html", shelf=shelf(req, asked, found, *names), states=tuple(Lifecycle))


class ActionPage(Page):
    """GET /console/actions/{name}."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    def on_get(self, req: falcon.Request, resp: falcon.Response, name: str) -> None:
        found, principal = self._registry.action(name), req.context.principal
        render(
            req,
            resp,
            "action.html",
            action=found,
            grants=self._grants(principal, found),
            subscriptions=subscribed(self._registry, principal, Filters(action=name)),
        )

    def _grants(self, principal: Principal, action: Action) -> tuple[Grant, ...] | None:
        """None where the viewer may not know them."""
        try:
            return self._registry.grants(principal, action.action)
        except Forbidden:
            return None


class SubscriptionsPage(Page):
    """GET /console/subscriptions."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        asked, names = page(req, "subscription"), ("application", "action")
        found = self._registry.subscriptions(req.context.principal, filters(req, *names), asked)
        rows = with_endpoints(self._registry, found.items)
        render(req, resp, "subscriptions.html", shelf=shelf(req, asked, found, *names), rows=rows)


class SubscriptionPage(Page):
    """GET /console/subscriptions/{subscription}, and POST to switch it on or off."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    def on_get(self, req: falcon.Request, resp: falcon.Response, subscription: str) -> None:
        found = self._registry.subscription(req.context.principal, identity(subscription, "subscription"))
        application = self._registry.application(req.context.principal, found.application)
        (row,) = with_endpoints(self._registry, (found,))
        render(req, resp, "subscription.html", row=row, application=application)

    def on_post(self, req: falcon.Request, resp: falcon.Response, subscription: str) -> None:
        found = self._registry.subscription(req.context.principal, identity(subscription, "subscription"))
        active = req.context.form.first("active") == "yes"
        self._registry.change_subscription(req.context.principal, replace(found, active=active))
        resp.status, resp.location = falcon.HTTP_303, f"/console/subscriptions/{found.subscription}"


def subscribed(registry: Registry, principal: Principal, wanted: Filters) -> tuple[Subscribed, ...]:
    """The first of the subscriptions that the viewer may see, with their endpoints."""
    return with_endpoints(registry, registry.subscriptions(principal, wanted, Part(MOST)).items)


def with_endpoints(registry: Registry, subscriptions: tuple[Subscription, ...]) -> tuple[Subscribed, ...]:
    endpoints = registry.endpoints(subscriptions) if subscriptions else {}
    return tuple(
        Subscribed(each, endpoints.get(each.subscription, Endpoint(each.subscription))) for each in subscriptions
    )

"""The HTTP contract: one file a resource, one table from errors to statuses, one list of routes."""

from dataclasses import dataclass

import falcon

from app.broker import Broker
from app.credentials import SignIn, Tokens
from app.health import Health
from app.http.access import Access, Requests
from app.http.actions import ActionItem, ActionList, Check, Grants
from app.http.applications import Apikey, ApplicationItem, ApplicationList, Secret
from app.http.docs import docs_routes
from app.http.errors import install
from app.http.events import EventBatch, EventItem, EventList, is_quick
from app.http.gists import Backfills, Explain, GistItem, GistList, Regist, Requeues
from app.http.limits import Limits
from app.http.status import Database, Detailed, Live, Metrics, Ready, Status
from app.http.subscriptions import SubscriptionItem, SubscriptionList
from app.http.tokens import Refresh, TokenList
from app.ports import Storage
from app.publishing import Publisher
from app.registry import Registry

__all__ = ["Services", "create_app", "create_status_app", "is_quick", "routes", "status_routes"]
Route = tuple[str, object]


@dataclass(frozen=True)
class Services:
    """All that the resources work with; put together once, at the start."""

    broker: Broker
    publisher: Publisher
    registry: Registry
    storage: Storage
    sign_in: SignIn
    tokens: Tokens
    limits: Limits
    health: Health


def create_app(services: Services) -> falcon.App[falcon.Request, falcon.Response]:
    """The whole service, as its public port offers it."""
    app = falcon.App(middleware=Requests())
    app.add_middleware(Access(services.storage, services.tokens, services.limits))
    install(app)
    described = (*routes(services), *status_routes(services.health))
    for path, resource in (*described, *docs_routes(described)):
        app.add_route(path, resource)
    return app


def create_status_app(health: Health) -> falcon.App[falcon.Request, falcon.Response]:
    """What a process says about itself on its own socket."""
    app = falcon.App(middleware=Requests())
    install(app)
    for path, resource in status_routes(health):
        app.add_route(path, resource)
    return app


def routes(services: Services) -> tuple[Route, ...]:
    """The resources of the contract, by their paths."""
    broker, publisher, registry = services.broker, services.publisher, services.registry
    return (
        ("/v1/tokens", TokenList(services.sign_in, services.tokens)),
        ("/v1/tokens/refresh", Refresh(services.tokens)),
        ("/v1/applications", ApplicationList(registry)),
        ("/v1/applications/{name}", ApplicationItem(registry)),
        ("/v1/applications/{name}/secret", Secret(registry)),
        ("/v1/applications/{name}/apikey", Apikey(registry)),
        ("/v1/actions", ActionList(registry)),
        ("/v1/actions/{name}", ActionItem(registry)),
        ("/v1/actions/{name}/grants", Grants(registry)),
        ("/v1/actions/{name}/check", Check(registry)),
        ("/v1/events", EventList(broker, publisher)),
        ("/v1/events/batch", EventBatch(publisher)),
        ("/v1/events/{event}", EventItem(broker)),
        ("/v1/subscriptions", SubscriptionList(registry)),
        ("/v1/subscriptions/{subscription}", SubscriptionItem(registry)),
        ("/v1/gists", GistList(broker)),
        ("/v1/gists/{gist}", GistItem(broker)),
        ("/v1/gists/{gist}/explain", Explain(broker)),
        ("/v1/regists/{gist}", Regist(broker)),
        ("/v1/requeues", Requeues(broker)),
        ("/v1/backfills", Backfills(broker)),
    )


def status_routes(health: Health) -> tuple[Route, ...]:
    """What nobody needs credentials for."""
    return (
        ("/health", Live()),
        ("/health/ready", Ready(health)),
        ("/health/detailed", Detailed(health)),
        ("/health/database", Database(health)),
        ("/v1/status", Status(health)),
        ("/metrics", Metrics()),
    )

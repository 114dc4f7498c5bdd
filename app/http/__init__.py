"""The HTTP contract: one file a resource, one table from errors to statuses."""

from dataclasses import dataclass

import falcon

from app.broker import Broker
from app.credentials import Administrator, Tokens
from app.health import Health
from app.http.access import Access, Requests
from app.http.actions import ActionItem, ActionList
from app.http.applications import ApplicationItem, ApplicationList
from app.http.errors import install
from app.http.events import EventItem, EventList
from app.http.gists import GistItem, GistList, Regist
from app.http.status import Detailed, Live, Metrics, Ready
from app.http.subscriptions import SubscriptionItem, SubscriptionList
from app.http.tokens import Refresh, TokenList
from app.ports import Storage
from app.registry import Registry


@dataclass(frozen=True)
class Services:
    """All that the resources work with; put together once, at the start."""

    broker: Broker
    registry: Registry
    storage: Storage
    administrator: Administrator
    tokens: Tokens
    health: Health


def create_app(services: Services) -> falcon.App[falcon.Request, falcon.Response]:
    """The whole service, as its public port offers it."""
    app = falcon.App(middleware=Requests())
    app.add_middleware(Access(services.storage, services.tokens))
    install(app)
    broker, registry = services.broker, services.registry
    app.add_route("/v1/tokens", TokenList(services.administrator, services.tokens))
    app.add_route("/v1/tokens/refresh", Refresh(services.tokens))
    app.add_route("/v1/applications", ApplicationList(registry))
    app.add_route("/v1/applications/{name}", ApplicationItem(registry))
    app.add_route("/v1/actions", ActionList(registry))
    app.add_route("/v1/actions/{name}", ActionItem(registry))
    app.add_route("/v1/events", EventList(broker))
    app.add_route("/v1/events/{event}", EventItem(broker))
    app.add_route("/v1/subscriptions", SubscriptionList(registry))
    app.add_route("/v1/subscriptions/{subscription}", SubscriptionItem(registry))
    app.add_route("/v1/gists", GistList(broker))
    app.add_route("/v1/gists/{gist}", GistItem(broker))
    app.add_route("/v1/regists/{gist}", Regist(broker))
    _add_status(app, services.health)
    return app


def create_status_app(health: Health) -> falcon.App[falcon.Request, falcon.Response]:
    """What a process says about itself on its own unix socket."""
    app = falcon.App(middleware=Requests())
    install(app)
    _add_status(app, health)
    return app


def _add_status(app: falcon.App[falcon.Request, falcon.Response], health: Health) -> None:
    app.add_route("/health", Live())
    app.add_route("/health/ready", Ready(health))
    app.add_route("/health/detailed", Detailed(health))
    app.add_route("/metrics", Metrics())

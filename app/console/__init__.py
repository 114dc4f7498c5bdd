"""The console: pages for people at /, made on the server from the use cases of the API, with their permissions."""

import falcon

from app.console.door import SIGN_IN, Door
from app.console.events import EventPage, EventsPage
from app.console.gists import DeadLettersPage, GistPage, GistsPage, RequeuesPage
from app.console.overview import OverviewPage
from app.console.pages import NoPage
from app.console.registry import (
    ActionPage,
    ActionsPage,
    ApplicationPage,
    ApplicationsPage,
    SubscriptionPage,
    SubscriptionsPage,
)
from app.console.session import Sessions
from app.console.sign_in import SignInPage, SignOutPage
from app.console.static import Static
from app.http import Route, Services
from app.model import Application, Principal


def add_console(app: falcon.App[falcon.Request, falcon.Response], services: Services, secret: str) -> None:
    """Give the service its console; `secret` is AMEBO_SECRET, which sessions are signed with."""
    registry = services.registry

    def lookup(name: str) -> Application:
        return registry.application(Principal(name), name)

    sessions = Sessions(secret, services.tokens.lifetime, lookup)
    app.add_middleware(Door(sessions))
    for path, resource in console_routes(services, sessions):
        app.add_route(path, resource)


def console_routes(services: Services, sessions: Sessions) -> tuple[Route, ...]:
    """The console's resources, by their paths; they need the Door around them."""
    broker, registry = services.broker, services.registry
    return (
        ("/", OverviewPage(broker, registry)),
        (SIGN_IN, SignInPage(services.sign_in, services.storage, sessions)),
        ("/console/sign-out", SignOutPage()),
        ("/console/dead-letters", DeadLettersPage(broker)),
        ("/console/requeues", RequeuesPage(broker)),
        ("/console/gists", GistsPage(broker)),
        ("/console/gists/{gist}", GistPage(broker)),
        ("/console/events", EventsPage(broker)),
        ("/console/events/{event}", EventPage(broker)),
        ("/console/subscriptions", SubscriptionsPage(registry)),
        ("/console/subscriptions/{subscription}", SubscriptionPage(registry)),
        ("/console/actions", ActionsPage(registry)),
        ("/console/actions/{name}", ActionPage(registry)),
        ("/console/applications", ApplicationsPage(registry)),
        ("/console/applications/{name}", ApplicationPage(registry)),
        ("/console/static/{name}", Static()),
        ("/console/{rest:path}", NoPage()),
    )

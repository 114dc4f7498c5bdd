"""Events: what was published, and what became of each."""

import falcon

from app.broker import Broker
from app.console.pages import Page, render, shelf
from app.http.lists import filters, identity, page
from app.model import Filters
from app.model import Page as Part

FILTERS = ("action", "application", "deduper")
MOST = 100  # gists on an event's page


class EventsPage(Page):
    """GET /console/events."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        asked = page(req, "event", descending=True)
        found = self._broker.events(req.context.principal, filters(req, *FILTERS), asked)
        render(req, resp, "events.html", shelf=shelf(req, asked, found, *FILTERS))


class EventPage(Page):
    """GET /console/events/{event}."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker

    def on_get(self, req: falcon.Request, resp: falcon.Response, event: str) -> None:
        found = self._broker.event(req.context.principal, identity(event, "event"))
        gists = self._broker.gists(req.context.principal, Filters(event=found.event), Part(MOST))
        render(req, resp, "event.html", event=found, gists=gists)

"""Events: published once for each idempotency key, then read."""

from typing import Any

import falcon

from app.broker import Broker, Draft
from app.http.body import KEY, NAME, fields, parse
from app.http.lists import answer, filters, identity, page
from app.metrics import PUBLISHED
from app.model import Event

REQUEST_ID = "X-Amebo-Load-Balancer-Request-Id"  # set by the load balancer itself, whatever a client sends
NEW = fields(
    {"action": NAME, "payload": {"type": "object"}},
    {"deduper": KEY, "metadata": {"type": "object"}, "sleep_until": {"type": ["number", "string"], "minimum": 0}},
)


class EventList:
    """GET and POST /v1/events."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        asked = page(req, "event", descending=True)
        wanted = filters(req, "action", "application", "deduper")
        resp.media = answer(asked, self._broker.events(req.context.principal, wanted, asked), show)

    def on_post(self, req: falcon.Request, resp: falcon.Response) -> None:
        """201 for a new event, 200 for one that its key stands for already."""
        new = parse(req, NEW)
        draft = Draft(
            action=new["action"],
            payload=new["payload"],
            metadata=new.get("metadata", {}),
            deduper=new.get("deduper"),
            sleep_until=new.get("sleep_until"),
            request=req.get_header(REQUEST_ID),
        )
        published = self._broker.publish(req.context.principal, draft)
        resp.media = show(published.event)
        if published.duplicate:
            resp.media["duplicate"] = True
            return
        PUBLISHED.labels(published.event.action).inc()
        resp.status = falcon.HTTP_201


class EventItem:
    """GET /v1/events/{event}."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker

    def on_get(self, req: falcon.Request, resp: falcon.Response, event: str) -> None:
        resp.media = show(self._broker.event(req.context.principal, identity(event, "event")))


def show(event: Event) -> dict[str, Any]:
    return {
        "event": str(event.event),
        "action": event.action,
        "application": event.application,
        "payload": event.payload,
        "metadata": event.metadata,
        "deduper": event.deduper,
        "timestamped": event.timestamped.isoformat(),
        "sleep_until": event.sleep_until.isoformat() if event.sleep_until else None,
        "fanout": event.fanout,
    }

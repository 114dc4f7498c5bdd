"""Events: published once for each idempotency key, then read."""

from typing import Any

import falcon

from app.broker import Broker
from app.errors import AmeboError, Invalid
from app.http import errors
from app.http.body import KEY, LARGEST, NAME, parse
from app.http.lists import answer, filters, identity, page
from app.http.operations import operation, shape
from app.http.present import present, schema_of
from app.model import Action, Event, Published
from app.publishing import Draft, Publisher

REQUEST_ID = "X-Amebo-Load-Balancer-Request-Id"  # set by the load balancer itself, whatever a client sends
PATH = "/v1/events"
MODERATE = 64 * 1024
MOST = 1000  # events in a batch
NEW = shape(
    {"action": NAME, "payload": {"type": "object"}},
    {"deduper": KEY, "metadata": {"type": "object"}, "sleep_until": {"type": ["number", "string"], "minimum": 0}},
    example={"action": "order.placed", "payload": {"id": 1}, "deduper": "order-1"},
)
EACH = "Each as the body of POST /v1/events; one that is not is refused by itself."
BATCH = shape(
    {"events": {"type": "array", "minItems": 1, "maxItems": MOST, "description": EACH}},
    example={"events": [{"action": "order.placed", "payload": {"id": number}} for number in (2, 3)]},
)
EVENT = schema_of(Event)
PUBLISHED = {**EVENT, "properties": {**EVENT["properties"], "duplicate": {"const": True}}}
REFUSED = {"type": "object", "properties": {"status": {"type": "integer"}, "error": {"type": "string"}}}
OUTCOMES = {
    "type": "object",
    "properties": {"events": {"type": "array", "items": {"anyOf": [PUBLISHED, REFUSED]}}},
    "required": ["events"],
}


def is_quick(method: str, path: str, length: int) -> bool:
    """Whether a request is a publish of moderate size: it waits for its commit, and computes next to nothing."""
    return method == "POST" and path == PATH and length <= MODERATE


class EventList:
    """GET and POST /v1/events."""

    publishes = True

    def __init__(self, broker: Broker, publisher: Publisher) -> None:
        self._broker = broker
        self._publisher = publisher

    @operation("List events, the newest first.", lists=Event, filters=("action", "application", "deduper"))
    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        asked = page(req, "event", descending=True)
        wanted = filters(req, "action", "application", "deduper")
        resp.media = answer(asked, self._broker.events(req.context.principal, wanted, asked), present)

    @operation(
        "Publish an event: 201 when it is stored for good, 200 when its key stands for it already.",
        {201: Event, 200: PUBLISHED},
        body=NEW,
        refusals=(403, 404, 409, 422),
    )
    def on_post(self, req: falcon.Request, resp: falcon.Response) -> None:
        draft = _draft(parse(req, NEW), req.get_header(REQUEST_ID))
        published = self._publisher.publish(req.context.identify, draft)
        _announce(resp, self._publisher.deprecated(draft.action))
        resp.media = _shown(published)
        resp.status = falcon.HTTP_200 if published.duplicate else falcon.HTTP_201


class EventBatch:
    """POST /v1/events/batch."""

    publishes = True

    def __init__(self, publisher: Publisher) -> None:
        self._publisher = publisher

    @operation(
        "Publish up to 1,000 events; each has its own status, in order, and a bad one does not spoil the rest.",
        {207: OUTCOMES},
        body=BATCH,
        refusals=(403, 422),
    )
    def on_post(self, req: falcon.Request, resp: falcon.Response) -> None:
        asked, request = parse(req, BATCH, LARGEST)["events"], req.get_header(REQUEST_ID)
        refused = {place: Invalid("the event is not as it should be", found) for place, found in _malformed(asked)}
        drafts = {
            place: _draft(each, f"{request}/{place}" if request else None)
            for place, each in enumerate(asked)
            if place not in refused
        }
        outcomes = self._publisher.publish_all(req.context.identify, tuple(drafts.values()))
        outcome_of = {**refused, **dict(zip(drafts, outcomes, strict=True))}
        resp.media = {"events": [_result(outcome_of[place], req) for place in range(len(asked))]}
        resp.status = falcon.HTTP_207


class EventItem:
    """GET /v1/events/{event}."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker

    @operation("Look at an event.", {200: Event}, refusals=(404,))
    def on_get(self, req: falcon.Request, resp: falcon.Response, event: str) -> None:
        resp.media = present(self._broker.event(req.context.principal, identity(event, "event")))


def _malformed(asked: list[Any]) -> list[tuple[int, Any]]:
    checked = ((place, NEW.check.violations(each)) for place, each in enumerate(asked))
    return [(place, found) for place, found in checked if found]


def _draft(new: dict[str, Any], request: str | None) -> Draft:
    return Draft(
        action=new["action"],
        payload=new["payload"],
        metadata=new.get("metadata", {}),
        deduper=new.get("deduper"),
        sleep_until=new.get("sleep_until"),
        request=request,
    )


def _shown(published: Published) -> dict[str, Any]:
    shown = present(published.event)
    return {**shown, "duplicate": True} if published.duplicate else shown


def _result(outcome: Published | AmeboError, req: falcon.Request) -> dict[str, Any]:
    if isinstance(outcome, AmeboError):
        code = errors.STATUS[type(outcome)]
        return {"status": code, **errors.body(outcome.message, code, outcome.details, req.context.request_id)}
    return {"status": 200 if outcome.duplicate else 201, **_shown(outcome)}


def _announce(resp: falcon.Response, deprecated: Action | None) -> None:
    """As RFC 9745 and RFC 5829 say it."""
    if deprecated is None:
        return
    resp.set_header("Deprecation", "true")
    if deprecated.successor:
        resp.append_header("Link", f'</v1/actions/{deprecated.successor}>; rel="successor-version"')

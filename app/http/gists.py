"""Gists: events on their way to subscriptions, with every attempt; and sending them again."""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import falcon

from app.broker import Again, Broker, Explanation
from app.errors import Invalid, Malformed, Violation
from app.http.body import NAME, parse
from app.http.lists import answer, filters, identity, page
from app.http.operations import operation, shape
from app.http.present import present, schema_of
from app.model import Endpoint, Filters, Gist, Selection, Status

FILTERS = ("status", "subscription", "action", "event", "application")
ID = {"type": "string", "format": "uuid"}
TIME = {"type": "string", "format": "date-time"}
STATUS = {"enum": [str(status) for status in Status]}
FILTER = {
    "type": "object",
    "properties": {
        "status": STATUS,
        "subscription": ID,
        "action": NAME,
        "event": ID,
        "application": NAME,
        "from": TIME,
        "to": TIME,
    },
    "additionalProperties": False,
}
DRY_RUN = {"type": "boolean"}
REQUEUE = shape(
    {},
    {"gists": {"type": "array", "items": ID, "minItems": 1, "maxItems": 1000}, "filter": FILTER, "dry_run": DRY_RUN},
    example={"filter": {"action": "order.placed"}, "dry_run": True},
)
BACKFILL = shape(
    {"subscription": ID, "from": TIME},
    {"to": TIME, "dry_run": DRY_RUN},
    example={"subscription": "019a0000-0000-7000-8000-000000000000", "from": "2026-01-01T00:00:00Z"},
)
AGAIN = schema_of(Again)
AGAIN = {**AGAIN, "properties": {**AGAIN["properties"], "dry_run": DRY_RUN}}
EXPLAINED = {
    "type": "object",
    "properties": {
        "reason": {"type": "string"},
        "sentence": {"type": "string"},
        "gist": schema_of(Gist, "tries"),
        "subscription_active": {"type": "boolean"},
        "application_active": {"type": "boolean"},
        "endpoint": schema_of(Endpoint),
        "before": {"anyOf": [ID, {"type": "null"}]},
        "now": TIME,
    },
    "required": ["reason", "sentence", "gist"],
}


class GistList:
    """GET /v1/gists."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker

    @operation("List gists, the newest first.", lists=Gist, filters=FILTERS)
    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        asked = page(req, "gist", descending=True)
        wanted = filters(req, *FILTERS, states=tuple(Status))
        resp.media = answer(asked, self._broker.gists(req.context.principal, wanted, asked), _without_tries)


class GistItem:
    """GET /v1/gists/{gist}."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker

    @operation("Look at a gist with each attempt to deliver it.", {200: Gist}, refusals=(404,))
    def on_get(self, req: falcon.Request, resp: falcon.Response, gist: str) -> None:
        resp.media = present(self._broker.gist(req.context.principal, identity(gist, "gist")))


class Explain:
    """GET /v1/gists/{gist}/explain."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker

    @operation("Say why a gist is not delivered yet.", {200: EXPLAINED}, refusals=(404,))
    def on_get(self, req: falcon.Request, resp: falcon.Response, gist: str) -> None:
        resp.media = _explained(self._broker.explain(req.context.principal, identity(gist, "gist")))


class Regist:
    """POST /v1/regists/{gist}."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker

    @operation("Replay a gist now, with all its retries before it.", {202: Gist}, refusals=(404,))
    def on_post(self, req: falcon.Request, resp: falcon.Response, gist: str) -> None:
        resp.media = present(self._broker.replay(req.context.principal, identity(gist, "gist")))
        resp.status = falcon.HTTP_202


class Requeues:
    """POST /v1/requeues."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker

    @operation(
        "Replay many gists, by ids or by a filter; a dry run counts them. Without a status those that failed.",
        {202: AGAIN},
        body=REQUEUE,
        refusals=(403, 422),
    )
    def on_post(self, req: falcon.Request, resp: falcon.Response) -> None:
        asked = parse(req, REQUEUE)
        if ("gists" in asked) == ("filter" in asked):
            raise Invalid("it is not clear what to replay", (Violation("gists", "or filter is needed, and not both"),))
        dry_run = asked.get("dry_run", False)
        again = self._broker.requeue(req.context.principal, _selection(asked), dry_run=dry_run)
        resp.media = {**present(again), "dry_run": dry_run}
        resp.status = falcon.HTTP_202


class Backfills:
    """POST /v1/backfills."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker

    @operation(
        "Send a subscription what its action had before; what it has a gist of is left out. A dry run counts.",
        {202: AGAIN},
        body=BACKFILL,
        refusals=(404, 422),
    )
    def on_post(self, req: falcon.Request, resp: falcon.Response) -> None:
        asked = parse(req, BACKFILL)
        wanted = Filters(since=_time(asked["from"]), until=_time(asked["to"]) if "to" in asked else None)
        dry_run = asked.get("dry_run", False)
        again = self._broker.backfill(req.context.principal, UUID(asked["subscription"]), wanted, dry_run=dry_run)
        resp.media = {**present(again), "dry_run": dry_run}
        resp.status = falcon.HTTP_202


def _selection(asked: dict[str, Any]) -> Selection:
    if "gists" in asked:
        return Selection(tuple(UUID(each) for each in asked["gists"]))
    given = dict(asked["filter"])
    since, until = given.pop("from", None), given.pop("to", None)
    ids: dict[str, Any] = {name: UUID(given.pop(name)) for name in ("subscription", "event") if name in given}
    status = given.pop("status", Status.FAILED)
    return Selection(
        (), Filters(**given, **ids, status=status, since=since and _time(since), until=until and _time(until))
    )


def _time(text: str) -> datetime:
    try:
        time = datetime.fromisoformat(text)
    except ValueError as error:
        raise Malformed(f"{text!r} is not a time that can be used") from error
    return time if time.tzinfo else time.replace(tzinfo=UTC)


def _without_tries(gist: Gist) -> dict[str, Any]:
    return present(gist, "tries")


def _explained(explanation: Explanation) -> dict[str, Any]:
    situation = explanation.situation
    return {
        "reason": explanation.reason,
        "sentence": explanation.sentence,
        "gist": _without_tries(situation.gist),
        "subscription_active": situation.subscription.active,
        "application_active": situation.application_active,
        "endpoint": present(situation.endpoint),
        "before": str(situation.before) if situation.before else None,
        "now": situation.now.isoformat(),
    }

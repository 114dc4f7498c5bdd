"""Gists: events on their way to subscriptions, with every attempt; and their replay."""

from typing import Any

import falcon

from app.broker import Broker
from app.http.lists import answer, filters, identity, page
from app.model import Attempt, Gist


class GistList:
    """GET /v1/gists."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        asked = page(req, "gist", descending=True)
        wanted = filters(req, "status", "subscription", "action", "event", "application")
        resp.media = answer(asked, self._broker.gists(req.context.principal, wanted, asked), show)


class GistItem:
    """GET /v1/gists/{gist}."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker

    def on_get(self, req: falcon.Request, resp: falcon.Response, gist: str) -> None:
        found = self._broker.gist(req.context.principal, identity(gist, "gist"))
        resp.media = {**show(found), "tries": [_show_attempt(attempt) for attempt in found.tries]}


class Regist:
    """POST /v1/regists/{gist}."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker

    def on_post(self, req: falcon.Request, resp: falcon.Response, gist: str) -> None:
        resp.media = show(self._broker.replay(req.context.principal, identity(gist, "gist")))
        resp.status = falcon.HTTP_202


def show(gist: Gist) -> dict[str, Any]:
    return {
        "gist": str(gist.gist),
        "event": str(gist.event),
        "subscription": str(gist.subscription),
        "action": gist.action,
        "application": gist.application,
        "status": gist.status,
        "attempts": gist.attempts,
        "retries": gist.retries,
        "due": gist.due.isoformat(),
        "timestamped": gist.timestamped.isoformat(),
    }


def _show_attempt(attempt: Attempt) -> dict[str, Any]:
    return {
        "attempt": attempt.attempt,
        "status": attempt.status,
        "ms": attempt.milliseconds,
        "response": attempt.response,
        "error": attempt.error,
        "timestamped": attempt.timestamped.isoformat(),
    }

"""Actions: types of events, each with the JSON Schema that its payloads satisfy."""

from typing import Any

import falcon

from app.http.body import NAME, fields, parse
from app.http.lists import answer, filters, page
from app.model import Action
from app.registry import Registry

NEW = fields({"action": NAME, "application": NAME, "schemata": {"type": "object"}})
CHANGED = fields({"schemata": {"type": "object"}})


class ActionList:
    """GET and POST /v1/actions."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        asked = page(req, "action")
        resp.media = answer(asked, self._registry.actions(filters(req, "application"), asked), show)

    def on_post(self, req: falcon.Request, resp: falcon.Response) -> None:
        new = parse(req, NEW)
        action = self._registry.add_action(req.context.principal, new["action"], new["application"], new["schemata"])
        resp.media = show(action)
        resp.status = falcon.HTTP_201


class ActionItem:
    """GET, PUT and DELETE /v1/actions/{name}."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    def on_get(self, _req: falcon.Request, resp: falcon.Response, name: str) -> None:
        resp.media = show(self._registry.action(name))

    def on_put(self, req: falcon.Request, resp: falcon.Response, name: str) -> None:
        changed = parse(req, CHANGED)
        resp.media = show(self._registry.change_action(req.context.principal, name, changed["schemata"]))

    def on_delete(self, req: falcon.Request, resp: falcon.Response, name: str) -> None:
        self._registry.remove_action(req.context.principal, name)
        resp.status = falcon.HTTP_204


def show(action: Action) -> dict[str, Any]:
    return {
        "action": action.action,
        "application": action.application,
        "schemata": action.schemata,
        "version": action.version,
        "timestamped": action.timestamped.isoformat(),
    }

"""Applications: who publishes and subscribes."""

from typing import Any

import falcon

from app.http.body import KEY, NAME, TEXT, URL, fields, parse
from app.http.lists import answer, filters, page
from app.model import Application
from app.registry import Registry

SECRET = {**KEY, "minLength": 16}
NEW = fields({"application": NAME, "address": URL}, {"secret": SECRET, "description": TEXT})
CHANGED = fields({"address": URL}, {"description": TEXT})


class ApplicationList:
    """GET and POST /v1/applications."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        asked = page(req, "application")
        found = self._registry.applications(req.context.principal, filters(req, "application"), asked)
        resp.media = answer(asked, found, show)

    def on_post(self, req: falcon.Request, resp: falcon.Response) -> None:
        new = parse(req, NEW)
        made = self._registry.register(
            req.context.principal, new["application"], new["address"], new.get("secret"), new.get("description", "")
        )
        resp.media = {**show(made.application), "secret": made.application.secret, "apikey": made.apikey}
        resp.status = falcon.HTTP_201


class ApplicationItem:
    """GET, PUT and DELETE /v1/applications/{name}."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    def on_get(self, req: falcon.Request, resp: falcon.Response, name: str) -> None:
        resp.media = show(self._registry.application(req.context.principal, name))

    def on_put(self, req: falcon.Request, resp: falcon.Response, name: str) -> None:
        changed = parse(req, CHANGED)
        description = changed.get("description", "")
        resp.media = show(
            self._registry.change_application(req.context.principal, name, changed["address"], description)
        )

    def on_delete(self, req: falcon.Request, resp: falcon.Response, name: str) -> None:
        self._registry.remove_application(req.context.principal, name)
        resp.status = falcon.HTTP_204


def show(application: Application) -> dict[str, Any]:
    """Without its secret, which is shown only once."""
    return {
        "application": application.application,
        "address": application.address,
        "description": application.description,
        "active": application.active,
        "timestamped": application.timestamped.isoformat(),
    }

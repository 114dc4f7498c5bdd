"""Applications: who publishes and subscribes."""

from typing import Any

import falcon

from app.http.body import KEY, NAME, TEXT, URL, parse
from app.http.lists import answer, filters, page
from app.http.operations import operation, shape
from app.http.present import present, schema_of
from app.model import Application, Registration
from app.registry import Registry

SECRET = {**KEY, "minLength": 16}
ADDRESS = "http://127.0.0.1:4000"  # where python -m app listen is, unless it is told otherwise
NEW = shape(
    {"application": NAME, "address": URL},
    {"secret": SECRET, "description": TEXT},
    example={"application": "shop", "address": ADDRESS},
)
CHANGED = shape({"address": URL}, {"description": TEXT}, example={"address": ADDRESS, "description": "Takes orders."})
SWITCHED = shape({"active": {"type": "boolean"}}, example={"active": True})
ROTATED = shape({}, {"secret": SECRET}, example={})


def _with(*names: str) -> dict[str, Any]:
    """An application together with what is shown this once."""
    shown = schema_of(Application)
    properties = {**shown["properties"], **{name: {"type": "string"} for name in names}}
    return {**shown, "properties": properties, "required": [*shown["required"], *names]}


class ApplicationList:
    """GET and POST /v1/applications."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    @operation("List applications.", lists=Application, filters=("application",))
    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        asked = page(req, "application")
        found = self._registry.applications(req.context.principal, filters(req, "application"), asked)
        resp.media = answer(asked, found, present)

    @operation(
        "Register an application; its secret and its API key are shown this once.",
        {201: _with("secret", "apikey")},
        body=NEW,
        refusals=(403, 409, 422),
    )
    def on_post(self, req: falcon.Request, resp: falcon.Response) -> None:
        new = parse(req, NEW)
        made = self._registry.register(
            req.context.principal, new["application"], new["address"], new.get("secret"), new.get("description", "")
        )
        resp.media = {**_with_apikey(made), "secret": made.application.secret}
        resp.status = falcon.HTTP_201


class ApplicationItem:
    """GET, PUT, PATCH and DELETE /v1/applications/{name}."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    @operation("Look at an application.", {200: Application}, refusals=(403, 404))
    def on_get(self, req: falcon.Request, resp: falcon.Response, name: str) -> None:
        resp.media = present(self._registry.application(req.context.principal, name))

    @operation(
        "Give an application another address or description.",
        {200: Application},
        body=CHANGED,
        refusals=(403, 404, 422),
    )
    def on_put(self, req: falcon.Request, resp: falcon.Response, name: str) -> None:
        changed = parse(req, CHANGED)
        description = changed.get("description", "")
        resp.media = present(
            self._registry.change_application(req.context.principal, name, changed["address"], description)
        )

    @operation(
        "Switch an application off or on; an inactive one neither publishes nor receives.",
        {200: Application},
        body=SWITCHED,
        refusals=(403, 404, 409, 422),
    )
    def on_patch(self, req: falcon.Request, resp: falcon.Response, name: str) -> None:
        active = parse(req, SWITCHED)["active"]
        resp.media = present(self._registry.switch_application(req.context.principal, name, active=active))

    @operation("Remove an application that nothing names.", {204: None}, refusals=(403, 404, 409))
    def on_delete(self, req: falcon.Request, resp: falcon.Response, name: str) -> None:
        self._registry.remove_application(req.context.principal, name)
        resp.status = falcon.HTTP_204


class Secret:
    """PUT /v1/applications/{name}/secret."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    @operation(
        "Rotate the secret: the one before signs and verifies beside it for 24 hours.",
        {200: _with("secret")},
        body=ROTATED,
        refusals=(403, 404, 409, 422),
    )
    def on_put(self, req: falcon.Request, resp: falcon.Response, name: str) -> None:
        rotated = self._registry.rotate_secret(req.context.principal, name, parse(req, ROTATED).get("secret"))
        resp.media = {**present(rotated), "secret": rotated.secret}


class Apikey:
    """POST /v1/applications/{name}/apikey."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    @operation("Make a new API key; the one before is good no longer.", {200: _with("apikey")}, refusals=(403, 404))
    def on_post(self, req: falcon.Request, resp: falcon.Response, name: str) -> None:
        resp.media = _with_apikey(self._registry.renew_apikey(req.context.principal, name))


def _with_apikey(made: Registration) -> dict[str, Any]:
    return {**present(made.application), "apikey": made.apikey}

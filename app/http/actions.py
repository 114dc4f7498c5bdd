"""Actions: types of events, each with the JSON Schema that its payloads satisfy, and who may publish and read them."""

from typing import Any

import falcon

from app.errors import Invalid, Malformed, Violation
from app.http.body import NAME, parse
from app.http.lists import answer, filters, page
from app.http.operations import operation, shape
from app.http.present import present, schema_of
from app.model import Action, Compatibility, Grant, Lifecycle, Permission
from app.registry import Registry

SCHEMATA = {"type": "object"}
MODE = {"enum": [str(mode) for mode in Compatibility]}
ORDER = {"type": "object", "properties": {"id": {"type": "integer"}}, "required": ["id"]}  # an example
NEW = shape(
    {"action": NAME, "application": NAME, "schemata": SCHEMATA},
    {"compatibility": MODE},
    example={"action": "order.placed", "application": "shop", "schemata": ORDER},
)
CHANGED = shape({"schemata": SCHEMATA}, {"compatibility": MODE}, example={"schemata": ORDER, "compatibility": "FULL"})
MOVED = shape(
    {},
    {"status": {"enum": [str(status) for status in Lifecycle]}, "successor": NAME},
    example={"status": "deprecated"},
)
GRANTED = shape(
    {"application": NAME, "permission": {"enum": [str(permission) for permission in Permission]}},
    example={"application": "billing", "permission": "read"},
)
CHECKED = shape({}, {"payload": {"type": "object"}, "schemata": SCHEMATA}, example={"payload": {"id": "one"}})
VIOLATIONS = {
    "type": "array",
    "items": {
        "type": "object",
        "properties": {"field": {"type": "string"}, "message": {"type": "string"}},
        "required": ["field", "message"],
    },
}
VERDICT = {
    "type": "object",
    "properties": {"ok": {"type": "boolean"}, "payload": VIOLATIONS, "schemata": VIOLATIONS, "breaks": VIOLATIONS},
    "required": ["ok"],
}
GRANTS = {
    "type": "object",
    "properties": {"data": {"type": "array", "items": schema_of(Grant)}},
    "required": ["data"],
}


class ActionList:
    """GET and POST /v1/actions."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    @operation("List actions.", lists=Action, filters=("application", "status"))
    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        asked = page(req, "action")
        wanted = filters(req, "application", "status", states=tuple(Lifecycle))
        resp.media = answer(asked, self._registry.actions(wanted, asked), present)

    @operation("Register an action with its schema.", {201: Action}, body=NEW, refusals=(403, 409, 422))
    def on_post(self, req: falcon.Request, resp: falcon.Response) -> None:
        new = parse(req, NEW)
        mode = Compatibility(new.get("compatibility", Compatibility.NONE))
        action = self._registry.add_action(
            req.context.principal, new["action"], new["application"], new["schemata"], mode
        )
        resp.media = present(action)
        resp.status = falcon.HTTP_201


class ActionItem:
    """GET, PUT, PATCH and DELETE /v1/actions/{name}."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    @operation("Look at an action.", {200: Action}, refusals=(404,))
    def on_get(self, _req: falcon.Request, resp: falcon.Response, name: str) -> None:
        resp.media = present(self._registry.action(name))

    @operation(
        "Give an action another schema, which makes it the next version; 409 lists what would break.",
        {200: Action},
        body=CHANGED,
        refusals=(403, 404, 409, 422),
    )
    def on_put(self, req: falcon.Request, resp: falcon.Response, name: str) -> None:
        changed = parse(req, CHANGED)
        mode = Compatibility(changed["compatibility"]) if "compatibility" in changed else None
        resp.media = present(self._registry.change_action(req.context.principal, name, changed["schemata"], mode))

    @operation(
        "Deprecate, retire or revive an action, and name its successor.",
        {200: Action},
        body=MOVED,
        refusals=(403, 404, 409, 422),
    )
    def on_patch(self, req: falcon.Request, resp: falcon.Response, name: str) -> None:
        moved = parse(req, MOVED)
        if not moved:
            raise Invalid("there is nothing to change", (Violation("status", "or successor is needed"),))
        status = Lifecycle(moved["status"]) if "status" in moved else None
        resp.media = present(self._registry.move_action(req.context.principal, name, status, moved.get("successor")))

    @operation(
        "Remove an action that nobody has subscribed to; its events stay.", {204: None}, refusals=(403, 404, 409)
    )
    def on_delete(self, req: falcon.Request, resp: falcon.Response, name: str) -> None:
        self._registry.remove_action(req.context.principal, name)
        resp.status = falcon.HTTP_204


class Grants:
    """GET, POST and DELETE /v1/actions/{name}/grants."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    @operation("List who may publish and read an action beside its owner.", {200: GRANTS}, refusals=(403, 404))
    def on_get(self, req: falcon.Request, resp: falcon.Response, name: str) -> None:
        resp.media = {"data": [present(grant) for grant in self._registry.grants(req.context.principal, name)]}

    @operation(
        "Let an application publish an action, or read and subscribe to it.",
        {201: Grant},
        body=GRANTED,
        refusals=(403, 404, 409, 422),
    )
    def on_post(self, req: falcon.Request, resp: falcon.Response, name: str) -> None:
        new = parse(req, GRANTED)
        permission = Permission(new["permission"])
        resp.media = present(self._registry.grant(req.context.principal, name, new["application"], permission))
        resp.status = falcon.HTTP_201

    @operation(
        "Take a grant back; with the permission to read end the application's subscriptions.",
        {204: None},
        filters=("application", "permission"),
        refusals=(403, 404),
    )
    def on_delete(self, req: falcon.Request, resp: falcon.Response, name: str) -> None:
        application, permission = req.get_param("application"), req.get_param("permission")
        if not application or permission not in tuple(Permission):
            raise Malformed(f"application and permission ({' or '.join(Permission)}) say which grant")
        self._registry.revoke(req.context.principal, name, application, Permission(permission))
        resp.status = falcon.HTTP_204


class Check:
    """POST /v1/actions/{name}/check."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    @operation(
        "Ask whether a payload would pass and a schema be accepted; nothing is written.",
        {200: VERDICT},
        body=CHECKED,
        refusals=(404, 422),
    )
    def on_post(self, req: falcon.Request, resp: falcon.Response, name: str) -> None:
        asked = parse(req, CHECKED)
        found = self._registry.check_action(name, asked.get("payload"), asked.get("schemata"))
        listed: dict[str, Any] = {
            what: [each.as_dict() for each in violations]
            for what, violations in vars(found).items()
            if violations is not None
        }
        resp.media = {"ok": not any(listed.values()), **listed}

"""OpenAPI 3.1, made of the routes and of what their responders say of themselves."""

import re
from collections.abc import Iterable, Mapping
from http import HTTPStatus
from typing import Any

from app import __version__
from app.http.body import LINE, NAME
from app.http.limits import is_free
from app.http.lists import LARGEST_PAGE
from app.http.operations import Operation
from app.http.present import schema_of
from app.model import Lifecycle, Permission, Status

Json = dict[str, Any]
METHODS = ("get", "post", "put", "patch", "delete")
ID = {"type": "string", "format": "uuid"}
TIME = {"type": "string", "format": "date-time"}
EXAMPLES = {  # of parameters; of names in paths by what is named
    **dict.fromkeys(("event", "gist", "subscription"), "019a0000-0000-7000-8000-000000000000"),
    "applications": "shop",
    "actions": "order.placed",
    "application": "billing",
    "permission": "read",
}
HEADERS = {
    "X-Request-ID": "The request's id: the one that was sent, or one that was made; it is in the log and in errors.",
    "X-RateLimit-Limit": "Where a limit is set: requests that it lets through in a second.",
    "X-RateLimit-Remaining": "Where a limit is set: requests that are left of these.",
    "X-RateLimit-Reset": "Where a limit is set: seconds until there is more room.",
    "Retry-After": "Seconds after which it is worth another try.",
    "WWW-Authenticate": "Bearer.",
}
PARAMETERS = {
    "cursor": "Where to go on: `next` or `prev` of the answer before.",
    "per_page": "Items in an answer, at most.",
    "sort": "By this, or with `-` in the reverse of it.",
    "from": "Only what is not older.",
    "to": "Only what is older.",
}
FILTERS: Mapping[str, Json] = {
    "subscription": ID,
    "event": ID,
    "permission": {"enum": [str(permission) for permission in Permission]},
}
STATES = {"Gist": [str(status) for status in Status], "Action": [str(status) for status in Lifecycle]}
ERROR: Json = {
    "type": "object",
    "properties": {
        "error": {"type": "string"},
        "code": {"type": "integer"},
        "details": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {"field": {"type": "string"}, "message": {"type": "string"}},
                "required": ["field", "message"],
            },
        },
        "request_id": {"type": "string"},
    },
    "required": ["error", "code", "details", "request_id"],
}
DELIVERY: Json = {
    "type": "object",
    "properties": {
        "event": ID,
        "action": {"type": "string"},
        "payload": {"type": "object"},
        "metadata": {"type": "object"},
        "timestamped": TIME,
        "attempt": {"type": "integer", "minimum": 1},
    },
    "required": ["event", "action", "payload", "metadata", "timestamped", "attempt"],
}
DELIVERY_HEADERS = {
    "webhook-id": "The gist, the same at each attempt.",
    "webhook-timestamp": "Seconds since 1970.",
    "webhook-signature": "Standard Webhooks 1.0; two signatures while a secret is rotated.",
    "X-Amebo-Event": "The action.",
    "X-Amebo-Delivery": "The gist and the attempt.",
    "X-Amebo-Signature": "sha256= and the hex HMAC-SHA256 of the body.",
}
_PARAMETER = re.compile(r"{(\w+)}")
_CREDENTIALS: list[Json] = [
    {"bearer": []},
    {"application": [], "signature": []},
    {"application": [], "signature": [], "timestamp": []},
]


def document(routes: Iterable[tuple[str, object]]) -> Json:
    """The whole API; raises AttributeError for a responder that does not say what it does."""
    schemas: Json = {"Error": ERROR, "Delivery": DELIVERY}
    paths = {path: _path(path, resource, schemas) for path, resource in routes}
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Amebo",
            "version": __version__,
            "summary": "Events in, signed webhooks out.",
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        "servers": [{"url": "/"}],
        "paths": paths,
        "webhooks": {"delivery": {"post": _delivery()}},
        "components": {
            "schemas": schemas,
            "headers": {name: {"description": text, "schema": {"type": "string"}} for name, text in HEADERS.items()},
            "securitySchemes": _security_schemes(),
        },
    }


def _path(path: str, resource: object, schemas: Json) -> Json:
    described: Json = {}
    for method in METHODS:
        responder = getattr(resource, f"on_{method}", None)
        if responder is not None:
            described[method] = _operation(path, method, resource, responder.operation, schemas)
    return described


def _operation(path: str, method: str, resource: object, operation: Operation, schemas: Json) -> Json:
    public = getattr(resource, "public", False)
    described: Json = {
        "operationId": f"{method}{re.sub(r'[^A-Za-z0-9]+', '_', path)}".strip("_"),
        "summary": operation.summary,
        "tags": [_tag(path)],
        "parameters": [*_in_path(path), *_in_query(operation)],
        "responses": _responses(path, operation, schemas, public=public),
        "security": [] if public else _CREDENTIALS,
    }
    if operation.body is not None:
        content = {"schema": dict(operation.body.schemata), "example": dict(operation.body.example)}
        described["requestBody"] = {"required": True, "content": {"application/json": content}}
    return described


def _tag(path: str) -> str:
    parts = path.strip("/").split("/")
    return parts[1] if parts[0] == "v1" else "status"


def _in_path(path: str) -> list[Json]:
    return [
        {
            "name": name,
            "in": "path",
            "required": True,
            "schema": NAME if name == "name" else ID,
            "example": EXAMPLES[_tag(path) if name == "name" else name],
        }
        for name in _PARAMETER.findall(path)
    ]


def _in_query(operation: Operation) -> list[Json]:
    states = {"enum": STATES.get(operation.lists.__name__, [])} if operation.lists else {}
    required = operation.lists is None
    known = {**FILTERS, "status": states, "application": NAME if required else LINE}
    found = [_query(name, known.get(name, LINE), required=required) for name in operation.filters]
    if operation.lists is None:
        return found
    key = operation.lists.__name__.lower()
    paging: dict[str, Json] = {
        "cursor": {"type": "string", "minLength": 1},
        "per_page": {"type": "integer", "minimum": 1, "maximum": LARGEST_PAGE, "default": 50},
        "sort": {"enum": [key, f"-{key}"]},
        "from": TIME,
        "to": TIME,
    }
    return [*found, *(_query(name, schema) for name, schema in paging.items())]


def _query(name: str, schema: Json, *, required: bool = False) -> Json:
    text = PARAMETERS.get(name, f"The {name}." if required else f"Only of this {name}.")
    described = {"name": name, "in": "query", "required": required, "description": text, "schema": schema}
    return {**described, "example": EXAMPLES[name]} if required else described


def _responses(path: str, operation: Operation, schemas: Json, *, public: bool) -> Json:
    answers: dict[int, Any] = dict(operation.answers)
    if operation.lists is not None:
        answers[200] = _page(_named(operation.lists, schemas, "tries"))
    errors = set(operation.refusals) if is_free(path) else {*operation.refusals, 400, 429, 503}
    errors |= set() if public else {401, 403}
    errors |= {413, 415, 422} if operation.body else set()
    answered = {str(status): _answer(status, answer, schemas) for status, answer in answers.items()}
    refused = {str(status): _refusal(status) for status in sorted(errors - answers.keys())}
    found = {**answered, **refused}
    return {status: {**each, "headers": _headers(path, int(status))} for status, each in found.items()}


def _answer(status: int, answer: Any, schemas: Json) -> Json:  # noqa: ANN401  # as Operation says
    described: Json = {"description": HTTPStatus(status).phrase}
    if isinstance(answer, str):
        described["content"] = {answer: {"schema": {"type": "string"}}}
    elif answer is not None:
        described["content"] = _content(_named(answer, schemas) if isinstance(answer, type) else answer)
    return described


def _refusal(status: int) -> Json:
    error = {"$ref": "#/components/schemas/Error"}
    return {"description": HTTPStatus(status).phrase, "content": _content(error)}


def _named(model: type, schemas: Json, *without: str) -> Json:
    """A dataclass, by its name among the components."""
    schema = schema_of(model, *without)
    name = model.__name__ if schema == schema_of(model) else f"{model.__name__}InList"
    schemas[name] = schema
    return {"$ref": f"#/components/schemas/{name}"}


def _page(item: Json) -> Json:
    cursor = {"type": ["string", "null"]}
    meta = {
        "type": "object",
        "properties": {"per_page": {"type": "integer"}, "next": cursor, "prev": cursor},
        "required": ["per_page", "next", "prev"],
    }
    return {
        "type": "object",
        "properties": {"data": {"type": "array", "items": item}, "meta": meta},
        "required": ["data", "meta"],
    }


def _content(schema: Json) -> Json:
    return {"application/json": {"schema": schema}}


def _headers(path: str, status: int) -> Json:
    names = ["X-Request-ID"]
    names += [] if is_free(path) else ["X-RateLimit-Limit", "X-RateLimit-Remaining", "X-RateLimit-Reset"]
    names += ["Retry-After"] if status in (429, 503) else []
    names += ["WWW-Authenticate"] if status == 401 else []
    return {name: {"$ref": f"#/components/headers/{name}"} for name in names}


def _security_schemes() -> Json:
    signature = (
        "Hex HMAC-SHA256 with the application's secret of the body, or of X-Amebo-Timestamp, a dot and the body."
    )
    return {
        "bearer": {"type": "http", "scheme": "bearer", "description": "A token of /v1/tokens, or an API key."},
        "application": {"type": "apiKey", "in": "header", "name": "X-Amebo-Application"},
        "signature": {"type": "apiKey", "in": "header", "name": "X-Amebo-Signature", "description": signature},
        "timestamp": {
            "type": "apiKey",
            "in": "header",
            "name": "X-Amebo-Timestamp",
            "description": "Seconds since 1970; 300 seconds from them the signature is good no longer.",
        },
    }


def _delivery() -> Json:
    headers = [
        {"name": name, "in": "header", "required": True, "description": text, "schema": {"type": "string"}}
        for name, text in DELIVERY_HEADERS.items()
    ]
    return {
        "summary": "A gist, as a subscription's handler gets it.",
        "parameters": headers,
        "requestBody": {"required": True, "content": _content({"$ref": "#/components/schemas/Delivery"})},
        "responses": {
            "200": {"description": "Delivered, as any 2xx."},
            "410": {"description": "Switches the subscription off."},
            "default": {"description": "Anything else is tried again later."},
        },
    }

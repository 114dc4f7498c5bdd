"""OpenAPI 3.1, made of the routes and of what their responders say of themselves."""

import re
from collections.abc import Iterable, Mapping
from http import HTTPStatus
from typing import Any

from app import __version__
from app.http.body import NAME
from app.http.lists import LARGEST_PAGE
from app.http.operations import Operation
from app.http.present import schema_of
from app.model import Lifecycle, Permission, Status

Json = dict[str, Any]
METHODS = ("get", "post", "put", "patch", "delete")
ID = {"type": "string", "format": "uuid"}
TIME = {"type": "string", "format": "date-time"}
FILTERS: Mapping[str, Json] = {
    "subscription": ID,
    "event": ID,
    "permission": {"enum": [str(permission) for permission in Permission]},
}
STATES = {"Gist": [str(status) for status in Status], "Action": [str(status) for status in Lifecycle]}
ERROR = {
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
DELIVERY = {
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
        "components": {"schemas": schemas, "securitySchemes": _security_schemes()},
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
        "responses": _responses(operation, schemas, public=public),
        "security": [] if public else [{"bearer": []}, {"application": [], "signature": []}],
    }
    if operation.body is not None:
        described["requestBody"] = {"required": True, "content": _content(dict(operation.body.schemata))}
    return described


def _tag(path: str) -> str:
    parts = path.strip("/").split("/")
    return parts[1] if parts[0] == "v1" else "status"


def _in_path(path: str) -> list[Json]:
    return [
        {"name": name, "in": "path", "required": True, "schema": NAME if name == "name" else ID}
        for name in _PARAMETER.findall(path)
    ]


def _in_query(operation: Operation) -> list[Json]:
    states = {"enum": STATES.get(operation.lists.__name__, [])} if operation.lists else {}
    known = {**FILTERS, "status": states}
    required = operation.lists is None
    found = [_query(name, known.get(name, {"type": "string"}), required=required) for name in operation.filters]
    if operation.lists is None:
        return found
    paging: dict[str, Json] = {
        "cursor": {"type": "string"},
        "per_page": {"type": "integer", "minimum": 1, "maximum": LARGEST_PAGE, "default": 50},
        "sort": {"type": "string"},
        "from": TIME,
        "to": TIME,
    }
    return [*found, *(_query(name, schema) for name, schema in paging.items())]


def _query(name: str, schema: Json, *, required: bool = False) -> Json:
    return {"name": name, "in": "query", "required": required, "schema": schema}


def _responses(operation: Operation, schemas: Json, *, public: bool) -> Json:
    answers: dict[int, Any] = dict(operation.answers)
    if operation.lists is not None:
        answers[200] = _page(_named(operation.lists, schemas, "tries"))
    errors = {*operation.refusals, 400, 429, 503}
    errors |= set() if public else {401, 403}
    errors |= {413, 415, 422} if operation.body else set()
    found = {str(status): _answer(status, answer, schemas) for status, answer in answers.items()}
    refusals = {str(status): _refusal(status) for status in sorted(errors - answers.keys())}
    return {**found, **refusals}


def _answer(status: int, answer: Any, schemas: Json) -> Json:  # noqa: ANN401  # as Operation says
    described: Json = {"description": HTTPStatus(status).phrase, "headers": _headers()}
    if isinstance(answer, str):
        described["content"] = {answer: {"schema": {"type": "string"}}}
    elif answer is not None:
        described["content"] = _content(_named(answer, schemas) if isinstance(answer, type) else answer)
    return described


def _refusal(status: int) -> Json:
    headers = _headers("Retry-After") if status in (429, 503) else _headers()
    error = {"$ref": "#/components/schemas/Error"}
    return {"description": HTTPStatus(status).phrase, "headers": headers, "content": _content(error)}


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


def _headers(*more: str) -> Json:
    return {name: {"schema": {"type": "string"}} for name in ("X-Request-ID", *more)}


def _security_schemes() -> Json:
    signature = (
        "Hex HMAC-SHA256 with the application's secret of the body, or of X-Amebo-Timestamp, a dot and the body."
    )
    return {
        "bearer": {"type": "http", "scheme": "bearer", "description": "A token of /v1/tokens, or an API key."},
        "application": {"type": "apiKey", "in": "header", "name": "X-Amebo-Application"},
        "signature": {"type": "apiKey", "in": "header", "name": "X-Amebo-Signature", "description": signature},
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

"""The API described: for programs at /openapi.json, for people at /docs, where it needs neither network nor script."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import falcon
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from app import jsontext
from app.http.openapi import METHODS, document
from app.http.operations import operation

POLICY = "default-src 'none'; style-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
_FOLDER = Path(__file__).parent / "pages"
_PAGES = Environment(loader=FileSystemLoader(_FOLDER), autoescape=True, undefined=StrictUndefined)


class OpenApi:
    """GET /openapi.json."""

    public = True

    def __init__(self, described: bytes) -> None:
        self._described = described

    @operation("Describe this API.", {200: {"type": "object"}})
    def on_get(self, _req: falcon.Request, resp: falcon.Response) -> None:
        resp.data = self._described


class Docs:
    """GET /docs."""

    public = True

    def __init__(self, page: bytes) -> None:
        self._page = page

    @operation("Describe this API for people.", {200: "text/html; charset=utf-8"})
    def on_get(self, _req: falcon.Request, resp: falcon.Response) -> None:
        resp.content_type = falcon.MEDIA_HTML
        resp.set_header("Content-Security-Policy", POLICY)
        resp.set_header("X-Content-Type-Options", "nosniff")
        resp.data = self._page


class Style:
    """GET /docs/docs.css."""

    public = True

    @operation("The page's look.", {200: "text/css"})
    def on_get(self, _req: falcon.Request, resp: falcon.Response) -> None:
        resp.content_type = "text/css"
        resp.data = (_FOLDER / "docs.css").read_bytes()


def docs_routes(routes: Sequence[tuple[str, object]]) -> tuple[tuple[str, object], ...]:
    """These, themselves among what they describe; made once."""
    own = (("/openapi.json", OpenApi(b"")), ("/docs", Docs(b"")), ("/docs/docs.css", Style()))
    described = document((*routes, *own))
    page = _PAGES.get_template("docs.html").render(api=described, groups=_groups(described), pretty=_pretty, curl=_curl)
    return (
        ("/openapi.json", OpenApi(jsontext.dumps(described).encode())),
        ("/docs", Docs(page.encode())),
        ("/docs/docs.css", Style()),
    )


def _groups(described: dict[str, Any]) -> dict[str, list[tuple[str, str, dict[str, Any]]]]:
    """Operations by tag, in the order of the routes."""
    groups: dict[str, list[tuple[str, str, dict[str, Any]]]] = {}
    for path, methods in described["paths"].items():
        for method in METHODS:
            if method in methods:
                groups.setdefault(methods[method]["tags"][0], []).append((method.upper(), path, methods[method]))
    return groups


def _pretty(value: Any) -> str:  # noqa: ANN401  # a schema
    return json.dumps(value, indent=2)


def _curl(method: str, path: str, described: dict[str, Any]) -> str:
    words = ["curl"] if method == "GET" else [f"curl -X {method}"]
    words += [] if not described["security"] else ['-H "Authorization: Bearer $TOKEN"']
    body = described.get("requestBody")
    if body is not None:
        schema = body["content"]["application/json"]["schema"]
        example = {name: _example(schema["properties"][name]) for name in schema["required"]}
        words += ["-H 'Content-Type: application/json'", f"-d '{json.dumps(example)}'"]
    query = [each["name"] for each in described["parameters"] if each["in"] == "query" and each["required"]]
    asked = "?" + "&".join(f"{name}=…" for name in query) if query else ""
    return " ".join([*words, f'"$AMEBO{path}{asked}"'])


def _example(schema: dict[str, Any]) -> Any:  # noqa: ANN401
    if "enum" in schema:
        return schema["enum"][0]
    if "anyOf" in schema:
        return _example(schema["anyOf"][0])
    kind = schema.get("type", "object")
    examples = {"string": "…", "integer": 1, "number": 1, "boolean": True, "array": [], "object": {}}
    return examples[kind[0] if isinstance(kind, list) else kind]

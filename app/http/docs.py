"""The API described: for programs at /openapi.json, for people at /docs, where it needs neither network nor script."""

import json
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import falcon
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from app import jsontext
from app.http.openapi import METHODS, document
from app.http.operations import operation

POLICY = "default-src 'none'; style-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
VARIABLES = {  # of a shell, for what differs from one service to the next
    "username": "$AMEBO_USERNAME",
    "password": "$AMEBO_PASSWORD",
    "event": "$EVENT",
    "gist": "$GIST",
    "subscription": "$SUBSCRIPTION",
}
_JSON = "application/json"
_FOLDER = Path(__file__).parent / "pages"
_PAGES = Environment(
    loader=FileSystemLoader(_FOLDER), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
)


class OpenApi:
    """GET /openapi.json."""

    public = True

    def __init__(self, described: bytes = b"") -> None:
        self._described = described

    @operation("Describe this API.", {200: {"type": "object"}})
    def on_get(self, _req: falcon.Request, resp: falcon.Response) -> None:
        resp.data = self._described


class Docs:
    """GET /docs."""

    public = True

    def __init__(self, page: bytes = b"") -> None:
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

    def __init__(self) -> None:
        self._style = (_FOLDER / "docs.css").read_bytes()

    @operation("The page's look.", {200: "text/css"})
    def on_get(self, _req: falcon.Request, resp: falcon.Response) -> None:
        resp.content_type = "text/css"
        resp.data = self._style


@dataclass(frozen=True)
class Field:
    """One field of a body or an answer, or one parameter; `what` it holds."""

    name: str
    what: str
    is_needed: bool
    where: str = ""
    text: str = ""


def docs_routes(routes: Sequence[tuple[str, object]]) -> tuple[tuple[str, object], ...]:
    """These, themselves among what they describe; made once."""
    style = Style()
    described = document((*routes, ("/openapi.json", OpenApi()), ("/docs", Docs()), ("/docs/docs.css", style)))
    return (
        ("/openapi.json", OpenApi(jsontext.dumps(described).encode())),
        ("/docs", Docs(_page(described).encode())),
        ("/docs/docs.css", style),
    )


def curl(method: str, path: str, described: dict[str, Any]) -> str:
    """A command that asks for an operation; to paste into a shell that has the variables."""
    examples = {each["name"]: each for each in described["parameters"] if "example" in each}
    for name, each in examples.items():
        path = path.replace(f"{{{name}}}", VARIABLES.get(name, each["example"]))
    query = "&".join(f"{name}={each['example']}" for name, each in examples.items() if each["in"] == "query")
    lines = ["curl" if method == "GET" else f"curl -X {method}"]
    lines[0] += f' "$AMEBO{path}{"?" if query else ""}{query}"'
    lines += ['-H "Authorization: Bearer $TOKEN"'] if described["security"] else []
    if "requestBody" in described:
        example = described["requestBody"]["content"][_JSON]["example"]
        lines += [f"-H 'Content-Type: {_JSON}'", f"-d {_quoted(example)}"]
    return " \\\n  ".join(lines)


def _quoted(example: dict[str, Any]) -> str:
    """As JSON in a shell's quotes, which end and begin again around what is a variable."""
    text = shlex.quote(json.dumps({name: VARIABLES.get(name, value) for name, value in example.items()}))
    for variable in VARIABLES.values():
        text = text.replace(f'"{variable}"', f'"\'"{variable}"\'"')
    return text


def _page(described: dict[str, Any]) -> str:
    rendered = _PAGES.get_template("docs.html").render(
        api=described, groups=_groups(described), curl=curl, fields=_fields, parameters=_parameters, shape=_shape
    )
    return str(rendered)


def _groups(described: dict[str, Any]) -> dict[str, list[tuple[str, str, dict[str, Any]]]]:
    """Operations by tag, in the order of the routes."""
    groups: dict[str, list[tuple[str, str, dict[str, Any]]]] = {}
    for path, methods in described["paths"].items():
        for method in METHODS:
            if method in methods:
                groups.setdefault(methods[method]["tags"][0], []).append((method.upper(), path, methods[method]))
    return groups


def _parameters(described: dict[str, Any]) -> list[Field]:
    return [
        Field(each["name"], _what(each["schema"]), each["required"], each["in"], each.get("description", ""))
        for each in described["parameters"]
    ]


def _fields(schema: dict[str, Any]) -> list[Field]:
    needed = schema.get("required", ())
    return [
        Field(name, _what(each), name in needed, text=each.get("description", ""))
        for name, each in schema.get("properties", {}).items()
    ]


def _shape(answer: dict[str, Any]) -> dict[str, Any]:
    """The schema of an answer that is JSON, else nothing."""
    found: dict[str, Any] = answer.get("content", {}).get(_JSON, {}).get("schema", {})
    return found


def _what(schema: dict[str, Any]) -> str:
    """A schema in words: of an object and an array its outermost level."""
    if "$ref" in schema:
        return str(schema["$ref"].rpartition("/")[2])
    if "anyOf" in schema:
        return " or ".join(dict.fromkeys(_what(each) for each in schema["anyOf"]))
    if "enum" in schema or "const" in schema:
        values = schema.get("enum", [schema.get("const")])
        return ", ".join(each if isinstance(each, str) else json.dumps(each) for each in values)
    kinds = schema.get("type", "anything")
    words = kinds if isinstance(kinds, str) else " or ".join(kinds)
    if "items" in schema:
        words = f"array of {_what(schema['items'])}"
    limits = [schema["format"]] if "format" in schema else []
    limits += _range(schema, "minimum", "maximum", "") + _range(schema, "minLength", "maxLength", " characters")
    limits += _range(schema, "minItems", "maxItems", " items")
    return f"{words}, {', '.join(limits)}" if limits else words


def _range(schema: dict[str, Any], least: str, most: str, unit: str) -> list[str]:
    low, high = schema.get(least), schema.get(most)
    if low is None and high is None:
        return []
    if high is None:
        return [f"at least {low:,}{unit}"]
    return [f"up to {high:,}{unit}" if low is None else f"{low:,} to {high:,}{unit}"]

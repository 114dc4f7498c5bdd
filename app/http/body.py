"""Request bodies: read once, strictly JSON, checked against a schema of their own with all violations listed."""

import json
from typing import Any, NoReturn

import falcon

from app import schema
from app.errors import Invalid, Malformed, NotJson, TooLarge, Violation
from app.model import Json

LIMIT = 1024 * 1024

NAME = {"type": "string", "pattern": r"^[A-Za-z0-9_.-]{1,128}\Z"}
TEXT = {"type": "string", "maxLength": 1000, "pattern": r"^[^\x00\ud800-\udfff]*\Z"}
KEY = {"type": "string", "minLength": 1, "maxLength": 255, "pattern": r"^[^\x00-\x1f\ud800-\udfff]*\Z"}
URL = {
    "type": "string",
    "maxLength": 2000,
    "pattern": r"^https?://[^\s/?#@\\\x00-\x1f\ud800-\udfff][^\s\\\x00-\x1f\ud800-\udfff]*\Z",
}


def fields(required: dict[str, Any], optional: dict[str, Any] | None = None) -> Json:
    """The schema of a body with exactly these fields; a misspelt one is refused rather than ignored."""
    return {
        "type": "object",
        "properties": {**required, **(optional or {})},
        "required": list(required),
        "additionalProperties": False,
    }


def parse(req: falcon.Request, shape: Json) -> dict[str, Any]:
    """The body as a dictionary that satisfies `shape`."""
    parsed = _json(req)
    found = schema.violations(shape, parsed)
    if found:
        raise Invalid("the body is not as it should be", found)
    if not isinstance(parsed, dict):
        raise Invalid("the body is not as it should be", (Violation("", "is not an object"),))
    return parsed


def read(req: falcon.Request) -> bytes:
    """The body's bytes, kept for whoever needs them next."""
    if (req.content_length or 0) > LIMIT:
        raise TooLarge(f"the body is larger than {LIMIT} bytes")
    if not hasattr(req.context, "body"):
        req.context.body = req.bounded_stream.read(LIMIT + 1)
    if len(req.context.body) > LIMIT:
        raise TooLarge(f"the body is larger than {LIMIT} bytes")
    return bytes(req.context.body)


def _json(req: falcon.Request) -> object:
    if (req.content_type or "").partition(";")[0].strip().lower() != "application/json":
        raise NotJson("the body must be JSON: Content-Type: application/json")
    try:
        return json.loads(read(req).decode(), parse_constant=_refuse, parse_float=_finite, object_pairs_hook=_unique)
    except UnicodeDecodeError as error:
        raise Malformed("the body is not UTF-8") from error
    except RecursionError as error:
        raise Malformed("the body is nested too deeply") from error
    except ValueError as error:
        raise Malformed(f"the body is not JSON: {error}"[:300]) from error


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not JSON")


def _finite(text: str) -> float:
    number = float(text)
    if number in (float("inf"), float("-inf")):
        raise ValueError(f"{text[:20]} is out of range")
    return number


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Of two values under one name, programs take different ones; so there must not be two."""
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name occurs twice in one object")
    return found

"""Request bodies: read once, strictly JSON, checked against a schema of their own with all violations listed."""

import json
from typing import Any, NoReturn

import falcon

from app.errors import Invalid, Malformed, NotJson, TooLarge, Violation
from app.http.operations import Shape

LIMIT = 1024 * 1024
JSON = "application/json"
LARGEST = 5 * LIMIT  # of a batch

NAME = {"type": "string", "pattern": r"^[A-Za-z0-9_.-]{1,128}$"}
TEXT = {"type": "string", "maxLength": 1000, "pattern": r"^[^\x00]*$"}
LINE = {"type": "string", "pattern": r"^[^\x00-\x1f]*$"}
KEY = {**LINE, "minLength": 1, "maxLength": 255}
URL = {"type": "string", "maxLength": 2000, "pattern": r"^https?://[^\s/?#@\\\x00-\x1f][^\s\\\x00-\x1f]*$"}


def parse(req: falcon.Request, shape: Shape, limit: int = LIMIT) -> dict[str, Any]:
    """The body as a dictionary that satisfies `shape`."""
    parsed = _json(req, limit)
    found = shape.check.violations(parsed)
    if found:
        raise Invalid("the body is not as it should be", found)
    if not isinstance(parsed, dict):
        raise Invalid("the body is not as it should be", (Violation("", "is not an object"),))
    return parsed


def read(req: falcon.Request, limit: int = LIMIT) -> bytes:
    """The body's bytes, kept for whoever needs them next."""
    if (req.content_length or 0) > limit:
        raise TooLarge(f"the body is larger than {limit} bytes")
    if not hasattr(req.context, "body"):
        req.context.body = req.stream.read(limit + 1)  # waitress has received all of it, and nothing else
    if len(req.context.body) > limit:
        raise TooLarge(f"the body is larger than {limit} bytes")
    return bytes(req.context.body)


def _json(req: falcon.Request, limit: int) -> object:
    if req.content_type != JSON and (req.content_type or "").partition(";")[0].strip().lower() != JSON:
        raise NotJson("the body must be JSON: Content-Type: application/json")
    try:
        return _paired(_DECODER.decode(text := read(req, limit).decode()), text)
    except UnicodeDecodeError as error:
        raise Malformed("the body is not UTF-8") from error
    except RecursionError as error:
        raise Malformed("the body is nested too deeply") from error
    except ValueError as error:
        raise Malformed(f"the body is not JSON: {error}"[:300]) from error


def _paired(parsed: object, text: str) -> object:
    """Half a surrogate pair is no character: not every program, and no database, could keep it."""
    if "\\ud" in text or "\\uD" in text:
        try:
            json.dumps(parsed, ensure_ascii=False).encode()
        except UnicodeEncodeError as error:
            raise ValueError("half a surrogate pair is not a character") from error
    return parsed


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


_DECODER = json.JSONDecoder(parse_constant=_refuse, parse_float=_finite, object_pairs_hook=_unique)

"""Request bodies: read once, strictly JSON, checked against a schema of their own with all violations listed."""

from typing import Any

import falcon

from app import jsontext
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
        return jsontext.decoded(read(req, limit))
    except UnicodeDecodeError as error:
        raise Malformed("the body is not UTF-8") from error
    except RecursionError as error:
        raise Malformed("the body is nested too deeply") from error
    except ValueError as error:
        raise Malformed(f"the body is not JSON: {error}"[:300]) from error

"""JSON as text, quickly: what is published is written down three times, for its digest, the database and the answer."""

import json
from datetime import datetime
from typing import Any
from uuid import UUID

import orjson


def encoded(value: Any) -> bytes:  # noqa: ANN401  # whatever is JSON, UUIDs and times among it
    """In the fewest bytes. What orjson refuses, as numbers beyond 64 bits, the standard library writes."""
    try:
        return orjson.dumps(value)
    except TypeError:
        return json.dumps(value, separators=(",", ":"), default=_as_text).encode()


def dumps(value: Any) -> str:  # noqa: ANN401
    """The same as a string."""
    return encoded(value).decode()


def _as_text(value: Any) -> str:  # noqa: ANN401
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, UUID):
        return str(value)
    raise TypeError(f"{type(value).__name__} is not JSON")


def canonical(value: Any) -> bytes:  # noqa: ANN401
    """The same bytes for the same content, whatever the order of its keys."""
    try:
        return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)
    except TypeError:
        return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()

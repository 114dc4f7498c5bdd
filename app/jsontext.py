"""JSON as text, quickly: what is published is written down three times, for its digest, the database and the answer."""

import json
from typing import Any

import orjson


def dumps(value: Any) -> str:  # noqa: ANN401  # whatever is JSON
    """In the fewest bytes. What orjson refuses, as numbers beyond 64 bits, the standard library writes."""
    try:
        return orjson.dumps(value).decode()
    except TypeError:
        return json.dumps(value, separators=(",", ":"))


def canonical(value: Any) -> bytes:  # noqa: ANN401
    """The same bytes for the same content, whatever the order of its keys."""
    try:
        return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)
    except TypeError:
        return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()

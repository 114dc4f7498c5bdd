"""JSON as text, quickly: what is published is read strictly, and written for digest, database and answer."""

import json
from contextlib import suppress
from datetime import datetime
from typing import Any, NoReturn
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


def decoded(body: bytes) -> object:
    """What is JSON and means the same to every program; else ValueError, or RecursionError.

    What orjson writes as it came is that: with a name twice, or a number that it cannot keep, it would not.
    """
    with suppress(ValueError, TypeError):  # too much for it, perhaps, but not for the standard library
        parsed = orjson.loads(body)
        if orjson.dumps(parsed) == body:
            return parsed
    text = body.decode()
    return _paired(_DECODER.decode(text), text)


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

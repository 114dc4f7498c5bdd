"""The model as JSON: every field that its repr shows, under its own name; and the JSON Schema of that."""

import types
import typing
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from datetime import datetime
from enum import Enum
from typing import Any
from uuid import UUID

_PLAIN: dict[Any, dict[str, Any]] = {
    str: {"type": "string"},
    int: {"type": "integer"},
    float: {"type": "number"},
    bool: {"type": "boolean"},
    UUID: {"type": "string", "format": "uuid"},
    datetime: {"type": "string", "format": "date-time"},
}

_WRITTEN = {*_PLAIN, dict, type(None)}  # as they are, by app.jsontext
_SHOWN: dict[type, tuple[str, ...]] = {}


def present(item: Any, *without: str) -> dict[str, Any]:  # noqa: ANN401  # any dataclass of the model
    """An item as JSON; secrets are not part of it, because they are not part of its repr."""
    return {name: _plain(getattr(item, name)) for name in _shown(type(item)) if name not in without}


def schema_of(model: type, *without: str) -> dict[str, Any]:
    """The JSON Schema of what `present` makes of a dataclass."""
    hints = typing.get_type_hints(model)
    names = [name for name in _shown(model) if name not in without]
    properties = {name: _schema(hints[name]) for name in names}
    return {"type": "object", "properties": properties, "required": names}


def _shown(model: type) -> tuple[str, ...]:
    if model not in _SHOWN:
        _SHOWN[model] = tuple(each.name for each in fields(model) if each.repr)
    return _SHOWN[model]


def _plain(value: Any) -> Any:  # noqa: ANN401
    if type(value) in _WRITTEN:
        return value
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, tuple):
        return [_plain(each) for each in value]
    return present(value) if is_dataclass(value) else value


def _schema(hint: Any) -> dict[str, Any]:  # noqa: ANN401  # a type, as it is written
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        return {"anyOf": [_schema(each) for each in arguments]}
    if hint is type(None):
        return {"type": "null"}
    if origin is tuple:
        return {"type": "array", "items": _schema(arguments[0])}
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return {"type": "object"}
    if isinstance(hint, type) and issubclass(hint, Enum):
        return {"type": "string", "enum": [each.value for each in hint]}
    return dict(_PLAIN[hint]) if hint in _PLAIN else schema_of(hint)

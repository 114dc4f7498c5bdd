"""What a responder does, said once beside it: its body is checked by this, and OpenAPI is made of it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from app import schema
from app.model import Json

Responder = TypeVar("Responder", bound=Callable[..., None])


@dataclass(frozen=True)
class Shape:
    """The JSON Schema of a body, ready to check with, and a body that satisfies it."""

    schemata: Json
    check: schema.Validator
    example: Json


@dataclass(frozen=True)
class Operation:
    """`answers` are what comes back by status: a dataclass of the model, a JSON Schema, or None for no body.

    `lists` is the item of a list, which takes the `filters` beside those of paging; `refusals` are statuses of errors.
    """

    summary: str
    answers: Mapping[int, Any] = field(default_factory=dict)
    body: Shape | None = None
    lists: type | None = None
    filters: tuple[str, ...] = ()
    refusals: tuple[int, ...] = ()


def operation(
    summary: str,
    answers: Mapping[int, Any] | None = None,
    *,
    body: Shape | None = None,
    lists: type | None = None,
    filters: tuple[str, ...] = (),
    refusals: tuple[int, ...] = (),
) -> Callable[[Responder], Responder]:
    """Say what a responder does."""

    def said(responder: Responder) -> Responder:
        responder.operation = Operation(summary, answers or {}, body, lists, filters, refusals)  # type: ignore[attr-defined]
        return responder

    return said


def shape(required: dict[str, Any], optional: dict[str, Any] | None = None, *, example: Json) -> Shape:
    """A body with exactly these fields; a misspelt one is refused rather than ignored."""
    schemata = {
        "type": "object",
        "properties": {**required, **(optional or {})},
        "required": list(required),
        "additionalProperties": False,
    }
    return Shape(schemata, schema.compiled(schemata), example)

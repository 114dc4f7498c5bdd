"""JSON Schema, Draft 7 to 2020-12: is a schema usable, does an instance satisfy it. Pure, and never reads a URL."""

from collections.abc import Iterator
from typing import Any

from jsonschema import Draft7Validator, Draft201909Validator, Draft202012Validator
from jsonschema.exceptions import SchemaError, ValidationError
from jsonschema.validators import validator_for
from referencing import Registry
from referencing.exceptions import Unresolvable

from app.errors import Violation
from app.model import Json

SUPPORTED = (Draft7Validator, Draft201909Validator, Draft202012Validator)
MOST_VIOLATIONS = 100
LONGEST_MESSAGE = 300
_NOTHING_ELSE: Registry[Any] = Registry()  # without it, jsonschema would fetch what a $ref names


def schema_violations(schemata: Json) -> tuple[Violation, ...]:
    """Why a schema cannot be used; empty when it can."""
    draft = schemata.get("$schema", "")
    kind = validator_for(schemata, default=None if draft else Draft202012Validator) if isinstance(draft, str) else None
    if kind not in SUPPORTED:
        return (Violation("schemata.$schema", "is not a draft from Draft 7 to 2020-12"),)
    try:
        kind.check_schema(schemata, format_checker=kind.FORMAT_CHECKER)
    except SchemaError as error:
        return (_violation("schemata", error),)
    except RecursionError:
        return (Violation("schemata", "is nested too deeply"),)
    foreign = [ref for ref in _references(schemata) if not ref.startswith("#")]
    return tuple(Violation("schemata", f"refers to {ref[:100]!r}, outside of itself") for ref in foreign)


def violations(schemata: Json, instance: object, prefix: str = "") -> tuple[Violation, ...]:
    """Every way in which an instance breaks a schema, at most 100 of them; `prefix` starts each field's path."""
    kind = validator_for(schemata, default=Draft202012Validator)
    validator = kind(schemata, format_checker=kind.FORMAT_CHECKER, registry=_NOTHING_ELSE)
    found: list[Violation] = []
    try:
        for error in validator.iter_errors(instance):
            found.extend(_each(prefix, error))
            if len(found) >= MOST_VIOLATIONS:
                break
    except Unresolvable as error:
        return (Violation(prefix, f"cannot be checked, the schema refers to what is not there: {error}"),)
    except (RecursionError, ArithmeticError):
        return (Violation(prefix, "cannot be checked: nested too deeply or beyond the range of numbers"),)
    return tuple(found[:MOST_VIOLATIONS])


def _references(node: object) -> Iterator[str]:
    if isinstance(node, dict):
        for name, value in node.items():
            if name in ("$ref", "$dynamicRef") and isinstance(value, str):
                yield value
            yield from _references(value)
    elif isinstance(node, list):
        for value in node:
            yield from _references(value)


def _each(prefix: str, error: ValidationError) -> Iterator[Violation]:
    """A missing property is named as the field, rather than the object that lacks it."""
    if error.validator == "required" and isinstance(error.instance, dict):
        name = error.message.split("'")[1] if "'" in error.message else ""
        yield Violation(_path(prefix, [*error.absolute_path, name]), "is required")
    else:
        yield _violation(prefix, error)


def _violation(prefix: str, error: ValidationError | SchemaError) -> Violation:
    return Violation(_path(prefix, list(error.absolute_path)), error.message[:LONGEST_MESSAGE])


def _path(prefix: str, parts: list[Any]) -> str:
    return ".".join(str(part) for part in [prefix, *parts] if part != "")

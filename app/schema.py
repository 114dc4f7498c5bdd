"""JSON Schema, Draft 7 to 2020-12: is a schema usable, does an instance satisfy it. Pure, and never reads a URL.

Patterns are matched by an engine whose time is linear in the text, so that none can stall a process by backtracking;
the price is that a pattern with look-around or a back-reference, which JSON Schema advises against, is refused when it
is registered.
"""

import json
from collections.abc import Iterator
from typing import Any

import jsonschema_rs
from jsonschema_rs import RegexOptions, ValidationError, ValidationErrorKind

from app.effort import Effort, Subschema, TooMuch, subschemas
from app.errors import Violation
from app.model import Json

DRAFTS = {
    "http://json-schema.org/draft-07/schema": "http://json-schema.org/draft-07/schema#",
    "https://json-schema.org/draft/2019-09/schema": "https://json-schema.org/draft/2019-09/schema",
    "https://json-schema.org/draft/2020-12/schema": "https://json-schema.org/draft/2020-12/schema",
}
LATEST = "https://json-schema.org/draft/2020-12/schema"
MOST_VIOLATIONS = 100
LONGEST_MESSAGE = 300
LARGEST_SCHEMA = 50_000  # values in it, counting those within each other
DEEPEST_SCHEMA = 200
MOST_LISTED = 100_000  # steps: an error holds a copy of what it is about, and all errors are made at once
_LIGHT = RegexOptions(size_limit=100_000, dfa_size_limit=10_000_000)
_HEAVY = RegexOptions(size_limit=1_000_000, dfa_size_limit=10_000_000)


class Validator:
    """A schema made ready, by `compiled`; it holds no instance and may be shared by threads."""

    def __init__(self, native: jsonschema_rs.Validator, effort: Effort) -> None:
        self._native = native
        self._effort = effort

    def violations(self, instance: object, prefix: str = "") -> tuple[Violation, ...]:
        """Every way in which an instance breaks the schema, at most 100 of them; `prefix` starts each field's path."""
        try:
            if not self._effort.is_light:
                self._effort.of(instance)
            if self._native.is_valid(instance):
                return ()
            return self._listed(instance, prefix)
        except TooMuch as error:
            return (Violation(prefix, f"cannot be checked, it {error}"),)
        except UnicodeError:
            return (Violation(prefix, "cannot be checked, it holds half of a surrogate pair"),)
        except ValueError as error:
            return (Violation(prefix, f"cannot be checked: {error}"[:LONGEST_MESSAGE]),)

    def _listed(self, instance: object, prefix: str) -> tuple[Violation, ...]:
        if self._effort.of(instance) > MOST_LISTED:
            return (*self._first(instance, prefix), Violation(prefix, "is too large for all violations to be listed"))
        found: dict[Violation, None] = {}  # in order, and once each
        for error in self._native.iter_errors(instance):
            found.update(dict.fromkeys(_each(prefix, error)))
            if len(found) >= MOST_VIOLATIONS:
                break
        return tuple(found)[:MOST_VIOLATIONS]

    def _first(self, instance: object, prefix: str) -> tuple[Violation, ...]:
        try:
            self._native.validate(instance)
        except ValidationError as error:
            return tuple(_each(prefix, error))[: MOST_VIOLATIONS - 1]
        return ()


class _Refusing(Validator):
    """In place of a schema that cannot be used: whoever registered it must change it before anything satisfies it."""

    def __init__(self, reason: str) -> None:
        self._reason = reason

    def violations(self, instance: object, prefix: str = "") -> tuple[Violation, ...]:  # noqa: ARG002 - nothing satisfies it
        return (Violation(prefix, f"cannot be checked, the schema {self._reason}"[:LONGEST_MESSAGE]),)


def compiled(schemata: Json) -> Validator:
    """A validator to keep while the schema is the same. Never raises: an unusable schema refuses everything."""
    try:
        unreadable = _unreadable(schemata)
        return _Refusing(unreadable) if unreadable else _compiled(dict(schemata))
    except TooMuch as error:
        return _Refusing(str(error))
    except (ValueError, jsonschema_rs.ReferencingError) as error:
        return _Refusing(f"is not usable: {getattr(error, 'message', error)}")


def violations(schemata: Json, instance: object, prefix: str = "") -> tuple[Violation, ...]:
    """As Validator.violations, for a schema that is needed once."""
    return compiled(schemata).violations(instance, prefix)


def schema_violations(schemata: Json) -> tuple[Violation, ...]:
    """Why a schema cannot be used; empty when it can."""
    draft = schemata.get("$schema", LATEST)
    meta = DRAFTS.get(draft.removesuffix("#")) if isinstance(draft, str) else None
    if meta is None:
        return (Violation("schemata.$schema", "is not a draft from Draft 7 to 2020-12"),)
    unreadable = _unreadable(schemata)
    if unreadable:
        return (Violation("schemata", unreadable),)
    found = [*_breaks_of_draft(meta, schemata)] or [*_breaks_within(schemata)] or [*_breaks_of_the_whole(schemata)]
    return tuple(dict.fromkeys(found))[:MOST_VIOLATIONS]


def _compiled(schemata: dict[str, Any]) -> Validator:
    try:
        native, has_heavy_patterns = _native(schemata, _LIGHT), False
    except ValidationError:
        native, has_heavy_patterns = _native(schemata, _HEAVY), True
    subs, lost = subschemas(schemata)
    if lost:
        raise ValueError(f"it refers to {lost[0][1]!r}, which it does not hold")
    return Validator(native, Effort(subs, has_heavy_patterns))


def _native(schemata: dict[str, Any], patterns: RegexOptions) -> jsonschema_rs.Validator:
    return jsonschema_rs.validator_for(schemata, validate_formats=True, offline=True, pattern_options=patterns)


def _unreadable(schemata: Json) -> str:
    """Why it is not even looked at; walks by levels, so that depth cannot exhaust the stack."""
    level: list[Any] = [dict(schemata)]
    count = 0
    for _ in range(DEEPEST_SCHEMA):
        count += len(level)
        if count > LARGEST_SCHEMA:
            return f"holds more than {LARGEST_SCHEMA} values"
        level = [part for value in level for part in _parts(value)]
        if not level:
            return "" if _is_unicode(schemata) else "holds half of a surrogate pair"
    return "is nested too deeply"


def _parts(value: object) -> list[Any]:
    if isinstance(value, dict):
        return list(value.values())
    return value if isinstance(value, list) else []


def _is_unicode(schemata: Json) -> bool:
    try:
        json.dumps(schemata, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return False
    return True


def _breaks_of_draft(meta: str, schemata: Json) -> Iterator[Violation]:
    native = _native({"$schema": meta, "$ref": meta}, _HEAVY)
    if not native.is_valid(schemata):
        for error in native.iter_errors(schemata):
            yield from _each("schemata", error)


def _breaks_within(schemata: Json) -> Iterator[Violation]:
    subs, lost = subschemas(schemata)
    for sub in subs:
        for ref in sub.references:
            if not ref.startswith("#"):
                yield Violation(sub.path, f"refers to {ref[:100]!r}, outside of itself")
    yield from (Violation(path, f"refers to {ref[:100]!r}, which is not there") for path, ref in lost if ref[:1] == "#")
    yield from _breaks_of_patterns(subs)


def _breaks_of_patterns(subs: list[Subschema]) -> Iterator[Violation]:
    for sub in subs:
        for keyword, pattern in sub.patterns:
            try:
                _native({"pattern": pattern}, _HEAVY)
            except ValidationError:
                rule = "is not a regular expression of moderate size without look-around and back-references"
                yield Violation(f"{sub.path}.{keyword}", f"{pattern[:100]!r} {rule}")


def _breaks_of_the_whole(schemata: Json) -> Iterator[Violation]:
    try:
        _compiled(dict(schemata))
    except TooMuch as error:
        yield Violation("schemata", str(error))
    except (ValueError, jsonschema_rs.ReferencingError) as error:
        yield Violation("schemata", f"cannot be used: {getattr(error, 'message', error)}"[:LONGEST_MESSAGE])


def _each(prefix: str, error: ValidationError) -> Iterator[Violation]:
    """A missing or unexpected property is named as the field, rather than the object that lacks or holds it."""
    kinds = ValidationErrorKind
    match error.kind:
        case kinds.Required(property=name):
            yield Violation(_path(prefix, [*error.instance_path, name]), "is required")
        case kinds.AdditionalProperties(unexpected=names) | kinds.UnevaluatedProperties(unexpected=names):
            for name in names[:MOST_VIOLATIONS]:
                yield Violation(_path(prefix, [*error.instance_path, name]), "is not a property that the schema allows")
        case _:
            yield Violation(_path(prefix, error.instance_path), error.message[:LONGEST_MESSAGE])


def _path(prefix: str, parts: list[Any]) -> str:
    return ".".join(str(part) for part in [prefix, *parts] if part != "")

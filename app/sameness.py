"""Whether two schemas are one but for annotations, and whether they exclude each other: no, where it is not shown."""

from app.conjunction import (
    ANNOTATIONS,
    OBJECT,
    Conjunction,
    Document,
    Plain,
    Schema,
    among,
    identity,
    member,
    required,
    types,
    values,
)
from app.effort import subschemas

_NAMED = {"properties", "patternProperties", "dependentSchemas", "dependencies"}
_LISTED = {"allOf", "anyOf", "oneOf", "prefixItems", "items"}
_SETS = {"required", "enum"}
_SINGLE = {
    *("not", "if", "then", "else", "items", "additionalItems", "unevaluatedItems", "contains", "propertyNames"),
    *("additionalProperties", "unevaluatedProperties"),
}


def are_disjoint(one: Conjunction, other: Conjunction, depth: int = 3) -> bool:
    """Whether no value can satisfy both, as far as types, values and required properties show it."""
    left, right = one.plain, other.plain
    both = types(left) & types(right)
    found, others = values(left), values(right)
    if not both or (found is not None and others is not None and not among(found, others)):
        return True
    return _differ_by_member(one, other, depth) or _excludes(left, one.document, other)


def _differ_by_member(one: Conjunction, other: Conjunction, depth: int) -> bool:
    """Whether they are objects that have a property for certain, and no value of it suits both."""
    left, right = one.plain, other.plain
    if depth == 0 or not types(left) & types(right) <= OBJECT:
        return False
    named = [
        required(plain) | {name for schema in plain for name in schema.get("properties", ())} for plain in (left, right)
    ]
    return any(
        are_disjoint(Conjunction(one.document, here), Conjunction(other.document, there), depth - 1)
        for name in (required(left) | required(right)) & named[0] & named[1]
        if (here := member(left, name)) and (there := member(right, name))
    )


def _excludes(plain: list[Plain], document: Document, other: Conjunction) -> bool:
    """Whether it says in so many words that it is not the other."""
    excluded = [schema["not"] for schema in plain if "not" in schema]
    return any(is_same(document, no, other.document, part) for no in excluded for part in other.schemas)


def is_same(document: Document, one: Schema, other_document: Document, other: Schema) -> bool:
    """Whether two schemas differ in annotations alone, and all that they refer to as well."""
    met: set[tuple[int, int]] = set()

    def same(left: Schema, right: Schema) -> bool:
        if (id(left), id(right)) in met:
            return True
        met.add((id(left), id(right)))
        if bare(left) != bare(right):
            return False
        pairs = zip(_references(left), _references(right), strict=True)
        return all(same(document.named(ref), other_document.named(ref)) for ref, _ in pairs)

    return same(one, other)


def _references(schema: Schema) -> list[str]:
    return [] if isinstance(schema, bool) else sorted(ref for sub in subschemas(schema)[0] for ref in sub.references)


def bare(schema: Schema) -> object:
    """A schema without annotations, in a form that is equal for schemas of one meaning."""
    if not isinstance(schema, dict):
        return identity(schema)
    return frozenset(
        (keyword, _bare(keyword, value)) for keyword, value in schema.items() if keyword not in ANNOTATIONS
    )


def _bare(keyword: str, value: object) -> object:
    if keyword in _NAMED and isinstance(value, dict):
        return frozenset((name, bare(part)) for name, part in value.items())
    if keyword in _LISTED and isinstance(value, list):
        return tuple(bare(part) for part in value)
    if keyword in _SETS and isinstance(value, list):
        return frozenset(identity(each) for each in value)
    return bare(value) if keyword in _SINGLE else identity(value)

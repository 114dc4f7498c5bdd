"""What a JSON Schema says once its references and allOf are written out: plain schemas that all hold for one value."""

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from math import ceil, floor
from typing import Any

from app.effort import pointed, subschemas
from app.model import Json
from app.schema import compiled

Schema = Any  # a JSON Schema, which may be true or false
Plain = dict[str, Any]  # a schema without $ref and allOf, in the words of 2020-12
TYPES = frozenset({"null", "boolean", "object", "array", "string", "integer", "fraction"})
OBJECT, ARRAY, STRING = frozenset({"object"}), frozenset({"array"}), frozenset({"string"})
NUMBER = frozenset({"integer", "fraction"})
NEVER: Plain = {"enum": []}
_UNNAMED = ("$recursiveRef", "$dynamicRef", "$vocabulary")
_CONJOINED = ("$ref", "allOf")
_EVALUATING = frozenset({"$ref", "allOf", "anyOf", "oneOf", "if", "not", "dependentSchemas", "dependencies"})


class Incomparable(Exception):
    """A schema leaves what this can reason about; the message says how."""


class Document:
    """A whole schema: what its references mean, and the words of its draft."""

    def __init__(self, root: Json) -> None:
        """Raises Incomparable for a schema with documents of their own inside, or with dynamic references."""
        self.root = root
        self.is_draft_7 = "draft-07" in str(root.get("$schema", ""))
        subs, lost = subschemas(root)
        if lost or any(sub.resource is not root or not sub.schema.keys().isdisjoint(_UNNAMED) for sub in subs):
            raise Incomparable("it refers to what only a reader of it can find")
        self._anchors = {
            str(sub.schema[keyword]).removeprefix("#"): sub.schema
            for sub in subs
            for keyword in ("$id", "$anchor", "$dynamicAnchor")
            if keyword in sub.schema
        }

    def flat(self, schema: Schema) -> Iterator[Plain]:
        """The plain schemas whose conjunction it is."""
        if isinstance(schema, bool):
            yield from () if schema else (NEVER,)
            return
        if "$ref" in schema:
            yield from self.flat(self.named(schema["$ref"]))
            if self.is_draft_7:  # where all beside a $ref is ignored
                return
        for part in schema.get("allOf", ()):
            yield from self.flat(part)
        rest = {keyword: value for keyword, value in schema.items() if keyword not in _CONJOINED}
        if "additionalProperties" not in rest and "unevaluatedProperties" in rest and _EVALUATING.isdisjoint(schema):
            rest["additionalProperties"] = rest.pop("unevaluatedProperties")
        if rest:
            yield _plain(rest)

    def refused(self, schema: Plain, values: list[Any]) -> list[Any] | None:
        """Which values do not satisfy a plain schema; None where it cannot be tried apart from its document."""
        references = [ref for sub in subschemas(schema)[0] for ref in sub.references]
        if any(not ref.startswith(("#/$defs/", "#/definitions/")) for ref in references):
            return None
        held = {keyword: self.root[keyword] for keyword in ("$schema", "$defs", "definitions") if keyword in self.root}
        validator = compiled({**(_of_draft_7(schema) if self.is_draft_7 else schema), **held})
        return [value for value in values if validator.violations(value)]

    def declared(self, schema: Schema, seen: tuple[int, ...] = ()) -> Iterator[str]:
        """Every property that a schema names for the value itself, in whichever branch."""
        if isinstance(schema, bool) or id(schema) in seen:
            return
        seen = (*seen, id(schema))
        yield from schema.get("properties", ())
        yield from schema.get("required", ())
        for names in schema.get("dependentRequired", {}).values():
            yield from names
        parts = [schema[keyword] for keyword in ("if", "then", "else") if keyword in schema]
        parts += [self.named(schema["$ref"])] if "$ref" in schema else []
        for keyword in ("anyOf", "oneOf", "allOf"):
            parts += schema.get(keyword, ())
        for keyword in ("dependentSchemas", "dependencies"):
            for part in schema.get(keyword, {}).values():
                parts += [{"required": part}] if isinstance(part, list) else [part]
        for part in parts:
            yield from self.declared(part, seen)

    def named(self, ref: str) -> Schema:
        """What a reference means."""
        return self._anchors[ref[1:]] if ref[1:] in self._anchors else pointed(self.root, ref)


def _plain(schema: Plain) -> Plain:
    for name, part in schema.pop("dependencies", {}).items():
        keyword = "dependentRequired" if isinstance(part, list) else "dependentSchemas"
        schema[keyword] = {**schema.get(keyword, {}), name: part}
    if isinstance(schema.get("items"), list):
        schema["prefixItems"] = schema.pop("items")
        if "additionalItems" in schema:
            schema["items"] = schema["additionalItems"]
    schema.pop("additionalItems", None)
    return schema


def _of_draft_7(schema: Plain) -> Plain:
    """Draft 7 has other words for tuples and dependencies; a plain schema goes back to them before it is tried."""
    old = dict(schema)
    if "prefixItems" in old:
        rest = {"additionalItems": old["items"]} if "items" in old else {}
        old = {**old, "items": old.pop("prefixItems"), **rest}
    old["dependencies"] = {**old.pop("dependentRequired", {}), **old.pop("dependentSchemas", {})}
    return old


@dataclass(frozen=True)
class Conjunction:
    """Schemas of one document that all hold for a value, as they stand there."""

    document: Document
    schemas: tuple[Schema, ...]

    @property
    def plain(self) -> list[Plain]:
        return [plain for schema in self.schemas for plain in self.document.flat(schema)]

    def also(self, *schemas: Schema) -> "Conjunction":
        return Conjunction(self.document, (*self.schemas, *schemas))

    def declared(self) -> list[str]:
        return sorted({name for schema in self.schemas for name in self.document.declared(schema)})


ANNOTATIONS = {
    *("$schema", "$id", "$comment", "$anchor", "$dynamicAnchor", "$recursiveAnchor", "$defs", "definitions"),
    *("title", "description", "default", "examples", "deprecated", "readOnly", "writeOnly", "contentSchema"),
}


def types(plain: list[Plain]) -> frozenset[str]:
    """Which types a value can have; an integer is what has no fraction, however it is written."""
    found = TYPES
    for schema in plain:
        if "type" in schema:
            found &= _types(schema["type"])
    found_values = values(plain)
    return found if found_values is None else found & {type_of(value) for value in found_values}


def _types(names: str | list[str]) -> frozenset[str]:
    listed = [names] if isinstance(names, str) else names
    return frozenset(listed) & TYPES | (NUMBER if "number" in listed else frozenset())


def type_of(value: object) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int | float):
        return "integer" if value == value // 1 else "fraction"
    return "string" if isinstance(value, str) else "array" if isinstance(value, list) else "object"


def values(plain: list[Plain]) -> list[Any] | None:
    """The few values there can be, by enum and const; None when nothing names them."""
    found: list[Any] | None = None
    for schema in plain:
        for keyword in schema.keys() & {"enum", "const"}:
            listed = schema["enum"] if keyword == "enum" else [schema["const"]]
            found = listed if found is None else [value for value in found if is_in(value, listed)]
    return found


def is_in(value: object, listed: list[Any]) -> bool:
    return any(identity(value) == identity(other) for other in listed)


def identity(value: object) -> object:
    """Equal for values that are equal in JSON: 1 and 1.0 are, 1 and true are not."""
    if isinstance(value, dict):
        return frozenset((name, identity(member)) for name, member in value.items())
    if isinstance(value, list):
        return ("array", *(identity(item) for item in value))
    return (type_of(value) == "boolean", value)


def lower(plain: list[Plain]) -> tuple[Fraction, bool] | None:
    """The lower bound, and whether it is itself left out; for integers the next one up is not left out."""
    found = [(Fraction(s["minimum"]), False) for s in plain if "minimum" in s]
    found += [(Fraction(s["exclusiveMinimum"]), True) for s in plain if "exclusiveMinimum" in s]
    if found and "fraction" not in types(plain):
        found = [(Fraction(floor(bound) + 1 if exclusive else ceil(bound)), False) for bound, exclusive in found]
    return max(found) if found else None


def upper(plain: list[Plain]) -> tuple[Fraction, bool] | None:
    """The upper bound with its sign changed, so that upper bounds compare as lower ones do."""
    mirrored = [{new: -s[old] for old, new in _MIRROR.items() if old in s} for s in plain]
    kinds = [{"type": s["type"]} for s in plain if "type" in s]
    return lower([*mirrored, *kinds])


_MIRROR = {"maximum": "minimum", "exclusiveMaximum": "exclusiveMinimum"}


def required(plain: list[Plain]) -> set[str]:
    return {name for schema in plain for name in schema.get("required", ())}


def member(plain: list[Plain], name: str) -> tuple[Schema, ...] | None:
    """All that is said of a property by those that say something; None when none does."""
    found: list[Schema] = []
    for schema in plain:
        named = [schema["properties"][name]] if name in schema.get("properties", {}) else []
        named += [part for pattern, part in schema.get("patternProperties", {}).items() if matches(pattern, name)]
        if not named and "additionalProperties" in schema:
            named = [schema["additionalProperties"]]
        found += named
    return tuple(found) if found else None


@lru_cache(maxsize=10_000)
def matches(pattern: str, name: str) -> bool:
    return not compiled({"pattern": pattern}).violations(name)


def item(plain: list[Plain], index: int) -> tuple[Schema, ...]:
    """All that is said of the item at an index; an index beyond all prefixes asks for the rest."""
    found: list[Schema] = []
    for schema in plain:
        prefix = schema.get("prefixItems", ())
        found += [prefix[index]] if index < len(prefix) else [schema["items"]] if "items" in schema else []
    return tuple(found)


def longest_prefix(plain: list[Plain]) -> int:
    return max((len(schema.get("prefixItems", ())) for schema in plain), default=0)


def are_disjoint(one: Conjunction, other: Conjunction, depth: int = 3) -> bool:
    """Whether no value can satisfy both, as far as types, values and required properties show it."""
    left, right = one.plain, other.plain
    both = types(left) & types(right)
    if not both or _excludes(left, one.document, other):
        return True
    found, others = values(left), values(right)
    if found is not None and others is not None:
        return not any(is_in(value, others) for value in found)
    if depth == 0 or not both <= OBJECT:
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

    return document.is_draft_7 == other_document.is_draft_7 and same(one, other)


def _references(schema: Schema) -> list[str]:
    return [] if isinstance(schema, bool) else sorted(ref for sub in subschemas(schema)[0] for ref in sub.references)


def bare(schema: Schema) -> object:
    """A schema without annotations, in a form that is equal for schemas of one meaning."""
    if not isinstance(schema, dict):
        return identity(schema)
    return frozenset(
        (keyword, _bare(keyword, value)) for keyword, value in schema.items() if keyword not in ANNOTATIONS
    )


def _bare(keyword: str, value: Any) -> object:
    if keyword in ("properties", "patternProperties", "dependentSchemas", "dependencies") and isinstance(value, dict):
        return frozenset((name, bare(part)) for name, part in value.items())
    if keyword in ("allOf", "anyOf", "oneOf", "prefixItems", "items") and isinstance(value, list):
        return tuple(bare(part) for part in value)
    if keyword in ("required", "enum") and isinstance(value, list):
        return frozenset(identity(each) for each in value)
    return identity(value) if keyword in ("const", "default", "enum") else bare(value)

"""What a JSON Schema says once its references and allOf are written out: plain schemas that all hold for one value."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cached_property, lru_cache
from math import ceil, floor
from typing import Any

from app.effort import pointed, subschemas
from app.model import Json
from app.schema import LATEST, Validator, compiled

Schema = Any  # a JSON Schema, which may be true or false
Plain = dict[str, Any]  # a schema without $ref and allOf, in the words of 2020-12
TYPES = frozenset({"null", "boolean", "object", "array", "string", "integer", "fraction"})
MOST_HELD = 1_000  # places of a document that is made ready again and again, to try values where it has references
OBJECT, ARRAY, STRING = frozenset({"object"}), frozenset({"array"}), frozenset({"string"})
NUMBER = frozenset({"integer", "fraction"})
NEVER: Plain = {"enum": []}
_UNNAMED = ("$recursiveRef", "$dynamicRef", "$vocabulary")
_CONJOINED = ("$ref", "allOf")
DRAFT_7 = "http://json-schema.org/draft-07/schema"
_UNKNOWN = {  # words that a draft does not have, and so ignores
    DRAFT_7: {
        *("dependentRequired", "dependentSchemas", "prefixItems", "unevaluatedItems", "unevaluatedProperties"),
        *("minContains", "maxContains"),
    },
    "https://json-schema.org/draft/2019-09/schema": {"prefixItems"},
}
_EVALUATING = frozenset({"$ref", "allOf", "anyOf", "oneOf", "if", "not", "dependentSchemas", "dependencies"})


class Incomparable(Exception):
    """A schema leaves what this can reason about; the message says how."""


class Document:
    """A whole schema: what its references mean, and the words of its draft."""

    def __init__(self, root: Json) -> None:
        """Raises Incomparable for a schema with documents of their own inside, or with dynamic references."""
        self.root = root
        self.draft = str(root.get("$schema", LATEST)).removesuffix("#")
        self.is_draft_7 = self.draft == DRAFT_7
        subs, lost = subschemas(root)
        if lost or any(sub.resource is not root or not sub.schema.keys().isdisjoint(_UNNAMED) for sub in subs):
            raise Incomparable("it refers to what only a reader of it can find")
        self.places = len(subs)
        self.names = sum(len(sub.members) for sub in subs)
        self.patterns = sum(keyword == "patternProperties" for sub in subs for keyword, _ in sub.patterns)
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
        ignored = _UNKNOWN.get(self.draft, set()).union(_CONJOINED)
        rest = {keyword: value for keyword, value in schema.items() if keyword not in ignored}
        if "additionalProperties" not in rest and "unevaluatedProperties" in rest and _EVALUATING.isdisjoint(schema):
            rest["additionalProperties"] = rest.pop("unevaluatedProperties")
        if rest:
            yield _plain(rest)

    def refused(self, schema: Plain, values: list[Any]) -> list[Any] | None:
        """Which values do not satisfy a plain schema; None where it cannot be tried apart from its document."""
        references = [ref for sub in subschemas(schema)[0] for ref in sub.references]
        if any(not ref.startswith(("#/$defs/", "#/definitions/")) for ref in references):
            return None
        if references and self.places > MOST_HELD:
            return None
        with_it = ("$schema", "$defs", "definitions") if references else ("$schema",)
        held = {keyword: self.root[keyword] for keyword in with_it if keyword in self.root}
        validator = compiled({**self._in_its_words(schema), **held})
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

    def _in_its_words(self, schema: Plain) -> Plain:
        """Older drafts have other words for tuples, and Draft 7 for what depends; a schema is tried in its own."""
        old = dict(schema)
        if self.draft != LATEST and "prefixItems" in old:
            rest = {"additionalItems": old["items"]} if "items" in old else {}
            old = {**old, "items": old.pop("prefixItems"), **rest}
        if self.is_draft_7:
            old["dependencies"] = {**old.pop("dependentRequired", {}), **old.pop("dependentSchemas", {})}
        return old

    def named(self, ref: str) -> Schema:
        """What a reference means."""
        return self._anchors[ref[1:]] if ref[1:] in self._anchors else pointed(self.root, ref)


def _plain(schema: Plain) -> Plain:
    for name, part in schema.pop("dependencies", {}).items():
        keyword, known = ("dependentRequired", []) if isinstance(part, list) else ("dependentSchemas", True)
        known = schema.get(keyword, {}).get(name, known)
        both = [*known, *part] if isinstance(part, list) else part if known is True else {"allOf": [known, part]}
        schema[keyword] = {**schema.get(keyword, {}), name: both}
    if isinstance(schema.get("items"), list):
        schema["prefixItems"] = schema.pop("items")
        if "additionalItems" in schema:
            schema["items"] = schema["additionalItems"]
    schema.pop("additionalItems", None)
    return schema


@dataclass(frozen=True)
class Conjunction:
    """Schemas of one document that all hold for a value, as they stand there."""

    document: Document
    schemas: tuple[Schema, ...]
    written_out: tuple[Plain, ...] = ()
    names: frozenset[str] = frozenset()  # properties that what it was cut out of declares

    @cached_property
    def plain(self) -> list[Plain]:
        return [*self.written_out, *(plain for schema in self.schemas for plain in self.document.flat(schema))]

    def also(self, *schemas: Schema) -> "Conjunction":
        return replace(self, schemas=(*self.schemas, *schemas))

    @cached_property
    def declared(self) -> frozenset[str]:
        """Every property that is named, in whichever branch."""
        parts = (*self.schemas, *self.written_out)
        return self.names.union(*(self.document.declared(schema) for schema in parts))


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
        if "not" in schema and takes_all(schema["not"]):
            found = frozenset()
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
            found = listed if found is None else among(found, listed)
    return found


def among(values: list[Any], listed: list[Any]) -> list[Any]:
    """Those of the values that are listed, too."""
    known = {identity(other) for other in listed}
    return [value for value in values if identity(value) in known]


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
    return _once(found) if found else None


def matches(pattern: str, name: str) -> bool:
    return not _pattern(pattern).violations(name)


@lru_cache(maxsize=1_000)
def _pattern(pattern: str) -> Validator:
    return compiled({"pattern": pattern})


def item(plain: list[Plain], index: int) -> tuple[Schema, ...]:
    """All that is said of the item at an index; an index beyond all prefixes asks for the rest."""
    found: list[Schema] = []
    for schema in plain:
        prefix = schema.get("prefixItems", ())
        found += [prefix[index]] if index < len(prefix) else [schema["items"]] if "items" in schema else []
    return _once(found)


def _once(schemas: list[Schema]) -> tuple[Schema, ...]:
    """Each place of the document once, or a recursive schema would say more of a value at each level, without end."""
    return tuple({id(schema): schema for schema in schemas}.values())


def takes_all(schema: Schema) -> bool:
    return schema is True or (isinstance(schema, dict) and schema.keys() <= ANNOTATIONS)


def longest_prefix(plain: list[Plain]) -> int:
    return max((len(schema.get("prefixItems", ())) for schema in plain), default=0)

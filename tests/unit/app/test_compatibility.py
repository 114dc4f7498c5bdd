"""Changes of a schema and whom they break, as a table; and the promise that what is let through breaks nobody."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, given, note, settings
from hypothesis import strategies as st

from app.compatibility import breaks
from app.model import Compatibility, Json
from app.schema import compiled, schema_violations

BACKWARD, FORWARD, FULL, NONE = (Compatibility(mode) for mode in ("BACKWARD", "FORWARD", "FULL", "NONE"))
DRAFT_7 = {"$schema": "http://json-schema.org/draft-07/schema#"}
DRAFT_2019 = {"$schema": "https://json-schema.org/draft/2019-09/schema"}
INT, STR, NUM = {"type": "integer"}, {"type": "string"}, {"type": "number"}
TREE: dict[str, Any] = {
    "type": "object",
    "properties": {"name": STR, "children": {"type": "array", "items": {"$ref": "#"}}},
}
IF_BOOK = {"if": {"properties": {"kind": {"const": "book"}}, "required": ["kind"]}}


def thing(properties: Json | None = None, *required: str, **more: object) -> dict[str, Any]:
    return {"type": "object", "properties": properties or {}, "required": list(required), **more}


def closed(properties: Json, *required: str) -> dict[str, Any]:
    return thing(properties, *required, additionalProperties=False)


CARD = thing({"kind": {"const": "card"}, "number": STR}, "kind", "number")
CASH = thing({"kind": {"const": "cash"}, "paid": NUM}, "kind", "paid")
BANK = thing({"kind": {"const": "bank"}, "iban": STR}, "kind", "iban")
# What changes from the first to the second schema, and of BACKWARD and FORWARD those that let it pass.
CHANGES: list[tuple[str, Any, Any, str]] = [
    # … nothing that matters
    ("nothing", thing({"a": INT}), thing({"a": INT}), "BF"),
    (
        "annotations",
        {"type": "string"},
        {"type": "string", "title": "t", "description": "d", "default": "", "examples": []},
        "BF",
    ),
    ("an annotation deep inside", {"oneOf": [CARD, CASH]}, {"oneOf": [CARD, {"title": "t", **CASH}]}, "BF"),
    ("the order of what is required", thing({}, "a", "b"), thing({}, "b", "a"), "BF"),
    ("an unknown keyword", {}, {"x-owner": "shop"}, "BF"),
    (
        "the draft, when it is the default",
        STR,
        {**STR, "$schema": "https://json-schema.org/draft/2020-12/schema"},
        "BF",
    ),
    ("the draft", STR, {**DRAFT_7, **STR}, ""),
    # … properties
    ("an optional property more", thing({"a": INT}), thing({"a": INT, "b": STR}), "BF"),
    ("an optional property less", thing({"a": INT, "b": STR}), thing({"a": INT}), "BF"),
    ("an optional property more, closed", closed({"a": INT}), closed({"a": INT, "b": STR}), "B"),
    ("an optional property less, closed", closed({"a": INT, "b": STR}), closed({"a": INT}), "F"),
    (
        "an optional property more, expected",
        thing(additionalProperties=True),
        thing({"a": INT}, additionalProperties=True),
        "F",
    ),
    ("a required property more", thing({"a": INT}), thing({"a": INT, "b": STR}, "b"), "F"),
    ("required made optional", thing({"a": INT}, "a"), thing({"a": INT}), "B"),
    ("optional made required", thing({"a": INT}), thing({"a": INT}, "a"), "F"),
    ("a required property closed in", closed({"a": INT}), closed({"a": INT, "b": INT}, "b"), ""),
    ("required, then declared", thing({}, "a"), thing({"a": INT}, "a"), "F"),
    ("another type of a property", thing({"a": INT}), thing({"a": STR}), ""),
    ("a wider type of a property", thing({"a": INT}), thing({"a": NUM}), "B"),
    ("deep inside", thing({"a": thing({"b": INT})}), thing({"a": thing({"b": NUM})}), "B"),
    ("a forbidden property", thing({"a": INT}), thing({"a": False}), "F"),
    ("a property renamed", thing({"a": INT}, "a"), thing({"b": INT}, "b"), ""),
    ("a property renamed, optional and closed", closed({"a": INT}), closed({"b": INT}), ""),
    # … open and closed objects
    ("closing", thing({"a": INT}), closed({"a": INT}), "F"),
    ("opening", closed({"a": INT}), thing({"a": INT}), "B"),
    ("saying that it is open", thing({"a": INT}), thing({"a": INT}, additionalProperties=True), "BF"),
    ("a type for all others", thing(additionalProperties=INT), thing(additionalProperties=NUM), "B"),
    ("a property like the others", thing(additionalProperties=INT), thing({"a": NUM}, additionalProperties=INT), "B"),
    ("a property unlike the others", thing(additionalProperties=INT), thing({"a": STR}, additionalProperties=INT), ""),
    ("closing by unevaluated", thing({"a": INT}), thing({"a": INT}, unevaluatedProperties=False), "F"),
    (
        "more, closed by unevaluated",
        thing({"a": INT}, unevaluatedProperties=False),
        thing({"a": INT, "b": INT}, unevaluatedProperties=False),
        "B",
    ),
    ("a pattern of names", thing({"x-a": INT}), thing({"x-a": INT}, patternProperties={"^x-": INT}), "BF"),
    ("a pattern that refuses a property", thing({"x-a": INT}), thing(patternProperties={"^x-": STR}), ""),
    ("a wider pattern property", thing(patternProperties={"^x-": INT}), thing(patternProperties={"^x-": NUM}), "B"),
    (
        "a pattern beside the closed ones",
        closed({"a": INT}),
        {**closed({"a": INT}), "patternProperties": {"^x-": INT}},
        "B",
    ),
    ("a pattern takes a property over", closed({"x-a": INT}), {**closed({}), "patternProperties": {"^x-": INT}}, "B"),
    ("names of a length", thing({"a": INT}), thing({"a": INT}, propertyNames={"maxLength": 3}), "BF"),
    ("names too long", thing({"abcd": INT}), thing({"abcd": INT}, propertyNames={"maxLength": 3}), "F"),
    ("longer names", thing(propertyNames={"maxLength": 3}), thing(propertyNames={"maxLength": 4}), "B"),
    ("more properties", thing(maxProperties=3, minProperties=2), thing(maxProperties=4, minProperties=1), "B"),
    ("required ones are counted", thing({}, "a", "b"), thing({}, "a", "b", minProperties=2), "BF"),
    (
        "one depends on another",
        thing({"a": INT, "b": INT}),
        thing({"a": INT, "b": INT}, dependentRequired={"a": ["b"]}),
        "F",
    ),
    (
        "depends on what is required",
        thing({"a": INT}, "b"),
        thing({"a": INT}, "b", dependentRequired={"a": ["b"]}),
        "F B".replace(" ", ""),
    ),
    (
        "depends on what is never there",
        closed({"b": INT}),
        {**closed({"b": INT}), "dependentRequired": {"a": ["b"]}},
        "BF",
    ),
    (
        "a schema depends",
        thing({"a": INT, "b": INT}),
        thing({"a": INT, "b": INT}, dependentSchemas={"a": {"required": ["b"]}}),
        "F",
    ),
    (
        "depends in Draft 7",
        {**DRAFT_7, **thing({"a": INT, "b": INT})},
        {**DRAFT_7, **thing({"a": INT, "b": INT}, dependencies={"a": ["b"]})},
        "F",
    ),
    ("a word that Draft 7 ignores", {**DRAFT_7, "dependentRequired": {"a": ["b"]}}, {**DRAFT_7}, "BF"),
    # … types and values
    ("a nullable type", STR, {"type": ["string", "null"]}, "B"),
    ("a nullable alternative", STR, {"anyOf": [STR, {"type": "null"}]}, "B"),
    ("the same by other words", {"type": ["string", "null"]}, {"anyOf": [STR, {"type": "null"}]}, "BF"),
    ("the same by oneOf", {"type": ["string", "null"]}, {"oneOf": [STR, {"type": "null"}]}, "BF"),
    ("a number has all types of it", {"type": ["integer", "number"]}, NUM, "BF"),
    ("a type where there was none", {}, STR, "F"),
    ("anything", STR, True, "B"),
    ("nothing at all", STR, {"not": {}}, "F"),
    ("a value more", {"enum": ["a"]}, {"enum": ["a", "b"]}, "B"),
    ("a value less", {"enum": ["a", "b", 1]}, {"enum": ["a", 1.0]}, "F"),
    ("one is not true", {"const": 1}, {"const": True}, ""),
    ("constant to enum", {"const": "a"}, {"enum": ["a", "b"]}, "B"),
    ("enum to its type", {"enum": ["a", "b"]}, STR, "B"),
    ("enum to a pattern", {"enum": ["a", "ab"]}, {"pattern": "^a"}, "B"),
    ("enum to a pattern that misses one", {"enum": ["a", "b"]}, {"pattern": "^a"}, ""),
    ("all booleans", {"type": "boolean"}, {"enum": [True, False]}, "BF"),
    ("an enum of objects", {"enum": [{"a": 1}]}, thing({"a": INT}, "a"), "B"),
    # … numbers
    ("a wider range", {**INT, "minimum": 1, "maximum": 9}, {**INT, "minimum": 0, "maximum": 10}, "B"),
    ("a bound where there was none", INT, {**INT, "minimum": 0}, "F"),
    ("a bound left out", {"minimum": 0}, {"exclusiveMinimum": 0}, "F"),
    (
        "the same bound for integers",
        {**INT, "minimum": 1, "maximum": 9},
        {**INT, "exclusiveMinimum": 0, "exclusiveMaximum": 10},
        "BF",
    ),
    ("not the same for numbers", {**NUM, "exclusiveMinimum": 0}, {**NUM, "minimum": 1}, "F"),
    ("a bound that concerns no text", STR, {**STR, "minimum": 5}, "BF"),
    ("huge bounds", {"maximum": 10**400}, {"maximum": 10**401}, "B"),
    ("a coarser step", {"multipleOf": 2}, {"multipleOf": 4}, "F"),
    ("integers in ones", INT, {**NUM, "multipleOf": 1}, "B"),
    ("steps of fractions", {"multipleOf": 0.1}, {"multipleOf": 0.2}, ""),
    # … texts
    ("a longer text", {**STR, "minLength": 1, "maxLength": 5}, {**STR, "maxLength": 6}, "B"),
    ("a pattern", STR, {**STR, "pattern": "^a"}, "F"),
    ("another pattern", {"pattern": "^a"}, {"pattern": "^a+"}, ""),
    ("a format", STR, {**STR, "format": "email"}, "F"),
    # … arrays
    ("wider items", {"items": INT}, {"items": NUM}, "B"),
    ("items where there were any", {"type": "array"}, {"type": "array", "items": INT}, "F"),
    ("more items", {"minItems": 1, "maxItems": 2}, {"minItems": 0, "maxItems": 3}, "B"),
    ("each item once", {"type": "array"}, {"type": "array", "uniqueItems": True}, "F"),
    ("one item is there once", {"maxItems": 1}, {"uniqueItems": True, "maxItems": 1}, "BF"),
    ("a tuple of the same", {"items": INT}, {"prefixItems": [INT, INT], "items": INT}, "BF"),
    ("a wider tuple", {"prefixItems": [INT]}, {"prefixItems": [NUM]}, "B"),
    ("a longer tuple", {"prefixItems": [INT], "items": False}, {"prefixItems": [INT, INT], "items": False}, "B"),
    (
        "a tuple that ends the array",
        {"prefixItems": [INT], "maxItems": 1},
        {"prefixItems": [INT], "items": False},
        "BF",
    ),
    ("a tuple of Draft 7", {**DRAFT_7, "items": [INT], "additionalItems": INT}, {**DRAFT_7, "items": NUM}, "B"),
    ("a tuple of 2019-09", {**DRAFT_2019, "items": [INT]}, {**DRAFT_2019, "items": [NUM]}, "B"),
    ("contains", {"type": "array"}, {"type": "array", "contains": INT}, "F"),
    ("contains wider", {"contains": INT}, {"contains": NUM}, "B"),
    (
        "contains as before, and more",
        {"contains": INT, "maxContains": 2, "minItems": 1},
        {"contains": INT, "maxContains": 2},
        "B",
    ),
    ("a tuple of values, 2019-09", {**DRAFT_2019, "const": [1]}, {**DRAFT_2019, "items": [STR]}, ""),
    ("a tuple of values, Draft 7", {**DRAFT_7, "const": [1]}, {**DRAFT_7, "items": [STR], "additionalItems": INT}, ""),
    (
        "old words beside new ones",
        {"const": {"a": 1, "b": 1}},
        {"dependentSchemas": {"a": {"required": ["c"]}}, "dependencies": {"a": {}}},
        "",
    ),
    # … combinations
    ("an alternative more", {"anyOf": [INT, STR]}, {"anyOf": [INT, STR, {"type": "null"}]}, "B"),
    ("a wider alternative", {"anyOf": [{**INT, "minimum": 0}, STR]}, {"anyOf": [INT, STR]}, "B"),
    ("other alternatives", {"anyOf": [INT, STR]}, {"anyOf": [STR, INT]}, "BF"),
    ("a kind more", {"oneOf": [CARD, CASH]}, {"oneOf": [CARD, CASH, BANK]}, "B"),
    ("a kind more, of whatever is an object", thing(oneOf=[CARD, CASH]), thing(oneOf=[CASH, BANK, CARD]), "B"),
    ("a kind that overlaps", {"oneOf": [INT, STR]}, {"oneOf": [INT, STR, {"minimum": 3}]}, ""),
    ("all of it in parts", {"allOf": [INT, {"minimum": 0}]}, {**INT, "minimum": 0}, "BF"),
    ("a part more", {"allOf": [thing({"a": INT})]}, {"allOf": [thing({"a": INT}), {"required": ["a"]}]}, "F"),
    (
        "branches declare, too",
        {"anyOf": [{"properties": {"a": INT}}, {"properties": {"b": INT}}]},
        {"properties": {"a": INT}},
        "F",
    ),
    ("not", thing({"a": INT}), thing({"a": {"not": STR}}), "B"),
    (
        "not as before",
        thing({"a": INT}, **{"not": {"required": ["b"]}}),
        thing({"a": NUM}, **{"not": {"required": ["b"]}}),
        "B",
    ),
    ("not any more", {"not": STR}, {}, "B"),
    (
        "a condition",
        thing({"kind": STR, "isbn": STR}),
        thing({"kind": STR, "isbn": STR}, **IF_BOOK, then={"required": ["isbn"]}),
        "F",
    ),
    (
        "a condition as before",
        thing({"a": INT}, **IF_BOOK, then={"required": ["isbn"]}),
        thing({"a": NUM}, **IF_BOOK, then={"required": ["isbn"]}),
        "B",
    ),
    (
        "a milder condition",
        thing(**IF_BOOK, then={"required": ["a", "b"]}),
        thing(**IF_BOOK, then={"required": ["a"]}),
        "B",
    ),
    (
        "a condition that never comes about",
        thing({"kind": {"const": "cd"}}, "kind"),
        thing({"kind": {"const": "cd"}}, "kind", **IF_BOOK, then=False),
        "BF",
    ),
    (
        "unevaluated beside others",
        {"allOf": [thing({"a": INT})]},
        {"allOf": [thing({"a": INT})], "unevaluatedProperties": False},
        "F",
    ),
    # … references
    ("written out", thing({"a": {"$ref": "#/$defs/x"}}, **{"$defs": {"x": INT}}), thing({"a": INT}), "BF"),
    ("behind a reference", {"$ref": "#/$defs/x", "$defs": {"x": INT}}, {"$ref": "#/$defs/x", "$defs": {"x": NUM}}, "B"),
    (
        "beside a reference",
        {"$ref": "#/$defs/x", "$defs": {"x": INT}},
        {"$ref": "#/$defs/x", "$defs": {"x": INT}, "minimum": 0},
        "F",
    ),
    (
        "ignored beside a reference",
        {**DRAFT_7, "$ref": "#/definitions/x", "definitions": {"x": INT}},
        {**DRAFT_7, "$ref": "#/definitions/x", "definitions": {"x": INT}, "minimum": 0},
        "BF",
    ),
    (
        "behind one that is kept",
        {"not": {"$ref": "#/$defs/x"}, "$defs": {"x": INT}},
        {"not": {"$ref": "#/$defs/x"}, "$defs": {"x": NUM}},
        "",
    ),
    ("a definition that nobody uses", {**STR, "$defs": {"x": INT}}, STR, "BF"),
    ("by name", {"$ref": "#x", "$defs": {"a": {"$anchor": "x", **INT}}}, INT, "BF"),
    ("a tree, a property more", TREE, {**TREE, "properties": {**TREE["properties"], "age": INT}}, "BF"),
    ("a tree, closed", TREE, {**TREE, "additionalProperties": False}, "F"),
    ("a tree, required", TREE, {**TREE, "required": ["name"]}, "F"),
    (
        "a tree unrolled once",
        TREE,
        {
            **TREE,
            "properties": {
                **TREE["properties"],
                "children": {
                    "type": "array",
                    "items": TREE | {"properties": {**TREE["properties"], "children": {"items": {"$ref": "#"}}}},
                },
            },
        },
        "B",
    ),
    (
        "what only a reader finds",
        {"$dynamicAnchor": "n", "items": {"$dynamicRef": "#n"}},
        {"$dynamicAnchor": "n", "items": {"$dynamicRef": "#n"}, "title": "t"},
        "",
    ),
]


@pytest.mark.parametrize(("old", "new", "passes"), [row[1:] for row in CHANGES], ids=[row[0] for row in CHANGES])
def test_tells_which_mode_lets_a_change_pass(old: Any, new: Any, passes: str) -> None:
    old, new = (schema if isinstance(schema, dict) else {} for schema in (old, new))
    assert (schema_violations(old), schema_violations(new)) == ((), ())
    found = {mode: breaks(old, new, mode) for mode in (BACKWARD, FORWARD, FULL)}
    assert {mode.value[0] for mode in (BACKWARD, FORWARD) if not found[mode]} == set(passes), found
    assert set(found[FULL]) == {*found[BACKWARD], *found[FORWARD]}
    assert breaks(old, new, NONE) == ()


@pytest.mark.parametrize(("old", "new", "passes"), [row[1:] for row in CHANGES], ids=[row[0] for row in CHANGES])
def test_the_way_back_breaks_whom_the_way_there_did_not(old: Any, new: Any, passes: str) -> None:
    old, new = (schema if isinstance(schema, dict) else {} for schema in (old, new))
    modes = {"B": FORWARD, "F": BACKWARD}
    assert {mode for mode in "BF" if not breaks(new, old, modes[mode])} == set(passes)


@pytest.mark.parametrize(
    ("old", "new", "mode", "field", "message"),
    [
        (
            thing({"id": INT}),
            thing({"id": STR}),
            BACKWARD,
            "schemata.properties.id.type",
            "takes no integer: who reads with the new",
        ),
        (
            thing({"id": INT}),
            thing({"id": STR}),
            FORWARD,
            "schemata.properties.id.type",
            "takes no string: who reads with the old",
        ),
        (
            thing({"id": INT}),
            thing({"id": INT}, "id"),
            BACKWARD,
            "schemata.required",
            "requires 'id', which may be left out",
        ),
        (closed({"id": INT}), closed({}), BACKWARD, "schemata.additionalProperties.id", "takes no property 'id'"),
        (
            {"items": {**STR, "maxLength": 9}},
            {"items": {**STR, "maxLength": 8}},
            BACKWARD,
            "schemata.items.maxLength",
            "wants 8 at most",
        ),
        ({"enum": ["a", "b"]}, {"enum": ["a"]}, BACKWARD, "schemata", "refuses 'b'"),
        ({**INT, "minimum": 0}, {**INT, "minimum": 1}, BACKWARD, "schemata.minimum", "has the bound 1"),
        ({**DRAFT_7}, {}, BACKWARD, "schemata", "cannot be compared, they are of different drafts"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_says_where_and_whom_it_breaks(old: Json, new: Json, mode: Compatibility, field: str, message: str) -> None:
    (found,) = breaks(old, new, mode)
    assert found.field == field
    assert found.message.startswith(message)


def test_lists_every_break() -> None:
    old, new = thing({"a": INT, "b": STR, "c": INT}), thing({"a": STR, "b": INT, "c": NUM}, "a", "b")
    fields = [found.field for found in breaks(old, new, BACKWARD)]
    assert sorted(fields) == [
        "schemata.properties.a.type",
        "schemata.properties.b.type",
        "schemata.required",
        "schemata.required",
    ]


def test_what_leans_on_a_pair_that_turns_out_broken_is_compared_again() -> None:
    """`r` passes as long as `p` is taken to pass; `first` has another alternative, but `q` has none."""

    def turned(first: Json, s: Json) -> Json:
        p = {"allOf": [{"$ref": "#/$defs/x"}, {"properties": {"s": s}}]}
        definitions = {"t": {"properties": {"p": p}}, "x": {"properties": {"r": {"$ref": "#/$defs/t"}}}}
        return {"properties": {"first": first, "q": {"$ref": "#/$defs/x"}}, "$defs": definitions}

    old, new = turned({"$ref": "#/$defs/t"}, INT), turned({"anyOf": [{"$ref": "#/$defs/t"}, {}]}, STR)
    assert [found.message[:16] for found in breaks(old, new, BACKWARD)] == ["takes no integer"]


@pytest.mark.parametrize(
    "schemata",
    [
        {"anyOf": [{"anyOf": [{"properties": {f"p{n}{m}": INT}} for n in range(9)]} for m in range(9)]},
        {"allOf": [{"oneOf": [{"required": [f"a{n}"]}, {"required": [f"b{n}"]}]} for n in range(30)]},
        {"allOf": [{"$ref": "#/$defs/a"}] * 2, "$defs": {"a": {"items": {"allOf": [{"items": {"$ref": "#"}}] * 2}}}},
    ],
    ids=["alternatives", "pairs", "recursion"],
)
def test_ends_where_there_are_too_many_combinations(schemata: Json) -> None:
    """That it ends is what is shown; whether it could tell is not promised."""
    assert breaks(schemata, {**schemata, "minProperties": 5, "minItems": 5}, FULL)


# A language of small schemas, and mutations of them, in which changes often pass.
NAMES = ["a", "b", "x-c"]
SMALL = st.integers(-2, 4)
VALUES = st.sampled_from([None, True, False, 0, 1, 2, 1.5, "", "a", "ab", [], [1], {}, {"a": 1}])
TYPES = st.sampled_from(["null", "boolean", "integer", "number", "string", "array", "object"])


def keywords(inner: st.SearchStrategy[Any]) -> dict[str, st.SearchStrategy[Any]]:
    schemas, lists = inner | st.booleans(), st.lists(inner, min_size=1, max_size=3)
    named = st.dictionaries(st.sampled_from(NAMES), schemas, max_size=3)
    names, count = st.lists(st.sampled_from(NAMES), unique=True, max_size=2), st.integers(0, 3)
    return {
        "type": TYPES | st.lists(TYPES, min_size=1, max_size=3, unique=True),
        "enum": st.lists(VALUES, min_size=1, max_size=4),
        "const": VALUES,
        **dict.fromkeys(("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"), SMALL),
        "multipleOf": st.sampled_from([1, 2, 0.5]),
        **dict.fromkeys(("minLength", "maxLength", "minItems", "maxItems", "minProperties", "maxProperties"), count),
        "pattern": st.sampled_from(["^a", "b$"]),
        "uniqueItems": st.booleans(),
        "properties": named,
        "patternProperties": st.dictionaries(st.sampled_from(["^x-", "^[ab]$"]), schemas, max_size=2),
        **dict.fromkeys(("additionalProperties", "items", "contains", "not", "if", "then", "else"), schemas),
        "unevaluatedProperties": st.booleans(),
        "propertyNames": st.sampled_from([{"maxLength": 1}, {"enum": ["a", "b"]}, {"pattern": "^x-"}]),
        "required": names,
        "dependentRequired": st.dictionaries(st.sampled_from(NAMES), names, max_size=2),
        "dependentSchemas": named,
        **dict.fromkeys(("anyOf", "oneOf", "allOf", "prefixItems"), lists),
        "$ref": st.sampled_from(["#/$defs/one", "#/$defs/two"]),
    }


LEAVES = keywords(st.just({}))


def few(chosen: dict[str, st.SearchStrategy[Any]]) -> st.SearchStrategy[dict[str, Any]]:
    """Schemas of each keyword at once let nothing pass; four of them are more like what people write."""
    names = st.lists(st.sampled_from(sorted(chosen)), unique=True, max_size=4)
    return names.flatmap(lambda drawn: st.fixed_dictionaries({name: chosen[name] for name in drawn}))


ORDINARY: list[dict[str, Any]] = [
    INT,
    STR,
    NUM,
    {},
    thing({"a": INT}),
    closed({"a": STR}),
    CARD,
    {"type": ["string", "null"]},
]
SCHEMAS = st.recursive(
    st.sampled_from(ORDINARY),
    lambda inner: few(keywords(inner)) | st.builds(dict, properties=st.dictionaries(st.sampled_from(NAMES), inner)),
    max_leaves=6,
)


@st.composite
def pairs(draw: Callable[[st.SearchStrategy[Any]], Any]) -> tuple[Json, Json]:
    """A schema, and what a few changes made of it."""
    definitions = {
        "$defs": {
            "one": draw(st.sampled_from([INT, thing({"a": INT}), CASH])),
            "two": {"items": {"$ref": "#/$defs/two"}},
        }
    }
    old = draw(SCHEMAS)
    new = old
    for _ in range(draw(st.integers(1, 3))):
        new = changed(draw, new)
    return {**old, **definitions}, {**new, **definitions}


def changed(draw: Callable[[st.SearchStrategy[Any]], Any], schema: Any) -> Any:
    if not isinstance(schema, dict) or draw(st.integers(0, 3)) == 0:
        return draw(SCHEMAS)
    keyword = draw(st.sampled_from(sorted(schema) or ["type"]))
    rest = {name: value for name, value in schema.items() if name != keyword}
    match draw(st.integers(0, 3)):
        case 0:
            return rest
        case 1:
            added = draw(st.sampled_from(sorted(LEAVES)))
            return {**schema, added: draw(LEAVES[added])}
        case 2:
            return {"anyOf": [schema, draw(SCHEMAS)]}
        case _:
            return {**rest, keyword: inside(draw, schema.get(keyword), keyword)}


def inside(draw: Callable[[st.SearchStrategy[Any]], Any], value: Any, keyword: str) -> Any:
    if keyword in ("properties", "patternProperties", "dependentSchemas") and value:
        name = draw(st.sampled_from(sorted(value)))
        return {**value, name: changed(draw, value[name])}
    if keyword in ("anyOf", "oneOf", "allOf", "prefixItems") and value:
        return [changed(draw, value[0]), *value[1:]]
    return draw(LEAVES[keyword])


def instances(schemas: list[Any], root: Json, depth: int = 3) -> st.SearchStrategy[Any]:
    """Values for what these say of one place, with no property that none of them names there."""
    here = [schema for schema in spread(schemas, root, 6) if isinstance(schema, dict)]
    hints = [
        value
        for schema in here
        for value in [*schema.get("enum", ()), *([schema["const"]] if "const" in schema else [])]
    ]
    scalars = (
        VALUES.filter(lambda value: not isinstance(value, dict | list))
        | SMALL
        | st.sampled_from([0.5, "b", "abc", "x-"])
    )
    options = [
        scalars,
        *([st.sampled_from([value for value in hints if declares(here, value)] or [None])] if hints else []),
    ]
    if depth:
        names = sorted(declared(here))
        members = {name: instances(parts(here, name), root, depth - 1) for name in names}
        kinds = {"items", "prefixItems", "contains"}
        items = [
            part
            for schema in here
            for k in kinds & schema.keys()
            for part in (schema[k] if k == "prefixItems" else [schema[k]])
        ]
        options += [
            st.fixed_dictionaries({}, optional=members),
            st.lists(instances(items, root, depth - 1), max_size=3),
        ]
    return st.one_of(options)


def spread(schemas: list[Any], root: Json, depth: int) -> Iterator[Any]:
    for schema in schemas:
        yield schema
        if isinstance(schema, dict) and depth:
            inner = [schema[keyword] for keyword in ("if", "then", "else") if keyword in schema]
            inner += [part for keyword in ("anyOf", "oneOf", "allOf") for part in schema.get(keyword, ())]
            inner += [*schema.get("dependentSchemas", {}).values()]
            inner += [root["$defs"][schema["$ref"].rpartition("/")[2]]] if "$ref" in schema else []
            yield from spread(inner, root, depth - 1)


def declared(here: list[dict[str, Any]]) -> set[str]:
    named = {name for schema in here for name in [*schema.get("properties", ()), *schema.get("required", ())]}
    named |= {name for schema in here for names in schema.get("dependentRequired", {}).values() for name in names}
    announced = any("additionalProperties" in schema or "patternProperties" in schema for schema in here)
    return named | (
        set(NAMES)
        if announced and not any("additionalProperties" not in schema and schema for schema in here)
        else set()
    )


def declares(here: list[dict[str, Any]], value: Any) -> bool:
    return not isinstance(value, dict) or value.keys() <= declared(here)


def parts(here: list[dict[str, Any]], name: str) -> list[Any]:
    found = [schema["properties"][name] for schema in here if name in schema.get("properties", {})]
    found += [part for schema in here for part in schema.get("patternProperties", {}).values()]
    return found + [schema["additionalProperties"] for schema in here if "additionalProperties" in schema]


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.filter_too_much, HealthCheck.too_slow])
@given(pair=pairs(), data=st.data())
def test_whoever_reads_with_a_schema_that_passed_accepts_what_was_written(
    pair: tuple[Json, Json], data: st.DataObject
) -> None:
    old, new = pair
    assume(not schema_violations(old) and not schema_violations(new))
    forward, backward = breaks(new, old, FORWARD), breaks(old, new, BACKWARD)
    assert len(forward) == len(backward)
    assume(not backward)
    writer, reader = compiled(old), compiled(new)
    for _ in range(10):
        instance = data.draw(instances([old], old))
        if not writer.violations(instance):
            note(f"{old} -> {new}: {instance}")
            assert reader.violations(instance) == ()


@settings(max_examples=200, deadline=None)
@given(schemata=SCHEMAS)
def test_a_schema_never_breaks_itself(schemata: Json) -> None:
    whole = {**schemata, "$defs": {"one": INT, "two": {"items": {"$ref": "#/$defs/two"}}}}
    assert breaks(whole, whole, FULL) == ()
    assert breaks(whole, {**whole, "title": "a copy"}, FULL) == ()

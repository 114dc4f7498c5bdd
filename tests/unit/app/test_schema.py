"""Schemas are refused for reasons that are listed, instances too; and neither can stop or stall the process."""

import json
import subprocess
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.errors import Violation
from app.model import Json
from app.schema import LONGEST_MESSAGE, MOST_VIOLATIONS, compiled, schema_violations, violations

DRAFT_7 = "http://json-schema.org/draft-07/schema#"
DRAFT_2019 = "https://json-schema.org/draft/2019-09/schema"
DRAFT_2020 = "https://json-schema.org/draft/2020-12/schema"


def fields(found: tuple[Violation, ...]) -> set[str]:
    return {violation.field for violation in found}


def nested(levels: int) -> list[Any]:
    value: list[Any] = []
    for _ in range(levels):
        value = [value]
    return value


def doubled(keyword: str, levels: int = 30) -> Json:
    """Each definition applies the next one twice: 2³⁰ steps from a schema of 31 lines."""
    steps = {
        f"a{level}": {"allOf": [twice(keyword, f"#/$defs/a{level + 1}"), twice(keyword, f"#/$defs/a{level + 1}")]}
        for level in range(levels)
    }
    return {"$ref": "#/$defs/a0", "$defs": {**steps, f"a{levels}": {"type": "string"}}}


def twice(keyword: str, ref: str) -> Json:
    return {"$ref": ref} if keyword == "$ref" else {keyword: {"$ref": ref}}


@pytest.mark.parametrize(
    "schemata",
    [
        {},
        {"type": "object"},
        {
            "$schema": DRAFT_7,
            "definitions": {"a": {"type": "string"}},
            "properties": {"x": {"$ref": "#/definitions/a"}},
        },
        {"$schema": DRAFT_7.removesuffix("#"), "$id": "http://shop.test/order.json"},
        {"$schema": DRAFT_7, "properties": {"x": {"$id": "#/properties/x", "type": "string"}}},
        {"$schema": DRAFT_7, "properties": {"x": {"$id": "#x"}, "y": {"$ref": "#x"}}},
        {"$schema": DRAFT_2019, "$recursiveAnchor": True, "items": {"$recursiveRef": "#"}},
        {"$schema": DRAFT_2020, "$dynamicAnchor": "node", "items": {"$dynamicRef": "#node"}},
        {"$defs": {"a b": {"$anchor": "a"}}, "properties": {"x": {"$ref": "#a"}, "y": {"$ref": "#/$defs/a%20b"}}},
        {"$defs": {"a/b~": True}, "$ref": "#/$defs/a~1b~0"},
        {"properties": {"$ref": {"type": "string"}, "const": {"$ref": "#"}}},
        {"const": {"$ref": "http://elsewhere.test/"}, "default": {"$ref": "#/nowhere"}},
        {"enum": list(range(40_000))},
        {"pattern": r"^\p{L}{1,5}$"},
        {"format": "what-no-one-knows"},
        {"maximum": 10**400, "multipleOf": 1e-300},
    ],
    ids=lambda schemata: str(schemata)[:60],
)
def test_accepts_a_schema_that_can_be_used(schemata: Json) -> None:
    assert schema_violations(schemata) == ()


@pytest.mark.parametrize(
    ("schemata", "field", "message"),
    [
        ({"$schema": "http://json-schema.org/draft-04/schema#"}, "schemata.$schema", "is not a draft"),
        ({"$schema": "http://127.0.0.1:1/own"}, "schemata.$schema", "is not a draft"),
        ({"$schema": 7}, "schemata.$schema", "is not a draft"),
        ({"properties": {"a": {"type": "text"}}}, "schemata.properties.a.type", "not valid"),
        ({"properties": {"a": 3}}, "schemata.properties.a", "not of types"),
        ({"multipleOf": 0}, "schemata.multipleOf", "0"),
        ({"maxLength": 1.5}, "schemata.maxLength", "not of type"),
        ({"$id": "::::"}, "schemata.$id", "uri-reference"),
        ({"$ref": "#/nowhere"}, "schemata", "refers to '#/nowhere', which is not there"),
        ({"$defs": {"a": {"$ref": "#nowhere"}}}, "schemata.$defs.a", "which is not there"),
        ({"items": {"$dynamicRef": "http://127.0.0.1:1/x"}}, "schemata.items", "outside of itself"),
        ({"$ref": "file:///etc/passwd"}, "schemata", "outside of itself"),
        ({"$ref": DRAFT_2020}, "schemata", "outside of itself"),
        ({"$ref": "#"}, "schemata", "refers to itself without end"),
        ({"allOf": [{"not": {"$ref": "#"}}]}, "schemata", "refers to itself without end"),
        ({"$ref": "#/$defs/a", "$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"$ref": "#/$defs/a"}}}, "schemata", "end"),
        (doubled("$ref"), "schemata", "asks too much of one value"),
        ({"pattern": "("}, "schemata.pattern", "regex"),
        ({"properties": {"a": {"pattern": "^(?!b)"}}}, "schemata.properties.a.pattern", "look-around"),
        ({"pattern": r"(a)\1"}, "schemata.pattern", "back-references"),
        ({"pattern": "((((a{1000}){1000}){1000}){1000})"}, "schemata.pattern", "moderate size"),
        ({"patternProperties": {"(?=a)": {}}}, "schemata.patternProperties", "look-around"),
        ({"enum": list(range(60_000))}, "schemata", "holds more than"),
        ({"const": nested(250)}, "schemata", "nested too deeply"),
        ({"title": "\ud800"}, "schemata", "surrogate"),
        ({"properties": {"\udfff": {}}}, "schemata", "surrogate"),
    ],
    ids=lambda value: str(value)[:60],
)
def test_refuses_a_schema_that_cannot_be_used(schemata: Json, field: str, message: str) -> None:
    found = schema_violations(schemata)
    assert fields(found) == {field}
    assert message in found[0].message
    assert fields(compiled(schemata).violations({}, "payload")) <= {"payload"}  # and never raises


def test_lists_all_that_is_wrong_with_a_schema_and_each_thing_once() -> None:
    found = schema_violations({"minimum": "x", "maxLength": -1, "properties": {"a": {"required": [1]}, "b": 3}})
    assert len(found) == len(set(found))
    assert fields(found) >= {"schemata.minimum", "schemata.maxLength", "schemata.properties.b"}
    assert len(schema_violations({"properties": {f"p{n}": 3 for n in range(1000)}})) == MOST_VIOLATIONS


ORDER = {
    "type": "object",
    "properties": {
        "id": {"type": "integer", "minimum": 1},
        "to": {"type": "string", "format": "email"},
        "lines": {
            "type": "array",
            "items": {"required": ["sku"], "unevaluatedProperties": False, "properties": {"sku": {}}},
        },
        "never": False,
    },
    "required": ["id", "to"],
    "dependentRequired": {"never": ["reason"]},
    "propertyNames": {"maxLength": 6},
    "additionalProperties": False,
}


@pytest.mark.parametrize(
    ("instance", "expected"),
    [
        ({"id": 1, "to": "a@shop.test"}, set()),
        ({"id": 1.0, "to": "a@shop.test", "lines": [{"sku": 1}]}, set()),
        ({}, {"payload.id", "payload.to"}),
        ({"id": 0, "to": "nobody"}, {"payload.id", "payload.to"}),
        ({"id": True, "to": None}, {"payload.id", "payload.to"}),
        (
            {"id": 1, "to": "a@b.test", "lines": [{"sku": 1}, {"a": 1, "b": 2}]},
            {f"payload.lines.1.{n}" for n in ("sku", "a", "b")},
        ),
        ({"id": 1, "to": "a@b.test", "x": 1, "y.z": 2}, {"payload.x", "payload.y.z"}),
        ({"id": 1, "to": "a@b.test", "never": 1}, {"payload.never", "payload.reason"}),
        ({"id": 1, "to": "a@b.test", "longname": 1}, {"payload", "payload.longname"}),
        ([], {"payload"}),
    ],
    ids=str,
)
def test_names_each_field_that_breaks_the_schema(instance: object, expected: set[str]) -> None:
    assert fields(compiled(ORDER).violations(instance, "payload")) == expected
    assert fields(violations(ORDER, instance, "payload")) == expected


def test_says_what_is_wrong_in_the_words_of_the_contract() -> None:
    assert compiled(ORDER).violations({"to": "a@b.test", "x": 1}, "payload") == (
        Violation("payload.id", "is required"),
        Violation("payload.x", "is not a property that the schema allows"),
    )
    assert compiled({"required": ["a"]}).violations({}) == (Violation("a", "is required"),)


@pytest.mark.parametrize("draft", [DRAFT_7, DRAFT_2019, DRAFT_2020, None])
@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("date-time", "yesterday"),
        ("uuid", "1"),
        ("ipv4", "1.2.3"),
        ("uri", "no uri"),
        ("date", "2026-13-01"),
        ("email", "@"),
    ],
)
def test_asserts_formats_in_every_draft(draft: str | None, name: str, wrong: str) -> None:
    schemata = {"format": name} | ({"$schema": draft} if draft else {})
    if (draft, name) != (DRAFT_7, "uuid"):  # which Draft 7 did not know yet
        assert compiled(schemata).violations(wrong, "payload")


def test_lists_at_most_a_hundred_violations_with_short_messages() -> None:
    found = compiled({"items": {"type": "integer"}}).violations(["x" * 1000] * 500, "payload")
    assert len(found) == MOST_VIOLATIONS
    assert max(len(violation.message) for violation in found) == LONGEST_MESSAGE


def test_says_so_when_an_instance_is_too_large_for_a_full_list() -> None:
    found = compiled({"items": {"required": [f"p{n}" for n in range(5000)]}}).violations([{}] * 300, "payload")
    assert [found[0].field, found[-1].message] == ["payload.0.p0", "is too large for all violations to be listed"]


HOSTILE: dict[str, tuple[Json, str]] = {
    "deep, into a recursive schema": ({"items": {"$ref": "#"}}, "nested(100_000)"),
    "deep, into a dynamic reference": ({"$dynamicAnchor": "n", "items": {"$dynamicRef": "#n"}}, "nested(100_000)"),
    "deep, into what looks at nothing": ({"type": "object"}, "nested(100_000)"),
    "deep, twice": ({"uniqueItems": True}, "[nested(100_000), nested(100_000)]"),
    "deep, for a constant": ({"const": [[1]]}, "nested(100_000)"),
    "doubling with the depth": (doubled("items"), "nested(40)"),
    "recursion that doubles": ({"anyOf": [{"items": {"$ref": "#"}, "minItems": 1}] * 2}, "nested(60)"),
    "a million errors": ({"items": {"required": [f"p{n}" for n in range(5000)]}}, "[{}] * 3000"),
    "copies of a large value": ({"allOf": [{"not": {"maxLength": 10**7 + n}} for n in range(2000)]}, "'x' * 10**6"),
    "catastrophic backtracking": ({"pattern": "^(a+)+$"}, "'a' * 50 + 'b'"),
    "catastrophic backtracking in a name": (
        {"patternProperties": {"^(a|a)*$": {}}, "additionalProperties": False},
        "{'a' * 50 + 'b': 1}",
    ),
    "a slow pattern on a long text": ({"pattern": "(a|b|ab|ba){1,1500}c"}, "'ab' * 300_000"),
    "many patterns": ({"items": {"allOf": [{"pattern": "[ab]*a[ab]{500}c"}] * 100}}, "['ab' * 5000] * 100"),
    "slow numbers": ({"items": {"allOf": [{"multipleOf": 0.1}] * 90}}, "[0.5] * 250_000"),
    "a large enum of objects": ({"items": {"enum": [{"a": n} for n in range(5000)]}}, "[{'a': -1}] * 20_000"),
    "a large enum": ({"enum": list(range(40_000))}, "-1"),
    "a huge integer": ({"type": "integer", "maximum": 5, "multipleOf": 7}, "10**400"),
    "a huge integer in a huge schema": ({"maximum": 10**400, "multipleOf": 10**300}, "10**4000 + 1"),
    "a huge integer of the wrong type": ({"type": "string"}, "10**5000"),
    "the smallest step": ({"multipleOf": 5e-324, "not": {}}, "1.7e308"),
    "not a number": ({"type": "number"}, "float('nan')"),
    "infinity": ({"type": "number"}, "float('inf')"),
    "half of a surrogate pair": ({"type": "string", "maxLength": 1}, r"'\ud800'"),
    "half of a surrogate pair, wrong": ({"type": "integer"}, r"'\ud800'"),
    "half of a surrogate pair in a name": ({"properties": {"a": True}, "not": {}}, r"{'\ud800': 1}"),
    "names that are no strings": ({"properties": {"a": {}}, "not": {}}, "{1: 2}"),
    "what is not JSON": ({"type": "string"}, "object()"),
    "an unusable schema": ({"pattern": "("}, "'x'"),
    "a schema within itself": ({"$ref": "#"}, "1"),
    "a schema elsewhere": ({"$ref": "http://127.0.0.1:1/"}, "1"),
    "a meta schema elsewhere": ({"$schema": "http://127.0.0.1:1/"}, "1"),
    "the meta schema": ({"$ref": DRAFT_2020}, "1"),
    "doubling for one value": (doubled("$ref"), "1"),
    "a long chain": (
        {"$ref": "#/$defs/0", "$defs": {**{str(n): {"$ref": f"#/$defs/{n + 1}"} for n in range(5000)}, "5000": {}}},
        "1",
    ),
}
PROGRAM = """
import json, resource, sys
resource.setrlimit(resource.RLIMIT_AS, (3 << 30, 3 << 30))
from app.schema import compiled, schema_violations
def nested(levels):
    value = []
    for _ in range(levels):
        value = [value]
    return value
schemata = json.load(sys.stdin)
schema_violations(schemata)
found = compiled(schemata).violations(eval(sys.argv[1]), "payload")
assert len(found) <= 100 and all(len(each.message) <= 300 and each.field.startswith("payload") for each in found)
print("refused" if found else "passed")
"""


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_pair_is_refused_by_a_process_that_lives_on(name: str) -> None:
    """In a process of its own, since a full stack would end this one; the timeout is a guard and measures nothing."""
    schemata, instance = HOSTILE[name]
    program = [sys.executable, "-c", PROGRAM, instance]
    ran = subprocess.run(program, input=json.dumps(schemata), capture_output=True, text=True, timeout=60)
    assert (ran.returncode, ran.stdout.strip()) == (0, "refused"), ran.stderr[-2000:]


@pytest.mark.parametrize(
    ("schemata", "instance"),
    [
        ({"items": {"$ref": "#"}}, nested(60)),
        ({"properties": {"left": {"$ref": "#"}, "right": {"$ref": "#"}}}, {"left": {"right": {"left": {}}}}),
        ({"type": "array", "uniqueItems": True, "items": {"type": "integer"}}, list(range(100_000))),
        ({"maxLength": 10**6}, "x" * 10**6),
        ({"pattern": r"^\w+$"}, "x" * 20_000),
        ({"multipleOf": 0.01}, 19.99),
        ({"multipleOf": 0.1}, 0.3),
        ({"multipleOf": 1e-7}, 1e300),
        ({"type": "integer", "minimum": 0}, 10**400),
        ({"enum": [10**400]}, 10**400),
        ({"const": 1}, 1.0),
        ({"pattern": "^a$"}, "a"),
    ],
    ids=lambda value: str(value)[:60],
)
def test_what_is_merely_large_or_odd_passes(schemata: Json, instance: object) -> None:
    assert schema_violations(schemata) == ()
    assert compiled(schemata).violations(instance) == ()


def test_a_dollar_is_the_very_end_of_a_text() -> None:
    assert compiled({"pattern": "^a$"}).violations("a\n")


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(st.characters()),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["a", "$ref", "items", "x"]), inner, max_size=3)
    ),
    max_leaves=8,
)
KEYWORDS = st.sampled_from(
    ["type", "properties", "items", "$ref", "$id", "enum", "pattern", "not", "allOf", "required", "$defs"]
)


@given(schemata=st.dictionaries(KEYWORDS, VALUES, max_size=4), instance=VALUES)
def test_no_schema_and_no_instance_raises(schemata: Json, instance: object) -> None:
    found = compiled(schemata).violations(instance)
    if not schema_violations(schemata):
        assert not [each for each in found if "the schema" in each.message and "cannot be checked" in each.message]

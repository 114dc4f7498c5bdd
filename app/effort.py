"""How much work a schema makes of an instance, counted before it is done: native code that has begun cannot be stopped.

A schema of a few lines can ask for 2³⁰ steps by naming its own parts twice each, and a list of all errors can hold a
megabyte of the instance a thousand times. Most schemas are known to be light once they are read, and cost nothing.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from graphlib import CycleError, TopologicalSorter
from typing import Any
from urllib.parse import unquote

from app.model import Json

LIGHT = 100  # a schema without recursion and with no more work than this may meet any instance a body can hold
MOST_WORK = 2_000_000  # about a second of native code at worst
MOST_DEPTH = 300  # subschemas within each other; native code has no guard of its own against the end of the stack
MOST_AT_ONCE = 10_000  # steps for one value, without its parts

_NAMED = {"properties", "patternProperties", "dependentSchemas", "dependencies", "$defs", "definitions"}
_HERE = {"allOf", "anyOf", "oneOf", "not", "if", "then", "else", "dependentSchemas", "dependencies"}
_EACH_MEMBER = {"patternProperties", "additionalProperties", "unevaluatedProperties"}
_EACH_ITEM = {"items", "prefixItems", "additionalItems", "unevaluatedItems", "contains"}
_HELD = {"properties", "propertyNames", "$defs", "definitions"}
_APPLYING = _HERE | _EACH_MEMBER | _EACH_ITEM | _HELD
_REFERRING = ("$ref", "$dynamicRef", "$recursiveRef")
_MULTIPLE_OF = 10  # decimal arithmetic
_LIGHT_PATTERN, _HEAVY_PATTERN = 5, 80  # for each character


class TooMuch(Exception):
    """The schema or the instance asks for more than is done for anyone; the message says what is wrong with it."""


@dataclass(eq=False)
class Subschema:
    """One place of a schema. Those in `here` apply to the same value, the others to parts of it."""

    path: str
    schema: Json
    resource: Json  # what a reference that starts with # is relative to
    here: list["Subschema"] = field(default_factory=list)
    members: dict[str, "Subschema"] = field(default_factory=dict)
    each_member: list["Subschema"] = field(default_factory=list)
    each_item: list["Subschema"] = field(default_factory=list)
    names: list["Subschema"] = field(default_factory=list)

    @property
    def patterns(self) -> list[tuple[str, str]]:
        """Each with its keyword."""
        own, named = self.schema.get("pattern"), self.schema.get("patternProperties")
        found = [("pattern", own)] if isinstance(own, str) else []
        return found + [("patternProperties", pattern) for pattern in (named if isinstance(named, dict) else ())]

    @property
    def references(self) -> list[str]:
        return [ref for keyword in _REFERRING if isinstance(ref := self.schema.get(keyword), str)]

    @property
    def parts(self) -> list["Subschema"]:
        return [*self.members.values(), *self.each_member, *self.each_item, *self.names]

    @property
    def weight(self) -> int:
        """The steps of this place alone, without its patterns."""
        dependent = self.schema.get("dependentRequired")
        required = [self.schema.get("required"), *(dependent.values() if isinstance(dependent, dict) else [])]
        steps = sum(len(names) for names in required if isinstance(names, list))
        return 1 + steps + _choices(self.schema.get("enum")) + (_MULTIPLE_OF if "multipleOf" in self.schema else 0)


def subschemas(schemata: Json) -> tuple[list[Subschema], list[tuple[str, str]]]:
    """Every subschema, the root first, linked with each other; and each reference to nothing, with its place."""
    found: dict[int, Subschema] = {}
    _collect(Subschema("schemata", schemata, schemata), found)
    lost: list[tuple[str, str]] = []
    linked = 0
    while linked < len(found):  # what only a reference reaches is collected on the way
        sub = list(found.values())[linked]
        linked += 1
        for ref in sub.references:
            targets = _pointed(sub, ref, found) or _anchored(ref, found)
            sub.here.extend(targets)
            if not targets and not isinstance(pointed(sub.resource, ref), bool):
                lost.append((sub.path, ref))
    return list(found.values()), lost


def _collect(root: Subschema, found: dict[int, Subschema]) -> None:
    waiting = [root]
    while waiting:
        sub = waiting.pop()
        found[id(sub.schema)] = sub
        for keyword, name, schema in _children(sub.schema):
            inner = found.get(id(schema)) or Subschema(_join(sub.path, keyword, name), schema, _resource(schema, sub))
            _link(sub, keyword, name, inner)
            if id(schema) not in found:
                found[id(schema)] = inner
                waiting.append(inner)


def _children(schema: Json) -> Iterator[tuple[str, str, Json]]:
    for keyword in schema.keys() & _APPLYING:
        value = schema[keyword]
        if isinstance(value, list):
            named = [(str(index), each) for index, each in enumerate(value)]
        elif isinstance(value, dict):
            named = list(value.items()) if keyword in _NAMED else [("", value)]
        else:
            named = []
        yield from ((keyword, name, child) for name, child in named if isinstance(child, dict))


def _link(outer: Subschema, keyword: str, name: str, inner: Subschema) -> None:
    if keyword in _HERE:
        outer.here.append(inner)
    elif keyword in _EACH_MEMBER:
        outer.each_member.append(inner)
    elif keyword in _EACH_ITEM:
        outer.each_item.append(inner)
    elif keyword == "properties":
        outer.members[name] = inner
    elif keyword == "propertyNames":
        outer.names.append(inner)


def _resource(schema: Json, outer: Subschema) -> Json:
    identity = schema.get("$id")
    return schema if isinstance(identity, str) and not identity.startswith("#") else outer.resource


def _pointed(sub: Subschema, ref: str, found: dict[int, Subschema]) -> list[Subschema]:
    schema = pointed(sub.resource, ref)
    if not isinstance(schema, dict):
        return []  # true and false make no work
    if id(schema) not in found:
        _collect(Subschema(_join("schemata", *ref[2:].split("/")), schema, sub.resource), found)
    if "$recursiveRef" in sub.schema:
        return [found[id(schema)], *(other for other in found.values() if other.schema.get("$recursiveAnchor") is True)]
    return [found[id(schema)]]


def _anchored(ref: str, found: dict[int, Subschema]) -> list[Subschema]:
    """All that have the name, for which of them a dynamic reference means shows only when it is followed."""
    return [sub for sub in found.values() if ref.startswith("#") and ref[1:] in _anchors(sub.schema)]


def _anchors(schema: Json) -> Iterator[str]:
    for keyword in ("$anchor", "$dynamicAnchor", "$id"):  # in Draft 7 an $id such as "#name" is an anchor
        name = schema.get(keyword)
        if isinstance(name, str) and (keyword != "$id" or name.startswith("#")):
            yield name.removeprefix("#")


def pointed(root: Json, ref: str) -> object:
    """What a reference such as `#/$defs/a` names within `root`; None when that is nothing."""
    here: Any = root
    for part in ref[2:].split("/") if ref.startswith("#/") else []:
        name = unquote(part).replace("~1", "/").replace("~0", "~")
        if isinstance(here, dict) and name in here:
            here = here[name]
        elif isinstance(here, list) and name.isdecimal() and int(name) < len(here):
            here = here[int(name)]
        else:
            return None
    return here if ref in ("", "#") or ref.startswith("#/") else None


class Effort:
    """The work that one schema makes; `is_light` when no instance that fits into a body can make it much."""

    def __init__(self, subs: list[Subschema], has_heavy_patterns: bool) -> None:
        """Takes what `subschemas` found. Raises TooMuch for a schema that no instance could be checked against."""
        self._root = subs[0]
        self._weights = {sub: sub.weight for sub in subs}
        self._pattern = _HEAVY_PATTERN if has_heavy_patterns else _LIGHT_PATTERN
        if max(_totals(subs, self._weights, parts=False).values()) > MOST_AT_ONCE:
            raise TooMuch("asks too much of one value")
        self.is_light = not has_heavy_patterns and self._total(subs) <= LIGHT

    def of(self, instance: object) -> int:
        """The steps of checking it, and of holding it in as many errors. Raises TooMuch, which may be for its depth."""
        try:
            return self._steps(self._root, instance, {}, _sizes(instance), 0)
        except RecursionError as error:
            raise TooMuch("is nested too deeply") from error

    def _total(self, subs: list[Subschema]) -> float:
        with_patterns = {sub: self._weights[sub] + 4 * self._pattern * len(sub.patterns) for sub in subs}
        try:
            return _totals(subs, with_patterns, parts=True)[self._root]
        except TooMuch:  # the schema is recursive: only the instance ends it
            return float("inf")

    def _steps(
        self, sub: Subschema, value: object, known: dict[tuple[int, int], int], sizes: dict[int, int], depth: int
    ) -> int:
        key = (id(sub), id(value))
        if key in known:
            return known[key]
        if depth > MOST_DEPTH:
            raise TooMuch("is nested too deeply")
        steps = self._weights[sub] + sizes[id(value)] + self._characters(sub, value)
        for inner, part in _met(sub, value):
            sizes.setdefault(id(part), 1)  # the name of a member has not been measured
            steps += self._steps(inner, part, known, sizes, depth + 1)
            if steps > MOST_WORK:
                raise TooMuch("takes too much work to check")
        known[key] = steps
        return steps

    def _characters(self, sub: Subschema, value: object) -> int:
        if isinstance(value, str):
            return self._pattern * len(value) if "pattern" in sub.schema else 0
        if isinstance(value, dict) and "patternProperties" in sub.schema:
            return self._pattern * sum(map(len, value)) * len(sub.patterns)
        return 0


def _met(sub: Subschema, value: object) -> Iterator[tuple[Subschema, object]]:
    """Which subschemas meet which part of a value: all that could, where a pattern would have to be tried to know."""
    yield from ((inner, value) for inner in sub.here)
    if isinstance(value, dict):
        for name, member in value.items():
            if name in sub.members:
                yield sub.members[name], member
            yield from ((inner, member) for inner in sub.each_member)
            yield from ((inner, name) for inner in sub.names)
    elif isinstance(value, list):
        for item in value:
            yield from ((inner, item) for inner in sub.each_item)


def _sizes(instance: object) -> dict[int, int]:
    sizes: dict[int, int] = {}

    def size(value: object) -> int:
        total = 1 + len(value) // 32 if isinstance(value, str) else 1
        for part in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
            total += size(part)
        sizes[id(value)] = total
        return total

    size(instance)
    return sizes


def _totals(subs: list[Subschema], weights: dict[Subschema, int], parts: bool) -> dict[Subschema, int]:
    """The weight of each with all that it applies, to the same value alone or to its parts too. Raises TooMuch."""
    within = {sub: [*sub.here, *(sub.parts if parts else [])] for sub in subs}
    totals: dict[Subschema, int] = {}
    try:
        for sub in TopologicalSorter(within).static_order():
            totals[sub] = weights[sub] + sum(totals[inner] for inner in within[sub])
    except CycleError as error:
        raise TooMuch(f"refers to itself without end at {error.args[1][0].path}") from error
    return totals


def _choices(values: object) -> int:
    """Steps of an enum: scalars are looked up, containers are compared one by one."""
    found = values if isinstance(values, list) else []
    return len(found) // 100 + sum(isinstance(value, dict | list) for value in found)


def _join(*parts: str) -> str:
    return ".".join(part for part in parts if part)

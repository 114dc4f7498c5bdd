"""Which change of a schema breaks whom: a comparison that misses no break, and reports what it cannot compare as one.

BACKWARD: who reads with the new schema accepts all that was written under the old; FORWARD: the reverse; FULL: both.
What is not declared is taken not to be written: where an object leaves other properties open by saying nothing about
them, adding an optional one is no break, though data that held another thing under that name would now be refused.
Who does expect such data says `"additionalProperties": true`, and then it is a break; closing an open object always is.
"""

from collections.abc import Callable, Iterator
from typing import Any

from app import conjunction, narrowing
from app.conjunction import ARRAY, NUMBER, OBJECT, TYPES, Conjunction, Document, Incomparable, Plain, Schema
from app.errors import Violation
from app.model import Compatibility, Json
from app.narrowing import Break, Pair, can_occur
from app.sameness import are_disjoint, is_same

MOST_BREAKS = 100
MOST_STEPS = 10_000
MOST_MATCHES = 100_000
MOST_VALUES = 1_000  # of an enum, tried one by one
_BACKWARD = "who reads with the new schema would refuse what was written under the old one"
_FORWARD = "who reads with the old schema would refuse what is written under the new one"


def breaks(old: Json, new: Json, mode: Compatibility) -> tuple[Violation, ...]:
    """Each break of the mode, by its place in the schema that is read with; empty when the change may pass."""
    if mode is Compatibility.NONE or conjunction.identity(old) == conjunction.identity(new):
        return ()
    found: list[Violation] = []
    if mode in (Compatibility.BACKWARD, Compatibility.FULL):
        found += _refused(old, new, _BACKWARD)
    if mode in (Compatibility.FORWARD, Compatibility.FULL):
        found += _refused(new, old, _FORWARD)
    return tuple(dict.fromkeys(found))[:MOST_BREAKS]


def _refused(written: Json, read: Json, whom: str) -> list[Violation]:
    try:
        found = _Comparison(Document(written), Document(read)).breaks()
    except Incomparable as error:
        found = [("schemata", f"cannot be compared, {error}")]
    except RecursionError:
        found = [("schemata", "cannot be compared, it is nested too deeply")]
    return [Violation(path, f"{what}: {whom}") for path, what in found]


class _Comparison:
    """One direction. A pair that is met again while it is compared holds: only a finite value could show otherwise."""

    def __init__(self, written: Document, read: Document) -> None:
        if written.draft != read.draft:
            raise Incomparable("they are of different drafts")
        if (written.patterns + read.patterns) * (written.names + read.names) > MOST_MATCHES:
            raise Incomparable("there are too many patterns for its properties")
        self._written = written
        self._read = read
        self._open: dict[tuple[int, ...], int] = {}
        self._done: dict[tuple[int, ...], list[Break]] = {}
        self._leans_on = MOST_STEPS  # the outermost open pair that the answer in hand was built on
        self._kept: list[tuple[Conjunction, Schema]] = []  # what is alive keeps its id, and pairs are known by ids

    def breaks(self) -> list[Break]:
        """Of the whole schema."""
        if is_same(self._written, self._written.root, self._read, self._read.root):
            return []
        return self._within(Conjunction(self._written, (self._written.root,)), self._read.root, "schemata")

    def _within(self, written: Conjunction, read: Schema, path: str) -> list[Break]:
        """Why some value that is written would be refused."""
        key = (id(read), *sorted({id(schema) for schema in (*written.schemas, *written.written_out)}))
        if key in self._done:
            return self._done[key]
        if key in self._open:
            self._leans_on = min(self._leans_on, self._open[key])
            return []
        self._count(written, read)
        around, self._leans_on = self._leans_on, MOST_STEPS
        depth = self._open[key] = len(self._open)
        found = [each for plain in self._read.flat(read) for each in self._within_plain(written, plain, path)]
        del self._open[key]
        if found or self._leans_on >= depth:  # a break stays one; the rest holds if what it leans on does
            self._done[key] = found
        if self._leans_on >= depth:
            self._leans_on = MOST_STEPS
        self._leans_on = min(self._leans_on, around)
        return found

    def _count(self, written: Conjunction, read: Schema) -> None:
        self._kept.append((written, read))
        if len(self._kept) > MOST_STEPS:
            raise Incomparable("there are too many combinations")

    def _within_plain(self, written: Conjunction, read: Plain, path: str) -> list[Break]:
        """By the values that there are, or by keywords, or else by the alternatives of what is written."""
        plain = written.plain
        if not conjunction.types(plain):
            return []
        refused = self._refused_values(plain, read)
        if refused is not None:
            return [(path, f"refuses {str(value)[:60]!r}") for value in refused]
        found = list(self._by_keywords(written, plain, read, path))
        pieces = _pieces(written, plain, read) if found else []
        return [] if pieces and not any(self._within_piece(piece, read, path) for piece in pieces) else found

    def _within_piece(self, written: Conjunction, read: Plain, path: str) -> list[Break]:
        self._count(written, read)
        return self._within_plain(written, read, path)

    def _refused_values(self, plain: list[Plain], read: Plain) -> list[Any] | None:
        """Where enum or const name what is written, each value that all else lets through is tried."""
        values = conjunction.values(plain)
        if values is None or len(values) > MOST_VALUES:
            return None
        for schema in plain:
            never = {conjunction.identity(value) for value in self._written.refused(schema, values) or ()}
            values = [value for value in values if conjunction.identity(value) not in never]
        return self._read.refused(read, values)

    def _by_keywords(self, written: Conjunction, plain: list[Plain], read: Plain, path: str) -> Iterator[Break]:
        types = conjunction.types(plain)
        for keyword in sorted(read):
            pair = Pair(written, plain, read, keyword, f"{path}.{keyword}")
            if keyword in narrowing.CHECKS:
                check, concerned = narrowing.CHECKS[keyword]
                yield from check(pair) if types & concerned else ()
            elif keyword in _CHECKS:
                within, concerned = _CHECKS[keyword]
                yield from within(self, pair) if types & concerned and not self._is_kept(pair) else ()

    def _is_kept(self, pair: Pair) -> bool:
        """Whether what is written says the same, where the meaning of a keyword is hard to compare otherwise."""
        together = _TOGETHER.get(pair.keyword, ())
        wanted = {each: pair.read[each] for each in together if each in pair.read}
        said = [{each: schema[each] for each in together if each in schema} for schema in pair.plain]
        return bool(together) and any(is_same(self._written, each, self._read, wanted) for each in said)

    def properties(self, pair: Pair) -> Iterator[Break]:
        for name, schema in pair.wanted.items():
            yield from self._member(pair, name, schema, f"{pair.path}.{name}")

    def patterns(self, pair: Pair) -> Iterator[Break]:
        for pattern, schema in pair.wanted.items():
            path = f"{pair.path}.{pattern}"
            for name in sorted(pair.written.declared):
                if conjunction.matches(pattern, name):
                    yield from self._member(pair, name, schema, path)
            for other, part in _patterns(pair.plain):
                both = [same for name, same in _patterns(pair.plain) if name == pattern == other] or [part]
                yield from self._within(Conjunction(pair.written.document, tuple(both)), schema, path)
            yield from self._others(pair, schema, path)

    def additional(self, pair: Pair) -> Iterator[Break]:
        known = pair.read.get("patternProperties", {})
        for name in sorted(pair.written.declared):
            if name not in pair.read.get("properties", {}) and not any(conjunction.matches(p, name) for p in known):
                yield from self._member(pair, name, pair.wanted, f"{pair.path}.{name}")
        for pattern, part in _patterns(pair.plain):
            if pattern not in known:
                yield from self._within(Conjunction(pair.written.document, (part,)), pair.wanted, pair.path)
        if not pair.known and not conjunction.takes_all(pair.wanted):
            yield pair.path, "closes what was open to other properties"
        yield from self._others(pair, pair.wanted, pair.path)

    def _member(self, pair: Pair, name: str, schema: Schema, path: str) -> Iterator[Break]:
        if can_occur(pair, name):
            said = conjunction.member(pair.plain, name) or (True,)
            found = self._within(Conjunction(pair.written.document, said), schema, path)
            yield from [(path, f"takes no property {name[:60]!r}")] if found and schema is False else found

    def _others(self, pair: Pair, schema: Schema, path: str) -> Iterator[Break]:
        """Properties of any name, where a schema announces them."""
        said = tuple(each["additionalProperties"] for each in pair.plain if "additionalProperties" in each)
        if said:
            yield from self._within(Conjunction(pair.written.document, said), schema, path)

    def names(self, pair: Pair) -> Iterator[Break]:
        said = [each["additionalProperties"] for each in pair.plain if "additionalProperties" in each]
        if pair.known or any(_patterns(pair.plain)) or (said and False not in said):
            any_name = Conjunction(pair.written.document, (*pair.known, {"type": "string"}))
            yield from self._within(any_name, pair.wanted, pair.path)
            return
        for name in sorted(pair.written.declared):
            yield from self._within(Conjunction(pair.written.document, ({"const": name},)), pair.wanted, pair.path)

    def dependents(self, pair: Pair) -> Iterator[Break]:
        for name, schema in pair.wanted.items():
            if can_occur(pair, name):
                known = [each[name] for each in pair.known if name in each]
                there = pair.written.also({"required": [name]}, *known)
                yield from self._within(there, schema, f"{pair.path}.{name}")

    def items(self, pair: Pair) -> Iterator[Break]:
        """Of prefixItems and items together: they are one list with a rest, which is met at the last index."""
        if pair.keyword == "items" and "prefixItems" in pair.read:
            return  # compared with prefixItems
        longest = min((each["maxItems"] for each in pair.plain if "maxItems" in each), default=float("inf"))
        rest = conjunction.longest_prefix([*pair.plain, pair.read])
        for index in range(rest + 1):
            said = Conjunction(pair.written.document, conjunction.item(pair.plain, index) or (True,))
            for schema in conjunction.item([pair.read], index) if index < longest else ():
                yield from self._within(said, schema, pair.path if index == rest else f"{pair.path}.{index}")

    def contains(self, pair: Pair) -> Iterator[Break]:
        least = pair.read.get("minContains", 1)
        for schema in pair.plain:
            if "contains" in schema and schema.get("minContains", 1) >= least and "maxContains" not in pair.read:
                inner = Conjunction(pair.written.document, (schema["contains"],))
                if not self._within(inner, pair.wanted, pair.path):
                    return
        if least > 0 or "maxContains" in pair.read:
            yield pair.path, "wants certain items among the others"

    def any_of(self, pair: Pair) -> Iterator[Break]:
        if all(self._within(pair.written, branch, pair.path) for branch in pair.wanted):
            yield pair.path, "has no alternative that takes all of it"

    def one_of(self, pair: Pair) -> Iterator[Break]:
        near = []
        for branch in pair.wanted:
            self._count(pair.written, branch)
            near += [] if are_disjoint(pair.written, self._reading(branch)) else [branch]
        if len(near) != 1 or self._within(pair.written, near[0], pair.path):
            yield pair.path, "has not just one alternative that takes all of it"

    def negation(self, pair: Pair) -> Iterator[Break]:
        if not are_disjoint(pair.written, self._reading(pair.wanted)):
            yield pair.path, "excludes what may be written"

    def condition(self, pair: Pair) -> Iterator[Break]:
        """Each outcome that can come about must hold; where what is written has the same condition, it says more."""
        met, unmet = pair.written, pair.written
        for schema in pair.plain:
            if "if" in schema and is_same(self._written, schema["if"], self._read, pair.wanted):
                met = met.also(schema["if"], schema.get("then", True))
                unmet = unmet.also({"not": schema["if"]}, schema.get("else", True))
        if not are_disjoint(pair.written, self._reading(pair.wanted)):
            yield from self._within(met, pair.read.get("then", True), pair.path)
        if self._within(pair.written, pair.wanted, pair.path):
            yield from self._within(unmet, pair.read.get("else", True), pair.path)

    def _reading(self, schema: Schema) -> Conjunction:
        return Conjunction(self._read, (schema,))


def _pieces(written: Conjunction, plain: list[Plain], read: Plain) -> list[Conjunction]:
    """What is written, in pieces that are all of it together; () where that is no help."""
    for place, schema in enumerate(plain):
        for keyword, branches in _BRANCHES.items():
            if keyword in schema:
                gone = {keyword, "unevaluatedProperties", "unevaluatedItems"}  # for these depend on what is cut out
                rest = {each: value for each, value in schema.items() if each not in gone}
                others = (*plain[:place], rest, *plain[place + 1 :])
                base = Conjunction(written.document, (), others, written.declared)
                return [base.also(*branch) for branch in branches(schema)]
    types = conjunction.types(plain)
    if len(types) == 1 or types == NUMBER or read.keys().isdisjoint({"anyOf", "oneOf", "if", "not"}):
        return []
    names = types - {"integer"} if types >= NUMBER else types  # a number is one piece
    return [written.also({"type": "number" if name == "fraction" else name}) for name in sorted(names)]


def _any_of(schema: Plain) -> list[tuple[Schema, ...]]:
    return [(branch,) for branch in schema["anyOf"]]


def _one_of(schema: Plain) -> list[tuple[Schema, ...]]:
    """Each branch, and that it is none of the others."""
    branches = list(enumerate(schema["oneOf"]))
    return [(branch, *({"not": other} for at, other in branches if at != place)) for place, branch in branches]


def _if(schema: Plain) -> list[tuple[Schema, ...]]:
    return [(schema["if"], schema.get("then", True)), ({"not": schema["if"]}, schema.get("else", True))]


def _dependent(schema: Plain) -> list[tuple[Schema, ...]]:
    """With the first property and what depends on it, or without it."""
    (name, part), *others = schema["dependentSchemas"].items() or [("", True)]
    rest = {"dependentSchemas": dict(others)} if others else True
    return [(rest, part, {"required": [name]}), (rest, {"properties": {name: False}})]


def _patterns(plain: list[Plain]) -> Iterator[tuple[str, Schema]]:
    for schema in plain:
        yield from schema.get("patternProperties", {}).items()


_BRANCHES = {"anyOf": _any_of, "oneOf": _one_of, "if": _if, "dependentSchemas": _dependent}
_CHECKS: dict[str, tuple[Callable[[_Comparison, Pair], Iterator[Break]], frozenset[str]]] = {
    "properties": (_Comparison.properties, OBJECT),
    "patternProperties": (_Comparison.patterns, OBJECT),
    "additionalProperties": (_Comparison.additional, OBJECT),
    "propertyNames": (_Comparison.names, OBJECT),
    "dependentSchemas": (_Comparison.dependents, OBJECT),
    "prefixItems": (_Comparison.items, ARRAY),
    "items": (_Comparison.items, ARRAY),
    "contains": (_Comparison.contains, ARRAY),
    "anyOf": (_Comparison.any_of, TYPES),
    "oneOf": (_Comparison.one_of, TYPES),
    "not": (_Comparison.negation, TYPES),
    "if": (_Comparison.condition, TYPES),
}
_TOGETHER = {
    "anyOf": ("anyOf",),
    "oneOf": ("oneOf",),
    "not": ("not",),
    "if": ("if", "then", "else"),
    "contains": ("contains", "minContains", "maxContains"),
}

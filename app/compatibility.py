"""Which change of a schema breaks whom: a comparison that finds every break, and reports what it cannot compare as one.

BACKWARD: who reads with the new schema accepts all that was written under the old one; FORWARD: the reverse; FULL: both.
What is not declared is taken not to be written: where an object leaves other properties open by saying nothing about
them, adding an optional property is no break, though data that held another thing under that name would now be refused.
Who does expect such data says `"additionalProperties": true`, and then it is a break; closing an open object always is.
"""

from collections.abc import Iterator
from fractions import Fraction

from app import conjunction
from app.conjunction import Conjunction, Document, Incomparable, Plain, Schema, are_disjoint
from app.errors import Violation
from app.model import Compatibility, Json

MOST_BREAKS = 100
MOST_STEPS = 5_000
MOST_VALUES = 1_000  # of an enum, tried one by one
ANNOTATIONS = {
    *(
        "$schema",
        "$id",
        "$comment",
        "$anchor",
        "$dynamicAnchor",
        "$recursiveAnchor",
        "$defs",
        "definitions",
        "$vocabulary",
    ),
    *("title", "description", "default", "examples", "deprecated", "readOnly", "writeOnly", "contentSchema"),
}
_BACKWARD = "who reads with the new schema would refuse what was written under the old one"
_FORWARD = "who reads with the old schema would refuse what is written under the new one"


def breaks(old: Json, new: Json, mode: Compatibility) -> tuple[Violation, ...]:
    """Each break of the mode, by its place in the schema that is read with; empty when the change may pass."""
    if mode is Compatibility.NONE or _is_same(old, new):
        return ()
    found: list[Violation] = []
    if mode in (Compatibility.BACKWARD, Compatibility.FULL):
        found += _refused(old, new, _BACKWARD)
    if mode in (Compatibility.FORWARD, Compatibility.FULL):
        found += _refused(new, old, _FORWARD)
    return tuple(dict.fromkeys(found))[:MOST_BREAKS]


def _is_same(old: Schema, new: Schema) -> bool:
    """Whether nothing differs but the order of names; what the words mean is not asked."""
    return bool(conjunction.identity(old) == conjunction.identity(new))


def _refused(written: Json, read: Json, whom: str) -> Iterator[Violation]:
    try:
        comparison = _Comparison(Document(written), Document(read))
        for path, what in comparison.breaks():
            yield Violation(path, f"{what}: {whom}")
    except (Incomparable, RecursionError) as error:
        reason = str(error) if isinstance(error, Incomparable) else "it is nested too deeply"
        yield Violation("schemata", f"cannot be compared, {reason}; perhaps {whom}")


Break = tuple[str, str]  # where, and what changed there


class _Comparison:
    """One direction. A pair that is met again while it is compared holds: only a finite value could show otherwise."""

    def __init__(self, written: Document, read: Document) -> None:
        self._written = written
        self._read = read
        self._open: dict[tuple[int, ...], int] = {}
        self._done: dict[tuple[int, ...], list[Break]] = {}
        self._assumed = MOST_STEPS  # the outermost open pair that the answer in hand leans on
        self._steps = 0

    def breaks(self) -> list[Break]:
        return self._within(Conjunction(self._written, (self._written.root,)), self._read.root, "schemata")

    def _within(self, written: Conjunction, read: Schema, path: str) -> list[Break]:
        """Why some value that is written would be refused."""
        key = (id(read), *sorted(map(id, written.schemas)))
        if key in self._done:
            return self._done[key]
        if key in self._open:
            self._assumed = min(self._assumed, self._open[key])
            return []
        self._count()
        around, self._assumed = self._assumed, MOST_STEPS
        depth = self._open[key] = len(self._open)
        found = [each for plain in self._read.flat(read) for each in self._within_plain(written, plain, path)]
        del self._open[key]
        if found or self._assumed >= depth:  # it leans on nothing that is still open
            self._done[key] = found
            self._assumed = around
        self._assumed = min(self._assumed, around)
        return found

    def _count(self) -> None:
        self._steps += 1
        if self._steps > MOST_STEPS:
            raise Incomparable("there are too many combinations")

    def _within_plain(self, written: Conjunction, read: Plain, path: str) -> list[Break]:
        """Directly; or else by the alternatives of what is written, each of which must pass."""
        plain = written.plain
        if not conjunction.types(plain):
            return []
        found = list(self._by_values(plain, read, path))
        if found != [_UNTRIED]:
            return found
        found = list(self._by_keywords(written, plain, read, path))
        if not found:
            return []
        for pieces in _alternatives(written, plain):
            self._count()
            split = [each for piece in pieces for each in self._within_plain(piece, read, path)]
            return split if not split or len(split) <= len(found) else found
        return found

    def _by_values(self, plain: list[Plain], read: Plain, path: str) -> Iterator[Break]:
        """Where enum or const name what is written, each value is tried."""
        values = conjunction.values(plain)
        if values is None or len(values) > MOST_VALUES:
            yield _UNTRIED
            return
        types = conjunction.types(plain)
        for value in values:
            if conjunction.type_of(value) in types:
                admitted = self._read.admits(read, value)
                if admitted is None:
                    yield _UNTRIED
                    return
                if not admitted:
                    yield path, f"refuses {str(value)[:60]!r}"

    def _by_keywords(self, written: Conjunction, plain: list[Plain], read: Plain, path: str) -> Iterator[Break]:
        types = conjunction.types(plain)
        for keyword in read.keys() - ANNOTATIONS:
            check, concerned = _CHECKS.get(keyword, (None, frozenset()))
            if check is not None and (not concerned or types & concerned):
                yield from check(self, written, plain, read, f"{path}.{keyword}")

    def type(self, _: Conjunction, plain: list[Plain], read: Plain, path: str) -> Iterator[Break]:
        lost = conjunction.types(plain) - conjunction.types([{"type": read["type"]}])
        if lost:
            names = sorted("number" if name == "fraction" else name for name in lost)
            yield (
                path,
                f"no longer takes {' or '.join(names)}" if len(lost) < len(conjunction.TYPES) else "narrows the type",
            )

    def listed(self, _: Conjunction, plain: list[Plain], read: Plain, path: str) -> Iterator[Break]:
        few: dict[str, list[object]] = {"null": [None], "boolean": [True, False]}
        types = conjunction.types(plain)
        values = conjunction.values([read]) or []
        if not types <= few.keys() or not all(conjunction.is_in(v, values) for name in types for v in few[name]):
            yield path, "takes only the values listed"

    def minimum(self, _: Conjunction, plain: list[Plain], read: Plain, path: str) -> Iterator[Break]:
        kinds = [{"type": s["type"]} for s in plain if "type" in s]
        for bound in (conjunction.lower, conjunction.upper):
            wanted, known = bound([read, *kinds]), bound(plain)
            if wanted is not None and (known is None or known < wanted):
                yield path, "narrows the range of numbers"

    def multiple(self, _: Conjunction, plain: list[Plain], read: Plain, path: str) -> Iterator[Break]:
        step = Fraction(str(read["multipleOf"]))
        known = [Fraction(str(s["multipleOf"])) for s in plain if "multipleOf" in s]
        known += [Fraction(1)] if "fraction" not in conjunction.types(plain) else []
        if step not in known and not any((given / step).denominator == 1 and step.denominator == 1 for given in known):
            yield path, f"wants multiples of {read['multipleOf']}"

    def least(self, _: Conjunction, plain: list[Plain], read: Plain, path: str) -> Iterator[Break]:
        keyword = path.rpartition(".")[2]
        known = max((schema.get(keyword, 0) for schema in plain), default=0)
        if keyword == "minProperties":
            known = max(known, len(conjunction.required(plain)))
        if known < read[keyword]:
            yield path, f"wants {read[keyword]} at least, where {known} was enough"

    def most(self, _: Conjunction, plain: list[Plain], read: Plain, path: str) -> Iterator[Break]:
        keyword = path.rpartition(".")[2]
        known = [schema[keyword] for schema in plain if keyword in schema]
        if not known or min(known) > read[keyword]:
            yield path, f"wants {read[keyword]} at most"

    def literal(self, _: Conjunction, plain: list[Plain], read: Plain, path: str) -> Iterator[Break]:
        """What is compared by its text alone; whether one pattern takes all that another does is not asked."""
        keyword = path.rpartition(".")[2]
        if not any(_is_same(schema.get(keyword, _UNTRIED), read[keyword]) for schema in plain):
            yield path, f"wants {str(read[keyword])[:60]!r}"

    def unique(self, _: Conjunction, plain: list[Plain], read: Plain, path: str) -> Iterator[Break]:
        if read["uniqueItems"] and not any(s.get("uniqueItems") or s.get("maxItems", 2) <= 1 for s in plain):
            yield path, "wants every item once"

    def required(self, _: Conjunction, plain: list[Plain], read: Plain, path: str) -> Iterator[Break]:
        for name in sorted(set(read["required"]) - conjunction.required(plain)):
            yield path, f"requires {name[:60]!r}, which could be left out"

    def properties(self, written: Conjunction, plain: list[Plain], read: Plain, path: str) -> Iterator[Break]:
        for name, schema in read["properties"].items():
            yield from self._member(written, plain, name, schema, f"{path}.{name}")

    def patterns(self, written: Conjunction, plain: list[Plain], read: Plain, path: str) -> Iterator[Break]:
        for pattern, schema in read["patternProperties"].items():
            for name in _declared(written):
                if conjunction.matches(pattern, name):
                    yield from self._member(written, plain, name, schema, f"{path}.{pattern}")
            for other, part in _patterns(plain):
                both = [part] if other != pattern else [p for o, p in _patterns(plain) if o == pattern]
                yield from self._within(Conjunction(written.document, tuple(both)), schema, f"{path}.{pattern}")
            yield from self._others(written, plain, schema, f"{path}.{pattern}")

    def additional(self, written: Conjunction, plain: list[Plain], read: Plain, path: str) -> Iterator[Break]:
        schema = read["additionalProperties"]
        known = read.get("patternProperties", {})
        for name in _declared(written):
            if name not in read.get("properties", {}) and not any(conjunction.matches(p, name) for p in known):
                yield from self._member(written, plain, name, schema, f"{path}.{name}")
        for pattern, part in _patterns(plain):
            if pattern not in known:
                yield from self._within(Conjunction(written.document, (part,)), schema, path)
        if not any("additionalProperties" in s for s in plain) and not _takes_all(schema):
            yield path, "closes what was open to other properties"
        yield from self._others(written, plain, schema, path)

    def _member(
        self, written: Conjunction, plain: list[Plain], name: str, schema: Schema, path: str
    ) -> Iterator[Break]:
        said = conjunction.member(plain, name)
        if said is None and name not in _declared(written):
            return  # nobody says a word about it, so it is not written
        if schema is False and not any(part is False for part in said or ()):
            yield path, f"no longer takes the property {name[:60]!r}"
        else:
            yield from self._within(Conjunction(written.document, said or (True,)), schema, path)

    def _others(self, written: Conjunction, plain: list[Plain], schema: Schema, path: str) -> Iterator[Break]:
        """Properties under any name, where they are announced by a schema."""
        said = tuple(s["additionalProperties"] for s in plain if "additionalProperties" in s)
        if said:
            yield from self._within(Conjunction(written.document, said), schema, path)

    def names(self, written: Conjunction, plain: list[Plain], read: Plain, path: str) -> Iterator[Break]:
        said = tuple(schema["propertyNames"] for schema in plain if "propertyNames" in schema)
        closed = any(s.get("additionalProperties") is False and "patternProperties" not in s for s in plain)
        open_names = any("additionalProperties" in s or "patternProperties" in s for s in plain) and not closed
        if open_names or said:
            yield from self._within(
                Conjunction(written.document, (*said, {"type": "string"})), read["propertyNames"], path
            )
            return
        for name in _declared(written):
            yield from self._within(Conjunction(written.document, ({"const": name},)), read["propertyNames"], path)

    def dependent(self, written: Conjunction, plain: list[Plain], read: Plain, path: str) -> Iterator[Break]:
        for name, wanted in read["dependentRequired"].items():
            known = conjunction.required(plain)
            for schema in plain:
                known |= set(schema.get("dependentRequired", {}).get(name, ()))
            missing = set(wanted) - known
            if missing and self._can_occur(written, plain, name):
                yield f"{path}.{name}", f"requires {sorted(missing)[0][:60]!r}, which could be left out"

    def dependents(self, written: Conjunction, plain: list[Plain], read: Plain, path: str) -> Iterator[Break]:
        for name, schema in read["dependentSchemas"].items():
            if self._can_occur(written, plain, name):
                known = [s["dependentSchemas"][name] for s in plain if name in s.get("dependentSchemas", {})]
                yield from self._within(written.also({"required": [name]}, *known), schema, f"{path}.{name}")

    def _can_occur(self, written: Conjunction, plain: list[Plain], name: str) -> bool:
        said = conjunction.member(plain, name)
        return False not in (said or ()) and (said is not None or name in _declared(written))

    def items(self, written: Conjunction, plain: list[Plain], read: Plain, path: str) -> Iterator[Break]:
        """Both prefixItems and items, whichever the schema has: they are one list with a rest."""
        if path.endswith(".items") and "prefixItems" in read:
            return  # it was compared at prefixItems
        longest = max((s.get("maxItems", float("inf")) for s in plain), key=lambda most: -most, default=float("inf"))
        until = max(conjunction.longest_prefix(plain), conjunction.longest_prefix([read]))
        for index in range(until + 1):
            if index < longest:
                said = Conjunction(written.document, conjunction.item(plain, index) or (True,))
                for schema in conjunction.item([read], index):
                    yield from self._within(said, schema, path if index == until else f"{path}.{index}")

    def contains(self, written: Conjunction, plain: list[Plain], read: Plain, path: str) -> Iterator[Break]:
        least = read.get("minContains", 1)
        for schema in plain:
            if "contains" in schema and schema.get("minContains", 1) >= least and "maxContains" not in read:
                inner = Conjunction(written.document, (schema["contains"],))
                if not self._within(inner, read["contains"], path):
                    return
        if not self._is_kept(plain, read, ("contains", "minContains", "maxContains")):
            yield path, "wants certain items among the others"

    def any_of(self, written: Conjunction, plain: list[Plain], read: Plain, path: str) -> Iterator[Break]:
        if not any(not self._within(written, branch, path) for branch in read["anyOf"]):
            yield path, "has no alternative that takes all of it"

    def one_of(self, written: Conjunction, plain: list[Plain], read: Plain, path: str) -> Iterator[Break]:
        branches = read["oneOf"]
        for index, branch in enumerate(branches):
            others = [other for place, other in enumerate(branches) if place != index]
            if all(are_disjoint(written, Conjunction(self._read, (other,))) for other in others):
                if not self._within(written, branch, path):
                    return
        yield path, "has not just one alternative that takes all of it"

    def negation(self, written: Conjunction, plain: list[Plain], read: Plain, path: str) -> Iterator[Break]:
        if not are_disjoint(written, Conjunction(self._read, (read["not"],))):
            yield path, "excludes what may be written"

    def condition(self, written: Conjunction, plain: list[Plain], read: Plain, path: str) -> Iterator[Break]:
        """Both outcomes must hold for all of it, unless what is written meets one of them for certain."""
        then, otherwise = read.get("then", True), read.get("else", True)
        wanted = [then, otherwise]
        if not self._within(written, read["if"], path):
            wanted = [then]
        elif are_disjoint(written, Conjunction(self._read, (read["if"],))):
            wanted = [otherwise]
        for schema in wanted:
            yield from self._within(written, schema, path)

    def unevaluated(self, _: Conjunction, plain: list[Plain], read: Plain, path: str) -> Iterator[Break]:
        if read[path.rpartition(".")[2]] is not True:
            yield path, "cannot be compared, since it depends on what its neighbours evaluate"

    def _is_kept(self, plain: list[Plain], read: Plain, keywords: tuple[str, ...]) -> bool:
        return False


_UNTRIED: Break = ("", "")

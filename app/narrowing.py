"""What a single keyword of the schema that is read with narrows, where nothing within it must be compared."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from app import conjunction
from app.conjunction import ARRAY, NUMBER, OBJECT, STRING, TYPES, Conjunction, Plain

Break = tuple[str, str]  # where, and what is narrower there


@dataclass(frozen=True)
class Pair:
    """What is written, also in plain words, and one keyword of what it is read with, at its path."""

    written: Conjunction
    plain: list[Plain]
    read: Plain
    keyword: str
    path: str

    @property
    def wanted(self) -> Any:  # noqa: ANN401 - each keyword has a value of its own kind
        return self.read[self.keyword]

    @property
    def known(self) -> list[Any]:
        """What is said of the same keyword by what is written."""
        return [schema[self.keyword] for schema in self.plain if self.keyword in schema]


def type_(pair: Pair) -> Iterator[Break]:
    lost = conjunction.types(pair.plain) - conjunction.types([{"type": pair.wanted}])
    if lost:
        yield pair.path, f"takes no {' or '.join(sorted(lost)).replace('fraction', 'number')}"


def listed(pair: Pair) -> Iterator[Break]:
    """An enum or a const, for what is written that no enum names, or that could not be tried."""
    few: dict[str, list[object]] = {"null": [None], "boolean": [True, False]}
    types, values = conjunction.types(pair.plain), conjunction.values(pair.plain)
    if values is None and types <= few.keys():
        values = [value for name in types for value in few[name]]
    allowed = pair.wanted if pair.keyword == "enum" else [pair.wanted]
    if values is None or len(conjunction.among(values, allowed)) < len(values):
        yield pair.path, "takes only the values that it lists"


def bound(pair: Pair) -> Iterator[Break]:
    bound_of = conjunction.lower if pair.keyword.endswith("inimum") else conjunction.upper
    kinds = [{"type": ["integer"]}] if "fraction" not in conjunction.types(pair.plain) else []
    wanted, known = bound_of([{pair.keyword: pair.wanted}, *kinds]), bound_of([*pair.plain, *kinds])
    if wanted is not None and (known is None or known < wanted):
        yield pair.path, f"has the bound {str(pair.wanted)[:40]}"


def multiple(pair: Pair) -> Iterator[Break]:
    """Only whole steps are divided by each other: what a multiple of 0.1 is depends on how a reader rounds."""
    step = Fraction(str(pair.wanted))
    known = [Fraction(str(given)) for given in pair.known]
    known += [Fraction(1)] if "fraction" not in conjunction.types(pair.plain) else []
    if step not in known and not any(step.denominator == 1 and (given / step).denominator == 1 for given in known):
        yield pair.path, f"wants multiples of {str(pair.wanted)[:40]}"


def least(pair: Pair) -> Iterator[Break]:
    known = [0, *pair.known]
    if pair.keyword == "minProperties":
        known.append(len(conjunction.required(pair.plain)))
    if max(known) < pair.wanted:
        yield pair.path, f"wants {str(pair.wanted)[:40]} at least"


def most(pair: Pair) -> Iterator[Break]:
    known = list(pair.known)
    if pair.keyword == "maxItems":
        known += [len(schema.get("prefixItems", ())) for schema in pair.plain if schema.get("items") is False]
    if not known or min(known) > pair.wanted:
        yield pair.path, f"wants {str(pair.wanted)[:40]} at most"


def literal(pair: Pair) -> Iterator[Break]:
    """What is compared by its text alone; whether one pattern takes all that another does is not asked."""
    if pair.wanted not in pair.known:
        yield pair.path, f"wants {str(pair.wanted)[:60]!r}"


def unique(pair: Pair) -> Iterator[Break]:
    if pair.wanted and not any(s.get("uniqueItems") or s.get("maxItems", 2) <= 1 for s in pair.plain):
        yield pair.path, "wants each item just once"


def required(pair: Pair) -> Iterator[Break]:
    for name in sorted(set(pair.wanted) - conjunction.required(pair.plain)):
        yield pair.path, f"requires {name[:60]!r}, which may be left out"


def dependent(pair: Pair) -> Iterator[Break]:
    for name, wanted in pair.wanted.items():
        together = conjunction.required(pair.plain).union(*(known.get(name, ()) for known in pair.known))
        missing = sorted(set(wanted) - together)
        if missing and can_occur(pair, name):
            yield f"{pair.path}.{name}", f"requires {missing[0][:60]!r}, which may be left out"


def can_occur(pair: Pair, name: str) -> bool:
    """Whether a property is written; what nobody says a word about is not."""
    said = conjunction.member(pair.plain, name)
    return False not in said if said is not None else name in pair.written.declared


def unevaluated(pair: Pair) -> Iterator[Break]:
    if not conjunction.takes_all(pair.wanted):
        yield pair.path, "cannot be compared, since it depends on what the schemas beside it evaluate"


CHECKS: dict[str, tuple[Callable[[Pair], Iterator[Break]], frozenset[str]]] = {
    "type": (type_, TYPES),
    **dict.fromkeys(("enum", "const"), (listed, TYPES)),
    **dict.fromkeys(("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"), (bound, NUMBER)),
    "multipleOf": (multiple, NUMBER),
    "minLength": (least, STRING),
    "maxLength": (most, STRING),
    **dict.fromkeys(("pattern", "format", "contentEncoding", "contentMediaType"), (literal, STRING)),
    "minItems": (least, ARRAY),
    "maxItems": (most, ARRAY),
    "uniqueItems": (unique, ARRAY),
    "unevaluatedItems": (unevaluated, ARRAY),
    "minProperties": (least, OBJECT),
    "maxProperties": (most, OBJECT),
    "required": (required, OBJECT),
    "dependentRequired": (dependent, OBJECT),
    "unevaluatedProperties": (unevaluated, OBJECT),
}

"""PURE: the journal's copies as one history of changes, and what is wrong with them."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from fleet.effects import keeper
from fleet.effects.journal import Copy

BREAK = "lock break"  # the verb of the line that ends a change whose lock was broken
NOT_ENDED = "not ended"


@dataclass(frozen=True)
class Part:
    """One step of a change: when it began, its result ("not ended" if none was written), and the seconds between."""

    began: datetime
    what: str
    result: str
    seconds: float | None


@dataclass(frozen=True)
class Change:
    """Everything between a change's first line and its last, in the order in which it began."""

    id: str
    began: datetime
    who: str
    verb: str
    what: str
    why: str
    result: str
    seconds: float | None
    steps: tuple[Part, ...]


@dataclass(frozen=True)
class Findings:
    """How many lines the copy has that the others are measured by, its last one's hash, and what is wrong anywhere."""

    lines: int
    hash: str
    problems: tuple[str, ...]


def changes(copies: Mapping[str, Copy]) -> tuple[Change, ...]:
    """What the longest intact copy tells, oldest first."""
    by_id: dict[str, list[dict[str, Any]]] = {}
    if copies:
        lines = copies[_reference(copies)].lines
        for line in lines[: keeper.chain(lines)["number"]]:
            entry = json.loads(line)
            by_id.setdefault(entry["change"], []).append(entry)
    return tuple(_change(entries) for entries in by_id.values())


def findings(copies: Mapping[str, Copy], away: Mapping[str, str]) -> Findings:
    """Every copy is a chain from its first line on, and all are the same; else which line of which copy is not."""
    if not copies:
        return Findings(0, keeper.START, tuple(away.values()))
    reference = _reference(copies)
    end = keeper.chain(copies[reference].lines)
    problems = [f"{host}: {why}" for host, copy in copies.items() for why in _problems(copy, reference, copies)]
    return Findings(end["number"], end["hash"], (*problems, *away.values()))


def _reference(copies: Mapping[str, Copy]) -> str:
    """The copy that is intact the furthest; of several, the one that the most others have, too; then the first."""
    ends = {host: keeper.chain(copy.lines) for host, copy in copies.items()}
    hashes = [end["hash"] for end in ends.values()]
    return max(ends, key=lambda host: (ends[host]["number"], hashes.count(ends[host]["hash"])))


def _problems(copy: Copy, reference: str, copies: Mapping[str, Copy]) -> list[str]:
    problem = keeper.chain(copy.lines)["problem"]
    good = copies[reference].lines
    found = [problem] if problem else _differences(copy.lines, good, reference)
    if copy.is_cut:
        found.append(f"line {len(copy.lines) + 1} is cut short; the next change takes it away")
    return found


def _differences(lines: Sequence[str], good: Sequence[str], reference: str) -> list[str]:
    for number, (own, other) in enumerate(zip(lines, good, strict=False), start=1):
        if own != other:
            return [f"line {number} is not the one that {reference} has: it diverges from there on"]
    if len(lines) < len(good):
        return [f"{_numbers(len(lines) + 1, len(good))} missing, {reference} has more; the next change brings them"]
    return []


def _numbers(first: int, last: int) -> str:
    return f"line {first} is" if first == last else f"lines {first} to {last} are"


def _change(entries: Sequence[Mapping[str, Any]]) -> Change:
    first, last = entries[0], entries[-1]
    is_end = last["result"] != "begun" and (last["what"] == first["what"] or last["verb"] == BREAK)
    return Change(
        id=first["change"],
        began=_time(first),
        who=first["who"],
        verb=first["verb"],
        what=first["what"],
        why=first["why"],
        result=last["result"] if is_end else NOT_ENDED,
        seconds=_seconds(first, last) if is_end else None,
        steps=_steps(first["what"], entries),
    )


def _steps(whole: str, entries: Sequence[Mapping[str, Any]]) -> tuple[Part, ...]:
    """A step's first line says that it began, a later one with the same words how it ended; some have only one."""
    begun: dict[str, Mapping[str, Any]] = {}
    parts: list[Part] = []
    for entry in entries:
        if entry["what"] == whole:
            continue
        if entry["result"] == "begun":
            begun[entry["what"]] = entry
        else:
            start = begun.pop(entry["what"], entry)
            parts.append(Part(_time(start), entry["what"], entry["result"], _seconds(start, entry)))
    parts += (Part(_time(entry), what, NOT_ENDED, None) for what, entry in begun.items())
    return tuple(sorted(parts, key=lambda part: part.began))


def _time(entry: Mapping[str, Any]) -> datetime:
    return datetime.fromisoformat(entry["time"])


def _seconds(first: Mapping[str, Any], last: Mapping[str, Any]) -> float:
    """By the operator's clock, which may have been set back in between."""
    return max(0.0, (_time(last) - _time(first)).total_seconds())

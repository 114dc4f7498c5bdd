"""The journal of changes: the same chain of lines on every load balancer, only ever added to."""

import json
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime

from fleet.effects import keeper
from fleet.effects.keepers import Ask, Json, each
from fleet.effects.lease import LeaseLost
from fleet.errors import FleetError

TRIES = 3
TEXT_LIMIT = 1000  # of `what`, `why` and `result`, as JSON: with all else a line stays below keeper.LINE_LIMIT
NAME_LIMIT = 120
COMMAND_LIMIT = 90_000  # Linux takes 128 KiB in one argument, and the keeper itself is in it, too


@dataclass(frozen=True)
class Draft:
    """What a line is to say; `change` is the id of the lease under which it is done."""

    change: str
    who: str
    verb: str
    what: str
    why: str
    result: str


@dataclass(frozen=True)
class Written:
    """A line as it was written; `missing`: the load balancers that do not have it, and why."""

    number: int
    hash: str
    missing: Mapping[str, str]


@dataclass(frozen=True)
class Copy:
    """A load balancer's copy; `is_cut`: a last line stands in it that was never written to its end."""

    lines: tuple[str, ...]
    is_cut: bool = False


def line(draft: Draft, at: datetime, number: int, previous: str) -> str:
    """The line that follows `previous`, in the only spelling that verifies."""
    long, short = ("what", "why", "result"), ("change", "who", "verb")
    said = asdict(draft)
    entry = {
        **{name: clipped(said[name], TEXT_LIMIT) for name in long},
        **{name: clipped(said[name], NAME_LIMIT) for name in short},
        "number": number,
        "time": at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "previous": previous,
    }
    return keeper.canonical({**entry, "hash": keeper.digest(entry)})


def clipped(text: str, limit: int) -> str:
    """In one line, without what cannot be printed, at most `limit` characters long as JSON."""
    plain = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    cut = plain[:limit]
    while len(json.dumps(cut, ensure_ascii=False)) > limit:
        cut = cut[:-10]
    return cut if cut == plain else f"{cut[:-1]}…"


def read(ask: Ask, hosts: Sequence[str]) -> tuple[dict[str, Copy], dict[str, str]]:
    """Every load balancer's copy, and why the others could not be read."""
    answers, away = each(ask, hosts, "read", {"after": 0})
    return {host: Copy(tuple(answer["lines"]), answer["cut"]) for host, answer in answers.items()}, away


class Journal:
    """Adds lines. Where the chain ends is looked up once; then a line costs one question to each load balancer."""

    def __init__(self, ask: Ask, hosts: Sequence[str]) -> None:
        """`hosts` are the load balancers."""
        self._ask, self._hosts = ask, tuple(hosts)
        self._head: Json | None = None

    def append(self, draft: Draft, at: datetime, lease: str) -> Written:
        """Add a line on every load balancer that answers, catching up with it one that was away before.

        A copy that diverges is left as it is. Raises LeaseLost when the lease was broken, and FleetError when no load
        balancer took the line.
        """
        missing: dict[str, str] = {}
        for _ in range(TRIES):
            head = self._head or self.look()
            made = line(draft, at, head["number"] + 1, head["hash"])
            answers, missing = self._send(self._hosts, [made], head, lease)
            has_it = [host for host, answer in answers.items() if answer["written"]]
            if has_it:
                self._head = keeper.chain([made], head["number"], head["hash"])
                missing |= self._catch_up(has_it[0], answers, lease)
                return Written(self._head["number"], self._head["hash"], missing)
            missing |= {host: _why_not(host, answer) for host, answer in answers.items()}
            self._head = None  # somebody added a line since we looked
        raise FleetError(f"no load balancer took a line of the journal: {'; '.join(missing.values())}")

    def look(self) -> Json:
        """Where the longest intact copy ends. Raises FleetError when no load balancer has an intact one."""
        answers, away = each(self._ask, self._hosts, "head", {})
        intact = [(answer["number"], answer["hash"]) for answer in answers.values() if not answer["problem"]]
        if not intact:
            broken = [_why_not(host, {"head": answer}) for host, answer in answers.items()]
            raise FleetError(
                f"no load balancer has a journal to go on with: {'; '.join([*away.values(), *broken])}. Look: ./ops.py "
                "journal verify; a copy that was altered can be set aside, then the journal goes on"
            )
        number, end = max(intact, key=lambda found: (found[0], intact.count(found)))
        self._head = {"number": number, "hash": end}
        return self._head

    def _send(
        self, hosts: Sequence[str], lines: Sequence[str], after: Json, lease: str
    ) -> tuple[dict[str, Json], dict[str, str]]:
        end = {"number": after["number"], "hash": after["hash"]}
        answers, away = each(self._ask, hosts, "append", {"after": end, "lines": list(lines), "lease": lease})
        for answer in answers.values():
            if "ended" in answer:
                raise LeaseLost(answer["ended"])
        return answers, away

    def _catch_up(self, source: str, answers: Mapping[str, Json], lease: str) -> dict[str, str]:
        """Bring those that refused the line up to where `source` is; what could not be, and why."""
        missing: dict[str, str] = {}
        for host, answer in answers.items():
            if not answer["written"] and (why := self._catch_up_one(source, host, answer, lease)):
                missing[host] = why
        return missing

    def _catch_up_one(self, source: str, host: str, answer: Json, lease: str) -> str:
        end = answer.get("head")
        if self._head is None or end is None or end["problem"] or end["number"] >= self._head["number"]:
            return _why_not(host, answer)
        try:
            lines = self._ask(source, "read", {"after": end["number"]})["lines"]
        except FleetError as error:
            return str(error)
        for part in _parts(lines):
            answers, away = self._send((host,), part, end, lease)
            if away or not answers[host]["written"]:
                return away.get(host) or _why_not(host, answers[host])
            end = keeper.chain(part, end["number"], end["hash"])
        return ""


def _why_not(host: str, answer: Json) -> str:
    if "held" in answer:
        return f"{host}: {answer['held']['who']} has its vote for the lock"
    if "head" in answer and answer["head"]["problem"]:
        return f"{host}: {answer['head']['problem']}"
    return f"{host}: its journal diverges from the others'"


def _parts(lines: Sequence[str]) -> Iterator[list[str]]:
    """As many lines at a time as a command line takes, quoted for JSON and for the shell."""
    part: list[str] = []
    size = 0
    for text in lines:
        length = len(shlex.quote(json.dumps(text)))
        if part and size + length > COMMAND_LIMIT:
            yield part
            part, size = [], 0
        part.append(text)
        size += length
    if part:
        yield part

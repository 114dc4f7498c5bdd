"""Runs on a host, not here: keeps the host's vote in the fleet's lock and its copy of the journal; answers in JSON.

It travels with each command, so it needs nothing but the host's own Python. Arguments: the folder, a verb, the verb's
request as JSON. The operator uses the journal's rules (`digest`, `wrong`, `chain`) from here, so that there is one set.
"""

import fcntl
import hashlib
import json
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

Json = dict[str, Any]

START = ""  # what stands before the first line of a journal
LINE_LIMIT = 4000
PATIENCE_SECONDS = 20  # a keeper that hangs ends: what it was asked is not to happen when nobody counts on it any more
ENDED_KEPT = 100  # ids that never get the vote again: a renewal that comes late is long gone by then
TAIL_BYTES = 8 * LINE_LIMIT  # holds the last line whatever it is made of


def granted(state: Json, claim: Json, now: float, boot: str) -> tuple[Json, Json]:
    """The state after a claim, and the answer; a renewal is the same claim again.

    The vote goes to a claim unless another holds it or the claim was ended. `instead_of` names a lease to be broken: it
    loses the vote, and is never given it again.
    """
    held = holder(state, now, boot)
    if claim["id"] in state["ended"]:
        return state, {"granted": False, "ended": state["ended"][claim["id"]]}
    if held and held["id"] not in (claim["id"], claim["instead_of"]):
        return state, {"granted": False, "held": held}
    lease = {**claim, "until": now + claim["ttl"], "boot": boot}
    broken = f"broken by {claim['who']}: {claim['why']}"
    ended = _ended(state, claim["instead_of"], broken) if claim["instead_of"] else state["ended"]
    return {"lease": lease, "ended": ended}, {"granted": True}


def released(state: Json, lease_id: str) -> Json:
    """The state without this lease, which may not be here; a renewal of it that is still under way will be refused."""
    lease = state["lease"]
    kept = None if lease and lease["id"] == lease_id else lease
    return {"lease": kept, "ended": _ended(state, lease_id, "it was given back")}


def holder(state: Json, now: float, boot: str) -> Json | None:
    """The lease that has the vote, with the seconds it has `left`; `now` is the time since boot, which nobody can set.

    A reboot starts that clock at zero. The lease then ends a full ttl later, so that the vote is not given away while
    its holder may still count on it.
    """
    lease = state["lease"]
    if not lease:
        return None
    until = lease["until"] if lease["boot"] == boot else lease["ttl"]
    return {**lease, "left": until - now} if now < until else None


def digest(entry: Json) -> str:
    """SHA-256 of the entry but its hash, in hex."""
    rest = {name: value for name, value in entry.items() if name != "hash"}
    return hashlib.sha256(canonical(rest).encode()).hexdigest()


def canonical(entry: Json) -> str:
    """The one way to write an entry: names sorted, no spaces."""
    return json.dumps(entry, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def wrong(line: str, number: int, previous: str) -> str:
    """What is wrong with a line that should be the `number`th, after the one with the hash `previous`; else ""."""
    try:
        entry = json.loads(line) if len(line) <= LINE_LIMIT else None
        if not isinstance(entry, dict) or not isinstance(entry.get("number"), int):
            return f"line {number} is not a line of a journal"
        if entry.get("hash") != digest(entry) or line != canonical(entry):
            return f"line {number} was altered"
    except (ValueError, RecursionError):
        return f"line {number} is not a line of a journal"
    if entry["number"] > number:
        return f"line {number} is missing"
    if entry["number"] < number:
        return f"line {number} says that it is line {entry['number']}"
    return "" if entry.get("previous") == previous else f"line {number} does not follow the line before it"


def chain(lines: Sequence[str], number: int = 0, previous: str = START) -> Json:
    """How far the lines continue the chain: number and hash of the last good one, and what is wrong with the next."""
    for line in lines:
        if problem := wrong(line, number + 1, previous):
            return {"number": number, "hash": previous, "problem": problem}
        number, previous = number + 1, json.loads(line)["hash"]
    return {"number": number, "hash": previous, "problem": ""}


def grant(folder: Path, request: Json) -> Json:
    """Give the vote, or say who has it."""
    state, given = granted(_state(folder), request, _now(), _boot())
    if given["granted"]:
        _replace(folder / "lease.json", json.dumps(state))
    return given


def release(folder: Path, request: Json) -> Json:
    """Take the vote back."""
    _replace(folder / "lease.json", json.dumps(released(_state(folder), request["id"])))
    return {}


def show(folder: Path, _request: Json) -> Json:
    """Who has the vote."""
    return {"held": holder(_state(folder), _now(), _boot())}


def head(folder: Path, _request: Json) -> Json:
    """The end of the journal, after a look at all of it."""
    return chain(_lines(folder))


def read(folder: Path, request: Json) -> Json:
    """The lines after the one that is named; `cut`: something stands after the last of them that was never finished."""
    path = folder / "journal.jsonl"
    cut = path.exists() and path.stat().st_size > _end(path)
    return {"lines": _lines(folder)[request["after"] :], "cut": cut}


def append(folder: Path, request: Json) -> Json:
    """Add lines if the journal ends where `after` says and they follow; else say why not, and where it does end.

    Not for a lease that was ended, or while another has the vote: who lost the lock without knowing adds nothing.
    """
    state, lease_id, after = _state(folder), request["lease"], request["after"]
    held = holder(state, _now(), _boot())
    if lease_id in state["ended"]:
        return {"written": False, "ended": state["ended"][lease_id]}
    if held and held["id"] != lease_id:
        return {"written": False, "held": held}
    if not _ends_at(folder, after):
        return {"written": False, "head": chain(_lines(folder))}
    if problem := chain(request["lines"], after["number"], after["hash"])["problem"]:
        return {"written": False, "diverges": problem}
    _write(folder / "journal.jsonl", request["lines"])
    return {"written": True}


READS: dict[str, Callable[[Path, Json], Json]] = {"show": show, "head": head, "read": read}
CHANGES: dict[str, Callable[[Path, Json], Json]] = {"grant": grant, "release": release, "append": append}


def main(folder: Path, verb: str, request: Json) -> None:
    """Print the answer."""
    signal.alarm(PATIENCE_SECONDS)
    os.umask(0o022)
    json.dump(answer(folder, verb, request), sys.stdout)


def answer(folder: Path, verb: str, request: Json) -> Json:
    """One request at a time on this host; reading leaves no trace on it."""
    if verb in CHANGES:
        folder.mkdir(mode=0o755, parents=True, exist_ok=True)
        with _locked(folder / "lock", fcntl.LOCK_EX):
            return CHANGES[verb](folder, request)
    if not (folder / "lock").exists():
        return READS[verb](folder, request)
    with _locked(folder / "lock", fcntl.LOCK_SH):
        return READS[verb](folder, request)


@contextmanager
def _locked(path: Path, how: int) -> Iterator[None]:
    """The kernel lets go when the process ends, however it ends."""
    with path.open("a" if how == fcntl.LOCK_EX else "r") as file:
        fcntl.flock(file, how)
        yield


def _now() -> float:
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def _boot() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def _ended(state: Json, lease_id: str, why: str) -> dict[str, str]:
    return dict([*state["ended"].items(), (lease_id, why)][-ENDED_KEPT:])


def _state(folder: Path) -> Json:
    try:
        state: Json = json.loads((folder / "lease.json").read_text())
    except FileNotFoundError:
        return {"lease": None, "ended": {}}
    except ValueError:
        sys.exit(f"{folder / 'lease.json'} cannot be read; if nothing changes the fleet now, remove it")
    return state


def _replace(path: Path, text: str) -> None:
    """All or nothing, also when the power fails."""
    beside = path.with_suffix(".new")
    with beside.open("w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    beside.replace(path)
    _sync(path.parent)


def _lines(folder: Path) -> list[str]:
    """The whole lines: one that is cut short was never acknowledged. Bytes that are no UTF-8 fail their line's hash."""
    path = folder / "journal.jsonl"
    text = path.read_bytes().decode(errors="replace") if path.exists() else ""
    return text.split("\n")[:-1]


def _ends_at(folder: Path, after: Json) -> bool:
    """By the last line alone, so that a step's line costs the same in an old journal."""
    path = folder / "journal.jsonl"
    if not path.exists() or not (end := _end(path)):
        return bool(after["number"] == 0)
    with path.open("rb") as file:
        file.seek(max(0, end - TAIL_BYTES))
        last = file.read(end - file.tell())[:-1].decode(errors="replace").rpartition("\n")[2]
    return not wrong(last, after["number"], _previous(last)) and bool(json.loads(last)["hash"] == after["hash"])


def _previous(line: str) -> str:
    try:
        return str(json.loads(line)["previous"])
    except (ValueError, TypeError, KeyError, RecursionError):
        return START


def _end(path: Path) -> int:
    """Where the last whole line ends, in bytes."""
    size = path.stat().st_size
    with path.open("rb") as file:
        file.seek(max(0, size - TAIL_BYTES))
        start = file.tell()
        return start + file.read().rfind(b"\n") + 1


def _write(path: Path, lines: Sequence[str]) -> None:
    """On the disk when it returns; what a full disk or a lost power left unfinished is cut off, never built upon."""
    is_new = not path.exists()
    with path.open("ab", buffering=0) as file:
        end = _end(path)
        file.truncate(end)
        try:
            rest = "".join(f"{line}\n" for line in lines).encode()
            while rest:
                rest = rest[file.write(rest) :]
            os.fsync(file.fileno())
        except OSError:
            file.truncate(end)
            raise
    if is_new:
        _sync(path.parent)


def _sync(folder: Path) -> None:
    """A name in a folder is on the disk only when the folder is."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], json.loads(sys.argv[3]))

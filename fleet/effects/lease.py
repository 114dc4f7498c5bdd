"""The fleet's lock: a lease that a strict majority of the fleet's own hosts grants, renewed while it is held."""

import random
import secrets
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from types import TracebackType
from typing import Any, Self

from fleet.effects.keepers import Ask, each
from fleet.errors import FleetError, HostUnreachable

CHANCE = random.SystemRandom()
_CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)  # goes on while a laptop sleeps, and is never set
_OWN_CLOCK = 0.97  # of the ttl: the holder's clock may be slower than the hosts'


class LeaseHeld(FleetError):
    """Somebody else changes the fleet, or tries to at the same moment."""


class LeaseLost(FleetError):
    """The lock was broken, or could not be renewed in time: the change stops before its next step."""


@dataclass(frozen=True)
class Timing:
    """In seconds; `tries` are for those who start at the same moment and split the votes."""

    ttl: float = 30.0
    beat: float = 10.0
    tries: int = 6
    longest_pause: float = 2.0


TIMING = Timing()


@dataclass(frozen=True)
class Claim:
    """Who wants the lock, for which verb, to do what, and why; `since` is theirs to say, and only shown."""

    who: str
    verb: str
    what: str
    why: str
    since: str


@dataclass(frozen=True)
class Holder(Claim):
    """Who has the lock, by how many votes of how many; `left`: seconds until it ends unless it is renewed."""

    id: str
    votes: int
    of: int
    left: float


def majority(voters: int) -> int:
    """More than half of all, whether they answer or not: two majorities share a host."""
    return voters // 2 + 1


def acquire(
    ask: Ask,
    voters: Sequence[str],
    claim: Claim,
    timing: Timing = TIMING,
    *,
    instead_of: str = "",
    chance: random.Random = CHANCE,
) -> "Lease":
    """Get the lock, in the place of the lease `instead_of` if it is to be broken.

    Raises LeaseHeld, with who has it, and FleetError when too few hosts answer. What was granted in vain is given back.
    """
    for _ in range(timing.tries):
        claimed = {**asdict(claim), "id": secrets.token_hex(6), "ttl": timing.ttl, "instead_of": instead_of}
        asked_at = now()
        try:
            answers, away = each(ask, voters, "grant", claimed)
        except KeyboardInterrupt:
            each(ask, voters, "release", {"id": claimed["id"]})
            raise
        granted = [host for host, answer in answers.items() if answer["granted"]]
        if len(granted) >= majority(len(voters)):
            return Lease(ask, voters, claimed, timing, dict.fromkeys(granted, asked_at))
        each(ask, granted, "release", {"id": claimed["id"]})
        _refuse_if_hopeless(answers, away, voters)
        time.sleep(chance.uniform(0, timing.longest_pause))
    raise LeaseHeld(_split(answers, away, voters))


def holder(ask: Ask, voters: Sequence[str]) -> Holder | None:
    """Who has the lock, or may have it as far as the hosts that answer can tell. Reads only.

    Raises FleetError when too few answer to say that nobody has it.
    """
    answers, away = each(ask, voters, "show", {})
    found = _leader([answer["held"] for answer in answers.values() if answer["held"]], len(voters))
    if found and found.votes + len(away) >= majority(len(voters)):
        return found
    if len(answers) < majority(len(voters)):
        raise HostUnreachable(f"cannot tell who has the lock: {_too_few(len(answers), away, voters)}")
    return None


def told(held: Holder) -> str:
    """For whoever wants the lock too: who has it, since when, why, and what to do."""
    return (
        f"{held.who} has been changing this fleet since {held.since} ({held.verb}: {held.what}), because: {held.why}. "
        f"Wait until it ends; if it died, its lock ends by itself, in {held.left:.0f} s. Look: ./ops.py lock show. "
        "Only if it has to stop: ./ops.py lock break --reason …"
    )


def now() -> float:
    """Seconds on the clock that leases are counted by."""
    return time.clock_gettime(_CLOCK)


class Lease:
    """The lock while it is held; renewed in the background by a thread a host, so that one that hangs holds up none."""

    def __init__(
        self, ask: Ask, voters: Sequence[str], claimed: Mapping[str, Any], timing: Timing, granted: Mapping[str, float]
    ) -> None:
        """`granted`: when each host was asked that said yes. Its own count starts later, so it ends later."""
        self.id: str = claimed["id"]
        self.lost = threading.Event()
        self._ask, self._voters, self._claimed, self._timing = ask, tuple(voters), claimed, timing
        self._granted = dict(granted)
        self._why = ""
        self._mutex = threading.Lock()
        self._released = threading.Event()
        for voter in self._voters:
            threading.Thread(target=self._renew_again_and_again, args=(voter,), daemon=True).start()
        threading.Thread(target=self._watch, daemon=True).start()

    def check(self) -> None:
        """Raises LeaseLost when the lock is not held any more; asks nobody."""
        self._notice()
        if self.lost.is_set():
            raise LeaseLost(
                f"this change lost the fleet's lock ({self._why}) and stops here; look who changes the fleet, "
                "./ops.py lock show, and what was done, ./ops.py history; then run the same command again"
            )

    def lose(self, why: str) -> None:
        """Once lost it stays lost: somebody else may have had it since."""
        with self._mutex:
            self._why = self._why or why
        self.lost.set()

    def release(self) -> None:
        """Give it back on every host that answers; on the others it ends by itself."""
        self._released.set()
        each(self._ask, self._voters, "release", {"id": self.id})

    def __enter__(self) -> Self:
        """It is held already."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Whatever happened."""
        self.release()

    def _renew_again_and_again(self, voter: str) -> None:
        due = self._granted.get(voter, now()) + self._timing.beat
        while not self._released.wait(max(0.0, due - now())):
            due = max(due, now()) + self._timing.beat
            self._renew(voter)

    def _renew(self, voter: str) -> None:
        """A host that does not answer keeps its vote for us until the ttl has passed; one that refuses does not."""
        asked_at = now()
        try:
            answer = self._ask(voter, "grant", self._claimed)
        except FleetError:
            return
        with self._mutex:
            if answer["granted"]:
                self._granted[voter] = asked_at
            else:
                self._granted.pop(voter, None)
        if "ended" in answer and not self._released.is_set():
            self.lose(answer["ended"])

    def _watch(self) -> None:
        """So that `lost` is set in time even when no host answers."""
        while not self._released.wait(max(0.01, self._ends_at() - now())):
            self._notice()
            if self.lost.is_set():
                return

    def _notice(self) -> None:
        if now() >= self._ends_at():
            self.lose(
                f"{majority(len(self._voters))} of {len(self._voters)} hosts have to renew it, and did not in time"
            )

    def _ends_at(self) -> float:
        """When the last host leaves us without which there is no majority."""
        with self._mutex:
            asked_at = sorted(self._granted.values(), reverse=True)
        needed = majority(len(self._voters))
        return asked_at[needed - 1] + self._timing.ttl * _OWN_CLOCK if len(asked_at) >= needed else float("-inf")


def _refuse_if_hopeless(answers: Mapping[str, Any], away: Mapping[str, str], voters: Sequence[str]) -> None:
    """Where one other has a majority, or too few answer, trying again changes nothing."""
    found = _leader([answer["held"] for answer in answers.values() if "held" in answer], len(voters))
    if found and found.votes >= majority(len(voters)):
        raise LeaseHeld(told(found))
    if len(answers) < majority(len(voters)):
        raise HostUnreachable(f"cannot lock the fleet: {_too_few(len(answers), away, voters)}")


def _leader(held: Sequence[Mapping[str, Any]], of: int) -> Holder | None:
    """The lease with the most votes, and of its votes the one that ends last."""
    by_id: dict[str, list[Mapping[str, Any]]] = {}
    for lease in held:
        by_id.setdefault(lease["id"], []).append(lease)
    if not by_id:
        return None
    votes = max(by_id.values(), key=len)
    last = max(votes, key=lambda lease: float(lease["left"]))
    named = {name: last[name] for name in ("who", "verb", "what", "why", "since", "id", "left")}
    return Holder(**named, votes=len(votes), of=of)


def _split(answers: Mapping[str, Any], away: Mapping[str, str], voters: Sequence[str]) -> str:
    found = _leader([answer["held"] for answer in answers.values() if "held" in answer], len(voters))
    other = f"{found.who} has {found.votes} ({found.verb}, because: {found.why})" if found else "nobody has the rest"
    gone = f"; no answer from {', '.join(away)}" if away else ""
    return (
        f"no majority of the {len(voters)} hosts could be had for the lock: {other}{gone}. Try again in a moment, or "
        "look: ./ops.py lock show"
    )


def _too_few(answered: int, away: Mapping[str, str], voters: Sequence[str]) -> str:
    why = "; ".join(away.values())
    return (
        f"{answered} of {len(voters)} hosts answer and {majority(len(voters))} have to: {why}. Bring one back, or take "
        "what is gone for good out of the inventory"
    )

"""One change at a time: a change holds the fleet's lock, and every step of it is in the journal."""

import getpass
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime

from fleet.effects import keepers, lease
from fleet.effects.inventory import Inventory
from fleet.effects.journal import Draft, Journal
from fleet.effects.keepers import Ask
from fleet.effects.lease import Claim, Holder, Lease, LeaseLost, Timing
from fleet.errors import FleetError
from fleet.history import BREAK

FIRST_LINE_LIMIT = 300


@dataclass
class Change:
    """A change that holds the lock. `warnings` are for the operator: load balancers that a line did not reach."""

    lease: Lease
    journal: Journal
    claim: Claim
    result: str = "done"
    warnings: list[str] = field(default_factory=list)

    def step(self, what: str, result: str = "begun") -> None:
        """Write a line, with the lock held; `what` is shown to everybody for ever, so no secret may be in it.

        Raises LeaseLost when the lock is not held any more, FleetError when no load balancer took the line.
        """
        self.lease.check()
        self._write(what, result)

    def failed(self, why: str) -> None:
        """The change ends as failed though its block ends without an error: a report says so."""
        self.result = f"failed: {_first_line(why)}"

    def warn(self, *sentences: str) -> None:
        """Once, however often it is said."""
        self.warnings += (sentence for sentence in sentences if sentence not in self.warnings)

    def _write(self, what: str, result: str) -> None:
        draft = Draft(self.lease.id, self.claim.who, self.claim.verb, what, self.claim.why, result)
        try:
            written = self.journal.append(draft, datetime.now(UTC), self.lease.id)
        except LeaseLost as lost:
            self.lease.lose(str(lost))
            self.lease.check()
            raise
        self.warn(*(f"the journal misses a line: {why}" for why in written.missing.values()))


@contextmanager
def change(
    inventory: Inventory, verb: str, what: str, why: str, *, ask: Ask | None = None, timing: Timing = lease.TIMING
) -> Iterator[Change]:
    """Hold the fleet's lock and journal what happens: begun; done, failed or aborted.

    Look at the fleet and plan inside: what was seen before may be gone when the lock is had. Raises LeaseHeld when
    somebody else changes the fleet.
    """
    ask = ask or keepers.over_ssh(inventory)
    claim = _claim(verb, what, why)
    with lease.acquire(ask, voters(inventory), claim, timing) as held:
        made = Change(held, Journal(ask, inventory.group("loadbalancers")), claim)
        made.step(what)
        try:
            yield made
        except BaseException as error:
            _end_after(made, error)
            raise
        made.step(what, made.result)


def holder(inventory: Inventory, *, ask: Ask | None = None) -> Holder | None:
    """Who changes the fleet now; reads only."""
    return lease.holder(ask or keepers.over_ssh(inventory), voters(inventory))


def break_(
    inventory: Inventory, held: Holder, why: str, *, ask: Ask | None = None, timing: Timing = lease.TIMING
) -> None:
    """Take the lock from `held`, never to be renewed, and end its change in the journal as aborted.

    Only from `held`: when somebody else has it by now, that is LeaseHeld. The step that runs at this moment goes on.
    """
    ask = ask or keepers.over_ssh(inventory)
    journal = Journal(ask, inventory.group("loadbalancers"))
    journal.look()  # so that no lock is broken without a line that says so
    what = f"broke the lock of {held.who} ({held.verb}, {held.what})"
    claim = _claim(BREAK, what, why)
    with lease.acquire(ask, voters(inventory), claim, timing, instead_of=held.id) as mine:
        journal.append(Draft(held.id, claim.who, BREAK, what, why, "aborted"), datetime.now(UTC), mine.id)


def voters(inventory: Inventory) -> tuple[str, ...]:
    """The hosts that grant the lock."""
    return tuple(sorted({*inventory.group("loadbalancers"), *inventory.group("app")}))


def _claim(verb: str, what: str, why: str) -> Claim:
    who = f"{getpass.getuser()}@{socket.gethostname()} {os.getpid()}"
    return Claim(who, verb, what, why, f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S} UTC")


def _end_after(made: Change, error: BaseException) -> None:
    """The error is what the operator has to read; that its line could not be written is a warning beside it."""
    if made.result == "done":
        made.result = _result(error)
    try:
        made.step(made.claim.what, made.result)
    except FleetError as unwritten:
        made.warn(f"the journal does not say how it ended: {unwritten}")


def _result(error: BaseException) -> str:
    """Sentences of ours are safe to keep; what any other error says is not known, and may hold a secret."""
    if isinstance(error, KeyboardInterrupt):
        return "aborted"
    return f"failed: {_first_line(str(error)) if isinstance(error, FleetError) else type(error).__name__}"


def _first_line(text: str) -> str:
    return text.partition("\n")[0][:FIRST_LINE_LIMIT]

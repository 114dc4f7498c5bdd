"""Who changes the fleet, how the last change ended, and whether the journal is whole."""

from collections.abc import Iterator

from fleet.effects.lease import Holder
from fleet.facts import Facts, Finding, Severity
from fleet.history import NOT_ENDED, Change

CANARY = "canary"


def running(facts: Facts) -> Iterator[Finding]:
    """Who has the lock, and at which step."""
    if facts.lock_unknown:
        text = "It cannot be told whether somebody changes the fleet."
        after = "Bring the hosts back: no change begins before more than half of them answer."
        yield Finding(Severity.WRONG, (), text, f"{facts.lock_unknown}.", after)
    if held := facts.holder:
        what = f"{held.verb}, {held.what}{_step(facts, held)}"
        text = f"{held.who} has been changing the fleet since {held.since}: {what}."
        why = f"The reason given: {held.why}." if held.why else "No reason was given."
        after = f"Wait until it ends. To look at it: ./ops.py history --change {held.id}{_wish(facts, held)}"
        yield Finding(Severity.UNSETTLED, (), text, why, after)


def last(facts: Facts, *, is_settled: bool) -> Iterator[Finding]:
    """How the last change ended; where the fleet is well in spite of it, that is a note."""
    change = facts.last
    if change is None or facts.lock_unknown or (facts.holder and facts.holder.id == change.id):
        return
    if change.result == "done":
        yield Finding(Severity.NOTE, (), told(change))
        return
    why, after = _why(change), f"To look at it: ./ops.py history --change {change.id}\n{_again(change)}"
    yield Finding(Severity.NOTE if is_settled else Severity.UNSETTLED, (), told(change), why, after)


def journal(facts: Facts) -> Iterator[Finding]:
    """Each thing that is wrong with a copy."""
    for problem in facts.journal:
        after = "docs/journal.md says what it means. To look at all copies: ./ops.py journal verify"
        yield Finding(Severity.UNSETTLED, (), f"The journal is not whole: {problem}.", "", after)


def told(change: Change) -> str:
    """A change and its end in a sentence."""
    reason = f", because: {change.why}" if change.why else ""
    began = f"{change.began:%Y-%m-%d %H:%M:%S} UTC"
    return f"The last change was {change.verb}, {change.what}, by {change.who} at {began}{reason}: {change.result}."


def _step(facts: Facts, held: Holder) -> str:
    """The step that runs now, where the journal has it."""
    if facts.last is None or facts.last.id != held.id:
        return ""
    begun = _steps(facts.last, ended=False)
    return f"; its step now: {begun[-1]}" if begun else "; it is between two steps"


def _wish(facts: Facts, held: Holder) -> str:
    """A canary can be told what to do, and says what it was told."""
    if held.verb != CANARY:
        return ""
    if "pause" in {each.wish for each in facts.fleet.load_balancers}:
        return "\nIt was told to pause. To end that: ./ops.py canary --go-on"
    return "\nTo tell it what to do: ./ops.py canary --pause, or --promote, or --abort"


def _why(change: Change) -> str:
    if change.result == NOT_ENDED:
        begun = _steps(change, ended=False)
        where = f" It was at this step: {begun[-1]}." if begun else ""
        return f"Its operator's machine died, or lost the lock.{where}"
    failed = _steps(change, ended=True)
    return f"It failed at this step: {failed[-1]}." if failed else ""


def _steps(change: Change, *, ended: bool) -> list[str]:
    """Those that ended otherwise than well, or those that did not end."""
    return [p.what for p in change.steps if (p.result not in ("done", NOT_ENDED) if ended else p.result == NOT_ENDED)]


def _again(change: Change) -> str:
    to = change.what.removeprefix("to ").removesuffix(" instances")
    if change.verb in ("rolling-update", "blue-green", "scale", CANARY) and " " not in to:
        return f"The same command goes on from what is there: ./ops.py {change.verb} {to}"
    return "Run the same command again: it goes on from what is there."

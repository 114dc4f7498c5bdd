"""PURE: from facts to findings: what is not as it should be, why, and what to do next."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from fleet.facts import Facts, Finding, Severity
from fleet.findings import balancers, changes, processes
from fleet.model import State


def explain(facts: Facts, target: str = "") -> tuple[Finding, ...]:
    """What is not as it should be, the worst first; `()` when all is well.

    With a target, a host or a process, everything about it, also what is as it should be, and what concerns the fleet.
    """
    looks = (changes.running, processes.find, balancers.find, changes.journal)
    found = [finding for look in looks for finding in look(facts)]
    found += changes.last(facts, is_settled=all(finding.severity is Severity.NOTE for finding in found))
    if target:
        chosen = [finding for finding in found if _concerns(finding, target)]
    else:
        chosen = [finding for finding in found if finding.severity is not Severity.NOTE]
    return tuple(sorted(chosen, key=lambda finding: list(Severity).index(finding.severity)))


def sentence(facts: Facts, findings: Sequence[Finding]) -> str:
    """The whole in a sentence or two, with the last change."""
    wrong = sum(finding.severity is Severity.WRONG for finding in findings)
    unsettled = sum(finding.severity is Severity.UNSETTLED for finding in findings)
    ready = sum(o.state is State.READY for o in facts.fleet.instances)
    state = f"{ready} of {len(facts.fleet.instances)} instances are ready"
    if not wrong and not unsettled:
        state = f"All is well: {state}, on {facts.fleet.version}."
    else:
        parts = [f"{wrong} wrong"] * bool(wrong) + [f"{unsettled} unsettled"] * bool(unsettled)
        state = f"{' and '.join(parts)}; {state}."
    if facts.last:
        return f"{state} {changes.told(facts.last)}"
    return state if facts.journal else f"{state} No change was written down yet."


def data(facts: Facts, findings: Sequence[Finding]) -> dict[str, Any]:
    """For JSON."""
    return {
        "well": all(finding.severity is Severity.NOTE for finding in findings),
        "sentence": sentence(facts, findings),
        "findings": [asdict(finding) for finding in findings],
    }


def _concerns(finding: Finding, target: str) -> bool:
    """A host's findings concern its processes, and theirs concern the host."""
    return not finding.about or any(
        name == target or name.startswith((f"{target}:", f"{target}/")) or target.startswith((f"{name}:", f"{name}/"))
        for name in finding.about
    )

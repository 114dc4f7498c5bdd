"""Drift: what Ansible's check mode says it would change, as a diff to read, host by host. Pure."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import unified_diff
from typing import Any

CENSORED = "censored: what it writes may hold secrets"
CONTEXT = 2  # lines around a difference
_UNSAID = {
    "dst_binary": "what is there is binary",
    "src_binary": "what would come is binary",
    "dst_larger": "what is there is too large to be compared",
    "src_larger": "what would come is too large to be compared",
}


@dataclass(frozen=True)
class Change:
    """What one task would change on a host; `what` is a file, an item of a loop, or empty.

    `diff` is a unified diff or, where there is none, what Ansible says instead. A censored one has no diff, ever.
    """

    host: str
    task: str
    what: str = ""
    diff: str = ""
    is_censored: bool = False


def fold(events: Iterable[Mapping[str, Any]]) -> tuple[Change, ...]:
    """Every change in the events, by host, within a host in the order of the tasks; `()` when nothing would change."""
    found = [
        change
        for event in events
        for host, result in event["hosts"].items()
        for change in _changes(host, str(event["task"]["name"]), result)
    ]
    return tuple(sorted(found, key=lambda change: change.host))


def lines(changes: Sequence[Change]) -> list[str]:
    """To be read: a heading a host, a line a task, the diff under it; one that another host has too is shown once."""
    shown: dict[tuple[str, str, str], str] = {}
    told: list[str] = []
    for number, change in enumerate(changes):
        if number == 0 or change.host != changes[number - 1].host:
            told += [*([""] if told else []), change.host]
        told.append(f"  {change.task}" + (f": {change.what}" if change.what else ""))
        first = shown.setdefault((change.task, change.what, change.diff), change.host)
        told += [f"      {line}" for line in _detail(change, first)]
    return told


def summary(changes: Sequence[Change]) -> str:
    """In a sentence."""
    if not changes:
        return "Nothing would change."
    hosts = {change.host for change in changes}
    return f"{_count(len(changes), 'thing')} would change, on {_count(len(hosts), 'host')}. Nothing was touched."


def _changes(host: str, task: str, result: Mapping[str, Any]) -> Iterator[Change]:
    """Those of each item of a loop, or the task's own; what is delegated happens elsewhere."""
    if not result.get("changed"):
        return
    host = str(result.get("_ansible_delegated_vars", {}).get("ansible_host", host))
    if result.get("_ansible_no_log") or "censored" in result:
        yield Change(host, task, is_censored=True)
        return
    if "results" in result:
        for item in result["results"]:
            yield from _changes(host, task, item)
        return
    yield from _differences(host, task, result)


def _differences(host: str, task: str, result: Mapping[str, Any]) -> Iterator[Change]:
    label = result.get("_ansible_item_label", "")
    item = label if isinstance(label, str) else ""
    diffs = result.get("diff") or ()
    told = [(_path(diff) or item, text) for diff in _listed(diffs) if (text := _text(diff))]
    if told:
        yield from (Change(host, task, what, text) for what, text in told)
    else:
        yield Change(host, task, item or str(result.get("dest", "")), str(result.get("msg", "")).strip())


def _listed(diffs: Any) -> Sequence[Mapping[str, Any]]:  # noqa: ANN401  # a mapping or a list of them, as the module likes
    return diffs if isinstance(diffs, list | tuple) else (diffs,)


def _path(diff: Mapping[str, Any]) -> str:
    """The file on the host; what would come may have come from a temporary one here."""
    before = diff.get("before")
    return str(before["path"] if isinstance(before, Mapping) and "path" in before else diff.get("before_header", ""))


def _text(diff: Mapping[str, Any]) -> str:
    if "prepared" in diff:
        return str(diff["prepared"]).strip()
    unsaid = [words for name, words in _UNSAID.items() if name in diff]
    if unsaid or not {"before", "after"} <= set(diff):
        return "; ".join(unsaid)
    before, after = diff["before"], diff["after"]
    if isinstance(before, Mapping) and isinstance(after, Mapping):
        return "\n".join(_attributes(before, after))
    return _unified(str(before or ""), str(after or ""))


def _attributes(before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[str]:
    """Of a file itself: its mode, its owner, whether it is there."""
    for name in dict.fromkeys((*before, *after)):
        if before.get(name) != after.get(name):
            yield f"{name}: {before.get(name, 'unset')} → {after.get(name, 'unset')}"


def _unified(before: str, after: str) -> str:
    """Without its first two lines: which file it is stands above it."""
    diff = unified_diff(before.splitlines(), after.splitlines(), n=CONTEXT, lineterm="")
    text = "\n".join(list(diff)[2:])
    return text if text or before == after else "only in how its lines end"


def _detail(change: Change, first: str) -> list[str]:
    if change.is_censored:
        return [CENSORED]
    is_long = change.diff.count("\n") > 0
    return [f"as on {first}"] if first != change.host and is_long else change.diff.splitlines()


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" + ("" if number == 1 else "s")

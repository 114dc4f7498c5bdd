"""What the load balancers' access logs say of a time, step by step and version by version. Reads only."""

import json
import shlex
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from fleet.effects import access_log, ssh, timeline
from fleet.effects.inventory import Inventory
from fleet.errors import HostUnreachable
from fleet.report.model import Bins, Count, Requests, Step

LOGS = ("/var/log/nginx/access.log", "/var/log/nginx/access.log.1")  # older ones are compressed
TIMEOUT_SECONDS = 120
CLOCKS_DIFFER = 2.0  # seconds, above what asking takes

_LOADER = """import sys, types
module = types.ModuleType("fleet.effects.access_log")
exec({source!r}, module.__dict__)
sys.modules["fleet.effects"] = types.SimpleNamespace(access_log=module)
"""
PROGRAM = _LOADER.format(source=Path(access_log.__file__).read_text()) + Path(timeline.__file__).read_text()
"""Both files as one program: the host has no package to import the other one from."""


def ask(inventory: Inventory, since: float, until: float, step: float) -> Requests:
    """All load balancers together. What one of them cannot tell is a notice, and the others' counts stand."""
    names = inventory.group("loadbalancers")
    answers = ssh.on_each(names, lambda name: _ask(name, inventory, since, until, step))
    return together(answers, since, until, step)


def argv(since: float, until: float, step: float, paths: Sequence[str] = LOGS) -> list[str]:
    """The command, without what makes it root's."""
    return ["python3", "-c", PROGRAM, f"{since:.3f}", f"{until:.3f}", f"{step:g}", *paths]


def together(answers: Mapping[str, Mapping[str, Any] | str], since: float, until: float, step: float) -> Requests:
    """Counts are added up, step by step; an answer that is a text is why there is none."""
    steps: list[dict[str, Count]] = [{} for _ in range(max(1, -int(-(until - since) // step)))]
    notices: list[str] = []
    for name, answer in answers.items():
        if isinstance(answer, str):
            notices.append(f"{answer}. The requests through {name} are missing here.")
            continue
        notices += _notices(name, answer, since)
        for number, versions in answer["steps"].items():
            counts = steps[min(int(number), len(steps) - 1)]
            for version, found in versions.items():
                counts[version] = counts.get(version, Count()) + _count(found)
    return Requests(since, step, tuple(Step(each) for each in steps), tuple(notices))


def _ask(name: str, inventory: Inventory, since: float, until: float, step: float) -> Mapping[str, Any] | str:
    command = shlex.join(["sudo", "-n", *argv(since, until, step)])
    asked = time.time()
    try:
        output = ssh.run(name, inventory.hosts[name], command, timeout=TIMEOUT_SECONDS)
    except HostUnreachable as error:
        return str(error)
    if output.code != 0:
        why = (output.stderr.strip().splitlines() or [f"exit code {output.code}"])[-1]
        return f"{name}: cannot read its access log: {why}"
    answer: dict[str, Any] = json.loads(output.stdout)
    return {**answer, "ahead": _ahead(answer["now"], asked, time.time())}


def _ahead(there: float, before: float, after: float) -> float:
    """By how much the clock there is surely ahead of the one here; less than zero: behind."""
    return there - after if there > after else min(0.0, there - before)


def _notices(name: str, answer: Mapping[str, Any], since: float) -> list[str]:
    found = []
    if answer["begins"] is None or answer["begins"] > since + 60:
        begins = f"only reaches back to {_clock(answer['begins'])} UTC" if answer["begins"] else "is empty"
        found.append(f"The access log of {name} {begins}: older lines are compressed or gone, and not counted here.")
    if answer["skipped"]:
        found.append(f"{answer['skipped']} lines of {name}'s access log could not be read.")
    if abs(answer.get("ahead", 0.0)) > CLOCKS_DIFFER:
        word = "ahead of" if answer["ahead"] > 0 else "behind"
        found.append(
            f"The clock of {name} is {abs(answer['ahead']):.0f} s {word} this machine's: requests and steps are as "
            "much apart, if the change was made from here."
        )
    return found


def _clock(at: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(at))


def _count(found: Mapping[str, Any]) -> Count:
    bins: Bins = {int(number): count for number, count in found["bins"].items()}
    return Count(found["requests"], found["failures"], found["retried"], bins)

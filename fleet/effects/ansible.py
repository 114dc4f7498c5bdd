"""Playbooks: built as a list of arguments, then run, their events read as they come."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
TASK_STARTS = ("v2_playbook_on_task_start", "v2_runner_on_start")  # Ansible's own strategies; every other strategy


@dataclass(frozen=True)
class Play:
    """One run of a playbook: the name of a file in playbooks/, extra variables, and the hosts it is limited to.

    With `check` nothing is changed: the hosts only say what would be.
    """

    playbook: str
    variables: Mapping[str, Any]
    limit: tuple[str, ...] = ()
    check: bool = False


@dataclass(frozen=True)
class Failure:
    """A task that failed on a host, or a host that could not be reached; `message` is Ansible's, secrets censored."""

    host: str
    task: str
    message: str


@dataclass(frozen=True)
class Result:
    """How a play ended; `changed` counts tasks by host, `changes` are their events, as Ansible tells them."""

    ok: bool
    failures: tuple[Failure, ...]
    changed: Mapping[str, int]
    output: str = ""
    changes: tuple[Mapping[str, Any], ...] = ()


def program(name: str) -> str:
    """Ansible's programs stand beside the Python that runs us; PATH may hold others."""
    return str(Path(sys.executable).with_name(name))


def argv(play: Play) -> list[str]:
    """The command line; variables go as JSON, so that numbers and lists stay what they are."""
    words = [program("ansible-playbook"), f"playbooks/{play.playbook}.yml"]
    words += ["--limit", ",".join(play.limit)] if play.limit else []
    words += ["--check", "--diff"] if play.check else []
    return [*words, "--extra-vars", json.dumps(dict(play.variables))] if play.variables else words


def run(
    play: Play,
    on_task: Callable[[str], None] = lambda _: None,
    on_play: Callable[[str], None] = lambda _: None,
    environment: Mapping[str, str] | None = None,
) -> Result:
    """Run it to its end, naming each play and task as it starts; Ansible's output is read as JSON, an event a line."""
    settings = {
        **os.environ,
        "ANSIBLE_STDOUT_CALLBACK": "ansible.posix.jsonl",
        "ANSIBLE_NOCOLOR": "1",
        "ANSIBLE_DEPRECATION_WARNINGS": "false",
        **(environment or {}),
    }
    with subprocess.Popen(
        argv(play),
        cwd=ROOT,
        env=settings,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        assert process.stdout is not None  # noqa: S101  # PIPE above
        return _follow(process.stdout, process.wait, on_task, on_play)


def last_error(text: str) -> str:
    """The last thing Ansible complained of, without its colours and prefixes."""
    plain = re.sub(r"\x1b\[[0-9;]*m", "", text)
    errors = re.findall(r"^\[?ERROR\]?!?:?\s*(.+)$", plain, re.MULTILINE)
    lines = [line.strip() for line in plain.splitlines() if line.strip()]
    return str(errors[-1]) if errors else (lines[-1] if lines else "no message")


def _follow(
    lines: Iterator[str], wait: Callable[[], int], on_task: Callable[[str], None], on_play: Callable[[str], None]
) -> Result:
    failures: list[Failure] = []
    changed: dict[str, int] = {}
    changes: list[Mapping[str, Any]] = []
    noise: list[str] = []
    for line in lines:
        event = _parse(line)
        if event is None:
            noise.append(line)
        elif event["_event"] == "v2_playbook_on_play_start":
            on_play(str(event["play"]["name"]))
        elif event["_event"] in TASK_STARTS:
            on_task(str(event["task"]["name"]))
        elif event["_event"] in ("v2_runner_on_failed", "v2_runner_on_unreachable"):
            failures += _failures(event)
        elif event["_event"] == "v2_runner_on_ok":
            changes += [event] if any(result.get("changed") for result in event["hosts"].values()) else []
        elif event["_event"] == "v2_playbook_on_stats":
            changed = {host: int(counts["changed"]) for host, counts in event["stats"].items()}
    code = wait()
    if code != 0 and not failures:
        failures.append(Failure("", "", last_error("".join(noise))))
    return Result(code == 0, tuple(failures), changed, "".join(noise), tuple(changes))


def _parse(line: str) -> dict[str, Any] | None:
    try:
        event = json.loads(line)
    except ValueError:
        return None
    return event if isinstance(event, dict) and "_event" in event else None


def _failures(event: Mapping[str, Any]) -> Iterator[Failure]:
    for host, result in event["hosts"].items():
        if not result.get("ignore_errors"):
            yield Failure(host, str(event["task"]["name"]), _message(result))


def _message(result: Mapping[str, Any]) -> str:
    """Every failing item's own message, or the task's."""
    items = [item for item in result.get("results", ()) if item.get("failed")]
    if items:
        return "\n".join(_message(item) for item in items)
    parts = (str(result[key]).strip() for key in ("msg", "stderr") if result.get(key))
    return "\n".join(dict.fromkeys(parts)) or "failed without a message"

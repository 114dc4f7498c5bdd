"""Hosts that are folders, with the real keeper: by its real command line, or quicker, in the process of the test."""

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fleet.effects import keeper, keepers, ssh
from fleet.errors import HostUnreachable


@dataclass
class Hosts:
    """`away` do not answer; `asked` is who was asked what; `in_process` where processes are not what is tested."""

    root: Path
    in_process: bool = False
    away: set[str] = field(default_factory=set)
    asked: list[tuple[str, str]] = field(default_factory=list)
    environment: dict[str, str] = field(default_factory=dict)
    mutex: threading.Lock = field(default_factory=threading.Lock)

    def __call__(self, host: str, verb: str, request: Mapping[str, Any]) -> keepers.Json:
        with self.mutex:
            self.asked.append((host, verb))
        if host in self.away:
            raise HostUnreachable(f"{host} does not answer")
        if self.in_process:
            return over_json(keeper.answer(self.root / host, verb, over_json(request)))
        command = keepers.command(str(self.root / host), verb, request, python=f"{sys.executable} -IS")
        ended = subprocess.run(
            ["sh", "-c", command],
            capture_output=True,
            text=True,
            check=False,
            env={**os.environ, **self.environment},
        )
        return keepers.answer(host, ssh.Output(ended.returncode, ended.stdout, ended.stderr))

    def file(self, host: str, name: str) -> Path:
        return self.root / host / name

    def journal(self, host: str) -> list[str]:
        path = self.file(host, "journal.jsonl")
        return path.read_text().splitlines() if path.exists() else []


def over_json(value: object) -> keepers.Json:
    changed: keepers.Json = json.loads(json.dumps(value))
    return changed


def until(condition: Callable[[], object], seconds: float = 20) -> None:
    """Look again and again; fail when it does not come true."""
    ends = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < ends, "it did not come true"
        time.sleep(0.02)

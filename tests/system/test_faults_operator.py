"""The operator's machine dies at each step of a change in turn; the fleet serves, and the same command goes on."""

import re
import subprocess
import sys

import pytest

from tests.system.conftest import ROOT, Stories, machine_dies
from tests.system.test_rolling_update import assert_nothing_failed, assert_nothing_lost

pytestmark = pytest.mark.lab

BEGINS = re.compile(r"^\s*\d+/\d+ (\w+)")
THERE = ("check", "stage", "migrate", "keep", "replace", "ask", "send", "soak", "stop", "record", "let")
BACK = ("keep", "ask")


def die_at(stories: Stories, step: str, *words: str) -> None:
    """Type a command; as it begins the step that is told by its first word, its machine dies."""
    argv, reached = [sys.executable, "ops.py", *words], []
    with subprocess.Popen(argv, cwd=ROOT, env=stories.environment, stdout=subprocess.PIPE, text=True) as operator:
        assert operator.stdout is not None
        for line in operator.stdout:
            if begins := BEGINS.match(line):
                reached.append(begins[1])
                if begins[1] == step:
                    machine_dies(operator.pid)
        assert reached[-1:] == [step], f"{words} never came to {step}: {reached}"


@pytest.mark.thorough
def test_the_operator_dies_at_every_step_and_nobody_notices(stories: Stories) -> None:
    """Thirteen times: eleven on the way to a release, two on the way back."""
    before, green, version = stories.inventory().version, stories.load_balancer().green, stories.build()
    with stories.traffic(rate=30) as traffic:
        for step in THERE:
            die_at(stories, step, "blue-green", version, "--yes", "--soak", "1")
            assert "blue-green" in stories.ops("explain"), step
            stories.ops("lock", "break", "--reason", f"its operator died at {step}", "--yes")
        stories.ops("blue-green", version, "--yes", "--soak", "1")
        assert set(stories.versions()) == {version}
        for step in BACK:
            die_at(stories, step, "rollback", "--yes")
            stories.ops("lock", "break", "--reason", f"its operator died at {step}", "--yes")
        stories.ops("rollback", "--yes")
    assert set(stories.versions()) == {before}
    assert stories.load_balancer().green == green
    assert_nothing_failed(traffic)
    assert_nothing_lost(traffic)
    stories.ops("journal", "verify")

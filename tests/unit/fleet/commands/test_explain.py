"""`explain`, `drift` and `plan` as they are typed, and what a guard says as facts."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from fleet.commands import explain
from fleet.effects import inventory
from fleet.errors import FleetError
from fleet.facts import Guard, Guarded

# As roles/guard answers it.
STATE = {
    "at": "2026-03-01T10:00:00.000+00:00",
    "panic": True,
    "error": "",
    "green": 0,
    "instances": {
        "192.0.2.21:3310": {
            "colour": "blue",
            "serves": True,
            "state": "open",
            "why": "refused",
            "since": "2026-03-01T09:59:00.000+00:00",
            "weight": 0,
            "by": "guard",
            "failed_probes": 4,
            "ejections": 2,
        }
    },
}


@pytest.fixture
def nobody_answers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An inventory of hosts on whose port nobody listens."""
    folder = tmp_path / "inventory"
    folder.mkdir()
    (folder / "hosts.yml").write_text(
        "all: {vars: {ansible_host: 127.0.0.1, ansible_port: 1}}\n"
        "loadbalancers: {hosts: {lb-1: {}, lb-2: {}}}\n"
        "database: {hosts: {db-1: {}}}\n"
        "app: {hosts: {app-1: {amebo_web_ports: [3310]}}, vars: {amebo_version: 1.0.0}}\n"
    )
    monkeypatch.setenv("ANSIBLE_INVENTORY", str(folder))
    monkeypatch.setenv("COLUMNS", "250")


def typed(*words: str) -> Result:
    return CliRunner().invoke(explain.commands, words)


@pytest.mark.usefixtures("nobody_answers")
def test_explains_a_fleet_of_which_nothing_answers() -> None:
    result = typed("explain", "--json")
    assert result.exit_code == 0
    told = json.loads(result.stdout)
    said = " ".join(finding["what"] for finding in told["findings"])
    assert not told["well"]
    assert "app-1 cannot be asked; nothing is known of app-1:3310, app-1:3410." in said
    assert "lb-1 cannot be asked what it sends where." in said
    assert "It cannot be told whether somebody changes the fleet." in said
    assert "The journal is not whole: lb-1 does not answer over SSH" in said
    assert "No change was written down yet" not in told["sentence"]


@pytest.mark.usefixtures("nobody_answers")
def test_shows_the_same_in_lines_with_what_is_next_under_it() -> None:
    lines = typed("explain").stdout.splitlines()
    first = lines.index(next(line for line in lines if line.startswith("wrong      app-1 cannot be asked")))
    assert lines[first + 1].startswith("      why  app-1 does not answer over SSH")
    assert (
        lines[first + 2] == "     next  Bring it back. A rolling update can leave it out meanwhile, with --skip app-1"
    )
    assert "0 of 1 instances are ready." in lines[-1]


@pytest.mark.usefixtures("nobody_answers")
def test_a_drift_that_could_not_be_looked_for_is_not_taken_for_none() -> None:
    result = typed("drift", "--json")
    assert result.exit_code == 1
    assert isinstance(result.exception, FleetError)
    assert "what it did not get to is not known" in str(result.exception)
    told = json.loads(result.stdout)
    assert told["hosts"] == {}
    assert "app-1" in {failure["host"] for failure in told["failures"]}


@pytest.mark.usefixtures("nobody_answers")
@pytest.mark.parametrize("words", [("explain", "app-9"), ("drift", "--host", "app-9"), ("plan", "maintenance-page")])
def test_refuses_what_it_does_not_know_and_says_what_there_is(words: tuple[str, ...]) -> None:
    result = typed(*words)
    assert isinstance(result.exception, FleetError)
    assert "there" in str(result.exception) or "it has app-1" in str(result.exception)


@pytest.mark.usefixtures("nobody_answers")
@pytest.mark.parametrize("verb", ["rolling-update", "blue-green", "canary"])
def test_a_plan_takes_what_its_verb_takes_and_fails_as_it_does(verb: str) -> None:
    result = typed("plan", verb, "9.9.9", "--soak", "60")
    assert isinstance(result.exception, FleetError)
    assert "./ops.py build 9.9.9" in str(result.exception)


@pytest.mark.usefixtures("nobody_answers")
def test_one_host_is_looked_at_together_with_those_who_know_which_colour_serves() -> None:
    hosts = inventory.read()
    assert explain._limit(hosts, "app-1") == ("app-1", "lb-1", "lb-2")
    assert explain._limit(hosts, "lb-2") == ("lb-2", "lb-1")
    assert explain._limit(hosts, "") == ()


def test_reads_what_a_guard_says() -> None:
    assert explain._guard_of(STATE) == Guard({"192.0.2.21:3310": Guarded("open", "refused", 2)}, panic=True)

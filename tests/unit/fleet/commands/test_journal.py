"""`lock`, `history` and `journal` as they are typed, on a fleet whose hosts are folders."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from fleet import interlock
from fleet.commands import journal
from fleet.effects import inventory, keepers
from fleet.effects.inventory import Inventory
from fleet.errors import FleetError
from tests.unit.fleet.effects.hosts import Hosts

LBS = ("lb-1", "lb-2")


@pytest.fixture
def hosts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Hosts:
    """The inventory is read by Ansible as ever; only SSH is not in between."""
    folder = tmp_path / "inventory"
    folder.mkdir()
    (folder / "hosts.yml").write_text(
        "loadbalancers: {hosts: {lb-1: {}, lb-2: {}}}\napp: {hosts: {app-1: {amebo_web_ports: [3310]}}}\n"
    )
    monkeypatch.setenv("ANSIBLE_INVENTORY", str(folder))
    monkeypatch.setenv("COLUMNS", "250")
    made = Hosts(tmp_path / "hosts", in_process=True)
    monkeypatch.setattr(keepers, "over_ssh", lambda _inventory: made)
    return made


@pytest.fixture
def fleet(hosts: Hosts) -> Inventory:  # noqa: ARG001  # it names the inventory
    return inventory.read()


def typed(*words: str) -> Result:
    return CliRunner().invoke(journal.commands, words)


def change_once(fleet: Inventory, what: str = "to 1.4.0 [/red]") -> None:
    with interlock.change(fleet, "rolling-update", what, "a fix") as change:
        change.step("step 1/1: stage 1.4.0")
        change.step("step 1/1: stage 1.4.0", "done")


def test_says_that_nobody_changes_the_fleet(fleet: Inventory) -> None:
    assert fleet.group("app") == ("app-1",)
    assert typed("lock", "show").output == "Nobody changes the fleet.\n"
    assert json.loads(typed("lock", "show", "--json").output) is None


def test_shows_who_changes_the_fleet(fleet: Inventory) -> None:
    with interlock.change(fleet, "rolling-update", "to 1.4.0", "a fix") as change:
        held = json.loads(typed("lock", "show", "--json").output)
        assert (held["id"], held["why"], held["votes"]) == (change.lease.id, "a fix", 3)
        shown = typed("lock", "show").output
        assert "rolling-update: to 1.4.0" in shown
        assert "3 of 3 hosts" in shown


def test_breaks_a_lock_only_when_it_is_told_to(fleet: Inventory) -> None:
    def break_in_between() -> None:
        with interlock.change(fleet, "rolling-update", "to 1.4.0", "a fix") as change:
            assert typed("lock", "break", "--reason", "a thief", "--dry-run").exit_code == 0
            assert isinstance(typed("lock", "break", "--reason", "a thief").exception, FleetError)
            assert isinstance(typed("lock", "break", "--reason", " ", "--yes").exception, FleetError)
            change.step("goes on")
            assert typed("lock", "break", "--reason", "a thief", "--yes").exit_code == 0
            change.step("does not go on")

    with pytest.raises(FleetError, match="lost the fleet's lock"):
        break_in_between()
    assert "aborted" in typed("history").output
    assert "does not go on" not in typed("history", "--json").output


def test_breaking_what_nobody_holds_changes_nothing(fleet: Inventory) -> None:
    assert fleet.group("app") == ("app-1",)
    assert typed("lock", "break", "--reason", "a thief", "--yes").output == "Nobody changes the fleet.\n"


def test_tells_the_latest_changes_and_each_step_of_one(fleet: Inventory) -> None:
    for number in range(3):
        change_once(fleet, f"to 1.4.{number} [/red]")
    told = json.loads(typed("history", "--json").output)
    assert [change["what"] for change in told] == [f"to 1.4.{number} [/red]" for number in range(3)]
    shown = typed("history", "--limit", "2").output
    assert "1.4.0" not in shown
    assert "rolling-update: to 1.4.2 [/red]" in shown
    one = typed("history", "--change", told[1]["id"][:8]).output
    assert "step 1/1: stage 1.4.0" in one
    assert "1.4.2" not in one
    assert isinstance(typed("history", "--change", "no such").exception, FleetError)


def test_tells_that_nothing_was_changed_yet(fleet: Inventory) -> None:
    assert fleet.group("app") == ("app-1",)
    assert typed("history").output == "No change was written down yet.\n"
    assert json.loads(typed("history", "--json").output) == []


def test_verifies_that_all_copies_are_the_same(fleet: Inventory, hosts: Hosts) -> None:
    change_once(fleet)
    good = typed("journal", "verify")
    assert good.exit_code == 0
    assert "4 lines, the same on every load balancer" in good.output
    path = hosts.file("lb-2", "journal.jsonl")
    path.write_text(path.read_text().replace("stage 1.4.0", "stage 1.4.1", 1))
    bad = typed("journal", "verify")
    assert bad.exit_code == 1
    assert "lb-2: line 2 was altered" in bad.output
    assert "lb-2: line 2 was altered" in typed("history").output
    found = typed("journal", "verify", "--json")
    assert (found.exit_code, json.loads(found.output)["problems"]) == (1, ["lb-2: line 2 was altered"])


def test_without_any_copy_there_is_nothing_to_tell(fleet: Inventory, hosts: Hosts) -> None:
    hosts.away = {*LBS}
    for words in (("history",), ("journal", "verify")):
        assert "no load balancer's journal could be read" in str(typed(*words).exception)
    assert fleet.group("loadbalancers") == LBS

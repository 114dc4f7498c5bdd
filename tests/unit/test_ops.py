"""The command line keeps its own promises: every command explains itself and refuses what it cannot do."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

import ops
from fleet.effects import inventory
from fleet.errors import FleetError
from fleet.model import Fleet, Instance, Observed, State
from fleet.plan import rolling
from fleet.show import fleet_data, plan_data


def commands(group: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Every command with the words that call it; Any, because Typer brings a click of its own."""
    for name, command in getattr(group, "commands", {}).items():
        if hasattr(command, "commands"):
            yield from commands(command, (*path, name))
        else:
            yield (*path, name), command


COMMANDS = list(commands(typer.main.get_command(ops.app)))


@pytest.mark.parametrize(("path", "command"), COMMANDS, ids=[" ".join(path) for path, _ in COMMANDS])
def test_every_command_shows_an_example_of_itself(path: tuple[str, ...], command: Any) -> None:
    assert command.help
    assert f"./ops.py {' '.join(path)}" in (command.epilog or "")


@pytest.mark.parametrize("verb", ["rolling-update"])
def test_every_change_can_be_tried_and_asks_first(verb: str) -> None:
    options = {name for path, command in COMMANDS if path == (verb,) for p in command.params for name in p.opts}
    assert {"--dry-run", "--yes", "--json"} <= options


def test_names_how_to_get_an_inventory_when_there_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANSIBLE_INVENTORY", str(tmp_path / "nowhere"))
    with pytest.raises(FleetError, match=r"no inventory .*nowhere; .*\./ops\.py lab up"):
        inventory.read()


def test_names_how_to_fill_an_inventory_that_is_empty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "hosts.yml").write_text("all: {}\n")
    monkeypatch.setenv("ANSIBLE_INVENTORY", str(tmp_path))
    with pytest.raises(FleetError, match="copy inventory/example"):
        inventory.read()


def test_reads_hosts_and_ports_as_ansible_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANSIBLE_INVENTORY", str(tmp_path))
    (tmp_path / "hosts.yml").write_text(
        "app: {hosts: {web-9: {ansible_host: 192.0.2.9, amebo_web_ports: [3310, 3311], amebo_dispatchers: 1}},"
        " vars: {amebo_version: '1.2.3'}}\n"
        "loadbalancers: {hosts: {lb: {ansible_host: 192.0.2.1, nginx_listen_port: 8080}}}\n"
    )
    read = inventory.read()
    assert [(h.name, h.address, h.web_ports, h.dispatchers) for h in read.app_hosts] == [
        ("web-9", "192.0.2.9", (3310, 3311), 1)
    ]
    assert (read.version, read.url) == ("1.2.3", "http://192.0.2.1:8080")


def test_help_is_what_a_bare_command_prints() -> None:
    assert "rolling-update" in CliRunner().invoke(ops.app, []).output


def test_what_is_shown_as_json_is_json() -> None:
    fleet = Fleet((Observed(Instance("app-1", 3310), State.READY, "1.0.0"),), version="1.0.0")
    steps = rolling.plan(fleet, "1.1.0", rolling.Policy())
    assert json.loads(json.dumps(plan_data(steps)))[0]["step"] == "Check"
    assert json.loads(json.dumps(fleet_data(fleet)))["instances"][0]["ready"] is True

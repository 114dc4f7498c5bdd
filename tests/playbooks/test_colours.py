"""The two colours of every port: what the playbooks, the roles and the operator know of them is the same."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]  # it ships no type hints

from fleet.effects import inventory, traffic
from fleet.effects.inventory import Inventory

ROOT = Path(__file__).parents[2]
APPS = ("192.0.2.21", "192.0.2.22", "192.0.2.23")
PLAY = """
- hosts: {hosts}
  gather_facts: false
  tasks:
    - ansible.builtin.debug:
        msg: "{{{{ {{'found': {expression}}} }}}}"
"""


def wiring() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((ROOT / "playbooks/group_vars/all/wiring.yml").read_text())
    return found


def rendered(folder: Path, hosts: str, expression: str, *words: str) -> dict[str, Any]:
    """What each host makes of it, with the playbooks' variables and the example inventory; asks no host."""
    play = folder / "look.yml"
    (folder / "group_vars").symlink_to(ROOT / "playbooks/group_vars")
    play.write_text(PLAY.format(hosts=hosts, expression=expression))
    program = str(Path(sys.executable).with_name("ansible-playbook"))
    settings = {"ANSIBLE_STDOUT_CALLBACK": "ansible.posix.jsonl", "ANSIBLE_STRATEGY": "linear"}
    environment = {name: value for name, value in os.environ.items() if name != "AMEBO_VAULT_PASSWORD_FILE"}
    argv = [program, str(play), "--inventory", str(ROOT / "inventory/example"), *words]
    ended = subprocess.run(argv, cwd=ROOT, env={**environment, **settings}, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    events = [json.loads(line) for line in ended.stdout.splitlines() if line.startswith("{")]
    return {
        host: result["msg"]["found"]
        for event in events
        if event["_event"] == "v2_runner_on_ok"
        for host, result in event["hosts"].items()
    }


def test_green_ports_are_as_far_from_blue_ones_as_the_operator_believes() -> None:
    assert f"amebo_green_offset | default({inventory.GREEN_OFFSET})" in wiring()["amebo_colours"]["green"]


def test_the_load_balancer_knows_every_instance_of_either_colour(tmp_path: Path) -> None:
    (found,) = rendered(tmp_path, "loadbalancers", "nginx_instances").values()
    assert found == {
        "blue": [f"{address}:{port}" for address in APPS for port in (3310, 3311)],
        "green": [f"{address}:{port}" for address in APPS for port in (3410, 3411)],
    }


def test_the_operator_and_the_load_balancer_know_the_same_instances(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ANSIBLE_INVENTORY", str(ROOT / "inventory/example"))
    monkeypatch.delenv("AMEBO_VAULT_PASSWORD_FILE", raising=False)
    read: Inventory = inventory.read()
    known = {
        "blue": [f"{host.address}:{port}" for host in read.app_hosts for port in host.web_ports],
        "green": [f"{host.address}:{port}" for host in read.app_hosts for port in host.green_ports],
    }
    (found,) = rendered(tmp_path, "loadbalancers", "nginx_instances").values()
    assert found == known


def test_what_was_scaled_counts_before_what_was_written_by_hand_for_both(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = tmp_path / "inventory"
    shutil.copytree(ROOT / "inventory/example", copy)
    (copy / "group_vars/app/ports.yml").write_text("amebo_scaled_ports: {app-1: [3310, 3311, 3312], app-2: []}\n")
    monkeypatch.setenv("ANSIBLE_INVENTORY", str(copy))
    monkeypatch.delenv("AMEBO_VAULT_PASSWORD_FILE", raising=False)
    (found,) = rendered(tmp_path, "loadbalancers", "nginx_instances", "--inventory", str(copy)).values()
    assert [host.web_ports for host in inventory.read().app_hosts] == [(3310, 3311, 3312), (), (3310, 3311)]
    assert found["blue"] == [
        *(f"{APPS[0]}:{port}" for port in (3310, 3311, 3312)),
        *(f"{APPS[2]}:{port}" for port in (3310, 3311)),
    ]


@pytest.mark.parametrize(
    ("words", "ports"),
    [
        pytest.param((), [3310, 3311], id="not asked yet"),
        pytest.param(("--extra-vars", "amebo_live_colour=blue"), [3310, 3311], id="blue"),
        pytest.param(("--extra-vars", "amebo_live_colour=green"), [3410, 3411], id="green"),
    ],
)
def test_what_is_replaced_is_the_colour_that_serves(tmp_path: Path, words: tuple[str, ...], ports: list[int]) -> None:
    """As a fact of the load balancer, which playbooks/colour.yml sets; blue where none has been set up."""
    assert rendered(tmp_path, "app", "amebo_live_ports", *words) == {f"app-{n}": ports for n in (1, 2, 3)}


def test_an_offset_of_the_inventory_counts_for_all(tmp_path: Path) -> None:
    found = rendered(tmp_path, "app", "amebo_green_addresses", "--extra-vars", '{"amebo_green_offset": 7}')
    assert found["app-1"] == ["192.0.2.21:3317", "192.0.2.21:3318"]


def test_colour_looks_for_the_file_that_the_role_writes() -> None:
    defaults = yaml.safe_load((ROOT / "roles/nginx/defaults/main.yml").read_text())
    text = (ROOT / "playbooks/colour.yml").read_text()
    assert f"nginx_instances_file | default('{defaults['nginx_instances_file']}')" in text
    assert f"nginx_control_port | default({defaults['nginx_control_port']})" in text


def test_the_operator_asks_the_port_that_the_role_opens() -> None:
    defaults = yaml.safe_load((ROOT / "roles/nginx/defaults/main.yml").read_text())
    assert defaults["nginx_control_port"] == traffic._PORT


@pytest.mark.parametrize("name", ["rollout", "site"])
def test_which_colour_serves_is_asked_before_an_instance_is_replaced(name: str) -> None:
    plays = [
        play.get("ansible.builtin.import_playbook")
        for play in yaml.safe_load((ROOT / f"playbooks/{name}.yml").read_text())
    ]
    first = "colour.yml" if name == "rollout" else "rollout.yml"
    assert first in plays
    assert "replace.yml" not in plays[: plays.index(first)]

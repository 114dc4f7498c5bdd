"""The inventory that everybody copies: it loads, and the roles' variables come out of it as they should."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "inventory/example"


@pytest.fixture(scope="module")
def hosts() -> dict[str, dict[str, Any]]:
    program = str(Path(sys.executable).with_name("ansible-inventory"))
    environment = {**os.environ, "ANSIBLE_INVENTORY_ANY_UNPARSED_IS_FAILED": "true"}
    environment.pop("AMEBO_VAULT_PASSWORD_FILE", None)
    argv = [program, "--list", "--inventory", str(EXAMPLE)]
    listed = subprocess.run(argv, cwd=ROOT, env=environment, capture_output=True, text=True, check=True)
    found: dict[str, dict[str, Any]] = json.loads(listed.stdout)["_meta"]["hostvars"]
    return found


def test_it_has_the_scaling_guides_database(hosts: dict[str, dict[str, Any]]) -> None:
    guide = {"max_connections": 500, "shared_buffers": "512MB", "effective_cache_size": "2GB"}
    assert hosts["db-1"]["postgresql_settings"] == guide


def test_it_has_three_instances_or_more_on_two_hosts_or_more(hosts: dict[str, dict[str, Any]]) -> None:
    ports = [host["amebo_web_ports"] for host in hosts.values() if "amebo_web_ports" in host]
    assert len(ports) >= 2
    assert sum(map(len, ports)) >= 3


def test_it_holds_no_secret(hosts: dict[str, dict[str, Any]]) -> None:
    assert [name for host in hosts.values() for name in host if name.startswith("vault_")] == []


def test_it_names_no_variable_that_the_roles_do_not_know() -> None:
    known = "\n".join(path.read_text() for path in ROOT.glob("roles/*/meta/argument_specs.yml"))
    files = [path for path in EXAMPLE.glob("group_vars/*/*.yml") if path.stem in ("main", "version")]
    names = {line.split(":")[0] for path in files for line in path.read_text().splitlines() if line[:1].isalpha()}
    assert [name for name in names if not name.startswith("ansible_") and f"      {name}:\n" not in known] == []

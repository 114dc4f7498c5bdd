"""What the lab tells Ansible."""

from pathlib import Path

import pytest
import yaml  # type: ignore[import-untyped]  # ships no type hints, and Ansible brings it
from ansible.inventory.manager import InventoryManager
from ansible.parsing.dataloader import DataLoader
from ansible.parsing.vault import VaultLib, VaultSecret

from fleet.errors import LabError
from fleet.lab import files, inventory
from fleet.lab.model import Lab
from fleet.lab.places import Places


@pytest.fixture
def places(tmp_path: Path) -> Places:
    made = Places("lab", tmp_path)
    files.replace(made.vault_password, "a password\n")
    return made


def read(path: Path) -> object:
    return yaml.safe_load(path.read_text())


def test_a_host_that_is_everything_stands_in_every_group() -> None:
    children = inventory.hosts(Lab("lab", 0, "bookworm", 1))["all"]["children"]
    assert {group: list(content["hosts"]) for group, content in children.items()} == {
        "loadbalancers": ["host-1"],
        "app": ["host-1"],
        "database": ["host-1"],
    }


def test_only_app_hosts_run_instances() -> None:
    children = inventory.hosts(Lab("lab", 0, "bookworm", 3))["all"]["children"]
    assert children["app"]["hosts"]["app-1"] == {
        "ansible_host": "10.77.0.21",
        "amebo_web_ports": [3310, 3311],
        "amebo_dispatchers": 1,
    }
    assert children["database"]["hosts"]["db-1"] == {"ansible_host": "10.77.0.12"}


def test_handlers_may_live_in_the_labs_network_and_in_no_other(places: Places) -> None:
    plain = inventory.plain_files(Lab("lab", 9, "bookworm", 3), places)
    assert plain["group_vars/all/main.yml"]["amebo_allow_private_handlers"] == "10.77.9.0/24"


def test_secrets_are_encrypted_with_the_labs_password_and_readable_to_the_owner_only(places: Places) -> None:
    inventory.write(Lab("lab", 0, "bookworm", 3), places)
    vault = places.inventory / "group_vars/all/vault.yml"
    opened = yaml.safe_load(VaultLib([("default", VaultSecret(b"a password"))]).decrypt(vault.read_text()))
    assert set(opened) == {
        "vault_amebo_owner_password",
        "vault_amebo_service_password",
        "vault_amebo_reader_password",
        "vault_amebo_secret",
        "vault_amebo_admin_password",
    }
    assert min(map(len, opened.values())) >= 32
    assert vault.stat().st_mode & 0o777 == 0o600


def test_writing_again_keeps_the_secrets_and_the_version(places: Places) -> None:
    lab = Lab("lab", 0, "bookworm", 3)
    inventory.write(lab, places)
    vault, version = (places.inventory / "group_vars" / name for name in ("all/vault.yml", "app/version.yml"))
    version.write_text('amebo_version: "2.0.0"\n')
    before = vault.read_text()
    inventory.write(lab, places)
    assert vault.read_text() == before
    assert read(version) == {"amebo_version": "2.0.0"}


def test_git_and_ansible_see_none_of_each_others_files(places: Places) -> None:
    inventory.write(Lab("lab", 0, "bookworm", 3), places)
    assert (places.inventory / ".gitignore").read_text() == "*\n"
    found = InventoryManager(DataLoader(), sources=[str(places.inventory)])
    assert {host.name for host in found.get_hosts()} == {"lb-1", "db-1", "app-1"}


def test_the_labs_own_inventory_goes_with_it(places: Places) -> None:
    inventory.write(Lab("lab", 0, "bookworm", 3), places)
    inventory.remove(places)
    assert not places.inventory.exists()


@pytest.mark.parametrize("name", ["hosts.yml", "hosts.ini", "inventory.py"])
def test_an_inventory_that_somebody_else_wrote_is_neither_written_nor_removed(places: Places, name: str) -> None:
    places.inventory.mkdir(parents=True)
    (places.inventory / name).write_text("production")
    with pytest.raises(LabError, match="was not written by the lab"):
        inventory.write(Lab("lab", 0, "bookworm", 3), places)
    inventory.remove(places)
    assert (places.inventory / name).read_text() == "production"


def test_an_inventory_whose_writing_was_cut_short_at_once_is_the_labs(places: Places) -> None:
    places.inventory.mkdir(parents=True)
    (places.inventory / ".hosts.yml.new").write_text("all")
    inventory.write(Lab("lab", 0, "bookworm", 3), places)
    assert inventory.is_ours(places.inventory)

"""The commands that make a lab's network, as lists, before anything runs."""

from pathlib import Path

import pytest

from fleet.errors import LabError
from fleet.lab import network, slow
from fleet.lab.model import Host, Lab, layout

LAB = Lab("lab", 254, "bookworm", 50)
LINUX_ALLOWS = 15


@pytest.mark.parametrize("host", layout(50), ids=lambda host: host.name)
def test_every_link_has_a_name_that_linux_takes(host: Host) -> None:
    commands = network.plug_commands(LAB, host) + slow.detour_commands(LAB, host)
    names = {word for command in commands for word in command if word.startswith("amebo-") and "." not in word}
    assert names
    assert all(len(name) <= LINUX_ALLOWS for name in names)


def test_a_bridge_gets_its_owners_name_last_so_that_one_without_is_an_unfinished_one() -> None:
    commands = network.bridge_commands(7, network.alias("lab", Path("/srv/amebo")))
    assert commands[0][:4] == ["ip", "link", "add", "amebo-7"]
    assert commands[-1] == ["ip", "link", "set", "amebo-7", "alias", "amebo-lab lab /srv/amebo"]


def test_a_cable_joins_the_bridge_only_after_its_host_can_answer() -> None:
    commands = network.plug_commands(LAB, LAB.host("app-1"))
    assert commands[-1] == ["ip", "link", "set", "amebo-254-21", "master", "amebo-254", "up"]
    assert ["ip", "-n", "amebo-lab.lab.app-1", "address", "add", "10.77.254.21/24", "dev", "eth0"] in commands


def test_takes_the_lowest_network_that_nobody_has() -> None:
    assert network.lowest_free({}) == 0
    assert network.lowest_free({"amebo-0": "a", "amebo-2": "b"}) == 1


def test_a_lab_whose_machine_was_restarted_gets_its_network_back_if_it_can() -> None:
    assert network.lowest_free({"amebo-0": "a"}, preferred=3) == 3
    assert network.lowest_free({"amebo-0": "a", "amebo-3": "b"}, preferred=3) == 1


def test_says_so_when_all_networks_are_taken() -> None:
    with pytest.raises(LabError, match="all 255 lab networks are taken"):
        network.lowest_free({f"amebo-{number}": "" for number in range(255)})


def test_refuses_the_name_of_a_lab_that_another_tree_has_up(tmp_path: Path) -> None:
    (tmp_path / "ops.py").touch()
    theirs = {"amebo-0": network.alias("lab", tmp_path)}
    with pytest.raises(LabError, match=f"is up from {tmp_path}"):
        network.refuse_foreign("lab", Path("/elsewhere"), theirs)


def test_a_lab_whose_tree_is_gone_belongs_to_whoever_asks(tmp_path: Path) -> None:
    network.refuse_foreign("lab", tmp_path, {"amebo-0": network.alias("lab", tmp_path / "gone")})
    network.refuse_foreign("lab", tmp_path, {"amebo-0": network.alias("lab", tmp_path)})
    network.refuse_foreign("lab", tmp_path, {"amebo-0": network.alias("lab-2", Path("/"))})


def test_a_tree_of_which_only_mount_points_are_left_is_gone(tmp_path: Path) -> None:
    there, rest = tmp_path / "there", tmp_path / "rest"
    (rest / ".lab/lab/hosts").mkdir(parents=True)
    there.mkdir()
    (there / "ops.py").touch()
    owners = [network.alias("lab", there), network.alias("lab", rest), network.alias("lab-2", tmp_path / "gone"), ""]
    bridges = {f"amebo-{number}": owner for number, owner in enumerate(owners)}
    assert network.orphans("lab", bridges) == [rest]
    network.refuse_foreign("lab", there, bridges)

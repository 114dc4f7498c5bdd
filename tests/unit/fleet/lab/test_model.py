"""How a lab's hosts are spread, named and addressed."""

import pytest

from fleet.errors import LabError
from fleet.lab.model import Lab, check_name, layout


def groups(size: int) -> dict[str, tuple[str, ...]]:
    return {host.name: host.groups for host in layout(size)}


def test_one_host_is_everything() -> None:
    assert groups(1) == {"host-1": ("loadbalancers", "app", "database")}


def test_two_hosts_keep_the_service_apart_from_the_rest() -> None:
    assert groups(2) == {"lb-1": ("loadbalancers", "database"), "app-1": ("app",)}


def test_from_three_on_each_group_has_hosts_of_its_own() -> None:
    assert groups(5) == {
        "lb-1": ("loadbalancers",),
        "db-1": ("database",),
        "app-1": ("app",),
        "app-2": ("app",),
        "app-3": ("app",),
    }


@pytest.mark.parametrize("size", range(3, 50))
def test_growing_by_one_only_adds_an_app_host_at_the_end(size: int) -> None:
    grown = layout(size + 1)
    assert grown[:size] == layout(size)
    assert grown[size].groups == ("app",)


@pytest.mark.parametrize("size", range(1, 51))
def test_no_two_hosts_share_a_name_or_a_number_and_none_takes_the_gateways(size: int) -> None:
    hosts = layout(size)
    assert len({host.name for host in hosts}) == len({host.number for host in hosts}) == size
    assert all(1 < host.number < 255 for host in hosts)


@pytest.mark.parametrize("size", [-1, 0, 51])
def test_refuses_a_size_that_no_lab_has(size: int) -> None:
    with pytest.raises(LabError, match="1 to 50 hosts"):
        layout(size)


def test_addresses_come_from_the_labs_own_network() -> None:
    lab = Lab("lab", 3, "bookworm", 5)
    assert lab.address(lab.host("app-2")) == "10.77.3.22"
    assert (lab.subnet, lab.gateway) == ("10.77.3.0/24", "10.77.3.1")
    assert lab.url == "http://10.77.3.11"


def test_several_load_balancers_share_an_address() -> None:
    lab = Lab("lab", 3, "bookworm", 6, balancers=2)
    assert lab.url == "http://10.77.3.10"
    assert lab.shared_address not in {lab.address(host) for host in lab.hosts}


def test_an_unknown_host_is_refused_with_the_names_there_are() -> None:
    with pytest.raises(LabError, match="no host app-7; it has lb-1, db-1, app-1"):
        Lab("lab", 0, "bookworm", 3).host("app-7")


@pytest.mark.parametrize("name", ["lab", "a", "molecule-postgresql", "t1", "a" * 30])
def test_accepts_names_that_fit_everywhere(name: str) -> None:
    check_name(name)


@pytest.mark.parametrize("name", ["", "Lab", "../x", "a b", "1lab", "a.b", "a" * 31, "example", "lab\n"])
def test_refuses_names_that_would_leave_their_place(name: str) -> None:
    with pytest.raises(LabError, match="cannot name a lab"):
        check_name(name)

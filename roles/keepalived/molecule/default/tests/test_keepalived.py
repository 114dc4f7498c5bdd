"""The shared address as its clients find it, on a host that is alone."""

import time
from collections.abc import Iterator

import pytest
from testinfra.host import Host


def has_the_address(host: Host) -> bool:
    return "192.0.2.10/32" in host.check_output("ip -brief address")


def until_it_has_the_address(host: Host, *, wanted: bool) -> None:
    deadline = time.monotonic() + 60
    while has_the_address(host) is not wanted:
        assert time.monotonic() < deadline, host.check_output("journalctl -u keepalived -n 30 --no-pager")


@pytest.fixture
def without_nginx(host: Host) -> Iterator[None]:
    host.check_output("mv /etc/hostname /etc/hostname.away")
    yield
    host.check_output("mv /etc/hostname.away /etc/hostname")


def test_it_is_running_and_starts_at_boot(host: Host) -> None:
    assert host.service("keepalived").is_running
    assert host.service("keepalived").is_enabled


def test_alone_it_takes_the_address(host: Host) -> None:
    until_it_has_the_address(host, wanted=True)


@pytest.mark.usefixtures("without_nginx")
def test_without_an_answer_it_gives_the_address_up(host: Host) -> None:
    until_it_has_the_address(host, wanted=False)


def test_with_an_answer_it_takes_the_address_again(host: Host) -> None:
    until_it_has_the_address(host, wanted=True)


def test_a_reload_leaves_the_address_where_it_is(host: Host) -> None:
    host.check_output("systemctl reload keepalived")
    until_it_has_the_address(host, wanted=True)


def test_what_it_asks_is_asked_as_nobody(host: Host) -> None:
    assert "script_user nobody" in host.file("/etc/keepalived/keepalived.conf").content_string

"""Which addresses are delivered to, whatever clothes they come in."""

import ipaddress
import socket

import pytest

from app.delivery.guard import Guard, RefusedAddress

LAB = Guard((ipaddress.IPv4Network("10.77.0.0/16"),))


@pytest.mark.parametrize(
    ("address", "public", "lab"),
    [
        ("93.184.215.14", True, True),
        ("2606:2800:21f:cb07:6820:80da:af6b:8b2c", True, True),
        ("127.0.0.1", False, False),
        ("10.77.0.9", False, True),
        ("10.78.0.9", False, False),
        ("169.254.169.254", False, False),
        ("100.64.0.1", False, False),
        ("0.0.0.0", False, False),  # noqa: S104  # an address like the others here
        ("224.0.0.1", False, False),
        ("::1", False, False),
        ("fe80::1%eth0", False, False),
        ("fd00::1", False, False),
        ("::ffff:127.0.0.1", False, False),
        ("::ffff:10.77.0.9", False, True),
        ("64:ff9b::7f00:1", False, False),
        ("2002:7f00:1::", False, False),
    ],
)
def test_admits_public_addresses_and_allowed_networks(address: str, public: bool, lab: bool) -> None:
    assert Guard().admits(address) is public
    assert LAB.admits(address) is lab


@pytest.mark.parametrize(
    "url", ["http://localhost/", "http://127.1/", "http://2130706433/", "http://0x7f000001/", "http://[::1]:80/x"]
)
def test_refuses_a_private_handler_at_registration(url: str) -> None:
    assert "private" in (Guard().refusal(url) or "")


def test_leaves_a_name_that_does_not_resolve_to_the_connection() -> None:
    assert Guard().refusal("http://not-yet.invalid/") is None


def test_refuses_the_address_that_is_dialled() -> None:
    with pytest.raises(RefusedAddress):
        Guard().open_socket((socket.AF_INET, socket.SOCK_STREAM, 6, "", ("10.77.0.9", 80)))
    LAB.open_socket((socket.AF_INET, socket.SOCK_STREAM, 6, "", ("10.77.0.9", 80))).close()

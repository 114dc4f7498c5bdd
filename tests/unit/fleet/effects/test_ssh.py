"""How long a host is waited for."""

import pytest

from fleet.effects import ssh
from fleet.errors import HostUnreachable
from tests.balancer.conftest import free_port


def test_a_host_that_was_silent_is_not_waited_for_as_long_again() -> None:
    variables = {"ansible_host": "127.0.0.1", "ansible_port": free_port()}
    assert ssh.connection("gone", variables).connect_timeout == ssh.CONNECT_SECONDS
    with pytest.raises(HostUnreachable, match="gone does not answer over SSH"):
        ssh.run("gone", variables, "true")
    assert ssh.connection("gone", variables).connect_timeout < ssh.CONNECT_SECONDS
    assert ssh.connection("another", variables).connect_timeout == ssh.CONNECT_SECONDS

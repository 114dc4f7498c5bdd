"""Reach a host over SSH, as the operator and as the lab itself does."""

import socket
import time
from collections.abc import Sequence

from fleet.errors import LabError
from fleet.lab.model import Host, Lab
from fleet.lab.places import Places
from fleet.lab.run import run


def argv(host: str, places: Places, command: Sequence[str] = ()) -> list[str]:
    return ["ssh", "-F", str(places.ssh_config), host, *command]


def wait_until_up(lab: Lab, host: Host, places: Places, timeout: float = 60) -> None:
    """Return once the host lets admin in and has booted; raises LabError with the end of its console."""
    deadline = time.monotonic() + timeout
    try:
        _wait_for_port(lab.address(host), deadline)
        _wait_for_boot(host, places, deadline)
    except (LabError, TimeoutError) as error:
        log = places.host(host.name).log
        tail = "\n".join(log.read_text(errors="replace").splitlines()[-15:]) if log.exists() else ""
        raise LabError(f"{host.name} did not come up: {error}; its console, {log}, ends:\n{tail}") from error


def _wait_for_port(address: str, deadline: float) -> None:
    while True:
        try:
            socket.create_connection((address, 22), timeout=1).close()
        except OSError:
            if time.monotonic() > deadline:
                raise TimeoutError("port 22 does not open") from None
            time.sleep(0.1)
        else:
            return


def _wait_for_boot(host: Host, places: Places, deadline: float) -> None:
    """Wait for the end of the boot, but not for ever: a host whose services fail or hang has booted too."""
    command = argv(host.name, places, ["timeout 20 systemctl is-system-running --wait || true"])
    while True:
        try:
            run(command)
        except LabError:  # the port is open, but nobody may log in yet
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)
        else:
            return

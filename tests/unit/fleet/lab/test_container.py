"""A host's command line, and the names it knows."""

from pathlib import Path

from fleet.lab import container
from fleet.lab.model import Lab

LAB = Lab("lab", 2, "bookworm", 3)


def test_a_host_has_its_own_name_inside_and_its_labs_outside() -> None:
    command = container.boot_command(LAB, LAB.host("app-1"), Path("/lab/root"))
    assert "--hostname=app-1" in command
    assert "--machine=amebo-lab.lab.app-1" in command
    assert "--network-namespace-path=/run/netns/amebo-lab.lab.app-1" in command
    assert command[-1] == "/usr/sbin/lab-init"


def test_a_host_knows_every_name_of_its_lab_without_asking_anybody() -> None:
    lines = container.hosts_file(LAB).splitlines()
    assert lines == [
        "127.0.0.1 localhost",
        "10.77.2.1 mirror",
        "10.77.2.11 lb-1",
        "10.77.2.12 db-1",
        "10.77.2.21 app-1",
    ]

"""A lab's status, for people and for programs."""

from rich.console import Console

from fleet.lab import show
from fleet.lab.model import Fault, Lab
from fleet.lab.observe import HostStatus, LabStatus

LAB = Lab("lab", 0, "bookworm", 3)
STATUS = LabStatus(
    LAB,
    (
        HostStatus(LAB.host("lb-1"), "10.77.0.11", ()),
        HostStatus(LAB.host("app-1"), "10.77.0.21", (Fault.FREEZE, Fault.DISK_FULL)),
    ),
)


def test_json_tells_each_host_with_its_faults() -> None:
    shown = show.as_json(STATUS)
    assert (shown["name"], shown["debian"], shown["url"]) == ("lab", "bookworm", "http://10.77.0.11")
    assert shown["limits"] == {"cpus": 1.0, "memory_mb": 1024}
    assert shown["hosts"][1] == {
        "name": "app-1",
        "address": "10.77.0.21",
        "groups": ["app"],
        "state": "frozen",
        "faults": ["freeze", "disk-full"],
    }


def test_the_table_has_a_line_for_each_host() -> None:
    console = Console(width=100)
    with console.capture() as captured:
        console.print(show.as_table(STATUS))
    lines = captured.get().splitlines()
    assert lines[2].split() == ["app-1", "10.77.0.21", "app", "frozen", "freeze", "disk-full"]

"""A lab's status as a table and as JSON."""

from typing import Any

from rich.table import Table

from fleet.lab.observe import LabStatus

_COLOURS = {"running": "green", "slow": "yellow", "disk full": "yellow"}


def as_table(status: LabStatus) -> Table:
    table = Table("host", "address", "groups", "state", "faults", box=None)
    for host in status.hosts:
        state = f"[{_COLOURS.get(host.state, 'red')}]{host.state}[/]"
        table.add_row(host.host.name, host.address, " ".join(host.host.groups), state, " ".join(host.faults))
    return table


def as_json(status: LabStatus) -> dict[str, Any]:
    lab = status.lab
    return {
        "name": lab.name,
        "debian": lab.debian,
        "network": lab.subnet,
        "url": lab.url,
        "limits": {"cpus": lab.limits.cpus, "memory_mb": lab.limits.memory_mb},
        "hosts": [
            {
                "name": host.host.name,
                "address": host.address,
                "groups": list(host.host.groups),
                "state": host.state,
                "faults": [fault.value for fault in host.faults],
            }
            for host in status.hosts
        ],
    }

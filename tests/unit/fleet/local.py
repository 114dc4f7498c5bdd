"""A fleet on this machine: real nginx, instances that answer as the service does, servers without SSH in between."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fleet.effects import retirement
from fleet.effects.inventory import Inventory
from fleet.model import Colour, Instance
from tests.balancer.conftest import Balancer, free_port
from tests.unit.fleet.servers import Servers
from tests.unit.fleet.service import Service

HOSTS, LBS = ("app-1", "app-2", "app-3"), ("lb-1", "lb-2")
OLD, NEW = "1.0.0", "1.1.0"


@dataclass
class LocalFleet:
    """An instance of either colour on each host: blue on the old version, with the traffic; green on the new one."""

    inventory: Inventory
    servers: Servers
    lbs: dict[str, Balancer]
    services: dict[Instance, Service]

    @property
    def blue(self) -> tuple[Instance, ...]:
        return self._of(Colour.BLUE)

    @property
    def green(self) -> tuple[Instance, ...]:
        return self._of(Colour.GREEN)

    def greens(self) -> list[float]:
        """What nginx sends to green, by its own word."""
        return [lb.traffic()["green"] for lb in self.lbs.values()]

    def send(self, green: float) -> None:
        for lb in self.lbs.values():
            lb.change(green=green)

    def stop(self, instances: Iterable[Instance]) -> None:
        """As their hosts do at the end of their time."""
        for each in instances:
            self.servers.stops(each.host, retirement.units(each.port))

    def retiring(self) -> list[str]:
        return sorted(timer for host in HOSTS for timer in self.servers.units(host).timers)

    def _of(self, colour: Colour) -> tuple[Instance, ...]:
        return tuple(each for each in self.services if each.colour is colour)


@contextmanager
def local_fleet(folder: Path) -> Iterator[LocalFleet]:
    """It runs, and is gone afterwards."""
    lbs = {name: Balancer(folder / name, free_port(), free_port(), {}) for name in LBS}
    hosts: dict[str, dict[str, Any]] = {
        name: {
            "nginx_listen_port": lb.port,
            "nginx_control_port": lb.control,
            "nginx_instances_file": str(lb.folder / "instances.json"),
        }
        for name, lb in lbs.items()
    }
    services: dict[Instance, Service] = {}
    servers = Servers(folder / "servers")
    for host in HOSTS:
        old, new = Service(f"{host}:blue", OLD), Service(f"{host}:green", NEW)
        ports = old.server_port, new.server_port
        services |= {
            Instance(host, port, colour): each for port, colour, each in zip(ports, Colour, (old, new), strict=True)
        }
        hosts[host] = {"amebo_web_ports": [ports[0]], "amebo_green_offset": ports[1] - ports[0], "amebo_dispatchers": 0}
        servers.starts(host, (unit for port in ports for unit in retirement.units(port)[:2]))
    addresses = {colour: [s.address for i, s in services.items() if i.colour is colour] for colour in Colour}
    try:
        for lb in lbs.values():
            lb.folder.mkdir()
            lb.write(addresses[Colour.BLUE], addresses[Colour.GREEN])
            lb.start()
        yield LocalFleet(Inventory({"loadbalancers": LBS, "app": HOSTS}, hosts), servers, lbs, services)
    finally:
        for lb in lbs.values():
            lb.stop()
        for each in services.values():
            each.close()

"""A canary's probes, published to a real service: they are events, and their key is worth nothing afterwards."""

import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from fleet.effects.inventory import Inventory
from fleet.effects.synthetic import ACTION, NAME, Probes, publishing
from fleet.errors import FleetError
from tests.contract import processes
from tests.contract.processes import PASSWORD, USERNAME, Call, Processes, login, until


@dataclass
class Service:
    """A running one, as an inventory knows it, and an administrator's call."""

    port: int
    call: Call

    def inventory(self, password: str = PASSWORD) -> Inventory:
        balancer = {"ansible_host": "127.0.0.1", "nginx_listen_port": self.port}
        app = {"vault_amebo_admin_password": password, "amebo_admin_username": USERNAME}
        return Inventory({"loadbalancers": ("lb-1",), "app": ("app-1",)}, {"lb-1": balancer, "app-1": app})

    def events(self) -> list[dict[str, Any]]:
        status, answer = self.call("GET", f"/v1/events?per_page=100&action={ACTION}", None)
        assert status == 200, answer
        found: list[dict[str, Any]] = answer["data"]
        return found


@pytest.fixture
def service(dsn: str, tmp_path: Path) -> Iterator[Service]:
    started = Processes(dsn, tmp_path)
    with socket.create_server(("127.0.0.1", 0), backlog=256) as listener:
        port = listener.getsockname()[1]
        started.web(listener).await_ready()
        yield Service(port, processes.Client(port, login(port)).call)
        started.end()


def published(probes: Probes, count: int) -> None:
    until(lambda: probes.published >= count)


def test_probes_are_events_that_nobody_waits_for(service: Service) -> None:
    with publishing(service.inventory(), rate=100) as probes:
        probes.are_needed.set()
        published(probes, 10)
    assert probes.failed == 0
    assert len(service.events()) == probes.published
    assert {event["fanout"] for event in service.events()} <= {0}


def test_none_is_published_while_there_is_traffic_enough(service: Service) -> None:
    with publishing(service.inventory(), rate=1000) as probes:
        time.sleep(0.3)
        assert probes.published == 0
        probes.are_needed.set()
        published(probes, 5)
        probes.are_needed.clear()
        time.sleep(0.3)  # what was under way is answered
        before = probes.published
        time.sleep(0.3)
        assert probes.published == before


def test_a_second_canary_finds_what_the_first_one_made_and_its_key_is_another(service: Service) -> None:
    for _ in range(2):
        with publishing(service.inventory(), rate=100) as probes:
            probes.are_needed.set()
            published(probes, 3)
        assert probes.failed == 0
        assert service.call("GET", f"/v1/applications/{NAME}", None)[1]["active"] is False


def test_a_service_that_does_not_answer_well_is_counted_and_not_retried(service: Service) -> None:
    with publishing(service.inventory(), rate=100) as probes:
        assert service.call("PATCH", f"/v1/applications/{NAME}", {"active": False})[0] == 200
        probes.are_needed.set()
        published(probes, 3)
    assert probes.failed == probes.published
    assert service.events() == []


def test_who_may_not_sign_in_is_told_so_and_no_secret(service: Service) -> None:
    why = "no probe can be published: /v1/tokens was answered 401"
    with pytest.raises(FleetError, match=why) as refused, publishing(service.inventory("another password"), rate=1):
        pass
    assert "another password" not in str(refused.value)


def test_where_nobody_answers_that_is_said() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    nobody, why = Service(port, lambda *_: (0, None)), f"127.0.0.1:{port}/v1/tokens: NewConnectionError"
    with pytest.raises(FleetError, match=why), publishing(nobody.inventory(), rate=1):
        pass

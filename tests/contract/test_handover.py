"""Two web processes that share one listening socket, as systemd's two slots do: replacing one loses no request."""

import json
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import psycopg
import pytest

from tests.contract.processes import Client, Processes, login, set_up, until

CLIENTS, HANDOVERS, REQUESTS_BETWEEN = 16, 4, 100


@dataclass
class Load:
    """Clients that publish one event after another, never repeating a request; what failed is kept."""

    port: int
    token: str
    acknowledged: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    ended: threading.Event = field(default_factory=threading.Event)
    threads: list[threading.Thread] = field(default_factory=list)

    def start(self) -> "Load":
        self.threads = [threading.Thread(target=self._publish) for _ in range(CLIENTS)]
        for thread in self.threads:
            thread.start()
        return self

    def end(self) -> None:
        self.ended.set()
        for thread in self.threads:
            thread.join()

    def _publish(self) -> None:
        client = Client(self.port, self.token)
        while not self.ended.is_set():
            try:
                status, answer = client.call("POST", "/v1/events", {"action": "order.placed", "payload": {"id": 1}})
            except OSError as error:
                self.failed.append(repr(error))
                client.close()
                continue
            if status == 201:
                self.acknowledged.append(answer["event"])
            else:
                self.failed.append(f"{status} {answer}")
        client.close()


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0), backlog=1024) as listening:
        yield listening


@pytest.fixture
def processes(dsn: str, tmp_path: Path) -> Iterator[Processes]:
    started = Processes(dsn, tmp_path)
    yield started
    started.end()


def test_no_request_fails_while_processes_take_over_from_each_other(
    processes: Processes, listener: socket.socket
) -> None:
    port = listener.getsockname()[1]
    serving = processes.web(listener).await_ready()
    token = login(port)
    set_up(Client(port, token).call, "http://127.0.0.1:9")
    load = Load(port, token).start()
    for _ in range(HANDOVERS):
        answered = len(load.acknowledged)
        until(lambda n=answered: len(load.acknowledged) >= n + REQUESTS_BETWEEN)  # type: ignore[misc]
        following = processes.web(listener).await_ready()
        assert serving.stop() < 10
        assert serving.popen.returncode == 0
        serving = following
    load.end()
    assert load.failed[:3] == []
    assert len(set(load.acknowledged)) == len(load.acknowledged) > HANDOVERS * REQUESTS_BETWEEN


def test_a_process_that_is_not_ready_leaves_the_shared_port_to_others(
    dsn: str, processes: Processes, listener: socket.socket
) -> None:
    with psycopg.connect(dsn, autocommit=True) as database:
        database.execute("ALTER TABLE migrations RENAME TO migrations_of_another_release")
        database.execute("CREATE VIEW migrations AS SELECT 0 AS version")
        waiting = processes.web(listener)
        until(lambda: waiting.status().get("status") == "schema too old")
        with socket.create_connection(listener.getsockname(), timeout=1.5) as client:
            client.sendall(b"GET /health HTTP/1.1\r\nHost: amebo\r\n\r\n")
            with pytest.raises(TimeoutError):
                client.recv(1)
            database.execute("DROP VIEW migrations")
            database.execute("ALTER TABLE migrations_of_another_release RENAME TO migrations")
            client.settimeout(10)
            assert client.recv(12) == b"HTTP/1.1 200"


def test_an_idle_connection_is_left_to_its_client_while_draining(processes: Processes, listener: socket.socket) -> None:
    port = listener.getsockname()[1]
    first = processes.web(listener).await_ready()
    idle = Client(port)
    assert idle.call("GET", "/health")[0] == 200
    first.popen.terminate()
    until(lambda: first.status().get("status") == "draining")
    assert idle.call("GET", "/health")[0] == 200  # on the connection that it had, answered with Connection: close
    first.popen.wait(timeout=3)


def test_it_ends_at_the_deadline_although_a_client_stays(dsn: str, tmp_path: Path, listener: socket.socket) -> None:
    processes = Processes(dsn, tmp_path, AMEBO_DRAIN_TIMEOUT="1")
    process = processes.web(listener).await_ready()
    staying = Client(listener.getsockname()[1])
    staying.call("GET", "/health")
    assert process.stop() < 4
    assert process.popen.returncode == 0


def test_what_the_server_itself_refuses_has_the_contract_s_shape(processes: Processes, listener: socket.socket) -> None:
    processes.web(listener).await_ready()
    for request, code in (
        (b"nonsense\r\n\r\n", 400),
        (b"POST /v1/events HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999\r\n\r\n", 413),
    ):
        with socket.create_connection(listener.getsockname()) as connection:
            connection.sendall(request)
            head, _, body = connection.makefile("rb").read().partition(b"\r\n\r\n")
        assert int(head.split()[1]) == json.loads(body)["code"] == code

"""What an operator sees of real processes: health, metrics that add up, limits, logs, and what is refused."""

import contextlib
import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPMessage
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from app import __version__, web
from app.cluster import Cluster, throwaway
from app.errors import Unavailable
from app.health import Health
from app.storage.migrate import REQUIRED, migrate
from tests.contract.processes import ROOT, Client, Process, Processes, Receiver, login, receiving, set_up, until

EVENTS = 20
Series = dict[tuple[str, tuple[tuple[str, str], ...]], float]


@dataclass
class Answer:
    status: int
    headers: HTTPMessage
    text: str

    @property
    def json(self) -> Any:
        return json.loads(self.text)


class Unix(HTTPConnection):
    """HTTP on a unix socket."""

    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=30)
        self._path = str(path)

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


@dataclass
class Web:
    """A web process on a port of its own, whose log is kept."""

    port: int
    process: Process
    log: Path

    def get(self, path: str, **headers: str) -> Answer:
        return ask(HTTPConnection("127.0.0.1", self.port, timeout=30), path, headers)

    def own(self, path: str) -> Answer:
        """From its status socket."""
        return own(self.process, path)

    def events(self) -> list[dict[str, Any]]:
        """Its log, which must be JSON, a line each."""
        return [json.loads(line) for line in self.log.read_text().splitlines()]


def ask(connection: HTTPConnection, path: str, headers: dict[str, str] | None = None) -> Answer:
    named = {name.replace("_", "-"): text for name, text in (headers or {}).items()}
    with contextlib.closing(connection):
        connection.request("GET", path, headers=named)
        response = connection.getresponse()
        return Answer(response.status, response.headers, response.read().decode())


def own(process: Process, path: str) -> Answer:
    return ask(Unix(process.status_socket), path)


def series(text: str) -> Series:
    families = text_string_to_metric_families(text)
    return {(one.name, tuple(sorted(one.labels.items()))): one.value for each in families for one in each.samples}


def sums(scrapes: Iterable[Series], name: str, **labels: str) -> float:
    """As Prometheus' sum() over instances."""
    wanted = labels.items()
    found = [each for scrape in scrapes for each in scrape.items()]
    return sum(value for (each, has), value in found if each == name and wanted <= set(has))


@contextlib.contextmanager
def serving(dsn: str, folder: Path, **settings: str) -> Iterator[Web]:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    processes = Processes(dsn, folder, AMEBO_PORT=str(port), AMEBO_INSTANCE="app-1:3310", **settings)
    log, path = folder / "log", folder / "status.sock"
    environment = {**processes.environment, "AMEBO_STATUS_SOCKET": str(path)}
    argv = [sys.executable, "-m", "app", "web"]
    with log.open("wb") as stderr, subprocess.Popen(argv, cwd=ROOT, env=environment, stderr=stderr) as popen:
        try:
            yield Web(port, Process(popen, path).await_ready(), log)
        finally:
            popen.kill()


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0), backlog=256) as listening:
        yield listening


@pytest.fixture
def processes(dsn: str, tmp_path: Path) -> Iterator[Processes]:
    started = Processes(dsn, tmp_path)
    yield started
    started.end()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving(Receiver()) as running:
        yield running


@pytest.fixture
def own_cluster() -> Iterator[Cluster]:
    """One that a test may stop."""
    with throwaway() as cluster:
        migrate(cluster.dsn, "amebo_service", "amebo_reader")
        yield cluster


def test_health_tells_of_each_dependency_and_needs_no_credentials(dsn: str, tmp_path: Path) -> None:
    with serving(dsn, tmp_path) as service:
        known = {"status": "ready", "version": __version__, "instance": "app-1:3310", "schema": REQUIRED}
        for get in (service.get, service.own):
            detailed = get("/health/detailed")
            assert (detailed.status, {**detailed.json, **known}) == (200, detailed.json)
            database = detailed.json["dependencies"]["database"]
            assert database["reachable"]
            assert database["ms"] >= 0
            assert database["pool"].keys() == {"size", "idle", "waiting"}
            alone = get("/health/database")
            assert (alone.status, alone.json.keys()) == (200, {"database"})
            status = get("/v1/status")
            assert (status.status, status.json["uptime_seconds"] >= 0) == (200, True)
            assert {**status.json, **known} == status.json


def test_without_a_database_health_says_so_and_what_is_not_known_is_absent(
    own_cluster: Cluster, tmp_path: Path
) -> None:
    with serving(own_cluster.dsn, tmp_path) as service:
        due = ("amebo_gists_due", ())
        assert series(service.own("/metrics").text)[due] == 0
        own_cluster.stop("immediate")
        paths = ("/health/ready", "/health/detailed", "/health/database", "/v1/status")
        with ThreadPoolExecutor() as threads:  # each waits for the database for a while
            answers = dict(zip(paths, threads.map(service.get, paths), strict=True))
        for answer in answers.values():
            assert (answer.status, int(answer.headers["Retry-After"]) > 0) == (503, True)
        for found in (answers["/health/database"].json, answers["/health/detailed"].json["dependencies"]):
            assert not found["database"]["reachable"]
        assert service.get("/health").status == 200
        until(lambda: due not in series(service.own("/metrics").text))
        assert sums([series(service.own("/metrics").text)], "amebo_build_info") == 1
        own_cluster.start()
        until(lambda: due in series(service.own("/metrics").text))
        assert service.own("/health/database").json["database"]["reachable"]


def away() -> float:
    raise Unavailable("away")


@pytest.mark.parametrize(
    ("lag", "draining", "status", "replica"),
    [
        (lambda: 0.25, False, "ready", (True, 0.25)),
        (away, False, "ready", (False, None)),  # lists can be read elsewhere
        (lambda: 0.25, True, "draining", (True, 0.25)),
    ],
    ids=["near", "away", "draining"],
)
def test_the_replica_s_lag_is_told_and_its_absence_stops_nothing(
    lag: Callable[[], float], draining: bool, status: str, replica: tuple[bool, float | None]
) -> None:
    health = Health("app-1:3310", lambda: REQUIRED, draining=draining, replica_lag=lag)
    ready, answer = health.detailed()
    assert (ready, answer["status"], answer["schema"]) == (status == "ready", status, REQUIRED)
    assert answer["dependencies"]["database"]["reachable"]
    found = answer["dependencies"]["replica"]
    assert (found["reachable"], found["lag_seconds"]) == replica
    assert health.dependencies()[0]


def test_what_several_processes_count_adds_up(
    processes: Processes, listener: socket.socket, receiver: Receiver
) -> None:
    port = listener.getsockname()[1]
    everyone = [processes.web(listener).await_ready(), processes.web(listener).await_ready()]
    everyone.append(processes.dispatcher().await_ready())
    token = login(port)
    set_up(Client(port, token).call, receiver.url)
    for number in range(EVENTS):  # a connection each, so that both may take part
        event = {"action": "order.placed", "payload": {"id": number}, "deduper": f"o-{number}"}
        assert Client(port, token).call("POST", "/v1/events", event)[0] == 201
    assert Client(port, token).call("POST", "/v1/events", event)[0] == 200

    def scrapes() -> list[Series]:
        return [series(own(process, "/metrics").text) for process in everyone]

    until(lambda: sums(scrapes(), "amebo_deliveries_total", result="delivered") == EVENTS)
    until(lambda: all(scrape[("amebo_gists_due", ())] == 0 for scrape in scrapes()))
    found = scrapes()
    assert sums(found, "amebo_events_published_total", action="order.placed") == EVENTS
    assert sums(found, "amebo_events_duplicate_total") == 1
    posted = {"route": "/v1/events", "method": "POST"}
    assert sums(found, "amebo_http_request_duration_seconds_count", **posted, status="201") == EVENTS
    assert sums(found, "amebo_commit_batch_size_sum") >= EVENTS
    assert sums(found, "amebo_claim_batch_size_sum") == EVENTS
    assert sums(found, "amebo_delivery_duration_seconds_count") == EVENTS
    assert sums(found, "amebo_publish_to_delivery_seconds_count") == EVENTS


def test_who_asks_too_often_is_told_when_to_come_back(dsn: str, tmp_path: Path) -> None:
    with serving(dsn, tmp_path, AMEBO_RATE_LIMIT_ADDRESS="1") as service:
        answers = [service.get("/v1/events", X_Forwarded_For="192.0.2.7") for _ in range(20)]
        assert {answer.status for answer in answers} == {401, 429}
        for answer in answers:
            assert answer.headers["X-RateLimit-Limit"] == "1"
            assert answer.headers["X-RateLimit-Remaining"] == "0"
        refused = next(answer for answer in answers if answer.status == 429)
        assert int(refused.headers["Retry-After"]) == int(refused.headers["X-RateLimit-Reset"]) == 1
        assert refused.json.keys() == {"error", "code", "details", "request_id"}
        assert refused.json["request_id"] == refused.headers["X-Request-ID"]
        assert service.get("/v1/events", X_Forwarded_For="192.0.2.7, 192.0.2.8").status == 401  # somebody else
        assert {service.get(path).status for path in 5 * ("/health", "/metrics", "/v1/status")} == {200}


def test_an_application_has_its_own_share(dsn: str, tmp_path: Path) -> None:
    with serving(dsn, tmp_path, AMEBO_RATE_LIMIT="1") as service:
        token = login(service.port)
        answers = [service.get("/v1/events", Authorization=f"Bearer {token}") for _ in range(20)]
        assert {answer.status for answer in answers} == {200, 429}
        assert {service.get("/v1/events").status for _ in range(5)} == {401}


def test_the_log_is_json_with_each_request_and_its_id(dsn: str, tmp_path: Path) -> None:
    with serving(dsn, tmp_path, AMEBO_LOG_FORMAT="json", AMEBO_LOG_LEVEL="info") as service:
        service.get("/v1/none%0A%7B%22forged%22:1%7D%0D", X_Request_ID="mine-1", X_Forwarded_For="1.2.3.4, 192.0.2.7")
        service.get("/v1/events?secret=hidden", Authorization="Bearer hidden", X_Request_ID="mine-2")
        service.get("/health")
        until(lambda: len([each for each in service.events() if "route" in each]) == 2)
        first, second = (each for each in service.events() if "route" in each)
        assert (first["request_id"], first["status"], first["address"]) == ("mine-1", 404, "192.0.2.7")
        assert first["path"] == '/v1/none\n{"forged":1}\r'
        assert (second["request_id"], second["route"], second["status"]) == ("mine-2", "/v1/events", 401)
        assert "hidden" not in service.log.read_text()
        assert all(each["instance"] == "app-1:3310" for each in service.events())


@pytest.mark.parametrize("kind", ["unix", "tcp"])
def test_the_process_own_socket_is_a_path_or_a_port(kind: str, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    path = tmp_path / "status.sock"
    path.touch()  # a process before it did not clean up

    def app(_environment: Any, start: Any) -> list[bytes]:
        start("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "5")])
        return [b"alive"]

    web.serve_status(app, str(path) if kind == "unix" else f"127.0.0.1:{port}")
    connection = Unix(path) if kind == "unix" else HTTPConnection("127.0.0.1", port, timeout=30)
    assert ask(connection, "/health").text == "alive"


def test_the_command_refuses_what_it_does_not_know(tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "AMEBO_PASWORD": "hidden", "AMEBO_THREDS": "1"}
    argv = [sys.executable, "-m", "app", "config", "check"]
    ran = subprocess.run(argv, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert ran.returncode == 1
    assert "AMEBO_PASWORD (is AMEBO_PASSWORD meant?)" in ran.stderr
    assert "AMEBO_THREDS (is AMEBO_THREADS meant?)" in ran.stderr
    assert "hidden" not in ran.stdout + ran.stderr

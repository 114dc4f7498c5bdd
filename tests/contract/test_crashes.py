"""Whatever is killed under load: an event that got its 201 is delivered, and one that came twice is one event.

The clusters do not flush to disk (fsync=off). That is good for what is proved here, the death of processes: what they
wrote is the kernel's and outlives them. It says nothing about the loss of power.
"""

import json
import os
import random
import signal
import socket
import threading
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg
import pytest

from app.broker import Broker
from app.cluster import Cluster, throwaway
from app.errors import AmeboError
from app.model import Action, Application, Attempt, Filters, Page, Publication, Room, Subscription
from app.rules import uuid7
from app.storage.migrate import migrate
from app.storage.postgres import PostgresStorage, connect
from tests.contract.processes import Client, Process, Processes, Receiver, login, receiving, set_up, until

PUBLISHERS, ROUNDS, BETWEEN = 8, 3, 40
PAUSE = 0.01  # between two publishes of one publisher, so that the load is bounded
SAME_MOMENTS = 40
EVENT = {"action": "order.placed", "payload": {"id": 1}}
NOW = datetime(2026, 1, 1, tzinfo=UTC)
Crash = Callable[[Cluster], None]


@pytest.fixture
def mortal() -> Iterator[Cluster]:
    """A cluster of this test's own, because it dies."""
    with throwaway() as running:
        migrate(running.dsn, "amebo_service", "amebo_reader")
        yield running


def stop_at_once(cluster: Cluster) -> None:
    cluster.stop("immediate")


def kill_postmaster(cluster: Cluster) -> None:
    os.kill(int((cluster.folder / "data/postmaster.pid").read_text().split()[0]), signal.SIGKILL)


def restart(cluster: Cluster) -> None:
    """Once the last of the killed postmaster's children is gone, which is when they notice."""

    def started() -> bool:
        try:
            cluster.start()
        except AmeboError:
            return False
        return True

    until(started)


@dataclass
class Load:
    """Publishers that never repeat a request; those of one port use one web process."""

    ports: list[int]
    token: str
    acknowledged: list[str] = field(default_factory=list)
    unanswered: int = 0
    _ended: threading.Event = field(default_factory=threading.Event)
    _threads: list[threading.Thread] = field(default_factory=list)

    def start(self) -> None:
        ports = [self.ports[number % len(self.ports)] for number in range(PUBLISHERS)]
        self._threads = [threading.Thread(target=self._publish, args=(port,)) for port in ports]
        for thread in self._threads:
            thread.start()

    def end(self) -> None:
        self._ended.set()
        for thread in self._threads:
            thread.join()

    def _publish(self, port: int) -> None:
        client = Client(port, self.token)
        while not self._ended.wait(PAUSE):
            try:
                code, answer = client.call("POST", "/v1/events", EVENT)
            except (OSError, HTTPException, ValueError):
                self.unanswered += 1
                client.close()
                continue
            if code == 201:
                self.acknowledged.append(answer["event"])
        client.close()

    def go_on(self) -> None:
        """Until more was acknowledged."""
        enough = len(self.acknowledged) + BETWEEN
        until(lambda: len(self.acknowledged) >= enough)


class Victims:
    """Two web processes, each with a port of its own, and two dispatchers."""

    def __init__(self, dsn: str, folder: Path, stack: ExitStack) -> None:
        self._processes = Processes(dsn, folder, AMEBO_LEASE="2", AMEBO_DELIVERY_TIMEOUT="1", AMEBO_ENVELOPE="64")
        stack.callback(self._processes.end)
        self._listeners = [stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=1024)) for _ in range(2)]
        self.ports = [listener.getsockname()[1] for listener in self._listeners]
        self._webs = [self._processes.web(listener) for listener in self._listeners]
        self._dispatchers = [self._processes.dispatcher() for _ in range(2)]
        for each in (*self._webs, *self._dispatchers):
            each.await_ready()

    def kill_web(self, place: int) -> None:
        self._webs[place].stop(signal.SIGKILL)

    def restart_web(self, place: int) -> Process:
        self._webs[place] = self._processes.web(self._listeners[place])
        return self._webs[place].await_ready()

    def kill_dispatcher(self, place: int) -> None:
        self._dispatchers[place].stop(signal.SIGKILL)

    def restart_dispatcher(self, place: int) -> Process:
        self._dispatchers[place] = self._processes.dispatcher()
        return self._dispatchers[place].await_ready()


def test_everything_acknowledged_is_delivered_whatever_was_killed(mortal: Cluster, tmp_path: Path) -> None:
    with ExitStack() as stack:
        receiver = stack.enter_context(receiving(Receiver()))
        victims = Victims(mortal.dsn, tmp_path, stack)
        token = login(victims.ports[0])
        set_up(Client(victims.ports[0], token).call, receiver.url)
        load = Load(victims.ports, token)
        load.start()
        stack.callback(load.end)
        for number in range(ROUNDS):
            _kill_each(victims, mortal, load, number)
        load.end()
        until(lambda: set(load.acknowledged) <= set(receiver.events()))
        until(lambda: _rows(mortal, "SELECT count(*) FROM gists WHERE status <> 'delivered'") == [(0,)])
        assert load.unanswered > 0  # or nothing was killed under load
        _assert_none_lost(mortal, load, receiver)


def _kill_each(victims: Victims, cluster: Cluster, load: Load, number: int) -> None:
    """A web process, a dispatcher and the database, each in the middle of what it does."""
    place = number % 2
    load.go_on()
    victims.kill_web(place)
    load.go_on()
    victims.restart_web(place)
    victims.kill_dispatcher(place)
    load.go_on()
    victims.restart_dispatcher(place)
    crash = (stop_at_once, kill_postmaster)[number % 2]
    crash(cluster)
    restart(cluster)
    load.go_on()


def _assert_none_lost(cluster: Cluster, load: Load, receiver: Receiver) -> None:
    """Also none that was stored and not acknowledged, and every repeat tells by its id that it is one."""
    stored = {str(event): fanout for event, fanout in _rows(cluster, "SELECT event, fanout FROM events")}
    assert set(load.acknowledged) <= set(stored)
    assert len(set(load.acknowledged)) == len(load.acknowledged)
    assert set(stored.values()) == {1}
    gists = {str(event): str(gist) for gist, event in _rows(cluster, "SELECT gist, event FROM gists")}
    assert gists.keys() == stored.keys()
    identities = defaultdict(set)
    for body, headers in zip(receiver.bodies, receiver.headers, strict=True):
        identities[body["event"]].add(headers["webhook-id"])
    assert identities == {event: {gist} for event, gist in gists.items()}


@pytest.mark.parametrize("crash", [stop_at_once, kill_postmaster])
def test_a_crash_of_the_database_may_repeat_deliveries_and_loses_none(mortal: Cluster, crash: Crash) -> None:
    """A dispatcher commits without waiting for the disk; what writes its commits sleeps here, so they are undone."""
    with psycopg.connect(mortal.dsn, autocommit=True) as connection:
        connection.execute("ALTER SYSTEM SET wal_writer_delay = '10s'")
        connection.execute("SELECT pg_reload_conf()")
    with closing(connect(mortal.dsn, 1)) as web, closing(connect(mortal.dsn, 1, durable=False)) as dispatcher:
        published = _publish(PostgresStorage(web), 20)
        first = _deliver(PostgresStorage(dispatcher))
        crash(mortal)
    restart(mortal)
    with closing(connect(mortal.dsn, 1)) as after:
        storage = PostgresStorage(after)
        assert {str(each.event) for each in storage.events(Filters(), (), Page(100))} == set(published)
        assert len(storage.gists(Filters(status="delivered"), Page())) < 20
        _rows(mortal, "UPDATE gists SET leased = NULL")  # as when the leases have run out, where claims were kept
        again = _deliver(storage)
        assert again
        assert set(again) <= set(first)
        gists = storage.gists(Filters(), Page())
        assert [(gist.status.value, gist.attempts) for gist in gists] == [("delivered", 1)] * 20


def _publish(storage: PostgresStorage, number: int) -> list[str]:
    application = Application("shop", "http://shop.test", "a secret", b"", "", active=True, timestamped=NOW)
    storage.add_application(application, "admin")
    storage.add_action(Action("order.placed", "shop", {}, 1, NOW), "admin")
    wish = Subscription(uuid4(), "shop", "order.placed", "/hooks", 5, "", active=True, timestamped=NOW)
    storage.subscribe(wish, "admin")
    revision = storage.revision()
    drafts = [
        Publication(
            event=uuid7(datetime.now(UTC), random.getrandbits(62)),
            action="order.placed",
            application="shop",
            payload={},
            metadata={},
            deduper=None,
            sleep_until=None,
            publisher="shop",
            key=None,
            digest=b"",
            lane=0,
            revision=revision,
        )
        for _ in range(number)
    ]
    return [str(each.event.event) for each in storage.publish(drafts) if each]


def _deliver(storage: PostgresStorage) -> list[str]:
    """Claim all there is and complete it as delivered; returns the ids that the receiver saw."""
    broker = Broker(storage)
    claimed = broker.claim(Room(100, 1000), timedelta(seconds=60)).deliveries
    broker.complete([(each, Attempt(each.attempt, 200, 1, "", None, datetime.now(UTC))) for each in claimed])
    return [str(each.gist) for each in claimed]


def _rows(cluster: Cluster, statement: str) -> list[tuple[Any, ...]]:
    with psycopg.connect(cluster.dsn, autocommit=True) as connection:
        cursor = connection.execute(statement.encode())
        return cursor.fetchall() if cursor.description else []


@pytest.mark.parametrize("by", ["deduper", "X-Amebo-Load-Balancer-Request-Id"])
def test_one_request_sent_twice_at_one_moment_is_one_event(dsn: str, tmp_path: Path, by: str) -> None:
    """On two connections to two web processes, as where a load balancer repeats what it believes lost."""
    with ExitStack() as stack:
        victims = Victims(dsn, tmp_path, stack)
        token = login(victims.ports[0])
        set_up(Client(victims.ports[0], token).call, "http://127.0.0.1:9")
        pair = Pair(victims.ports, token, by)
        for number in range(SAME_MOMENTS):
            answers = pair.send(f"key {number}")
            assert sorted(code for code, _ in answers) == [200, 201], answers
            assert len({answer["event"] for _, answer in answers}) == 1
            assert sorted(answer.get("duplicate", False) for _, answer in answers) == [False, True]
        with psycopg.connect(dsn) as connection:
            stored = connection.execute(
                "SELECT (SELECT count(*) FROM events WHERE action = 'order.placed'), "
                "count(*), count(DISTINCT event) FROM gists"
            ).fetchone()
        assert stored == (SAME_MOMENTS,) * 3


class Pair:
    """Two clients that send at the same moment."""

    def __init__(self, ports: list[int], token: str, by: str) -> None:
        self._connections = [HTTPConnection("127.0.0.1", port, timeout=30) for port in ports]
        self._headers = {"Content-Type": "application/json", "Authorization": f"Bearer {token}"}
        self._by = by

    def send(self, key: str) -> list[tuple[int, Any]]:
        named = {self._by: key}
        in_body = self._by == "deduper"
        body, headers = {**EVENT, **(named if in_body else {})}, {**self._headers, **({} if in_body else named)}
        barrier, answers = threading.Barrier(2), list[tuple[int, Any]]()

        def call(connection: HTTPConnection) -> None:
            if connection.sock is None:
                connection.connect()
            barrier.wait()
            connection.request("POST", "/v1/events", json.dumps(body), headers)
            response = connection.getresponse()
            answers.append((response.status, json.loads(response.read())))

        threads = [threading.Thread(target=call, args=(each,)) for each in self._connections]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return answers

"""The loop of a web process: publishes wait there as fibers, and never keep each other from going on."""

import json
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest

from tests.contract.processes import Client, Process, Processes, login, set_up, until

LESS_THAN_THE_DATABASE_S_PATIENCE, MORE_THAN_THE_DATABASE_S_PATIENCE = 4.0, 15.0
CONNECTIONS = 4  # to the database
KNOWN = {"action": "order.placed", "payload": {"id": 1}}
UNKNOWN = {**KNOWN, "action": "nobody.knows"}


class Web:
    """A web process with an application, an action and a subscription, and connections to it."""

    def __init__(self, process: Process, port: int) -> None:
        self.process, self.port = process, port
        self.token = login(port)
        set_up(Client(port, self.token).call, "http://127.0.0.1:9")

    def publish(self, event: object = KNOWN) -> int:
        """On a connection of its own."""
        client = Client(self.port, self.token)
        status, _ = client.call("POST", "/v1/events", event)
        client.close()
        return status

    def sent(self, *events: object) -> socket.socket:
        """A connection on which so many publishes were sent at once; nothing is read yet."""
        return self._connected(b"".join(self.request("POST", "/v1/events", json.dumps(each)) for each in events))

    def asked(self, method: str, path: str) -> socket.socket:
        """A connection on which that was asked."""
        return self._connected(self.request(method, path))

    def request(self, method: str, path: str, body: str = "") -> bytes:
        head = f"{method} {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {self.token}\r\n"
        head += f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        return (head + body).encode()

    def _connected(self, sent: bytes) -> socket.socket:
        connection = socket.create_connection(("127.0.0.1", self.port), timeout=LESS_THAN_THE_DATABASE_S_PATIENCE)
        connection.sendall(sent)
        return connection


def statuses(connection: socket.socket, number: int) -> list[int]:
    """Of so many answers."""
    reader, found = connection.makefile("rb"), []
    for _ in range(number):
        found.append(int(reader.readline().split()[1]))
        length = 0
        while (line := reader.readline().strip()) != b"":
            name, _, value = line.partition(b":")
            length = int(value) if name.lower() == b"content-length" else length
        assert json.loads(reader.read(length))
    return found


@pytest.fixture
def web(dsn: str, tmp_path: Path) -> Iterator[Web]:
    processes = Processes(dsn, tmp_path, AMEBO_POOL=str(CONNECTIONS))
    with socket.create_server(("127.0.0.1", 0), backlog=1024) as listener:
        yield Web(processes.web(listener).await_ready(), listener.getsockname()[1])
    processes.end()


def blocked(database: psycopg.Connection[tuple[int]]) -> int:
    """How many sessions wait for a lock."""
    row = database.execute("SELECT count(*) FROM pg_locks WHERE NOT granted AND locktype = 'relation'").fetchone()
    return row[0] if row else 0


def test_publishes_that_wait_for_a_slow_look_into_the_registry_keep_nobody_waiting(web: Web, dsn: str) -> None:
    assert web.publish() == 201  # so that the process knows who publishes what
    with psycopg.connect(dsn, autocommit=True) as observer, psycopg.connect(dsn) as holder:
        holder.execute("LOCK TABLE actions")
        waiting = [web.sent(UNKNOWN) for _ in range(3)]
        until(lambda: blocked(observer) == len(waiting))
        quick = [web.sent(KNOWN, KNOWN), web.sent(KNOWN)]
        assert [statuses(quick[0], 2), statuses(quick[1], 1)] == [[201, 201], [201]]
        holder.rollback()
        assert [statuses(each, 1) for each in waiting] == [[404]] * len(waiting)


def test_a_publish_that_finds_no_connection_free_keeps_nobody_waiting(web: Web, dsn: str) -> None:
    assert web.publish() == 201
    with psycopg.connect(dsn, autocommit=True) as observer, psycopg.connect(dsn) as holder:
        holder.execute("LOCK TABLE events")
        readers = [web.asked("GET", "/v1/events") for _ in range(CONNECTIONS)]
        until(lambda: blocked(observer) == CONNECTIONS)
        waiting = [web.sent(KNOWN) for _ in range(3)]
        assert statuses(web.sent({"action": "no payload"}), 1) == [422]
        holder.rollback()
        assert [statuses(each, 1) for each in (*waiting, *readers)] == [[201]] * 3 + [[200]] * CONNECTIONS


def test_those_on_threads_and_fibers_commit_for_each_other(web: Web, in_threads: Callable[..., None]) -> None:
    singly = [web.sent() for _ in range(8)]
    batches = [Client(web.port, web.token) for _ in range(4)]
    found: list[object] = []

    def publish(connection: socket.socket) -> None:
        for _ in range(25):
            connection.sendall(web.request("POST", "/v1/events", json.dumps(KNOWN)))
            found.extend(statuses(connection, 1))

    def publish_two(client: Client) -> None:
        for _ in range(25):
            status, answer = client.call("POST", "/v1/events/batch", {"events": [KNOWN, KNOWN]})
            found.append(status == 207 and [each["status"] for each in answer["events"]])

    one = [lambda each=each: publish(each) for each in singly]
    two = [lambda each=each: publish_two(each) for each in batches]
    in_threads(*one, *two)
    assert (found.count(201), found.count([201, 201])) == (8 * 25, 4 * 25)


def test_a_commit_that_takes_too_long_is_given_up_and_the_next_is_served(web: Web, dsn: str) -> None:
    with psycopg.connect(dsn, autocommit=True) as observer, psycopg.connect(dsn) as holder:
        holder.execute("LOCK TABLE events")
        waiting = [web.sent(KNOWN) for _ in range(2)]
        until(lambda: blocked(observer) > 0)
        for each in waiting:
            each.settimeout(MORE_THAN_THE_DATABASE_S_PATIENCE)
        assert statuses(waiting[0], 1) == [503]
        holder.rollback()
        assert statuses(waiting[1], 1)[0] in (201, 503)  # it may have come along with the first
        assert web.publish() == 201


def test_requests_that_came_together_on_one_connection_are_answered_in_their_order(web: Web) -> None:
    connection = web.sent(KNOWN, UNKNOWN, KNOWN, {**KNOWN, "payload": {}}, KNOWN)
    assert statuses(connection, 5) == [201, 404, 201, 422, 201]


def test_one_who_hangs_up_while_it_is_committed_is_served_all_the_same(web: Web, dsn: str) -> None:
    with psycopg.connect(dsn, autocommit=True) as observer, psycopg.connect(dsn) as holder:
        holder.execute("LOCK TABLE events")
        leaving, staying = web.sent({**KNOWN, "deduper": "left"}), web.sent(KNOWN)
        until(lambda: blocked(observer) > 0)
        leaving.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")  # close with a reset
        leaving.close()
        half = web.sent({**KNOWN, "deduper": "half closed"})
        half.shutdown(socket.SHUT_WR)
        holder.rollback()
        assert statuses(staying, 1) == [201]
        assert statuses(half, 1) == [201]
        until(lambda: set(_dedupers(observer)) == {"left", "half closed"})
    assert web.publish() == 201


def test_a_process_that_ends_answers_what_waits_for_its_commit(web: Web, dsn: str) -> None:
    with psycopg.connect(dsn, autocommit=True) as observer, psycopg.connect(dsn) as holder:
        holder.execute("LOCK TABLE events")
        waiting = [web.sent(KNOWN) for _ in range(5)]
        until(lambda: blocked(observer) > 0)
        web.process.popen.terminate()
        until(lambda: web.process.status().get("status") == "draining")
        holder.rollback()
        assert [statuses(each, 1) for each in waiting] == [[201]] * len(waiting)
    assert web.process.popen.wait(timeout=10) == 0


def _dedupers(database: psycopg.Connection[tuple[int]]) -> list[str]:
    return [str(deduper) for (deduper,) in database.execute("SELECT deduper FROM events WHERE deduper IS NOT NULL")]

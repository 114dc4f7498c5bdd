"""The listener as a developer starts it, with webhooks of real dispatchers and with requests that are none."""

import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from standardwebhooks.webhooks import Webhook

from app import listen
from app.client import Client
from app.errors import AmeboError
from tests.contract import processes
from tests.contract.processes import ROOT, Processes, login, until
from tests.contract.test_client import SECRET, register

BODY = json.dumps({"event": str(UUID(int=3)), "action": "order.placed", "payload": {"id": 1}, "attempt": 1})


@dataclass
class Listener:
    """A listening process, and what it printed until now."""

    popen: subprocess.Popen[str]
    lines: list[str] = field(default_factory=list)

    @property
    def port(self) -> int:
        (found,) = re.findall(r"listening on http://127.0.0.1:(\d+)", self.read("listening"))
        return int(found)

    def read(self, word: str) -> str:
        """The next line with this word."""
        assert self.popen.stdout is not None
        for line in self.popen.stdout:
            self.lines.append(line)
            if word in line:
                return line
        raise AssertionError(f"it ended without {word!r}: {self.lines}")


Listening = Callable[..., Listener]


@pytest.fixture
def listening() -> Iterator[Listening]:
    """Starts listeners, and ends them; `secrets` is the setting, None leaves it out."""
    with ExitStack() as stack:

        def start(secrets: str | None = SECRET, status: int = 204) -> Listener:
            environment = {name: value for name, value in os.environ.items() if name != "AMEBO_WEBHOOK_SECRET"}
            if secrets is not None:
                environment["AMEBO_WEBHOOK_SECRET"] = secrets
            argv = [sys.executable, "-m", "app", "listen", "--port", "0", "--status", str(status)]
            popen = subprocess.Popen(argv, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True)
            stack.enter_context(popen)
            stack.callback(popen.kill)
            return Listener(popen)

        yield start


@dataclass
class Publisher:
    """A service with a dispatcher, whose webhooks go to `port`."""

    call: processes.Call
    client: Client

    def publish(self) -> str:
        return str(self.client.publish("order.placed", {"id": 1}).event)

    def statuses(self) -> list[str]:
        return [gist["status"] for gist in self.call("GET", "/v1/gists", None)[1]["data"]]


@pytest.fixture
def publishing(dsn: str, tmp_path: Path) -> Iterator[Callable[[int], Publisher]]:
    started = Processes(dsn, tmp_path)
    with socket.create_server(("127.0.0.1", 0)) as own:

        def start(port: int) -> Publisher:
            started.web(own).await_ready()
            started.dispatcher().await_ready()
            web = own.getsockname()[1]
            call = processes.Client(web, login(web)).call
            apikey = register(call, f"http://127.0.0.1:{port}")
            return Publisher(call, Client(f"http://127.0.0.1:{web}", apikey=apikey))

        yield start
        started.end()


def test_prints_and_verifies_what_a_dispatcher_sends(
    listening: Listening, publishing: Callable[[int], Publisher]
) -> None:
    listener = listening(secrets=f"another secret, {SECRET}")
    publisher = publishing(listener.port)
    publisher.publish()
    line = listener.read("webhook")
    pattern = r"\d\d:\d\d:\d\d\.\d{3} webhook [0-9a-f-]{36} order\.placed attempt 1, signature ok, answered 204\n"
    assert re.fullmatch(pattern, line), line
    assert listener.read("id") == '  {"id": 1}\n'
    until(lambda: publisher.statuses() == ["delivered"])


def test_a_bad_signature_is_sent_again(listening: Listening, publishing: Callable[[int], Publisher]) -> None:
    listener = listening(secrets="another secret")
    publisher = publishing(listener.port)
    publisher.publish()
    first, second = listener.read("webhook"), listener.read("webhook")
    assert "attempt 1, signature BAD: no signature is right" in first
    assert "attempt 2, signature BAD" in second
    assert "answered 401" in second
    assert "repeat" not in second


def test_another_status_tries_retries_out_and_repeats_are_marked(
    listening: Listening, publishing: Callable[[int], Publisher]
) -> None:
    listener = listening(status=500)
    publisher = publishing(listener.port)
    publisher.publish()
    first, second = listener.read("webhook"), listener.read("webhook")
    assert re.search(r"attempt 1, signature ok, answered 500$", first)
    assert re.search(r"attempt 2, signature ok, repeat, answered 500$", second)
    assert first.split()[2] == second.split()[2]


def test_without_a_secret_it_says_that_nothing_was_checked(listening: Listening) -> None:
    for secrets in (None, "", " , "):
        listener = listening(secrets)
        assert post(listener.port, BODY)[0] == 204
        assert "signature not checked (no secret)" in listener.read("webhook")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ends_cleanly_with_a_client_connected(listening: Listening, number: signal.Signals) -> None:
    listener = listening()
    with socket.create_connection(("127.0.0.1", listener.port)):
        listener.popen.send_signal(number)
        assert listener.popen.wait(timeout=10) == 0


def test_its_secrets_are_not_in_the_process_list_or_its_output(listening: Listening) -> None:
    listener = listening()
    post(listener.port, BODY)
    listener.read("webhook")
    command_line = Path(f"/proc/{listener.popen.pid}/cmdline").read_text()
    assert SECRET not in command_line + "".join(listener.lines)


@pytest.fixture
def told() -> list[str]:
    return []


@pytest.fixture
def port(told: list[str]) -> Iterator[int]:
    with listen.receiver(secrets=(SECRET,), say=told.append) as bound:
        yield bound


def test_what_standard_webhooks_signs_is_good(port: int, told: list[str]) -> None:
    assert post(port, BODY, **signed(BODY)) == (204, None)
    assert "signature ok" in told[0]


def test_a_forged_webhook_does_not_make_a_repeat_of_the_real_one(port: int, told: list[str]) -> None:
    for body, status in ((BODY + " ", 401), (BODY, 204), (BODY, 204)):
        assert post(port, body, **signed(BODY))[0] == status
    assert ["repeat" in each for each in told] == [False, False, True]


def test_many_at_once_are_each_told_in_one_piece(port: int, told: list[str]) -> None:
    with ThreadPoolExecutor(16) as threads:
        answers = list(threads.map(lambda _: post(port, BODY, **signed(BODY)), range(64)))
    assert {status for status, _ in answers} == {204}
    assert len(told) == 64
    assert sum(", repeat," in each for each in told) == 63


def test_a_connection_is_kept_for_the_next_webhook(port: int, told: list[str]) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    connection.connect()
    first = connection.sock
    for _ in range(3):
        connection.request("POST", "/hooks", BODY, signed(BODY))
        assert connection.getresponse().read() == b""
        assert connection.sock is first
    assert len(told) == 3


@pytest.mark.parametrize(
    ("headers", "body", "status"),
    [
        ("Transfer-Encoding: chunked", b"2\r\n{}\r\n0\r\n\r\n", 411),
        ("Transfer-Encoding: chunked\r\nContent-Length: 2", b"{}", 411),
        ("Accept: */*", b"", 411),
        ("Content-Length: two", b"{}", 400),
        ("Content-Length: -1", b"", 400),
        ("Content-Length: 2\r\nContent-Length: 3", b"{}", 400),
        (f"Content-Length: {listen.LARGEST_BODY + 1}", b"x" * (listen.LARGEST_BODY + 1), 413),
        (f"Content-Length: {'9' * 18}", b"x", 413),
    ],
)
def test_bodies_that_it_does_not_take_are_refused_with_a_word(
    port: int, told: list[str], headers: str, body: bytes, status: int
) -> None:
    with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
        connection.sendall(f"POST / HTTP/1.1\r\nHost: x\r\n{headers}\r\n\r\n".encode() + body)
        connection.shutdown(socket.SHUT_WR)
        answer = connection.makefile("rb").read()
    assert int(answer.split()[1]) == status
    assert b"Connection: close" in answer
    assert f"refused with {status}" in told[0]


def test_a_body_of_the_largest_size_is_taken(port: int, told: list[str]) -> None:
    body = json.dumps({"payload": "x" * (listen.LARGEST_BODY - 15)})
    assert len(body) == listen.LARGEST_BODY
    assert post(port, body, **signed(body))[0] == 204
    assert len(told[0]) < 2000


def test_a_client_that_goes_away_in_the_middle_is_not_a_webhook(port: int, told: list[str]) -> None:
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        connection.sendall(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n{}")
        connection.shutdown(socket.SHUT_WR)
        assert connection.recv(1) == b""
    assert told == []


@pytest.mark.parametrize(("status", "length"), [(200, "0"), (204, None), (410, "0"), (503, "0")])
def test_answers_what_it_is_told_to(status: int, length: str | None) -> None:
    with listen.receiver(status=status, say=lambda _: None) as bound:
        assert post(bound, BODY) == (status, length)


def test_a_port_that_is_taken_is_an_error_with_a_way_out(port: int) -> None:
    before = signal.pthread_sigmask(signal.SIG_BLOCK, ())
    with pytest.raises(AmeboError, match=f"port {port}: Address already in use; try another port"):
        listen.run(port)
    assert signal.pthread_sigmask(signal.SIG_BLOCK, ()) == before  # else nothing started from here could be ended


@pytest.mark.parametrize("status", [0, 100, 199, 600])
def test_a_status_that_no_handler_answers_is_refused(status: int) -> None:
    with pytest.raises(AmeboError, match=f"--status {status}"):
        listen.run(0, status=status)


def signed(body: str) -> dict[str, str]:
    now, webhook_id = datetime.now(UTC), str(UUID(int=1))
    return {
        "webhook-id": webhook_id,
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": Webhook(SECRET).sign(webhook_id, now, body),
    }


def post(port: int, body: str, **headers: Any) -> tuple[int, str | None]:
    """The status and the Content-Length of the answer."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    connection.request("POST", "/hooks", body, headers)
    response = connection.getresponse()
    response.read()
    connection.close()
    return response.status, response.headers["Content-Length"]

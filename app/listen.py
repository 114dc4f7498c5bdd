"""python -m app listen: receive webhooks as a developer's handler would, verify them, and print them."""

import contextlib
import io
import json
import re
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from app.client.webhooks import BadWebhook, verify_signature
from app.errors import AmeboError

LARGEST_BODY = 5 * 1024 * 1024
ONE_LINE, SHORT = 80, 1000  # characters of a payload up to which it is shown on one line, and in full
REMEMBERED = 10_000  # webhook-ids by which repeats are told
TICK = 0.1  # seconds in which it notices that it is to end
IDLE = 60.0  # seconds that a connection may be silent
BODYLESS = (HTTPStatus.NO_CONTENT, HTTPStatus.NOT_MODIFIED)
Say = Callable[[str], None]


def run(port: int, host: str = "127.0.0.1", secrets: tuple[str, ...] = (), status: int = 204) -> None:
    """Listen in the foreground until SIGINT or SIGTERM."""
    if not 200 <= status <= 599:
        raise AmeboError(f"--status {status} is not what a handler answers; give one from 200 to 599")
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # whatever the terminal can show
    with _held_back(signal.SIGINT, signal.SIGTERM) as ends, receiver(port, host, secrets, status) as bound:
        unchecked = "" if secrets else "; without AMEBO_WEBHOOK_SECRET no signature is checked"
        shown = f"[{host}]" if ":" in host else host
        _say(f"listening on http://{shown}:{bound}, answering {status}{unchecked}; Ctrl-C ends it")
        signal.sigwait(ends)


@contextlib.contextmanager
def _held_back(*numbers: signal.Signals) -> Iterator[tuple[signal.Signals, ...]]:
    """Signals to be waited for, which interrupt nothing; in the end as before, or every child would inherit that."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, numbers)
    try:
        yield numbers
    finally:
        while signal.sigtimedwait(numbers, 0):  # one Ctrl-C more, while it was ending already
            pass
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def secrets_in(environment: Mapping[str, str]) -> tuple[str, ...]:
    """Those of AMEBO_WEBHOOK_SECRET, separated by commas: a rotation has two."""
    return tuple(filter(None, map(str.strip, environment.get("AMEBO_WEBHOOK_SECRET", "").split(","))))


def _say(text: str) -> None:
    print(text, flush=True)  # noqa: T201  # the terminal is what this is for


@contextlib.contextmanager
def receiver(
    port: int = 0, host: str = "127.0.0.1", secrets: tuple[str, ...] = (), status: int = 204, say: Say = _say
) -> Iterator[int]:
    """Receives on threads of its own; yields the port, which the system picks when it is given 0."""
    try:
        server = _Server((host, port), Journal(secrets, status, say))
    except OSError as error:
        raise AmeboError(f"cannot listen on {host} port {port}: {error.strerror or error}; try another port") from error
    thread = threading.Thread(target=server.serve_forever, args=[TICK], name="listen", daemon=True)
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@dataclass(frozen=True)
class Received:
    """A request as it came in."""

    time: datetime
    headers: Mapping[str, str]
    body: bytes

    @property
    def identity(self) -> str | None:
        return self.headers.get("webhook-id")


class Journal:
    """Tells each webhook in one piece, whatever threads they come from, and which of them came before."""

    def __init__(self, secrets: tuple[str, ...], status: int, say: Say) -> None:
        self._secrets = secrets
        self._status = status
        self._say = say
        self._seen: dict[str, None] = {}  # in order, so that the oldest can be forgotten
        self._lock = threading.Lock()

    def take(self, received: Received) -> int:
        """Returns the status to answer with: 401 to a bad signature, so that the webhook is sent again."""
        is_good, verdict = _verdict(received, self._secrets)
        status = self._status if is_good else HTTPStatus.UNAUTHORIZED.value
        with self._lock:
            notes = [verdict, *(["repeat"] if self._is_repeat(received) else []), f"answered {status}"]
            if is_good:  # a forged id must not make a repeat of the real one
                self._remember(received)
            self._say(shown(received, notes))
        return status

    def refuse(self, status: HTTPStatus) -> None:
        with self._lock:
            self._say(f"{_clock(datetime.now().astimezone())} refused with {status.value}, {status.phrase}")

    def _is_repeat(self, received: Received) -> bool:
        return received.identity in self._seen

    def _remember(self, received: Received) -> None:
        if received.identity is not None:
            self._seen[received.identity] = None
        if len(self._seen) > REMEMBERED:
            del self._seen[next(iter(self._seen))]


def _verdict(received: Received, secrets: tuple[str, ...]) -> tuple[bool, str]:
    if not secrets:
        return True, "signature not checked (no secret)"
    try:
        verify_signature(received.body, received.headers, *secrets, now=received.time)
    except BadWebhook as error:
        return False, f"signature BAD: {error}"
    return True, "signature ok"


def shown(received: Received, notes: list[str]) -> str:
    """A line about the webhook, and its payload below; nothing in it can steer a terminal."""
    body = _parsed(received.body)
    known = body if isinstance(body, dict) else {}
    action = known.get("action") or received.headers.get("x-amebo-event") or "without an action"
    line = f"webhook {received.identity or 'without an id'} {action} attempt {known.get('attempt', '?')}"
    payload = (
        _pretty(known.get("payload", body)) if body is not None else received.body[:SHORT].decode(errors="replace")
    )
    indented = "\n".join(f"  {_printable(each)}" for each in payload.split("\n"))
    return f"{_clock(received.time)} {_printable(line[:SHORT])}, {', '.join(notes)}\n{indented}"


def _parsed(body: bytes) -> object:
    """None stands for a body that is not JSON; `null` is as little a webhook."""
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return None


def _pretty(payload: object) -> str:
    try:
        compact = json.dumps(payload, ensure_ascii=False)
    except RecursionError:
        return "nested too deeply to be shown"
    if len(compact) <= ONE_LINE:
        return compact
    if len(compact) <= SHORT:
        return json.dumps(payload, ensure_ascii=False, indent=2)
    return f"{compact[:SHORT]} … {len(compact)} characters"


def _printable(text: str) -> str:
    return "".join(each if each.isprintable() else each.encode("unicode_escape").decode() for each in text)


def _clock(time: datetime) -> str:
    return time.strftime("%H:%M:%S.%f")[:-3]


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 256  # a dispatcher may connect as often at once

    def __init__(self, address: tuple[str, int], journal: Journal) -> None:
        self.journal = journal
        self.address_family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        super().__init__(address, _Handler)

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that went away is not worth a traceback."""
        if not isinstance(sys.exception(), OSError):
            super().handle_error(request, client_address)  # type: ignore[arg-type]  # it only shows them


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    protocol_version = "HTTP/1.1"
    timeout = IDLE

    def do_POST(self) -> None:  # the name is http.server's
        length = self._length()
        if isinstance(length, HTTPStatus):
            self._refuse(length)
            return
        body = self.rfile.read(length)
        if len(body) < length:  # the client went away
            self.close_connection = True
            return
        headers = {name.lower(): value for name, value in self.headers.items()}
        self._answer(self.server.journal.take(Received(datetime.now().astimezone(), headers, body)))

    def _length(self) -> int | HTTPStatus:
        """What is to be read, or why it is not: chunks, which Amebo does not send, are not taken."""
        given = self.headers.get_all("Content-Length", [])
        if "Transfer-Encoding" in self.headers or not given:
            return HTTPStatus.LENGTH_REQUIRED
        if len(given) > 1 or not re.fullmatch(r"[0-9]{1,18}", given[0]):
            return HTTPStatus.BAD_REQUEST
        return int(given[0]) if int(given[0]) <= LARGEST_BODY else HTTPStatus.REQUEST_ENTITY_TOO_LARGE

    def _refuse(self, status: HTTPStatus) -> None:
        """And read on for a moment: closing with a body unread would reset the connection, and the answer with it."""
        self.server.journal.refuse(status)
        self.close_connection = True
        self._answer(status)
        self.connection.shutdown(socket.SHUT_WR)
        self.connection.settimeout(1)
        with contextlib.suppress(OSError):
            for _ in range(256):
                if not self.rfile.read1(64 * 1024):
                    break

    def _answer(self, status: int) -> None:
        self.send_response(status)
        if status not in BODYLESS:
            self.send_header("Content-Length", "0")
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing beside the webhooks."""

"""Ten thousand requests that nobody should send: never a 500, no connection lost, always the one shape of an error."""

import http.client
import json
import random
import socket
import string
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from app.cluster import Cluster
from tests.contract.conftest import new_database
from tests.contract.processes import Client, Process, Processes, login, set_up

MANY = 10_000
ODD = 150  # payloads of any content
GROWTH = 200 * 1024 * 1024  # bytes that the process may have grown by
PATHS = (
    *("/v1/tokens", "/v1/tokens/refresh", "/v1/applications", "/v1/applications/shop", "/v1/applications/shop/secret"),
    *("/v1/actions", "/v1/actions/order.placed", "/v1/actions/order.placed/grants", "/v1/actions/order.placed/check"),
    *("/v1/events", "/v1/events/batch", "/v1/subscriptions", "/v1/gists", "/v1/requeues", "/v1/backfills", "/nowhere"),
)
METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS", "BREW")
Text = Callable[[random.Random], str]
KNOWN = (
    "action",
    "application",
    "payload",
    "schemata",
    "events",
    "deduper",
    "sleep_until",
    "gists",
    "filter",
    "handler",
)


@pytest.fixture(scope="module")
def service(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[int, str, Process]]:
    processes = Processes(new_database(cluster), tmp_path_factory.mktemp("hostile"), AMEBO_LOG_LEVEL="error")
    with socket.create_server(("127.0.0.1", 0), backlog=1024) as listener:
        web = processes.web(listener).await_ready()
        port = listener.getsockname()[1]
        token = login(port)
        set_up(Client(port, token).call, "http://127.0.0.1:9")
        yield port, token, web
    processes.end()


def test_ten_thousand_bad_requests_get_an_answer_each(service: tuple[int, str, Process]) -> None:
    port, token, web = service
    chance, before = random.Random(1), _resident(web)  # noqa: S311  # the same requests each time
    connection, seen = http.client.HTTPConnection("127.0.0.1", port, timeout=30), set()
    for _ in range(MANY):
        method, path, body, headers = _request(chance, token)
        connection.request(method, path, body, headers)
        response = connection.getresponse()
        content = response.read()
        seen.add(response.status)
        assert response.status not in (500, 503), (method, path, body, content)
        if response.status >= 400 and method != "HEAD":
            error = json.loads(content)
            assert error.keys() == {"error", "code", "details", "request_id"}, (method, path, error)
            assert (error["code"], error["request_id"]) == (response.status, response.headers["X-Request-ID"])
    assert {200, 400, 401, 404, 405, 415, 422} <= seen
    assert web.status()["status"] == "ready"
    assert _resident(web) - before < GROWTH


BODIES: dict[str, tuple[bytes, int]] = {
    "not JSON": (b'{"action": ', 400),
    "nothing": (b"", 400),
    "not UTF-8": (b'{"action": "\xff\xfe"}', 400),
    "ten thousand levels": (b"[" * 10_000 + b"]" * 10_000, 400),
    "a name twice": (b'{"action": "order.placed", "action": "order.placed", "payload": {"id": 1}}', 400),
    "no number": (b'{"action": "order.placed", "payload": {"id": NaN}}', 400),
    "beyond numbers": (b'{"action": "order.placed", "payload": {"id": 1e999}}', 400),
    "half a character": (b'{"action": "order.placed", "payload": {"id": 1, "text": "\\ud800"}}', 400),
    "five thousand digits": (b'{"action": "order.placed", "payload": {"id": ' + b"9" * 5000 + b"}}", 400),
    "larger than a mebibyte": (b'{"payload": "' + b"x" * 1024 * 1024 + b'"}', 413),
    "larger than any batch": (b'{"payload": "' + b"x" * 6 * 1024 * 1024 + b'"}', 413),
    "not an object": (b"[]", 422),
    "another field": (b'{"action": "order.placed", "payload": {"id": 1}, "extra": 1}', 422),
}


@pytest.mark.parametrize("what", BODIES)
def test_a_body_that_cannot_be_taken_is_refused_in_words(what: str, service: tuple[int, str, Process]) -> None:
    port, token, _ = service
    body, expected = BODIES[what]
    headers = {"Content-Type": "application/json", "Authorization": f"Bearer {token}"}
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    connection.request("POST", "/v1/events", body, headers)
    response = connection.getresponse()
    error = json.loads(response.read())
    assert (response.status, error["code"]) == (expected, expected)
    assert error["error"]


KEPT: tuple[dict[str, Any], ...] = (
    {"id": 2**62, "text": "\u0000 is nothing"},
    {"id": 1, "text": "🐘 \u202e \\ \" ' <script>"},
    {"id": 1, "": {"": [None, True, 1.5e-300, -0.0, 10**40]}},
    {"id": 1, "deep": json.loads("[" * 100 + "]" * 100)},
)


def test_what_got_a_201_reads_back_as_it_was_sent(service: tuple[int, str, Process]) -> None:
    """To the last digit and in the order it had; alone and in a batch."""
    port, token, _ = service
    client, chance = Client(port, token), random.Random(2)  # noqa: S311
    payloads = [*KEPT, *({**_object(chance, _any_text), "id": number} for number in range(ODD))]
    drafts = [{"action": "order.placed", "payload": each, "metadata": each} for each in payloads]
    made = [client.call("POST", "/v1/events", each) for each in drafts]
    assert {status for status, _ in made} == {201}
    together = client.call("POST", "/v1/events/batch", {"events": drafts})[1]["events"]
    assert {each["status"] for each in together} == {201}
    for event, sent in zip([*(event for _, event in made), *together], drafts * 2, strict=True):
        found = client.call("GET", f"/v1/events/{event['event']}")[1]
        for part in ("payload", "metadata"):
            assert json.dumps(found[part]) == json.dumps(event[part]) == json.dumps(sent[part])


@pytest.mark.parametrize("events", [[None], [{}, 1, "x"], [{"action": "order.placed"}]], ids=str)
def test_a_batch_without_one_good_event_needs_credentials_too(
    events: list[object], service: tuple[int, str, Process]
) -> None:
    port, token, _ = service
    assert Client(port).call("POST", "/v1/events/batch", {"events": events})[0] == 401
    status, answer = Client(port, token).call("POST", "/v1/events/batch", {"events": events})
    assert (status, {each["status"] for each in answer["events"]}) == (207, {422})


LAST = b"Host: amebo\r\nConnection: close\r\n"
EVENT = b'{"action": "order.placed", "payload": {"id": 1}}'
POSTED = b"POST /v1/events HTTP/1.1\r\nContent-Type: application/json\r\n" + LAST
CHUNKED = POSTED + b"Transfer-Encoding: chunked\r\n\r\n"
LENGTH = b"Content-Length: %d\r\n" % len(EVENT)
# Each with the status of its answer; 0 for a connection that is closed without one, where there was no whole request.
RAW: dict[str, tuple[bytes, int]] = {
    "in chunks": (
        CHUNKED + b"10\r\n%b\r\n%x;odd=1\r\n%b\r\n0\r\n\r\n" % (EVENT[:16], len(EVENT) - 16, EVENT[16:]),
        201,
    ),
    "a size of a chunk that is no number": (CHUNKED + b"zz\r\n" + EVENT + b"\r\n0\r\n\r\n", 400),
    "a negative size of a chunk": (CHUNKED + b"-5\r\n" + EVENT + b"\r\n0\r\n\r\n", 400),
    "a chunk longer than its size": (CHUNKED + b"3\r\n" + EVENT + b"\r\n0\r\n\r\n", 400),
    "chunks beyond the limit": (CHUNKED + (b"100000\r\n" + b" " * 0x100000 + b"\r\n") * 2 + b"0\r\n\r\n", 413),
    "chunks that end early": (CHUNKED + b"ff\r\n" + EVENT, 0),
    "a length and chunks": (POSTED + LENGTH + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + EVENT, 400),
    "another encoding": (POSTED + b"Transfer-Encoding: gzip\r\n\r\n" + EVENT, 501),
    "no length": (POSTED + b"\r\n", 400),
    "a length that is no number": (POSTED + b"Content-Length: x\r\n\r\n", 400),
    "a negative length": (POSTED + b"Content-Length: -1\r\n\r\n" + EVENT, 400),
    "a length with a sign": (POSTED + b"Content-Length: +48\r\n\r\n" + EVENT, 400),
    "two lengths": (POSTED + LENGTH + b"Content-Length: 2\r\n\r\n" + EVENT, 400),
    "a length beyond any limit": (POSTED + b"Content-Length: " + b"9" * 30 + b"\r\n\r\n" + EVENT, 413),
    "more than its length": (POSTED + b"Content-Length: 9\r\n\r\n" + EVENT, 400),
    "less than its length": (POSTED + b"Content-Length: 99\r\n\r\n" + EVENT, 0),
    "headers without end": (b"GET /v1/events HTTP/1.1\r\nX-Long: " + b"x" * 300_000 + b"\r\n\r\n", 431),
    "a query without end": (b"GET /v1/events?cursor=" + b"x" * 300_000 + b" HTTP/1.1\r\n\r\n", 431),
    "nothing in a header": (b"GET /v1/events HTTP/1.1\r\n" + LAST + b"X-Odd: a\x00b\r\n\r\n", 400),
    "a header in two lines": (b"GET /health HTTP/1.1\r\n" + LAST + b"X-Odd: a\r\n b\r\n\r\n", 200),
    "a space before a colon": (POSTED + b"Content-Length : 48\r\n\r\n" + EVENT, 400),
    "a header without a colon": (b"GET /health HTTP/1.1\r\n" + LAST + b"odd\r\n\r\n", 400),
    "bytes in the path": (b"GET /v1/events/\xff\xfe HTTP/1.1\r\n" + LAST + b"\r\n", 400),
    "another host in the path": (b"GET http://other/health HTTP/1.1\r\n" + LAST + b"\r\n", 200),
    "a star for a path": (b"OPTIONS * HTTP/1.1\r\n" + LAST + b"\r\n", 404),
    "no path": (b"GET HTTP/1.1\r\n\r\n", 404),
    "a later HTTP": (b"GET /health HTTP/9.9\r\n" + LAST + b"\r\n", 200),
    "no HTTP": (b"\x00\x01\x02\r\n\r\n", 400),
    "nothing": (b"\r\n\r\n", 0),
}


@pytest.mark.parametrize("what", RAW)
def test_what_is_hardly_http_is_answered_or_closed(what: str, service: tuple[int, str, Process]) -> None:
    port, token, web = service
    request, expected = RAW[what]
    status, content = _answer(port, request.replace(LAST, LAST + f"Authorization: Bearer {token}\r\n".encode(), 1))
    assert status == expected, content[:500]
    if status >= 400:
        error = json.loads(content)
        assert error.keys() == {"error", "code", "details", "request_id"}
        assert (error["code"], bool(error["request_id"])) == (status, True)
    assert web.status()["status"] == "ready"
    assert Client(port, token).call("GET", "/v1/actions")[0] == 200


def _answer(port: int, request: bytes) -> tuple[int, bytes]:
    """The first answer to bytes after which nothing more comes; status 0 for none."""
    with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
        try:
            connection.sendall(request)
            connection.shutdown(socket.SHUT_WR)
        except (BrokenPipeError, ConnectionResetError):
            """It answered before it had read everything."""
        response = http.client.HTTPResponse(connection)
        try:
            response.begin()
            return response.status, response.read()
        except (http.client.BadStatusLine, ConnectionResetError):
            return 0, b""


def _request(chance: random.Random, token: str) -> tuple[str, str, bytes | None, dict[str, str]]:
    method, path = chance.choices(METHODS, (4, 8, 3, 3, 1, 1, 1, 1))[0], chance.choice(PATHS)
    if chance.random() < 0.2:
        path += "/" + _percent(chance)
    if chance.random() < 0.3:
        path += "?" + "&".join(f"{chance.choice(_PARAMETERS)}={_percent(chance)}" for _ in range(chance.randint(1, 4)))
    headers = {"Content-Type": chance.choices(["application/json", "text/plain", ""], (18, 1, 1))[0]}
    if chance.random() < 0.9 and (method, path) != ("DELETE", "/v1/applications/shop"):
        headers["Authorization"] = f"Bearer {token}"
    if chance.random() < 0.1:
        headers[chance.choice(_HEADERS)] = _text(chance) * chance.choice((1, 1, 1, 300))
    if chance.random() < 0.01:
        path += ("&" if "?" in path else "?") + "cursor=" + "x" * chance.randint(1000, 100_000)
    body = _body(chance) if method in ("POST", "PUT", "PATCH") or chance.random() < 0.1 else None
    return method, path, body, headers


_PARAMETERS = ("cursor", "per_page", "sort", "from", "to", "status", "event", "subscription", "application", "x")
_HEADERS = (
    "X-Request-ID",
    "X-Amebo-Application",
    "X-Amebo-Signature",
    "X-Amebo-Timestamp",
    "X-Forwarded-For",
    "Accept",
)


def _body(chance: random.Random) -> bytes:
    text = json.dumps(_object(chance)).encode()
    break_it: list[Callable[[bytes], bytes]] = [
        lambda body: body,
        lambda body: body,
        lambda body: body[: chance.randint(0, len(body))],
        lambda body: body.replace(b'"', b"'", chance.randint(0, 3)),
        lambda body: body + bytes(chance.randrange(256) for _ in range(chance.randint(0, 20))),
        lambda body: b"[" * chance.randint(1, 3000) + body,
    ]
    return chance.choice(break_it)(text)


def _text(chance: random.Random) -> str:
    return "".join(chance.choices(string.ascii_letters + string.digits + "._-/%&=<>'\" ", k=chance.randint(0, 60)))


def _any_text(chance: random.Random) -> str:
    """Any characters, from the first to the last, but no halves of a pair."""
    codes = (chance.choice((chance.randrange(0xD800), chance.randrange(0xE000, 0x110000))) for _ in range(20))
    return "".join(map(chr, codes))


def _object(chance: random.Random, text: Text = _text) -> dict[str, Any]:
    names = [*chance.sample(KNOWN, chance.randint(0, 4)), *(text(chance) for _ in range(chance.randint(0, 1)))]
    return {name: _value(chance, 3, text) for name in names}


def _value(chance: random.Random, depth: int, text: Text) -> Any:  # JSON
    kinds: list[Callable[[], Any]] = [
        lambda: chance.choice(
            [None, True, False, 0, -1, 1.5, 2**70, -(10**300), "order.placed", "shop", "http://[", {}]
        ),
        lambda: text(chance),
        lambda: chance.uniform(-1, 1) * 10.0 ** chance.randint(-300, 300),
        lambda: {text(chance): _value(chance, depth - 1, text)} if depth else {},
        lambda: [_value(chance, depth - 1, text) for _ in range(chance.randint(0, 3))] if depth else [],
    ]
    return chance.choice(kinds)()


def _percent(chance: random.Random) -> str:
    """Percent-encoded bytes of any kind, and what looks like ids and cursors."""
    made = "".join(f"%{chance.randrange(256):02x}" for _ in range(chance.randint(0, 12)))
    return chance.choice([made, "0" * 32, "..%2f..", "WyIiLCBmYWxzZV0=", "-1", "99999999999999999999", made * 20])


def _resident(process: Process) -> int:
    pages = Path(f"/proc/{process.popen.pid}/statm").read_text().split()[1]
    return int(pages) * 4096

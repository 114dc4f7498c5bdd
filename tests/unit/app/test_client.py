"""The client over real HTTP, against a stand-in that answers as each test needs."""

import contextlib
import json
import pickle
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from http import HTTPStatus
from itertools import count
from socketserver import ThreadingMixIn
from typing import Any
from uuid import UUID
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server
from wsgiref.types import StartResponse, WSGIEnvironment

import pytest

from app import rules
from app.client import (
    AmeboRefused,
    AmeboUnavailable,
    Client,
    Detail,
    Draft,
    NotAmebo,
    Published,
    Refused,
    Unauthorized,
)
from app.client.publishing import LARGEST_BATCH, MOST_EVENTS, pause

Answer = tuple[int, dict[str, str], object]
SECRET = "a secret of the shop"
MEBIBYTE = 1024 * 1024


@dataclass
class Request:
    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.body)
        return found


@dataclass
class Standin:
    """Keeps each request, and the seconds that the client meant to wait; `answer` answers."""

    answer: Callable[[Request], Answer]
    requests: list[Request] = field(default_factory=list)
    waited: list[float] = field(default_factory=list)
    parts: int = 1
    url: str = ""

    def client(self, **options: Any) -> Client:
        credentials = {} if {"application", "token"} & options.keys() else {"apikey": "amebo_key"}
        return Client(self.url, **{**credentials, "sleep": self.sleep, **options})

    def sleep(self, seconds: float) -> None:
        self.waited.append(seconds)
        assert len(self.waited) < 5000, "it does not give up"

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        body = environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"]))
        headers = {name[5:].replace("_", "-"): environ[name] for name in environ if name.startswith("HTTP_")}
        request = Request(environ["PATH_INFO"], headers, body)
        self.requests.append(request)
        status, extra, answer = self.answer(request)
        start_response(f"{status} {HTTPStatus(status).phrase}", list(extra.items()))
        return [answer if isinstance(answer, bytes) else json.dumps(answer).encode()] + [b""] * (self.parts - 1)


class Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True
    request_queue_size = 64


class Quiet(WSGIRequestHandler):
    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextlib.contextmanager
def answering(answer: Callable[[Request], Answer]) -> Iterator[Standin]:
    standin = Standin(answer)
    server = make_server("127.0.0.1", 0, standin, server_class=Server, handler_class=Quiet)
    threading.Thread(target=server.serve_forever, args=[0.05], daemon=True).start()
    standin.url = f"http://127.0.0.1:{server.server_port}"
    yield standin
    server.shutdown()
    server.server_close()


def stored(event: dict[str, Any], number: int = 1, **more: object) -> dict[str, object]:
    """What the service answers for an event that it stored."""
    return {
        "event": str(UUID(int=number)),
        "application": "shop",
        "timestamped": "2026-01-01T12:00:00+00:00",
        "fanout": 1,
        "metadata": {},
        **event,
        "sleep_until": None,
        **more,
    }


def created(request: Request) -> Answer:
    return 201, {}, stored(request.json)


def one_after_another(*answers: Answer | Callable[[Request], Answer]) -> Callable[[Request], Answer]:
    following = iter(answers)

    def answer(request: Request) -> Answer:
        found = next(following)
        return found(request) if callable(found) else found

    return answer


def failing(status: int, **headers: str) -> Answer:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return status, named, {"error": "not now", "code": status, "details": [], "request_id": "r-1"}


def test_publishes_an_event_and_returns_what_became_of_it() -> None:
    with answering(created) as standin, standin.client() as client:
        published = client.publish("order.placed", {"id": 1}, deduper="order-1", metadata={"key": "a"})
    (request,) = standin.requests
    assert (request.path, request.headers["AUTHORIZATION"]) == ("/v1/events", "Bearer amebo_key")
    assert request.json == {
        "action": "order.placed",
        "payload": {"id": 1},
        "deduper": "order-1",
        "metadata": {"key": "a"},
    }
    assert published == Published(
        event=UUID(int=1),
        action="order.placed",
        deduper="order-1",
        duplicate=False,
        fanout=1,
        timestamped=datetime(2026, 1, 1, 12, tzinfo=UTC),
        sleep_until=None,
    )


def test_says_when_the_event_was_there_before() -> None:
    with answering(lambda request: (200, {}, stored(request.json, duplicate=True))) as standin:
        assert standin.client().publish("order.placed", {}).duplicate


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
def test_tries_again_with_the_same_key_and_content(status: int) -> None:
    with answering(one_after_another(failing(status), failing(status), created)) as standin:
        published = standin.client().publish("order.placed", {"id": 1})
    first, *others = standin.requests
    assert len(others) == len(standin.waited) == 2
    assert {request.body for request in others} == {first.body}
    assert published.deduper == first.json["deduper"] != ""
    assert len({request.headers["X-REQUEST-ID"] for request in standin.requests}) == 1


def test_two_publications_have_two_keys() -> None:
    with answering(created) as standin, standin.client() as client:
        assert client.publish("order.placed", {}).deduper != client.publish("order.placed", {}).deduper


@pytest.mark.parametrize("status", [301, 307, 400, 401, 403, 404, 405, 409, 413, 415, 422])
def test_what_is_refused_is_not_tried_again(status: int) -> None:
    with answering(one_after_another(failing(status, Location="http://127.0.0.1:9/"))) as standin:
        with pytest.raises(AmeboRefused) as raised:
            standin.client().publish("order.placed", {})
        assert (len(standin.requests), standin.waited) == (1, [])
    assert (raised.value.status, raised.value.error, raised.value.request_id) == (status, "not now", "r-1")
    assert isinstance(raised.value, Unauthorized) == (status == 401)


def test_a_refusal_lists_every_violation() -> None:
    details = [{"field": "payload.id", "message": "is required"}, {"field": "payload.to", "message": "is not an email"}]
    body = {"error": "the payload does not satisfy the schema", "code": 422, "details": details, "request_id": "r-2"}
    with answering(lambda _: (422, {}, body)) as standin, pytest.raises(AmeboRefused) as raised:
        standin.client().publish("order.placed", {})
    assert raised.value.details == (Detail("payload.id", "is required"), Detail("payload.to", "is not an email"))
    assert str(raised.value) == "422: the payload does not satisfy the schema (payload.id, payload.to); request r-2"


def test_a_refusal_of_what_stands_between_is_one_too() -> None:
    page = b"<html>Request Entity Too Large</html>"
    with answering(lambda _: (413, {"X-Request-ID": "r-3"}, page)) as standin, pytest.raises(AmeboRefused) as raised:
        standin.client().publish("order.placed", {})
    assert (raised.value.status, raised.value.request_id) == (413, "r-3")


@pytest.mark.parametrize("answer", [b"<html>Welcome</html>", b"[]", b'{"event": 7}', b"{}"])
def test_an_answer_that_no_amebo_gives_is_an_error_of_its_own(answer: bytes) -> None:
    with answering(lambda _: (200, {}, answer)) as standin, pytest.raises(NotAmebo):
        standin.client().publish("order.placed", {})


def test_an_answer_that_does_not_say_where_it_ends_may_be_cut_and_is_asked_for_again() -> None:
    with answering(created) as standin:
        standin.parts = 2  # of which wsgiref does not know the length
        with pytest.raises(AmeboUnavailable, match="cut off") as raised:
            standin.client(deadline=timedelta(seconds=0.5)).publish("order.placed", {})
    assert raised.value.status == 201
    assert len({request.body for request in standin.requests}) == 1 < len(standin.requests)


@pytest.mark.parametrize(
    ("asked", "least", "most"),
    [
        ("7", 7, 7),
        ("86400", 30, 30),
        (format_datetime(datetime.now(UTC) + timedelta(hours=1), usegmt=True), 30, 30),
        ("Thu, 01 Jan 1970 00:00:00 GMT", 0.05, 0.1),
        ("soon", 0.05, 0.1),
        ("0", 0.05, 0.1),
    ],
)
def test_waits_as_long_as_it_is_asked_to_within_a_bound(asked: str, least: float, most: float) -> None:
    with answering(one_after_another(failing(503, Retry_After=asked), created)) as standin:
        standin.client(deadline=timedelta(minutes=5)).publish("order.placed", {})
    (waited,) = standin.waited
    assert least <= waited <= most


def test_gives_up_at_once_when_the_pause_would_end_after_the_deadline() -> None:
    with answering(one_after_another(failing(503, Retry_After="20"))) as standin:
        with pytest.raises(AmeboUnavailable, match="503, not now") as raised:
            standin.client(deadline=timedelta(seconds=10)).publish("order.placed", {}, deduper="order-1")
        assert standin.waited == []
    assert (raised.value.status, raised.value.deduper) == (503, "order-1")


def test_names_the_key_to_go_on_with_when_nobody_answers() -> None:
    with answering(created) as gone:
        pass
    with pytest.raises(AmeboUnavailable, match="Connection refused") as raised:
        Client(gone.url, apikey="amebo_key", deadline=timedelta(seconds=0.3)).publish("order.placed", {})
    assert raised.value.status is None
    assert raised.value.deduper


def test_a_service_that_hangs_is_given_up_at_the_deadline() -> None:
    ended = threading.Event()
    with answering(lambda request: (ended.wait(20), created(request))[1]) as standin:
        client = standin.client(timeout=timedelta(seconds=0.1), deadline=timedelta(seconds=1))
        with pytest.raises(AmeboUnavailable, match="timed out"):
            client.publish("order.placed", {})
        ended.set()
    assert len(standin.requests) > 1


def test_signs_each_try_anew() -> None:
    clock = count(1_800_000_000, 200)
    with answering(one_after_another(failing(503), failing(503), created)) as standin:
        client = standin.client(application="shop", secret=SECRET, now=lambda: next(clock))
        client.publish("order.placed", {"id": 1})
    timestamps = [request.headers["X-AMEBO-TIMESTAMP"] for request in standin.requests]
    assert timestamps == ["1800000000", "1800000200", "1800000400"]
    for request, timestamp in zip(standin.requests, timestamps, strict=True):
        now = datetime.fromtimestamp(int(timestamp), UTC)
        given = request.headers["X-AMEBO-SIGNATURE"]
        assert request.headers["X-AMEBO-APPLICATION"] == "shop"
        assert rules.signature_holds(SECRET, given, request.body, timestamp, now)
        assert not rules.signature_holds(SECRET, given, request.body + b" ", timestamp, now)


@pytest.mark.parametrize(
    "credentials",
    [
        {},
        {"apikey": "amebo_key", "token": "a.b.c"},
        {"apikey": "amebo_key", "application": "shop", "secret": SECRET},
        {"application": "shop"},
        {"secret": SECRET},
        {"application": "shop", "secret": ""},
        {"apikey": ""},
        {"apikey": "amebo_key\n"},
        {"token": "a b"},
        {"application": "shöp", "secret": SECRET},
    ],
)
def test_refuses_credentials_that_cannot_be_sent_without_showing_them(credentials: dict[str, str]) -> None:
    with pytest.raises(ValueError, match=r"credentials|the client needs") as raised:
        Client("http://127.0.0.1:9", **credentials)  # type: ignore[arg-type]
    assert not [each for each in credentials.values() if each.strip() and each.strip() in str(raised.value)]


def test_no_repr_shows_a_credential() -> None:
    clients = Client("http://h", apikey="amebo_key"), Client("http://h", application="shop", secret=SECRET)
    assert [shown for shown in map(repr, clients) if "amebo_key" in shown or SECRET in shown] == []


@pytest.mark.parametrize("url", ["", "amebo:3310", "ftp://amebo", "http://", "http://me:secret@amebo", "http://a/?b=c"])
def test_refuses_urls_that_it_cannot_use(url: str) -> None:
    with pytest.raises(ValueError, match="the URL must be"):
        Client(url, apikey="amebo_key")


def test_the_url_may_have_a_path() -> None:
    with answering(created) as standin:
        Client(f"{standin.url}/amebo/", apikey="amebo_key").publish("order.placed", {})
    assert standin.requests[0].path == "/amebo/v1/events"


@pytest.mark.parametrize(
    ("sleep_until", "sent"),
    [
        (timedelta(minutes=1), 60.0),
        (datetime(2026, 1, 1, 12, tzinfo=UTC), "2026-01-01T12:00:00+00:00"),
    ],
)
def test_an_event_sleeps_for_a_while_or_until_a_time_with_its_zone(
    sleep_until: datetime | timedelta, sent: object
) -> None:
    until = datetime(2026, 1, 1, 12, tzinfo=UTC)
    with answering(lambda request: (201, {}, stored(request.json, sleep_until=until.isoformat()))) as standin:
        published = standin.client().publish("order.placed", {}, sleep_until=sleep_until)
    assert (standin.requests[0].json["sleep_until"], published.sleep_until) == (sent, until)


def test_a_time_without_a_zone_is_never_sent() -> None:
    with answering(created) as standin, pytest.raises(ValueError, match="time zone"):
        standin.client().publish("order.placed", {}, sleep_until=datetime(2026, 1, 1, 12))  # noqa: DTZ001  # just that
    assert standin.requests == []


def test_what_json_cannot_say_is_never_sent() -> None:
    with answering(created) as standin, pytest.raises(ValueError, match="JSON"):
        standin.client().publish("order.placed", {"price": float("nan")})
    assert standin.requests == []


@pytest.mark.parametrize(
    ("failed", "longest"), [(0, 0.1), (1, 0.2), (2, 0.4), (6, 6.4), (7, 10), (8, 10), (100_000, 10)]
)
def test_pauses_grow_and_half_of_each_is_left_to_luck(failed: int, longest: float) -> None:
    assert pause(failed, 0.0) == pytest.approx(longest)
    assert pause(failed, 1.0) == pytest.approx(longest / 2)


def test_threads_share_a_client() -> None:
    with answering(created) as standin, standin.client(connections=3) as client, ThreadPoolExecutor(12) as threads:
        published = list(threads.map(lambda number: client.publish("order.placed", {}, deduper=f"{number}"), range(96)))
    assert [each.deduper for each in published] == [f"{number}" for number in range(96)]


def test_errors_travel_between_processes() -> None:
    refused = AmeboRefused(422, "no", (Detail("payload.id", "is required"),), "r-1")
    unavailable = AmeboUnavailable("it answers 503", "r-1", 503)
    unavailable.deduper = "order-1"
    refused_there, unavailable_there = pickle.loads(pickle.dumps((refused, unavailable)))  # noqa: S301  # its own
    assert (str(refused_there), refused_there.details) == (str(refused), refused.details)
    assert (str(unavailable_there), unavailable_there.deduper) == (str(unavailable), "order-1")


def batch(request: Request) -> Answer:
    """As the service answers a batch: payloads without an id are refused, the limits hold."""
    events = request.json["events"]
    assert request.path == "/v1/events/batch"
    assert 0 < len(events) <= MOST_EVENTS
    assert len(request.body) < LARGEST_BATCH
    return 207, {}, {"events": [_result(event) for event in events]}


def _result(event: dict[str, Any]) -> dict[str, object]:
    if "id" not in event["payload"]:
        details = [{"field": "payload.id", "message": "is required"}]
        return {"status": 422, "error": "the payload does not satisfy the schema", "code": 422, "details": details}
    return {"status": 201, **stored(event, event["payload"]["id"] + 1)}


def drafts(number: int, **payload: object) -> list[Draft]:
    return [Draft("order.placed", {"id": each, **payload}) for each in range(number)]


def events(results: Iterable[Published | Refused]) -> list[UUID | int]:
    return [each.event if isinstance(each, Published) else each.status for each in results]


def test_a_batch_is_split_by_number_and_stays_in_order() -> None:
    with answering(batch) as standin:
        results = standin.client().publish_batch(iter(drafts(2500)))
    assert [len(request.json["events"]) for request in standin.requests] == [1000, 1000, 500]
    assert events(results) == [UUID(int=number + 1) for number in range(2500)]


def test_a_batch_is_split_by_size_and_what_is_too_large_by_itself_spoils_nothing() -> None:
    large = [*drafts(9, text="x" * MEBIBYTE), Draft("order.placed", {"id": 9, "text": "x" * LARGEST_BATCH})]
    with answering(batch) as standin:
        results = standin.client().publish_batch([*large, *drafts(2)])
    assert [len(request.json["events"]) for request in standin.requests] == [4, 4, 1, 2]
    assert events(results) == [*(UUID(int=number + 1) for number in range(9)), 413, UUID(int=1), UUID(int=2)]


@pytest.mark.parametrize("spare", [0, 1])
def test_a_request_stays_below_the_limit_by_the_byte(spare: int) -> None:
    one, other = Draft("a", {"id": 0}, deduper="1"), Draft("a", {"id": 1, "text": ""}, deduper="2")
    with answering(batch) as standin, standin.client() as client:
        client.publish_batch([one, other])
        room = LARGEST_BATCH - 1 - len(standin.requests[0].body)
        filled = Draft("a", {"id": 1, "text": "x" * (room + spare)}, deduper="2")
        client.publish_batch([one, filled])
    assert len(standin.requests[1:]) == 1 + spare


def test_one_bad_event_does_not_spoil_the_rest() -> None:
    with answering(batch) as standin:
        results = standin.client().publish_batch([*drafts(1), Draft("order.placed", {}), *drafts(1)])
    assert events(results) == [UUID(int=1), 422, UUID(int=1)]
    assert isinstance(results[1], Refused)
    assert results[1].details == (Detail("payload.id", "is required"),)
    assert (len(standin.requests), standin.waited) == (1, [])


def busy_for_the_second(request: Request) -> Answer:
    status, headers, body = batch(request)
    assert isinstance(body, dict)
    body["events"][1] = {"status": 503, "error": "not now", "code": 503, "details": []}
    return status, headers, body


def test_of_a_batch_only_what_may_be_retried_is_retried() -> None:
    sent = [*drafts(3), Draft("order.placed", {})]
    with answering(one_after_another(busy_for_the_second, failing(502), batch)) as standin:
        results = standin.client().publish_batch(sent)
    assert [len(request.json["events"]) for request in standin.requests] == [4, 1, 1]
    assert standin.requests[2].json["events"][0]["deduper"] == sent[1].deduper
    assert events(results) == [UUID(int=1), UUID(int=2), UUID(int=3), 422]


def test_what_does_not_get_through_before_the_deadline_says_that_it_may_be_retried() -> None:
    def answer(request: Request) -> Answer:
        status, _, body = busy_for_the_second(request)
        return status, {"Retry-After": "20"}, body

    with answering(answer) as standin:
        results = standin.client(deadline=timedelta(seconds=10)).publish_batch(drafts(3))
    assert events(results) == [UUID(int=1), 503, UUID(int=3)]
    assert isinstance(results[1], Refused)
    assert results[1].may_be_retried


def test_what_stops_a_batch_tells_what_was_done_and_the_rest_can_follow_with_its_keys() -> None:
    sent = drafts(2500)
    with answering(one_after_another(batch, failing(403), batch, batch)) as standin, standin.client() as client:
        with pytest.raises(AmeboRefused) as raised:
            client.publish_batch(sent)
        assert events(raised.value.done) == [UUID(int=number + 1) for number in range(1000)]
        client.publish_batch(sent[len(raised.value.done) :])
    assert standin.requests[2].body == standin.requests[1].body


def test_a_batch_with_a_result_too_few_is_not_understood() -> None:
    def answer(request: Request) -> Answer:
        return 207, {}, {"events": [_result(event) for event in request.json["events"][1:]]}

    with answering(answer) as standin, pytest.raises(NotAmebo):
        standin.client().publish_batch(drafts(2))


def test_an_empty_batch_asks_nobody() -> None:
    with answering(batch) as standin:
        assert standin.client().publish_batch(()) == ()
    assert standin.requests == []

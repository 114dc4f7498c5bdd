"""Publish events to Amebo. This file stands alone: it needs Python 3.11 and urllib3 2, nothing else of Amebo."""

import hmac
import json
import random
import re
import ssl
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import KW_ONLY, dataclass, field
from datetime import datetime, timedelta
from functools import partial
from types import TracebackType
from typing import Any, Self, TypeVar
from uuid import UUID, uuid4

from urllib3 import BaseHTTPResponse, PoolManager, Retry, Timeout
from urllib3.exceptions import HTTPError, InvalidHeader
from urllib3.util import parse_url

MOST_EVENTS = 1000
LARGEST_BATCH = 5 * 1024 * 1024  # bytes; a request stays below
RETRIED = (429, 500, 502, 503, 504)  # 500 too: the key makes it safe, and Amebo never answers it to bad input
SHORTEST_PAUSE, LONGEST_PAUSE, LONGEST_RETRY_AFTER = 0.1, 10.0, 30  # seconds
_FRAME = b'{"events":[%b]}'
_VISIBLE = re.compile(r"[\x21-\x7e]+")
Found = TypeVar("Found")
Headers = dict[str, str]


class AmeboError(Exception):
    """`done` is what a batch had come to until then, in order: go on with the drafts after these."""

    done: "tuple[Published | Refused, ...]" = ()


class AmeboRefused(AmeboError):
    """Amebo said no, and would say it again; `details` lists every violation."""

    def __init__(self, status: int, error: str, details: "tuple[Detail, ...]" = (), request_id: str = "") -> None:
        super().__init__(status, error, details, request_id)
        self.status, self.error, self.details, self.request_id = status, error, details, request_id

    def __str__(self) -> str:
        fields = ", ".join(detail.field for detail in self.details)
        return f"{self.status}: {self.error}{fields and f' ({fields})'}; request {self.request_id or 'without an id'}"


class Unauthorized(AmeboRefused):
    """There are no credentials, or wrong or expired ones (401)."""


class AmeboUnavailable(AmeboError):
    """No answer that counts until the deadline; whether an event was stored is not known.

    Publish it again with this `deduper`, now or much later, and it is the same event. `status` is that of the last
    answer, None without one.
    """

    deduper: str | None = None

    def __init__(self, reason: str, request_id: str, status: int | None = None) -> None:
        super().__init__(reason, request_id, status)
        self.reason, self.request_id, self.status = reason, request_id, status

    def __str__(self) -> str:
        return f"Amebo cannot be reached: {self.reason}; request {self.request_id}"


class NotAmebo(AmeboError):
    """Something answered that is not Amebo: look at the URL, and at what stands between."""


@dataclass(frozen=True)
class Detail:
    """One reason of a refusal; `field` is a dotted path into what was sent."""

    field: str
    message: str


@dataclass(frozen=True)
class Draft:
    """An event to be published. It has its key from the start: publishing the same draft again is no second event.

    `sleep_until` keeps it back until a time (with its zone), or for a while.
    """

    action: str
    payload: Mapping[str, Any]
    _: KW_ONLY
    deduper: str = field(default_factory=lambda: uuid4().hex)
    metadata: Mapping[str, Any] = field(default_factory=dict)
    sleep_until: datetime | timedelta | None = None


@dataclass(frozen=True)
class Published:
    """An event as Amebo stored it; `duplicate` when it was there before, be it from an earlier try of the same call."""

    event: UUID
    action: str
    deduper: str | None
    duplicate: bool
    fanout: int
    timestamped: datetime
    sleep_until: datetime | None


@dataclass(frozen=True)
class Refused:
    """Why one event of a batch was not stored."""

    status: int
    error: str
    details: tuple[Detail, ...] = ()

    @property
    def may_be_retried(self) -> bool:
        """It may yet be stored; the client did not get it through before its deadline."""
        return self.status in RETRIED


class Client:
    """Publishes, from as many threads as share it; a process that forks makes one after it forked.

    Its credentials are an API key, a token, or an application with its secret, which signs each try. `timeout` is for
    one try, `deadline` for one request with all its tries and the pauses between them.
    """

    def __init__(
        self,
        url: str,
        *,
        apikey: str | None = None,
        token: str | None = None,
        application: str | None = None,
        secret: str | None = None,
        timeout: timedelta = timedelta(seconds=10),
        deadline: timedelta = timedelta(seconds=30),
        connections: int = 10,
        ca_certs: str | None = None,
        now: Callable[[], float] = time.time,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._url = _checked(url)
        self._credentials = _credentials(apikey, token, application, secret, now)
        self._timeout, self._deadline, self._sleep = timeout.total_seconds(), deadline.total_seconds(), sleep
        self._pool = PoolManager(num_pools=1, maxsize=connections, block=True, ca_certs=ca_certs)

    def publish(
        self,
        action: str,
        payload: Mapping[str, Any],
        *,
        deduper: str | None = None,
        metadata: Mapping[str, Any] | None = None,
        sleep_until: datetime | timedelta | None = None,
    ) -> Published:
        """Returns when the event is stored. Without a `deduper` it gets one, which every try carries.

        Raises Unauthorized, AmeboRefused, AmeboUnavailable, NotAmebo.
        """
        key = uuid4().hex if deduper is None else deduper
        draft = Draft(action, payload, deduper=key, metadata=metadata or {}, sleep_until=sleep_until)
        try:
            return _understood(_published, self._post("/v1/events", _encoded(draft), self._tries()))
        except AmeboUnavailable as error:
            error.deduper = key
            raise

    def publish_batch(self, events: Iterable[Draft]) -> tuple[Published | Refused, ...]:
        """One result for each event, in order, of as many requests as it takes; each has the deadline to itself.

        One bad event does not spoil the rest. What stops it all is raised, with the results so far as `done`.
        """
        done: list[Published | Refused] = []
        try:
            for pack in _packed(map(_encoded, events)):
                done += self._publish_together(pack)
        except AmeboError as error:
            error.done = tuple(done)
            raise
        return tuple(done)

    def close(self) -> None:
        """Close the idle connections."""
        self._pool.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, _type: type[BaseException] | None, _error: object, _traceback: TracebackType | None) -> None:
        self.close()

    def _publish_together(self, pack: list[bytes]) -> list[Published | Refused]:
        """One request, and again with those events alone that may be retried."""
        if len(_batch(pack)) >= LARGEST_BATCH:
            return [Refused(413, f"the event is larger than a request may be, {LARGEST_BATCH} bytes")]
        results: dict[int, Published | Refused] = {}
        waiting, tries = list(range(len(pack))), self._tries()
        while waiting:
            response = self._post("/v1/events/batch", _batch([pack[place] for place in waiting]), tries)
            results |= _understood(partial(_outcomes, waiting), response)
            waiting = [place for place in waiting if _may_be_retried(results[place])]
            if waiting and not tries.pause(response):
                break
        return [results[place] for place in range(len(pack))]

    def _post(self, path: str, body: bytes, tries: "_Tries") -> BaseHTTPResponse:
        """The first answer that counts, when it is a good one; what a try came to decides whether there is another."""
        request_id = uuid4().hex
        while True:
            answer = self._try(path, body, request_id, tries.left)
            response = answer if isinstance(answer, BaseHTTPResponse) else None
            if response is not None and response.status not in RETRIED and _is_whole(response):
                return _accepted(response)
            if _is_final(answer) or not tries.pause(response):
                raise _unavailable(answer, request_id)

    def _try(self, path: str, body: bytes, request_id: str, left: float) -> BaseHTTPResponse | HTTPError:
        headers = {"Content-Type": "application/json", "User-Agent": "amebo-client", "X-Request-ID": request_id}
        try:
            return self._pool.request(
                "POST",
                self._url + path,
                body=body,
                headers=headers | self._credentials(body),
                retries=False,
                redirect=False,
                timeout=Timeout(total=min(self._timeout, left)),
                pool_timeout=left,
            )
        except HTTPError as error:
            return error

    def _tries(self) -> "_Tries":
        return _Tries(self._deadline, self._sleep)


class _Tries:
    """The pauses between the tries of one request, and their end."""

    def __init__(self, seconds: float, sleep: Callable[[float], None]) -> None:
        self._end = time.monotonic() + seconds
        self._sleep = sleep
        self._failed = 0

    @property
    def left(self) -> float:
        return max(self._end - time.monotonic(), 0.001)  # urllib3 takes no timeout of nothing

    def pause(self, response: BaseHTTPResponse | None) -> bool:
        """Wait before another try; False, and at once, when that would end after the deadline."""
        seconds = max(pause(self._failed, random.random()), _retry_after(response))  # noqa: S311  # no secret
        self._failed += 1
        if seconds >= self.left:
            return False
        self._sleep(seconds)
        return True


def pause(failed: int, luck: float) -> float:
    """Seconds before the next try: 0.1, 0.2, 0.4 … up to 10, of which `luck` in 0..1 takes up to a half away."""
    return float(min(SHORTEST_PAUSE * 2 ** min(failed, 16), LONGEST_PAUSE) * (1 - luck / 2))


def _retry_after(response: BaseHTTPResponse | None) -> float:
    """What the service asks for, within a bound; urllib3 reads seconds and dates."""
    try:
        asked = None if response is None else Retry(retry_after_max=LONGEST_RETRY_AFTER).get_retry_after(response)
    except InvalidHeader:
        return 0.0
    return asked or 0.0


def _checked(url: str) -> str:
    parsed = parse_url(url)
    if parsed.scheme not in ("http", "https") or not parsed.host or parsed.auth or parsed.query or parsed.fragment:
        raise ValueError("the URL must be http:// or https://, a host, and no more than a port and a path")
    return url.rstrip("/")


def _credentials(
    apikey: str | None, token: str | None, application: str | None, secret: str | None, now: Callable[[], float]
) -> Callable[[bytes], Headers]:
    """What makes the headers for a body: the same each time, or a signature, which is good for 300 s."""
    match apikey, token, application, secret:
        case (str(bearer), None, None, None) | (None, str(bearer), None, None):
            headers = {"Authorization": f"Bearer {_visible(bearer)}"}
            return lambda _: headers
        case None, None, str(name), str(key) if key:
            name = _visible(name)
            return lambda body: _signed(name, key.encode(), str(int(now())), body)
    raise ValueError("the client needs one of these: an API key, a token, or an application with its secret")


def _visible(text: str) -> str:
    """Checked here, because http.client would show a malformed header, and so the credential, in its error."""
    if not _VISIBLE.fullmatch(text):
        raise ValueError("the credentials are empty, or hold a space, a line's end or something else that is not ASCII")
    return text


def _signed(application: str, key: bytes, timestamp: str, body: bytes) -> Headers:
    signature = hmac.digest(key, timestamp.encode() + b"." + body, "sha256").hex()
    return {"X-Amebo-Application": application, "X-Amebo-Timestamp": timestamp, "X-Amebo-Signature": signature}


def _encoded(draft: Draft) -> bytes:
    fields: dict[str, object] = {
        "action": draft.action,
        "payload": draft.payload,
        "deduper": draft.deduper,
        "metadata": draft.metadata,
    }
    if draft.sleep_until is not None:
        fields["sleep_until"] = _sleep_until(draft.sleep_until)
    return json.dumps(fields, allow_nan=False, separators=(",", ":")).encode()


def _sleep_until(until: datetime | timedelta) -> str | float:
    if isinstance(until, timedelta):
        return until.total_seconds()
    if until.tzinfo is None:
        raise ValueError("sleep_until needs a time zone")
    return until.isoformat()


def _packed(encoded: Iterable[bytes]) -> Iterator[list[bytes]]:
    """In order, as many events a request as its limits allow; one that is too large by itself is alone."""
    bare = len(_batch([])) - 1  # there is a comma less than events
    pack: list[bytes] = []
    size = bare
    for event in encoded:
        if pack and (len(pack) == MOST_EVENTS or size + len(event) + 1 >= LARGEST_BATCH):
            yield pack
            pack, size = [], bare
        pack.append(event)
        size += len(event) + 1
    if pack:
        yield pack


def _batch(pack: list[bytes]) -> bytes:
    return _FRAME % b",".join(pack)


def _is_whole(response: BaseHTTPResponse) -> bool:
    """An answer that says where it ends; http.client takes headers that a cut connection ended for all of them."""
    return "Content-Length" in response.headers or "Transfer-Encoding" in response.headers


def _is_final(answer: BaseHTTPResponse | HTTPError) -> bool:
    """A certificate that is not trusted now is not trusted in a second either."""
    return isinstance(answer, HTTPError) and any(isinstance(arg, ssl.SSLCertVerificationError) for arg in answer.args)


def _unavailable(answer: BaseHTTPResponse | HTTPError, request_id: str) -> AmeboUnavailable:
    if isinstance(answer, HTTPError):
        return AmeboUnavailable(str(answer), request_id)
    if not _is_whole(answer):
        return AmeboUnavailable("its answer is cut off", request_id, answer.status)
    error = _object(answer.data).get("error") or answer.reason
    return AmeboUnavailable(f"it answers {answer.status}, {error}", request_id, answer.status)


def _accepted(response: BaseHTTPResponse) -> BaseHTTPResponse:
    if 200 <= response.status < 300:
        return response
    body = _object(response.data)
    location = response.get_redirect_location()
    error = f"it redirects to {location}; use that URL" if location else f"HTTP {response.status} {response.reason}"
    kind = Unauthorized if response.status == 401 else AmeboRefused
    request_id = str(body.get("request_id") or response.headers.get("X-Request-ID") or "")
    raise kind(response.status, str(body.get("error") or error), _details(body), request_id)


def _object(data: bytes) -> dict[str, Any]:
    """What stands between may refuse as well, and not in JSON."""
    try:
        found = json.loads(data)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _details(body: Mapping[str, Any]) -> tuple[Detail, ...]:
    listed = body.get("details")
    found = listed if isinstance(listed, list) else []
    return tuple(Detail(str(each.get("field")), str(each.get("message"))) for each in found if isinstance(each, dict))


def _understood(read: Callable[[Any], Found], response: BaseHTTPResponse) -> Found:
    try:
        return read(json.loads(response.data))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise NotAmebo(f"an answer {response.status} that no Amebo gives; is the URL right?") from error


def _published(event: Mapping[str, Any]) -> Published:
    sleep_until = event.get("sleep_until")
    return Published(
        event=UUID(event["event"]),
        action=event["action"],
        deduper=event["deduper"],
        duplicate=bool(event.get("duplicate")),
        fanout=event["fanout"],
        timestamped=datetime.fromisoformat(event["timestamped"]),
        sleep_until=datetime.fromisoformat(sleep_until) if sleep_until else None,
    )


def _outcomes(places: list[int], answer: Mapping[str, Any]) -> dict[int, Published | Refused]:
    """By their places in the batch; a result too few or too many raises ValueError."""
    return {place: _outcome(each) for place, each in zip(places, answer["events"], strict=True)}


def _outcome(each: Mapping[str, Any]) -> Published | Refused:
    if each["status"] < 300:
        return _published(each)
    return Refused(each["status"], each["error"], _details(each))


def _may_be_retried(result: Published | Refused) -> bool:
    return isinstance(result, Refused) and result.may_be_retried

"""Structured logs: one event a line, as text for people or JSON for machines, with the request that it belongs to."""

import json
import logging
import re
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any

LONGEST = 500  # of a path in the log; the rest only fills disks
request_id: ContextVar[str] = ContextVar("request_id", default="")
_OWN = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
_PLAIN = re.compile(r'[^\s"=\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]+')
_access = logging.getLogger("amebo.http")


def configure(level: str, form: str, instance: str) -> None:
    """Let everything that is logged leave through one handler on stderr; `form` is "text" or "json"."""
    handler = logging.StreamHandler()
    handler.setFormatter(Json(instance) if form == "json" else Text())
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    logging.getLogger("waitress.queue").setLevel(logging.ERROR)  # else it complains at each request under load


def access(  # an event of its own form, whose fields are its arguments
    *, method: str, path: str, route: str, status: int, ms: float, principal: str, address: str
) -> None:
    """One request was answered; `principal` and `address` are "" where nobody knows."""
    if _access.isEnabledFor(logging.INFO):
        known = {"method": method, "path": path[:LONGEST], "route": route, "status": status, "ms": round(ms, 1)}
        _access.info("request", extra={**known, "principal": principal, "address": address})


class Json(logging.Formatter):
    """An object a line, in ASCII, so that nothing in it can end the line."""

    def __init__(self, instance: str) -> None:
        super().__init__()
        self._instance = instance

    def format(self, record: logging.LogRecord) -> str:
        own = {
            "time": _time(record),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            "instance": self._instance,
        }
        trace = _trace(self, record)
        return json.dumps({**own, **_fields(record, own), **({"exception": trace} if trace else {})}, default=str)


class Text(logging.Formatter):
    """Message and fields on one line; of what follows an error, every line is indented, as no event's first line is."""

    def format(self, record: logging.LogRecord) -> str:
        fields = "".join(f" {name}={_value(value)}" for name, value in _fields(record, ()).items() if value != "")
        line = f"{_time(record)} {record.levelname} {record.name} {_printable(record.getMessage())}{fields}"
        return "\n    ".join([line, *map(_printable, _trace(self, record).split("\n"))]).rstrip()


def _time(record: logging.LogRecord) -> str:
    return datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _fields(record: logging.LogRecord, taken: Any) -> dict[str, Any]:  # noqa: ANN401  # whatever has names in it
    """What the event carries beside its message, the request's id among it."""
    given = {name: value for name, value in vars(record).items() if name not in _OWN and name not in taken}
    current = request_id.get()
    return {**given, "request_id": current} if current else given


def _trace(formatter: logging.Formatter, record: logging.LogRecord) -> str:
    return formatter.formatException(record.exc_info) if record.exc_info else ""


def _value(value: object) -> str:
    """Quoted where it could be taken for more than one field."""
    text = str(value)
    return text if _PLAIN.fullmatch(text) else json.dumps(text)


def _printable(text: str) -> str:
    """Without what ends a line or moves the cursor: nobody writes a second line into the log."""
    return _UNPRINTABLE.sub(lambda found: found[0].encode("unicode_escape").decode(), text)

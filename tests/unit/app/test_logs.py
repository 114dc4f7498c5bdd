"""What is logged: one event a line, with its fields and its request, and nothing that anybody sends makes another."""

import contextvars
import io
import json
import logging
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from app import logs

FORGED = 'a\n2026-01-01T00:00:00.000Z ERROR amebo forged\r\x1b[2J\u2028\x85"\ud800'
Start = Callable[..., io.StringIO]


@pytest.fixture
def start() -> Iterator[Start]:
    """Configures logging as a process does, with the lines in memory; afterwards it is as it was."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    root.handlers = []

    def configured(form: str, level: str = "info") -> io.StringIO:
        logs.configure(level, form, "app-1:3310")
        lines = io.StringIO()
        handler = root.handlers[0]
        assert isinstance(handler, logging.StreamHandler)
        handler.setStream(lines)
        return lines

    yield configured
    root.handlers, root.level = handlers, level
    logs.request_id.set("")


def parsed(lines: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in lines.getvalue().splitlines()]


def fail(text: str) -> None:
    """Logs an error with its traceback."""
    logging.getLogger("amebo").error("failed", exc_info=ValueError(text))


def answered(**fields: Any) -> None:
    known = {"method": "POST", "path": "/v1/events", "route": "/v1/events", "status": 201, "ms": 1.26}
    logs.access(**{**known, "principal": "shop", "address": "192.0.2.7", **fields})


def test_a_line_of_json_says_when_where_and_what(start: Start) -> None:
    lines = start("json")
    logging.getLogger("amebo.web").warning("not ready: %s", "schema too old", extra={"schema": 1})
    (found,) = parsed(lines)
    assert found.pop("time").endswith("Z")
    assert found == {
        "level": "warning",
        "logger": "amebo.web",
        "message": "not ready: schema too old",
        "instance": "app-1:3310",
        "schema": 1,
    }


def test_the_time_is_that_of_the_event_in_utc() -> None:
    record = logging.makeLogRecord({"name": "amebo", "levelname": "INFO", "msg": "x", "created": 1767225600.25})
    assert json.loads(logs.Json("i").format(record))["time"] == "2026-01-01T00:00:00.250Z"
    assert logs.Text().format(record) == "2026-01-01T00:00:00.250Z INFO amebo x"


def test_a_request_is_an_event_with_fields(start: Start) -> None:
    lines = start("json")
    logs.request_id.set("r-1")
    answered()
    (found,) = parsed(lines)
    expected = {"method": "POST", "path": "/v1/events", "route": "/v1/events", "status": 201, "ms": 1.3}
    assert found.items() >= {**expected, "principal": "shop", "address": "192.0.2.7", "request_id": "r-1"}.items()


def test_a_request_is_a_line_of_text_with_the_same_fields(start: Start) -> None:
    lines = start("text")
    logs.request_id.set("r-1")
    answered(path="/v1/a b", principal="")
    assert lines.getvalue().partition(" ")[2] == (
        'INFO amebo.http request method=POST path="/v1/a b" route=/v1/events status=201 ms=1.3'
        " address=192.0.2.7 request_id=r-1\n"
    )


@pytest.mark.parametrize("form", ["text", "json"])
def test_whoever_logs_within_a_request_carries_its_id(start: Start, form: str) -> None:
    lines = start(form)

    def request(name: str) -> None:
        logs.request_id.set(name)
        logging.getLogger("some.library").warning("of %s", name)

    threads = [threading.Thread(target=contextvars.Context().run, args=(request, f"r-{n}")) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    logging.getLogger("some.library").warning("of nobody")
    for line in lines.getvalue().splitlines():
        name = "r-" + line.partition("of r-")[2][:1] if "of r-" in line else ""
        assert (name in line.partition("request_id")[2]) if name else ("request_id" not in line)


@pytest.mark.parametrize("form", ["text", "json"])
@pytest.mark.parametrize(
    "log",
    [
        lambda: answered(path=f"/{FORGED}"),
        lambda: answered(principal=FORGED),
        lambda: logging.getLogger("amebo").error("broken: %s", FORGED),
        lambda: logging.getLogger("amebo").error("broken", extra={"value": FORGED}),
    ],
    ids=["path", "principal", "message", "field"],
)
def test_nobody_writes_a_second_line(start: Start, form: str, log: Callable[[], None]) -> None:
    lines = start(form)
    log()
    text = lines.getvalue()
    assert text.endswith("\n")
    assert text.removesuffix("\n").isprintable()
    text.encode()


def test_a_traceback_s_lines_cannot_be_taken_for_events(start: Start) -> None:
    lines = start("text")
    fail(FORGED)
    first, *following = lines.getvalue().removesuffix("\n").split("\n")
    assert first.endswith("ERROR amebo failed")
    assert "ValueError" in "".join(following)
    assert all(line.startswith("    ") and line.isprintable() for line in following)


def test_an_error_s_cause_is_part_of_its_json(start: Start) -> None:
    lines = start("json")
    fail(FORGED)
    (found,) = parsed(lines)
    assert "forged" in found["exception"]


def test_a_field_cannot_pass_for_what_the_line_itself_says(start: Start) -> None:
    lines = start("json")
    logging.getLogger("amebo").error("x", extra={"level": "debug", "logger": "other", "instance": "other"})
    assert parsed(lines)[0].items() >= {"level": "error", "logger": "amebo", "instance": "app-1:3310"}.items()


def test_a_long_path_is_cut(start: Start) -> None:
    lines = start("json")
    answered(path="/" * 10_000)
    assert len(parsed(lines)[0]["path"]) == logs.LONGEST


def test_the_level_decides_what_is_logged(start: Start) -> None:
    lines = start("json", "warning")
    answered()
    logging.getLogger("waitress.queue").warning("Task queue depth is 1")
    logging.getLogger("amebo").warning("kept")
    assert [each["message"] for each in parsed(lines)] == ["kept"]

"""What the listener prints of a webhook."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from uuid import UUID

import pytest

from app import listen
from app.listen import Journal, Received, shown

TIME = datetime(2026, 1, 1, 12, 30, 5, 250_000, tzinfo=UTC)
WEBHOOK_ID = str(UUID(int=1))


def received(payload: object = None, body: bytes | None = None, headers: Mapping[str, str] | None = None) -> Received:
    made = json.dumps({"action": "order.placed", "payload": payload, "attempt": 2}).encode()
    return Received(TIME, {"webhook-id": WEBHOOK_ID, **(headers or {})}, made if body is None else body)


def test_a_short_payload_is_on_one_line() -> None:
    expected = (
        f'12:30:05.250 webhook {WEBHOOK_ID} order.placed attempt 2, signature ok, answered 204\n  {{"to": "Zoë"}}'
    )
    assert shown(received({"to": "Zoë"}), ["signature ok", "answered 204"]) == expected


def test_a_longer_payload_is_set_out_and_a_long_one_cut() -> None:
    longer = shown(received({"text": "x" * 100}), []).split("\n")[1:]
    assert longer == ["  {", f'    "text": "{"x" * 100}"', "  }"]
    _, long = shown(received({"text": "x" * 100_000}), []).split("\n")
    assert long.endswith("x … 100012 characters")
    assert len(long) < listen.SHORT + 50


@pytest.mark.parametrize(
    ("body", "line", "payload"),
    [
        (b"", "without an action attempt ?", "  "),
        (b"not JSON \xff", "without an action attempt ?", "  not JSON \N{REPLACEMENT CHARACTER}"),
        (b"[1]", "without an action attempt ?", "  [1]"),
        (b'{"action": 7}', "7 attempt ?", '  {"action": 7}'),
        (b"[" * 100_000, "without an action attempt ?", f"  {'[' * listen.SHORT}"),
    ],
)
def test_what_is_no_webhook_is_shown_as_it_is(body: bytes, line: str, payload: str) -> None:
    first, rest = shown(received(body=body), []).split("\n")
    assert line in first
    assert rest == payload


def test_the_header_names_the_action_when_the_body_does_not() -> None:
    assert "order.placed attempt ?" in shown(received(body=b"{}", headers={"x-amebo-event": "order.placed"}), [])


def test_nothing_that_is_sent_steers_the_terminal_or_forges_a_line() -> None:
    hostile = "\x1b]0;title\x07\r\n12:00:00 webhook \x9b31m\N{RIGHT-TO-LEFT OVERRIDE}\ud800"
    for each in (
        received({"text": hostile}),
        received({"text": hostile, "more": "x" * 100}),
        received(body=hostile.encode(errors="replace")),
        received(body=json.dumps({"action": hostile, "attempt": hostile}).encode()),
        received(body=b"{}", headers={"webhook-id": hostile, "x-amebo-event": hostile}),
    ):
        first, *rest = shown(each, []).split("\n")
        assert first.startswith("12:30:05.250 webhook ")
        assert [line for line in (first, *rest) if not line.isprintable()] == []
        assert [line for line in rest if not line.startswith("  ")] == []


def test_repeats_are_told_by_the_last_ids_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listen, "REMEMBERED", 2)
    told: list[str] = []
    journal = Journal((), 204, told.append)
    for webhook_id in ("a", "b", "a", "c", "a"):
        journal.take(received(headers={"webhook-id": webhook_id}))
    assert [", repeat," in each for each in told] == [False, False, True, False, False]


@pytest.mark.parametrize(
    ("setting", "secrets"),
    [("", ()), (" , ", ()), ("one", ("one",)), ("one, two\n", ("one", "two"))],
)
def test_secrets_are_separated_by_commas(setting: str, secrets: tuple[str, ...]) -> None:
    assert listen.secrets_in({"AMEBO_WEBHOOK_SECRET": setting}) == secrets
    assert listen.secrets_in({}) == ()

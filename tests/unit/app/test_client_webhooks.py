"""Verifying webhooks, in agreement with the service's own rules and with Standard Webhooks' own library."""

import base64
import json
import subprocess
import sys
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from email.message import Message
from pathlib import Path
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from standardwebhooks.webhooks import Webhook as Reference

from app import rules
from app.client import BadWebhook, Webhook, verify, webhooks

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
TIMESTAMP = str(int(NOW.timestamp()))
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
OTHER = "another secret of a shop"
WEBHOOK_ID = str(UUID(int=1))
BODY = json.dumps(
    {
        "event": str(UUID(int=3)),
        "action": "order.placed",
        "payload": {"id": 1},
        "metadata": {"key": "a"},
        "timestamped": "2026-01-01T11:59:59+00:00",
        "attempt": 2,
    }
).encode()


def signed(*secrets: str, body: bytes = BODY, timestamp: str = TIMESTAMP) -> dict[str, str]:
    signatures = [rules.standard_signature(secret, WEBHOOK_ID, timestamp, body) for secret in secrets]
    return {"webhook-id": WEBHOOK_ID, "webhook-timestamp": timestamp, "webhook-signature": " ".join(signatures)}


def test_a_webhook_that_amebo_signed_is_good() -> None:
    assert verify(BODY, signed(SECRET), SECRET, now=NOW) == Webhook(
        webhook_id=WEBHOOK_ID,
        event=UUID(int=3),
        action="order.placed",
        payload={"id": 1},
        metadata={"key": "a"},
        timestamped=datetime(2026, 1, 1, 11, 59, 59, tzinfo=UTC),
        attempt=2,
    )


@pytest.mark.parametrize("change", [str.title, str.upper, str.lower])
def test_the_case_of_header_names_does_not_matter(change: Callable[[str], str]) -> None:
    headers = {change(name): value for name, value in signed(SECRET).items()}
    assert verify(BODY, headers, SECRET, now=NOW).attempt == 2


def test_takes_the_headers_of_the_standard_library() -> None:
    headers = Message()
    for name, value in signed(SECRET).items():
        headers[name] = value
    assert verify(BODY, headers, SECRET, now=NOW).attempt == 2


@pytest.mark.parametrize(
    ("signing", "known"),
    [
        ((SECRET, OTHER), (SECRET,)),
        ((SECRET, OTHER), (OTHER,)),
        ((SECRET,), (OTHER, SECRET)),
        ((OTHER,), (OTHER, SECRET)),
    ],
)
def test_one_right_signature_is_enough_during_a_rotation(signing: tuple[str, ...], known: tuple[str, ...]) -> None:
    assert verify(BODY, signed(*signing), *known, now=NOW).action == "order.placed"


GOOD = signed(SECRET)


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({"webhook-id": str(UUID(int=2))}, "no signature is right"),
        ({"webhook-timestamp": str(int(TIMESTAMP) + 1)}, "no signature is right"),
        ({"webhook-signature": GOOD["webhook-signature"].replace("v1,", "v1a,")}, "no signature is right"),
        ({"webhook-signature": GOOD["webhook-signature"].removeprefix("v1,")}, "no signature is right"),
        ({"webhook-signature": GOOD["webhook-signature"][:-4]}, "no signature is right"),
        ({"webhook-signature": "v1, v1,=== v1,\N{SNOWMAN} ,"}, "no signature is right"),
        ({"webhook-id": "\ud800"}, "no signature is right"),
        ({"webhook-id": ""}, "header webhook-id is missing"),
        ({"webhook-signature": ""}, "header webhook-signature is missing"),
        ({"webhook-timestamp": "today"}, "not a number of seconds"),
        ({"webhook-timestamp": "nan"}, "not a number of seconds"),
        ({"webhook-timestamp": "9" * 400}, "not a number of seconds"),
        ({"webhook-timestamp": "9" * 5000}, "not a number of seconds"),
    ],
)
def test_headers_that_were_tampered_with_are_refused(changed: Mapping[str, str], why: str) -> None:
    with pytest.raises(BadWebhook, match=why):
        verify(BODY, {**GOOD, **changed}, SECRET, now=NOW)


@pytest.mark.parametrize("name", list(GOOD))
def test_each_header_is_needed(name: str) -> None:
    with pytest.raises(BadWebhook, match=f"header {name} is missing"):
        verify(BODY, {each: value for each, value in GOOD.items() if each != name}, SECRET, now=NOW)


def test_another_body_or_another_secret_is_refused() -> None:
    for body, secret in ((BODY + b" ", SECRET), (BODY.replace(b"1", b"2", 1), SECRET), (BODY, OTHER)):
        with pytest.raises(BadWebhook, match="no signature is right"):
            verify(body, GOOD, secret, now=NOW)


@pytest.mark.parametrize(("seconds", "good"), [(-301, False), (-300, True), (0, True), (300, True), (301, False)])
def test_a_webhook_holds_for_300_seconds_either_way(seconds: int, good: bool) -> None:
    now = NOW + timedelta(seconds=seconds)
    if good:
        assert verify(BODY, GOOD, SECRET, now=now).attempt == 2
        return
    with pytest.raises(BadWebhook, match=r"301 s (old|ahead of this clock), more than 300"):
        verify(BODY, GOOD, SECRET, now=now)


def test_the_tolerance_can_be_chosen() -> None:
    with pytest.raises(BadWebhook, match="11 s old, more than 10"):
        verify(BODY, GOOD, SECRET, now=NOW + timedelta(seconds=11), tolerance=timedelta(seconds=10))


@pytest.mark.parametrize("secrets", [(), ("",), (SECRET, ""), ("whsec_",)])
def test_nothing_is_verified_without_a_secret(secrets: tuple[str, ...]) -> None:
    with pytest.raises(ValueError, match="a secret is needed"):
        verify(BODY, GOOD, *secrets, now=NOW)


@pytest.mark.parametrize("body", [b"", b"{}", b"[]", b"null", b"\xff", b'{"event": 1}', b"[" * 100_000])
def test_a_body_that_amebo_does_not_send_is_refused_however_it_is_signed(body: bytes) -> None:
    with pytest.raises(BadWebhook, match="the body is not a delivery"):
        verify(body, signed(SECRET, body=body), SECRET, now=NOW)


@given(st.binary(min_size=1).map(lambda key: "whsec_" + base64.b64encode(key).decode()), st.text(), st.uuids())
def test_agrees_with_standard_webhooks_in_both_directions(secret: str, text: str, webhook_id: UUID) -> None:
    now = datetime.now(UTC)
    data = json.dumps({**json.loads(BODY), "payload": {"text": text}}, ensure_ascii=False)
    body, timestamp = data.encode(), str(int(now.timestamp()))
    theirs = Reference(secret).sign(str(webhook_id), now, data)
    ours = rules.standard_signature(secret, str(webhook_id), timestamp, body)
    headers = {"webhook-id": str(webhook_id), "webhook-timestamp": timestamp, "webhook-signature": theirs}
    assert verify(body, headers, secret).payload == {"text": text}
    assert Reference(secret).verify(body, {**headers, "webhook-signature": ours})["payload"] == {"text": text}


@pytest.mark.parametrize(
    "secret", [SECRET, OTHER, "whsec_", "whsec_AAA", "whsec_AAAA", "whsec_not base64!", "WHSEC_AAAA", "sécret"]
)
def test_takes_a_secret_as_the_service_does(secret: str) -> None:
    assert webhooks.signing_key(secret) == rules.standard_key(secret)


@pytest.mark.parametrize(("name", "libraries"), [("webhooks", set()), ("publishing", {"urllib3"})])
def test_each_file_works_on_its_own_wherever_it_is_copied_to(name: str, libraries: set[str], tmp_path: Path) -> None:
    (tmp_path / "copied.py").write_text((Path(webhooks.__file__).parent / f"{name}.py").read_text())
    program = "import sys; before = set(sys.modules); import copied; print(*(set(sys.modules) - before))"
    run = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=True)
    loaded = {module.partition(".")[0] for module in run.stdout.split()} - {"copied"}
    assert loaded - set(sys.stdlib_module_names) == libraries

"""How values read on a page: times, durations, ids, JSON."""

import json
from datetime import datetime, timedelta
from uuid import UUID

LONGEST_JSON = 50_000  # characters on a page; a payload may be a megabyte, and far more when it is indented
GLYPHS = {  # beside the word, never instead of it
    "pending": "○",
    "retrying": "↻",
    "delivered": "✓",
    "failed": "✕",
    "paused": "‖",
    "closed": "✓",
    "half_open": "◐",
    "open": "✕",
    "on": "✓",
    "off": "‖",
    "active": "✓",
    "deprecated": "△",
    "retired": "‖",
}
_STEPS = ((86_400.0, "d"), (3_600.0, "h"), (60.0, "min"))


def when(time: datetime) -> str:
    """To the second, in UTC, as the footer of each page says."""
    return time.strftime("%Y-%m-%d %H:%M:%S")


def ago(time: datetime, now: datetime) -> str:
    return "just now" if now - time < timedelta(seconds=1) else f"{duration((now - time).total_seconds())} ago"


def until(time: datetime, now: datetime) -> str:
    return f"in {duration((time - now).total_seconds())}" if time > now else ago(time, now)


def duration(seconds: float) -> str:
    """With two digits, or all of a whole number, in the unit that suits: 4 ms, 1.5 s, 12 min."""
    for size, unit in _STEPS:
        if seconds >= size:
            return f"{_digits(seconds / size)} {unit}"
    return f"{_digits(seconds)} s" if seconds >= 1 or seconds == 0 else f"{_digits(seconds * 1000)} ms"


def short(identity: UUID) -> str:
    """The end of an id: ids that are made at the same time begin alike."""
    return f"…{str(identity)[-8:]}"


def pretty(value: object) -> str:
    """Indented JSON, cut where it gets long, which it does before it is nested too deeply for Python."""
    text = ""
    for chunk in json.JSONEncoder(indent=2, ensure_ascii=False).iterencode(value):
        text += chunk
        if len(text) > LONGEST_JSON:
            return f"{text[:LONGEST_JSON]}\n… it goes on; the API gives all of it"
    return text


def _digits(number: float) -> str:
    return f"{number:.1f}".removesuffix(".0") if number < 9.95 else f"{number:.0f}"

"""How values read."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from app.console.shown import LONGEST_JSON, ago, duration, pretty, short, until, when

NOW = datetime(2026, 11, 24, 20, 30, 40, 999, tzinfo=UTC)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 s"),
        (0.0004, "0.4 ms"),
        (0.064, "64 ms"),
        (1, "1 s"),
        (1.54, "1.5 s"),
        (12.3, "12 s"),
        (90, "1.5 min"),
        (7200, "2 h"),
        (172_800, "2 d"),
    ],
)
def test_a_duration_has_the_unit_that_suits(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_times_are_to_the_second_and_relative_to_now() -> None:
    assert when(NOW) == "2026-11-24 20:30:40"
    assert ago(NOW - timedelta(minutes=3), NOW) == "3 min ago"
    assert ago(NOW + timedelta(seconds=1), NOW) == "just now"
    assert until(NOW + timedelta(seconds=30), NOW) == "in 30 s"
    assert until(NOW - timedelta(seconds=30), NOW) == "30 s ago"


def test_an_id_is_short_where_ids_differ() -> None:
    assert short(UUID("01a20f8a-5dd9-7399-8fa1-cb681a401b24")) == "…1a401b24"


def test_json_is_indented_and_as_it_was_written() -> None:
    assert pretty({"name": "Zoë", "ids": [1]}) == '{\n  "name": "Zoë",\n  "ids": [\n    1\n  ]\n}'


def test_json_that_grows_when_indented_is_cut_before_it_does() -> None:
    nested: object = [0] * 100_000
    for _ in range(300):
        nested = [nested]
    assert len(pretty(nested)) < LONGEST_JSON + 100
    assert pretty("x" * 1_000_000).endswith("the API gives all of it")


def test_json_that_is_nested_deeper_than_python_goes_is_cut() -> None:
    nested: object = []
    for _ in range(100_000):
        nested = [nested]
    assert pretty(nested).endswith("the API gives all of it")

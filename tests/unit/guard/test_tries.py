"""What a line of the access log says: values in, values out."""

import json

import pytest

from roles.guard.files.guard.model import Tally, Try
from roles.guard.files.guard.tries import tally, tries

ONE, TWO = "10.0.0.1:3310", "10.0.0.2:3310"
LINE = {
    "msec": 1700000010.250,
    "colour": "blue",
    "method": "POST",
    "uri": "/v1/events",
    "status": 201,
    "request_time": 0.25,
    "upstream": f"{ONE}, {TWO}",
    "upstream_status": "500, 201",
    "upstream_response_time": "0.001, 0.004",
}


def of(**changed: object) -> list[Try]:
    return list(tries(json.dumps(LINE | changed)))


def outcomes(**changed: object) -> list[tuple[str, bool]]:
    return [(each.address, each.failed) for each in of(**changed)]


def test_each_instance_that_was_asked_is_a_try_with_its_time() -> None:
    assert of() == [Try(ONE, True, 1700000010.0, 0.001), Try(TWO, False, 1700000010.0, 0.004)]


@pytest.mark.parametrize(
    ("status", "failed"), [("201", False), ("404", False), ("499", False), ("500", True), ("503", True), ("-", True)]
)
def test_a_try_failed_when_it_ended_with_500_or_more_or_with_nothing(status: str, failed: bool) -> None:
    found = outcomes(upstream=ONE, upstream_status=status, upstream_response_time="0.1")
    assert found == [(ONE, failed)]


def test_a_client_that_left_is_nobody_s_fault() -> None:
    assert outcomes(status=499, upstream_status="500, -", upstream_response_time="0.1, 3") == [(ONE, True)]


def test_a_refused_connection_has_no_time() -> None:
    assert [each.seconds for each in of(upstream_response_time="-, 0.004")] == [None, 0.004]


def test_a_colon_is_where_nginx_went_on_in_another_group() -> None:
    assert outcomes(upstream=f"{ONE} : {TWO}", upstream_status="500 : 201", upstream_response_time="0 : 0") == [
        (ONE, True),
        (TWO, False),
    ]


@pytest.mark.parametrize(
    "line",
    [
        "{}",
        "[1]",
        json.dumps(LINE | {"upstream": "", "upstream_status": "", "upstream_response_time": ""}),
        json.dumps(LINE | {"upstream_status": "500"}),
        json.dumps(LINE | {"upstream": None}),
    ],
    ids=["empty", "no object", "nobody asked", "of different lengths", "of another kind"],
)
def test_a_line_that_is_not_one_of_ours_says_nothing(line: str) -> None:
    assert list(tries(line)) == []


@pytest.mark.parametrize(
    "line",
    [
        "",
        "GET / 200",
        '{"upstream"',
        json.dumps(LINE | {"upstream_status": "500, ok"}),
        json.dumps(LINE | {"msec": "x"}),
    ],
)
def test_what_cannot_be_read_is_said_to_be_so(line: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        list(tries(line))


def test_tries_are_counted_by_instance_with_a_sample_of_their_times() -> None:
    found = [
        Try(ONE, failed, 5.0, seconds) for failed, seconds in ((True, 0.1), (False, None), (False, 0.3), (True, 0.4))
    ]
    assert tally(found, {}, sample=2) == {ONE: Tally(4, 2, 1, (0.1, 0.3))}


@pytest.mark.parametrize(
    ("first", "then", "row"),
    [("f", "ff", 3), ("sf", "ff", 3), ("ff", "s", 0), ("ff", "sf", 1), ("ff", "", 2), ("", "f", 1)],
)
def test_what_failed_after_the_last_success_adds_up(first: str, then: str, row: int) -> None:
    one, two = ([Try(ONE, each == "f", 5.0) for each in part] for part in (first, then))
    halves = [tally(part, {}, sample=0).get(ONE, Tally()) for part in (one, two)]
    assert halves[0] + halves[1] == tally([*one, *two], {}, sample=0)[ONE]
    assert (halves[0] + halves[1]).row == row


def test_a_request_from_before_the_present_state_does_not_count() -> None:
    """It may have hung for a minute, and its instance been healed since."""
    found = [Try(ONE, True, 5.0), Try(ONE, False, 7.0), Try(TWO, True, 5.0)]
    assert tally(found, {ONE: 6.0}, sample=0) == {ONE: Tally(1, 0), TWO: Tally(1, 1, 1)}

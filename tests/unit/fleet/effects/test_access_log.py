"""What a load balancer's access log says, and what several of them say together."""

import json
import subprocess
import sys
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fleet.effects import access_log, samples
from fleet.effects.samples import Answer, Counts, side, together
from fleet.plan.judge import Side

BEGAN = 1_700_000_000.0


def line(
    at: float = BEGAN,
    colour: str = "green",
    tries: str = "10.0.0.1:3310",
    statuses: str = "201",
    seconds: str = "0.004",
    uri: str = "/v1/events",
    **more: object,
) -> bytes:
    """As the load balancer's log_format writes it."""
    fields = {
        "time": datetime.fromtimestamp(at, UTC).isoformat(timespec="seconds"),
        "msec": at,
        "colour": colour,
        "method": "POST",
        "uri": uri,
        "status": 201,
        "request_time": 0.9,
        "upstream": tries,
        "upstream_status": statuses,
        "upstream_response_time": seconds,
        **more,
    }
    return json.dumps(fields).encode() + b"\n"


def write(path: Path, lines: Iterable[bytes]) -> Path:
    path.write_bytes(b"".join(lines))
    return path


def read(path: Path, *older: Path, since: float = BEGAN, until: float = BEGAN + 1e6) -> dict[str, Any]:
    return dict(access_log.read(since, until, [path, *older]))


def counted(found: dict[str, Any]) -> tuple[int, int, list[int]]:
    return found["requests"], found["failures"], found["latencies"]


@pytest.mark.parametrize(
    ("written", "colour", "instances"),
    [
        pytest.param(line(), (1, 0, [4]), {"10.0.0.1:3310": (1, 0, [4])}, id="answered"),
        pytest.param(line(statuses="404"), (1, 0, [4]), {"10.0.0.1:3310": (1, 0, [4])}, id="refused is answered, too"),
        pytest.param(line(statuses="500"), (1, 1, []), {"10.0.0.1:3310": (1, 1, [])}, id="answered with 500"),
        pytest.param(
            line(statuses="-", seconds="-", status=499), (1, 1, []), {"10.0.0.1:3310": (1, 1, [])}, id="never answered"
        ),
        pytest.param(
            line(tries="a:1, b:1", statuses="502, 201", seconds="0.001, 0.004"),
            (1, 1, [5]),
            {"a:1": (1, 1, []), "b:1": (1, 0, [4])},
            id="the client got its 201, and still one instance failed",
        ),
        pytest.param(
            line(tries="a:1, b:1, a:1", statuses="502, 504, 502", seconds="0.001, 15.000, -"),
            (1, 1, []),
            {"a:1": (2, 2, []), "b:1": (1, 1, [])},
            id="three tries are one request that failed",
        ),
        pytest.param(
            line(tries="a:1, b:1 : c:1", statuses="502, 502 : 201", seconds="0.001, 0.002 : 0.004"),
            (1, 1, []),
            {"a:1": (1, 1, []), "b:1": (1, 1, []), "c:1": (1, 0, [4])},
            id="what the other colour answers is not this one's",
        ),
        pytest.param(
            line(tries="a:1 : c:1", statuses="404 : 502", seconds="0.001 : 0.004"),
            (1, 0, []),
            {"a:1": (1, 0, [1]), "c:1": (1, 1, [])},
            id="nor is what the other colour fails at",
        ),
        pytest.param(
            line(tries="amebo_green", statuses="502", seconds="0.000"),
            (1, 1, []),
            {"amebo_green": (1, 1, [])},
            id="no instance was left to ask",
        ),
    ],
)
def test_counts_a_request(
    written: bytes, colour: tuple[int, int, list[int]], instances: dict[str, Any], tmp_path: Path
) -> None:
    found = read(write(tmp_path / "log", [written]))
    assert {name: counted(each) for name, each in found["colours"].items()} == {"green": colour}
    assert {name: counted(each) for name, each in found["upstreams"].items()} == instances
    assert found["skipped"] == 0


@pytest.mark.parametrize(
    "written",
    [
        pytest.param(line(uri="/health/ready"), id="health"),
        pytest.param(line(uri="/console"), id="a page for people"),
        pytest.param(line(uri="/v10/events"), id="another version"),
        pytest.param(line(tries="", statuses="", seconds="", status=413), id="answered by the load balancer itself"),
        pytest.param(line(tries="-", statuses="-", seconds="-"), id="the same, of an older nginx"),
        pytest.param(line(at=BEGAN - 0.001), id="before"),
        pytest.param(line(at=BEGAN + 10), id="at the end, which is not part of it"),
    ],
)
def test_leaves_out_what_says_nothing_of_a_colour(written: bytes, tmp_path: Path) -> None:
    path = write(tmp_path / "log", [written])
    assert read(path, until=BEGAN + 10) == {"colours": {}, "upstreams": {}, "skipped": 0}


@pytest.mark.parametrize(
    "broken",
    [
        pytest.param(line()[:-20], id="cut short while it was written"),
        pytest.param(b"\0" * 4096 + b"\n", id="blocks that a crash left empty"),
        pytest.param(b"\n", id="an empty line"),
        pytest.param(b"127.0.0.1 - - [14/Nov/2023] GET /v1/events\n", id="another format"),
        pytest.param(b"[1]\n", id="JSON of another shape"),
        pytest.param(line(tries="a:1, b:1"), id="two tries with one status"),
        pytest.param(line(statuses="fine"), id="a status that is none"),
        pytest.param(line(msec=None), id="a time that is none"),
    ],
)
def test_counts_lines_that_cannot_be_read_and_goes_on(broken: bytes, tmp_path: Path) -> None:
    broken = broken if broken.endswith(b"\n") else broken + b"\n"
    found = read(write(tmp_path / "log", [line(), broken, line()]))
    assert (found["colours"]["green"]["requests"], found["skipped"]) == (2, 1)


def test_the_last_line_may_be_half_written(tmp_path: Path) -> None:
    found = read(write(tmp_path / "log", [line(), line()[:40]]))
    assert (found["colours"]["green"]["requests"], found["skipped"]) == (1, 1)


def test_bytes_of_a_client_that_are_no_text_do_no_harm(tmp_path: Path) -> None:
    found = read(write(tmp_path / "log", [line(uri="/v1/events?UTF").replace(b"UTF", b"\xff\xfe")]))
    assert found["colours"]["green"]["requests"] == 1


def test_a_log_from_before_there_were_colours_counts_for_its_instances_alone(tmp_path: Path) -> None:
    fields = json.loads(line())
    del fields["colour"], fields["msec"]
    found = read(write(tmp_path / "log", [json.dumps(fields).encode() + b"\n"]))
    assert (found["colours"], found["upstreams"]["10.0.0.1:3310"]["requests"]) == ({}, 1)


def test_keeps_the_colours_apart(tmp_path: Path) -> None:
    written = [line(colour="blue"), line(colour="green", statuses="500"), line(colour="blue")]
    colours = read(write(tmp_path / "log", written))["colours"]
    assert {name: counted(each) for name, each in colours.items()} == {"blue": (2, 0, [4, 4]), "green": (1, 1, [])}


def test_reads_the_rotated_log_too_and_neither_twice(tmp_path: Path) -> None:
    old = write(tmp_path / "access.log.1", [line(BEGAN - 60), line(BEGAN), line(BEGAN + 1)])
    new = write(tmp_path / "access.log", [line(BEGAN + 2), line(BEGAN + 3)])
    assert read(new, old)["colours"]["green"]["requests"] == 4
    same = tmp_path / "access.log.same"
    same.hardlink_to(new)
    assert read(new, same)["colours"]["green"]["requests"] == 2


def test_a_log_that_was_never_rotated_is_no_fault_but_none_at_all_is(tmp_path: Path) -> None:
    path = write(tmp_path / "access.log", [line()])
    assert read(path, tmp_path / "access.log.1")["colours"]["green"]["requests"] == 1
    with pytest.raises(SystemExit, match=r"there is no .*nothing"):
        read(tmp_path / "nothing")


def test_keeps_a_fair_sample_of_many_latencies_and_their_number(tmp_path: Path) -> None:
    count = 4 * access_log.PER_COLOUR
    path = write(tmp_path / "log", (line(BEGAN + n / 1000, seconds=f"{n / 1000:.3f}") for n in range(count)))
    found = read(path)["colours"]["green"]
    kept = found["latencies"]
    assert (found["requests"], found["answered"], len(kept)) == (count, count, access_log.PER_COLOUR)
    assert len(set(kept)) == len(kept)
    for quarter in range(4):  # 1,250 expected in each, and 31 off it once in three times: 5 times that never
        within = sum(quarter * count / 4 <= ms < (quarter + 1) * count / 4 for ms in kept)
        assert abs(within - len(kept) / 4) < 155
    assert read(path)["colours"]["green"]["latencies"] == kept
    assert len(read(path)["upstreams"]["10.0.0.1:3310"]["latencies"]) == access_log.PER_UPSTREAM


class Counting:
    """A file that knows how much was read of it."""

    def __init__(self, path: Path) -> None:
        self.file = path.open("rb")
        self.bytes = 0

    def readline(self, limit: int) -> bytes:
        found = self.file.readline(limit)
        self.bytes += len(found)
        return found

    def __getattr__(self, name: str) -> Any:
        return getattr(self.file, name)


def test_finds_the_beginning_of_a_large_log_without_reading_it(tmp_path: Path) -> None:
    path = write(tmp_path / "log", (line(BEGAN + n) for n in range(40_000)))
    assert path.stat().st_size > 100 * access_log.BLOCK
    file: Any = Counting(path)
    access_log.go_to(file, access_log.find(file, BEGAN + 30_000))
    found = access_log.parsed(file.file.readline())
    assert found is not None
    assert BEGAN + 30_000 - access_log.BLOCK / 100 < found.at <= BEGAN + 30_000
    assert file.bytes < access_log.BLOCK


def test_reads_no_more_of_a_busy_log_than_it_takes_to_judge_and_that_the_latest(tmp_path: Path) -> None:
    path = write(tmp_path / "log", (line(BEGAN + n, seconds=f"{n / 1000:.3f}") for n in range(20_000)))
    found = access_log.read(BEGAN, BEGAN + 10_000, [path], most_bytes=1_000 * len(line()))["colours"]
    latencies = found["green"]["latencies"]  # type: ignore[index]  # as it is printed, without types
    assert max(latencies) == 9_999
    assert 8_500 < min(latencies) < 9_100


@given(
    since=st.integers(-100, 3_100),
    length=st.integers(0, 3_000),
    broken=st.sets(st.integers(0, 2_999), max_size=300),
    late=st.dictionaries(st.integers(0, 2_999), st.floats(0, 4), max_size=300),
)
@settings(max_examples=60, deadline=None)
def test_finds_every_line_of_the_window_whatever_stands_beside_it(
    since: int, length: int, broken: set[int], late: dict[int, float], tmp_path_factory: pytest.TempPathFactory
) -> None:
    """3,000 lines, one a second: some of them broken, some written up to 4 s after their time."""
    times = [BEGAN + n - late.get(n, 0) for n in range(3_000)]
    path = tmp_path_factory.getbasetemp() / "window.log"
    write(path, (b"{broken\n" if n in broken else line(at) for n, at in enumerate(times)))
    window = BEGAN + since, BEGAN + since + length
    expected = sum(window[0] <= at < window[1] for n, at in enumerate(times) if n not in broken)
    found = read(path, since=window[0], until=window[1])["colours"]
    assert found.get("green", {"requests": 0})["requests"] == expected


def test_finds_every_line_although_one_worker_has_an_older_clock_than_the_other(tmp_path: Path) -> None:
    times = [BEGAN + n / 1000 - 3 * (n % 2) for n in range(30_000)]
    path = write(tmp_path / "log", map(line, times))
    for second in range(4, 26):
        window = BEGAN + second, BEGAN + second + 1
        found = read(path, since=window[0], until=window[1])["colours"]["green"]["requests"]
        assert found == sum(window[0] <= at < window[1] for at in times)


def test_travels_as_an_argument_and_prints_what_the_operator_reads(tmp_path: Path) -> None:
    path = write(tmp_path / "access.log", [line(), line(statuses="500")])
    program = Path(access_log.__file__).read_text()
    argv = [sys.executable, "-I", "-c", program, str(BEGAN), str(BEGAN + 10), str(path)]
    printed = subprocess.run(argv, capture_output=True, text=True, check=True).stdout
    counts = Counts(requests=2, failures=1, answered=1, latencies=(4,))
    assert samples.parsed(printed) == Answer({"green": counts}, {"10.0.0.1:3310": counts}, 0)


def an_answer(requests: int, failures: int, latencies: tuple[float, ...], skipped: int = 0) -> Answer:
    counts = Counts(requests, failures, requests - failures, latencies)
    return Answer({"green": counts}, {"a:1": counts}, skipped)


def test_several_load_balancers_add_up() -> None:
    whole = together([an_answer(4, 1, (5.0, 6.0, 7.0), 1), an_answer(3, 1, (8.0, 9.0), 2), Answer({}, {})])
    assert whole.skipped == 3
    assert side(whole, "green").requests == 7
    assert side(whole, "green").failures == 2
    assert sorted(side(whole, "green").latencies) == [5, 6, 7, 8, 9]
    assert whole.colours == {"green": whole.upstreams["a:1"]}


def test_a_busy_load_balancer_weighs_more_than_a_quiet_one_though_both_samples_are_full() -> None:
    busy, quiet = an_answer(90_000, 0, (1.0,) * 5_000), an_answer(10_000, 0, (2.0,) * 5_000)
    latencies = together([busy, quiet]).colours["green"].latencies
    assert (latencies.count(1.0), latencies.count(2.0)) == (5_000, 556)


def test_a_colour_without_traffic_is_a_side_without_requests() -> None:
    assert side(together([an_answer(4, 1, (5.0,))]), "blue") == Side()
    assert together([]) == Answer({}, {}, 0)

"""The report of a change: what a load balancer's log says, step by step, and the page made of it."""

import json
import math
import subprocess
import sys
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner, Result

from fleet import interlock
from fleet.commands import top as command
from fleet.effects import access_log, inventory, keepers, timeline
from fleet.effects.inventory import Inventory
from fleet.errors import FleetError
from fleet.history import NOT_ENDED, Change, Part
from fleet.report import page, plots, requests
from fleet.report.model import Count, Requests, Step
from tests.unit.fleet.effects.hosts import Hosts

AT = datetime(2026, 3, 1, 10, 0, 0, tzinfo=UTC)
BEGAN = AT.timestamp()
NOW = AT + timedelta(hours=1)
HOSTILE = '<script>alert(1)</script> & "quotes"'
PARTS = (
    Part(AT + timedelta(seconds=2), "stage 1.4.0", "done", 8.0),
    Part(AT + timedelta(seconds=10), f"replace app-1:3310 {HOSTILE}", "failed: it hung", 20.0),
)
CHANGE = Change("c1d2", AT, "ana@desk 1", "rolling-update", "to 1.4.0", HOSTILE, "failed: it hung", 40.0, PARTS)


def line(at: float = BEGAN, colour: str = "blue", status: int = 201, seconds: float = 0.004, **more: object) -> bytes:
    """As the load balancer's log_format writes it, as far as it is read."""
    fields = {"msec": at, "colour": colour, "status": status, "request_time": seconds, "uri": "/v1/events"}
    upstream = {"upstream": "10.0.0.1:3310", "upstream_status": str(status), "upstream_response_time": f"{seconds:.3f}"}
    return json.dumps({**fields, **upstream, "client": "10.0.0.9", "method": "POST", **more}).encode() + b"\n"


def counted(paths: Sequence[Path], since: float = BEGAN, until: float = BEGAN + 100, step: float = 10) -> Any:
    """By the program as it travels, in a Python that has nothing of ours."""
    name, *words = requests.argv(since, until, step, [str(path) for path in paths])
    assert name == "python3"
    ended = subprocess.run([sys.executable, "-IS", *words], capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    return json.loads(ended.stdout)


def write(path: Path, lines: Iterable[bytes]) -> Path:
    path.write_bytes(b"".join(lines))
    return path


@pytest.mark.parametrize(
    ("written", "found"),
    [
        pytest.param(line(), {"blue": (1, 0, 0)}, id="answered"),
        pytest.param(line(status=422), {"blue": (1, 0, 0)}, id="refused is answered, too"),
        pytest.param(line(status=503), {"blue": (1, 1, 0)}, id="failed"),
        pytest.param(line(upstream_status="502, 201"), {"blue": (1, 0, 1)}, id="saved by another instance"),
        pytest.param(line(upstream_status="502, 502", status=502), {"blue": (1, 1, 0)}, id="a retry that failed, too"),
        pytest.param(line(upstream_status="502 : 201"), {"blue": (1, 0, 1)}, id="saved by the other colour"),
        pytest.param(line(colour="", status=503), {"none": (1, 1, 0)}, id="refused by the load balancer itself"),
        pytest.param(line(server="amebo/1.4.0"), {"1.4.0": (1, 0, 0)}, id="by an instance that says its version"),
        pytest.param(line(server="", status=502), {"blue": (1, 1, 0)}, id="by nobody"),
        pytest.param(line(uri="/health/ready"), {}, id="health"),
        pytest.param(line(at=BEGAN - 0.001), {}, id="before"),
        pytest.param(line(at=BEGAN + 100), {}, id="at the end, which is not part of it"),
    ],
)
def test_counts_a_request(written: bytes, found: dict[str, tuple[int, int, int]], tmp_path: Path) -> None:
    answer = counted([write(tmp_path / "log", [written])])
    colours = answer["steps"].get("0", {})
    assert {name: (each["requests"], each["failures"], each["retried"]) for name, each in colours.items()} == found
    assert {*answer["steps"]} <= {"0"}
    assert answer["skipped"] == 0


def test_counts_step_by_step_also_across_a_rotation(tmp_path: Path) -> None:
    old = write(tmp_path / "access.log.1", [line(BEGAN + 1), line(BEGAN + 11)])
    new = write(tmp_path / "access.log", [line(BEGAN + 19.9), line(BEGAN + 95, "green")])
    answer = counted([new, old])
    found = {
        step: {name: each["requests"] for name, each in colours.items()} for step, colours in answer["steps"].items()
    }
    assert found == {"0": {"blue": 1}, "1": {"blue": 2}, "9": {"green": 1}}
    assert answer["begins"] == BEGAN + 1


def test_what_is_no_request_is_skipped_and_counted_and_a_line_in_the_making_is_not(tmp_path: Path) -> None:
    lines = [b"not JSON\n", b'{"msec": "never"}\n', line(), line()[:40]]
    answer = counted([write(tmp_path / "log", lines)])
    assert answer["skipped"] == 2
    assert answer["steps"]["0"]["blue"]["requests"] == 1


def test_finds_its_way_in_a_large_log(tmp_path: Path) -> None:
    lines = [line(BEGAN + n / 10) for n in range(10_000)]
    path = write(tmp_path / "log", lines)
    assert path.stat().st_size > 20 * access_log.BLOCK
    answer = counted([path], since=BEGAN + 500, until=BEGAN + 520, step=5)
    assert {step: each["blue"]["requests"] for step, each in answer["steps"].items()} == dict.fromkeys("0123", 50)


def test_a_log_that_is_not_there_is_an_error_that_says_so(tmp_path: Path) -> None:
    words = requests.argv(BEGAN, BEGAN + 1, 1, [str(tmp_path / "nowhere")])[1:]
    ended = subprocess.run([sys.executable, "-IS", *words], capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stderr.strip()) == (1, f"there is no {tmp_path / 'nowhere'}")


@given(st.lists(st.floats(1.0, 60_000.0), min_size=1, max_size=50), st.sampled_from([0.5, 0.95]))
def test_a_percentile_is_right_within_three_percent(latencies: list[float], q: float) -> None:
    bins: dict[int, int] = {}
    for each in latencies:
        bins[timeline.bin_of(each)] = bins.get(timeline.bin_of(each), 0) + 1
    true = sorted(latencies)[max(0, math.ceil(q * len(latencies)) - 1)]
    found = plots.percentile(bins, q)
    assert found is not None
    assert abs(found / true - 1) < 0.03


def test_without_requests_there_is_no_percentile() -> None:
    assert plots.percentile({}, 0.95) is None


def answer(steps: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"steps": steps, "skipped": 0, "begins": BEGAN - 1, "now": BEGAN, "ahead": 0.0, **more}


def one(many: int, failures: int = 0) -> dict[str, Any]:
    return {"blue": {"requests": many, "failures": failures, "retried": 0, "bins": {"20": many}}}


def test_adds_up_what_several_load_balancers_counted() -> None:
    found = requests.together(
        {"lb-1": answer({"0": one(2)}), "lb-2": answer({"0": one(3, 1), "9": one(1)})}, BEGAN, BEGAN + 100, 10
    )
    assert len(found.steps) == 10
    assert found.steps[0].versions == {"blue": Count(5, 1, 0, {20: 5})}
    assert found.steps[9].versions["blue"].requests == 1
    assert found.notices == ()


@pytest.mark.parametrize(
    ("said", "notice"),
    [
        pytest.param("lb-2 does not answer", "lb-2 does not answer. The requests through lb-2 are missing", id="away"),
        pytest.param(
            answer({}, begins=BEGAN + 61),
            "The access log of lb-2 only reaches back to 2026-03-01 10:01:01",
            id="rotated",
        ),
        pytest.param(answer({}, begins=None), "The access log of lb-2 is empty", id="empty"),
        pytest.param(answer({}, skipped=3), "3 lines of lb-2's access log could not be read", id="unreadable"),
        pytest.param(answer({}, ahead=7.2), "The clock of lb-2 is 7 s ahead of this machine's", id="ahead"),
        pytest.param(answer({}, ahead=-7.2), "The clock of lb-2 is 7 s behind this machine's", id="behind"),
    ],
)
def test_what_one_cannot_tell_is_said_and_the_others_count(said: dict[str, Any] | str, notice: str) -> None:
    found = requests.together({"lb-1": answer({"0": one(2)}), "lb-2": said}, BEGAN, BEGAN + 100, 10)
    assert found.steps[0].versions["blue"].requests == 2
    assert len(found.notices) == 1
    assert found.notices[0].startswith(notice)


RUNS = replace(CHANGE, result=NOT_ENDED, seconds=None)


@pytest.mark.parametrize(
    ("change", "now", "until"),
    [
        pytest.param(CHANGE, NOW, 40 + 60, id="a minute after it"),
        pytest.param(CHANGE, AT + timedelta(seconds=50), 50, id="it ended a moment ago"),
        pytest.param(RUNS, AT + timedelta(seconds=50), 50, id="it runs"),
        pytest.param(RUNS, NOW, 30 + 600 + 60, id="its end was never written"),
        pytest.param(replace(RUNS, steps=()), NOW, 600 + 60, id="nor any step"),
        pytest.param(CHANGE, AT - timedelta(hours=1), 0, id="this machine's clock is far behind"),
    ],
)
def test_looks_at_a_minute_around_the_change(change: Change, now: datetime, until: float) -> None:
    assert page.span(change, now) == (BEGAN - 60, BEGAN + until)


@pytest.mark.parametrize(("seconds", "step"), [(160, 1), (300, 1), (301, 2), (7200, 30), (10**7, 3600)])
def test_a_plot_has_few_enough_points_to_be_read(seconds: float, step: float) -> None:
    assert page.step_seconds(0, seconds) == step


def made(*colours: dict[str, Count], notices: tuple[str, ...] = ()) -> Requests:
    """Sixteen steps of ten seconds from a minute before the change on."""
    empty: list[dict[str, Count]] = [{} for _ in range(16 - len(colours))]
    return Requests(BEGAN - 60, 10, tuple(Step(each) for each in (*colours, *empty)), notices)


BUSY = made(
    *(
        {"blue": Count(100, n == 7, n == 8, {30: 100}), **({"green": Count(5, 0, 0, {90: 5})} if n > 9 else {})}
        for n in range(16)
    )
)


def test_counts_before_during_and_after() -> None:
    found = [(each.name, each.version, each.requests, each.failures) for each in page.phases(CHANGE, BUSY, NOW)]
    assert found == [
        ("before", "blue", "600", "0"),
        ("during", "blue", "400", "1"),
        ("after", "blue", "600", "0"),
        ("after", "green", "30", "0"),
    ]


def test_marks_the_steps_where_they_began() -> None:
    first, second = page.marks(CHANGE, BUSY, NOW)
    assert (first.left, first.width) == (38.75, 5.0)  # 62 s and 8 s of 160 s
    assert (second.left, second.width, second.has_label) == (43.75, 12.5, True)
    close = replace(CHANGE, steps=(PARTS[0], replace(PARTS[1], began=PARTS[0].began + timedelta(seconds=1))))
    assert [mark.has_label for mark in page.marks(close, BUSY, NOW)] == [True, False]


def test_versions_have_lines_in_the_order_in_which_they_came() -> None:
    once = Count(1, 0, 0, {30: 1})
    requests = made({"1.9.0": once, "none": once}, {"1.10.0": once, "1.9.0": once}, {"1.11.0": once})
    assert requests.versions == ("1.9.0", "1.10.0", "1.11.0", "none")
    lines = plots.plots(requests)[0].lines
    assert [(line.version, line.style) for line in lines] == [
        ("1.9.0", "first"),
        ("1.10.0", "second"),
        ("1.11.0", "none"),
        ("none", "none"),
    ]


class Seen(HTMLParser):
    """Refuses tags that are not closed; keeps tags, attributes and text."""

    EMPTY = ("meta", "rect", "path")

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str]] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(name, value or "") for name, value in attrs]
        if tag != "meta":
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(name, value or "") for name, value in attrs]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def seen(change: Change, counts: Requests) -> Seen:
    parser = Seen()
    parser.feed(page.render(change, counts, NOW))
    parser.close()
    assert parser.open == []
    return parser


def test_the_page_needs_nothing_but_itself() -> None:
    found = seen(CHANGE, BUSY)
    assert not {"script", "link", "img", "iframe", "a"} & {*found.tags}
    assert not [
        name for name, value in found.attributes if name in ("src", "href") or "http:" in value or "//" in value
    ]
    assert "url(" not in page.render(CHANGE, BUSY, NOW)
    assert "@import" not in page.render(CHANGE, BUSY, NOW)
    assert "prefers-color-scheme: dark" in found.text


def test_the_page_shows_the_change_its_steps_and_its_plots() -> None:
    found = seen(CHANGE, BUSY)
    for text in (CHANGE.who, CHANGE.id, HOSTILE, *(part.what for part in PARTS), "failed: it hung", "8.0", "20.0"):
        assert text in found.text
    labels = [value for name, value in found.attributes if name == "aria-label" and " at most" in value]
    assert labels == [
        "Requests, per second. blue: 10 at most; green: 0.5 at most.",
        "Failures, answers of 500 or more, per second. blue: 0.1 at most; green: 0 at most.",
        "Saved by a retry, requests per second. blue: 0.1 at most; green: 0 at most.",
        "Latency, p50, logarithmic. blue: 4.22 ms at most; green: 78.8 ms at most.",
        "Latency, p95, logarithmic. blue: 4.22 ms at most; green: 78.8 ms at most.",
    ]
    assert found.tags.count("rect") == len(labels) * len(PARTS)
    assert "unreachable" not in found.text


def test_the_page_says_what_it_does_not_know() -> None:
    found = seen(replace(RUNS, why="", steps=()), made(notices=(f"lb-2 does not answer {HOSTILE}",)))
    for text in (
        f"lb-2 does not answer {HOSTILE}",
        "does not say how this change ended",
        "no reason was given",
        "No request is known of this time",
        "The journal has no step of it",
    ):
        assert text in found.text
    assert "rect" not in found.tags


def test_a_line_is_broken_where_nothing_is_known() -> None:
    count = {"blue": Count(10, 0, 0, {30: 10})}
    counts = made(count, count, {}, count)
    (p50,) = plots.plots(counts)[3].lines
    assert p50.path.count("M") == 2
    assert p50.path.endswith("h0")  # a dot
    (many,) = plots.plots(counts)[0].lines
    assert many.path.count("M") == 1
    assert plots.plots(counts)[1].is_empty


@pytest.mark.parametrize(("largest", "top"), [(0, 1), (0.3, 0.5), (1, 1), (7, 10), (101, 200), (500, 500)])
def test_an_axis_ends_at_a_round_number(largest: float, top: float) -> None:
    assert plots.nice(largest) == pytest.approx(top)


@pytest.fixture
def fleet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Inventory:
    """Journals in folders; no host listens for SSH, which is real: port 1 of this machine refuses."""
    folder = tmp_path / "inventory"
    folder.mkdir()
    (folder / "hosts.yml").write_text(
        "all: {vars: {ansible_host: 127.0.0.1, ansible_port: 1}}\n"
        "loadbalancers: {hosts: {lb-1: {}, lb-2: {}}}\napp: {hosts: {app-1: {amebo_web_ports: [3310]}}}\n"
    )
    monkeypatch.setenv("ANSIBLE_INVENTORY", str(folder))
    hosts = Hosts(tmp_path / "hosts", in_process=True)
    monkeypatch.setattr(keepers, "over_ssh", lambda _inventory: hosts)
    return inventory.read()


def typed(*words: str) -> Result:
    return CliRunner().invoke(command.commands, ["report", *words])


def change_once(fleet: Inventory, what: str) -> None:
    with interlock.change(fleet, "rolling-update", what, "a fix") as change:
        change.step("stage it")
        change.step("stage it", "done")


def test_reports_the_last_change_or_the_one_that_is_named(fleet: Inventory, tmp_path: Path) -> None:
    """Also when no load balancer can be asked for its log: the journal's part is there, and what is missing is said."""
    change_once(fleet, "to 1.4.0")
    change_once(fleet, "to 1.5.0")
    out = tmp_path / "change.html"
    last = typed("--out", str(out))
    assert (last.exit_code, "rolling-update to 1.5.0" in last.output) == (0, True)
    assert "The requests through lb-2 are missing here" in last.output
    text = out.read_text()
    assert "to 1.5.0" in text
    assert "stage it" in text
    assert "The requests through lb-1 are missing here" in text
    first = first_change(fleet)
    assert "to 1.4.0" in typed(first[:6], "--out", str(out)).output
    assert "to 1.4.0" in out.read_text()


def first_change(fleet: Inventory) -> str:
    """Its id, from the journal."""
    lines = keepers.over_ssh(fleet)("lb-1", "read", {"after": 0})["lines"]
    return str(json.loads(lines[0])["change"])


def test_refuses_what_it_cannot_report(fleet: Inventory, tmp_path: Path) -> None:
    assert "no change was written down yet" in str(typed().exception)
    change_once(fleet, "to 1.4.0")
    assert "0 changes have an id that begins with 'no such'" in str(typed("no such").exception)
    unwritable = typed("--out", str(tmp_path / "nowhere" / "change.html")).exception
    assert isinstance(unwritable, FleetError)
    assert "name another file with --out" in str(unwritable)

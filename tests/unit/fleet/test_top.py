"""The live screen: what is put together from many answers, and how it is shown."""

import io
import json
import os
import pty
import select
import socket
import subprocess
import sys
import termios
import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from typer.testing import CliRunner, Result

from fleet import interlock, top
from fleet.commands import top as command
from fleet.commands.top import Question, Watch
from fleet.effects import inventory, keepers
from fleet.errors import FleetError
from fleet.model import Colour, Dispatcher, Fleet, Host, Instance, LoadBalancer, Observed, Peer, Rates, State
from fleet.top import Answer, Lock, Part, Running, Size, Snapshot
from tests.unit.fleet.effects.hosts import Hosts, until

ROOT = Path(__file__).parents[3]
AT = datetime(2026, 3, 1, 10, 0, 0, tzinfo=UTC)
HOST = Host("app-1", "10.0.0.1", (3310,), dispatchers=1)
ADDRESSES = {"app-1": "10.0.0.1", "app-2": "10.0.0.2"}
BLUE, GREEN = Instance("app-1", 3310), Instance("app-1", 3410, Colour.GREEN)
RUNNING = Running("c1", "ana@desk 1", "blue-green", "to 1.4.0", "a fix", "2026-03-01 09:59:00 UTC")


def ready(what: Instance, requests: float = 0.0, errors: float = 0.0, **more: Any) -> Observed[Instance]:
    rates = Rates(requests, errors, 12.0)
    return Observed(what, State.READY, "1.4.0", AT - timedelta(minutes=5), rates=rates, **more)


def balancer(*peers: Peer, name: str = "lb-1", green: float | None = 0, **more: Any) -> LoadBalancer:
    return LoadBalancer(name, green, peers=peers, **more)


def seen(fleet: Fleet, lock: Lock = Lock(), at: datetime = AT, awaited: tuple[str, ...] = ()) -> Snapshot:  # noqa: B008  # frozen
    return Snapshot(at, fleet, ADDRESSES, lock, awaited)


def shown(*series: Snapshot, size: Size = Size(80)) -> list[str]:  # noqa: B008  # frozen
    paper = io.StringIO()
    Console(file=paper, width=size.width, height=size.height or 25, highlight=False).print(top.frame(series, size))
    return [line.rstrip() for line in paper.getvalue().splitlines()]


def answered(part: Part | None, silent: float = 0.0) -> Answer:
    return Answer(part, partial(top.unasked_host, HOST), silent)


@pytest.mark.parametrize(
    ("values", "bars"),
    [
        pytest.param([], "", id="nothing"),
        pytest.param([0, 0], "▁▁", id="zero is flat"),
        pytest.param([0, 5, 10], "▁▅█", id="from zero to the largest"),
        pytest.param([None, 3, None, 3], " █ █", id="a gap where nothing is known"),
        pytest.param([0.01, 1000], "▂█", id="a single error shows beside a thousand"),
    ],
)
def test_draws_a_sparkline(values: list[float | None], bars: str) -> None:
    assert top.sparkline(values) == bars


@pytest.mark.parametrize(
    ("balancers", "standing"),
    [
        pytest.param((), "", id="nobody says"),
        pytest.param((balancer(Peer("10.0.0.1:3310", Colour.BLUE)),), "", id="its whole share"),
        pytest.param((balancer(Peer("10.0.0.1:3310", Colour.BLUE, 0, "guard")),), "out by guard", id="out"),
        pytest.param((balancer(Peer("10.0.0.1:3310", Colour.BLUE, 0)),), "out", id="out, by nobody named"),
        pytest.param((balancer(Peer("10.0.0.1:3310", Colour.BLUE, 25, "operator")),), "25 % by operator", id="less"),
        pytest.param((balancer(Peer("10.0.0.1:3310", Colour.BLUE, tripped=True)),), "tripped", id="tripped"),
        pytest.param(
            (balancer(Peer("10.0.0.1:3310", Colour.BLUE, 5, "guard", tripped=True)),),
            "5 % by guard, tripped",
            id="both",
        ),
        pytest.param((balancer(Peer("10.0.0.2:3310", Colour.BLUE)),), "not known there", id="not in the configuration"),
        pytest.param(
            (
                balancer(Peer("10.0.0.1:3310", Colour.BLUE, 0, "guard")),
                balancer(Peer("10.0.0.1:3310", Colour.BLUE), name="lb-2"),
            ),
            "lb-1: out by guard",
            id="out on one of two",
        ),
        pytest.param(
            (
                balancer(Peer("10.0.0.1:3310", Colour.BLUE, 0, "guard")),
                balancer(name="lb-2", green=None, detail="away"),
            ),
            "out by guard",
            id="one that is away says nothing",
        ),
    ],
)
def test_says_what_the_load_balancers_make_of_an_instance(balancers: tuple[LoadBalancer, ...], standing: str) -> None:
    assert top.standing(BLUE, seen(Fleet((ready(BLUE),), load_balancers=balancers))) == standing


@pytest.mark.parametrize(
    ("shares", "serving", "idle"),
    [
        pytest.param([], [BLUE], [GREEN], id="no load balancer says: blue"),
        pytest.param([None], [BLUE], [GREEN], id="none can be asked"),
        pytest.param([0], [BLUE], [GREEN], id="blue"),
        pytest.param([100], [GREEN], [BLUE], id="green"),
        pytest.param([5], [BLUE, GREEN], [], id="a canary"),
        pytest.param([0, 100], [BLUE, GREEN], [], id="they disagree"),
    ],
)
def test_who_is_idle_is_for_the_load_balancers_to_say(
    shares: list[float | None], serving: list[Instance], idle: list[Instance]
) -> None:
    balancers = [Fleet((), load_balancers=(balancer(name=f"lb-{n}", green=g),)) for n, g in enumerate(shares)]
    parts = [Fleet((ready(BLUE),), idle=(ready(GREEN),)), *balancers]
    made = top.snapshot({str(n): answered(part) for n, part in enumerate(parts)}, AT, ADDRESSES, version="1.4.0")
    assert [each.what for each in made.fleet.instances] == serving
    assert [each.what for each in made.fleet.idle] == idle
    assert made.fleet.version == "1.4.0"


def test_who_has_been_silent_for_too_long_is_out_of_reach_and_the_others_are_not() -> None:
    other = Fleet((ready(Instance("app-2", 3310)),))
    answers = {"app-1": answered(Fleet((ready(BLUE),)), silent=12.0), "app-2": answered(other, silent=4.0)}
    made = top.snapshot(answers, AT, ADDRESSES, patience=5.0)
    found = {str(each.what): (each.state, each.detail) for each in made.fleet.instances}
    assert found == {
        "app-1:3310": (State.UNREACHABLE, "app-1 has not answered for 12 s"),
        "app-2:3310": (State.READY, ""),
    }
    assert made.fleet.unreachable_hosts() == ("app-1",)


def test_who_never_answered_is_awaited_first_and_then_out_of_reach() -> None:
    early = top.snapshot({"app-1": answered(None, silent=1.0)}, AT, ADDRESSES, patience=5.0)
    assert (early.awaited, early.fleet.instances) == (("app-1",), ())
    assert "asking app-1" in shown(early)[0]
    late = top.snapshot({"app-1": answered(None, silent=6.0)}, AT, ADDRESSES, patience=5.0)
    assert (late.awaited, [each.state for each in late.fleet.instances]) == ((), [State.UNREACHABLE])


def test_finds_the_latest_step_of_the_running_change_in_the_journal() -> None:
    entries = [
        {"change": "c0", "what": "stage 1.3.0", "result": "done", "time": "2026-03-01T09:00:00.000Z"},
        {"change": "c1", "what": "to 1.4.0", "result": "begun", "time": "2026-03-01T09:59:00.000Z"},
    ]
    step = {"change": "c1", "what": "stage 1.4.0", "result": "begun", "time": "2026-03-01T09:59:30.000Z"}
    assert top.latest([json.dumps(each) for each in entries], RUNNING) == RUNNING
    found = top.latest([json.dumps(each) for each in (*entries, step)], RUNNING)
    assert (found.step, found.result, found.at) == ("stage 1.4.0", "begun", AT - timedelta(seconds=30))


def test_shows_the_running_change_with_its_latest_step() -> None:
    running = replace(RUNNING, why="[/red] a fix", step="stage 1.4.0", result="begun", at=AT - timedelta(seconds=30))
    lines = shown(seen(Fleet((ready(BLUE),)), Lock(running)), size=Size(120))
    assert "change     blue-green to 1.4.0, by ana@desk 1, since 2026-03-01 09:59:00 UTC: [/red] a fix" in lines
    assert "  step     begun 30 s ago: stage 1.4.0" in lines


@pytest.mark.parametrize(
    ("lock", "line"),
    [
        pytest.param(Lock(), "change     none runs", id="none"),
        pytest.param(Lock(unknown="3 of 4 hosts are away"), "change     unknown: 3 of 4 hosts are away", id="unknown"),
        pytest.param(
            Lock(RUNNING), "change     blue-green to 1.4.0, by ana@desk 1, since 2026-03-01 09:59:00 UTC: a…", id="runs"
        ),
    ],
)
def test_says_whether_a_change_runs(lock: Lock, line: str) -> None:
    assert line in shown(seen(Fleet((ready(BLUE),)), lock))


LONG = (
    "does not answer over SSH (timed out after a long while and for a reason that takes some words); try: ssh 10.0.0.1"
)
PEERS = [Peer(f"{ADDRESSES.get(host, host)}:3310", Colour.BLUE) for n in range(1, 100) if (host := f"app-{n}")]
CROWD = Fleet(
    (
        *(ready(Instance(f"app-{n}", 3310), 1234.5, 0.1) for n in range(1, 31)),
        Observed(Instance("app-99", 3310), State.UNREACHABLE, detail=f"app-99 {LONG}"),
    ),
    (Observed(Dispatcher("app-99", 1), State.UNREACHABLE, detail=f"app-99 {LONG}"),),
    load_balancers=(balancer(*PEERS), balancer(name="lb-2", green=None, detail=f"lb-2 {LONG}")),
)


@pytest.mark.parametrize("width", [80, 99, 100, 160])
def test_is_readable_at_any_width(width: int) -> None:
    lines = shown(seen(CROWD, Lock(replace(RUNNING, step="s" * 200))), size=Size(width))
    assert max(map(len, lines)) <= width
    for n in range(1, 31):
        (row,) = [line for line in lines if line.startswith(f"app-{n}:3310 ")]
        assert row.split()[1:4] == ["blue", "1.4.0", "ready"]
        assert "1234.5" in row
    (dispatcher,) = [line for line in lines if line.startswith("app-99/dispatcher-1 ")]
    assert "unreachable" in dispatcher
    assert any(line.startswith("lb-2") and "cannot be asked" in line for line in lines)
    assert " ".join(line.strip() for line in lines).count("try: ssh 10.0.0.1") == 2  # each reason once


@pytest.mark.parametrize("height", [20, 24, 40])
def test_in_a_low_window_the_worst_is_shown_first(height: int) -> None:
    lines = shown(seen(CROWD), size=Size(80, height))
    assert len(lines) < height
    assert [line for line in lines if line.startswith("app-99:3310")]
    assert [line for line in lines if line.startswith("app-99/dispatcher-1")]
    (left,) = [line for line in lines if line.startswith("… and ")]
    rows = [line for line in lines if line.startswith("app-") and {"ready", "unreachable"} & {*line.split()}]
    assert left.startswith(f"… and {32 - len(rows)} more, all well")


def test_what_is_down_comes_before_what_gets_no_traffic() -> None:
    rows = [top.Row(f"app-{n}:3310", "blue", "", State.READY, "", traffic="out") for n in range(5)]
    down = top.Row("app-9:3310", "blue", "", State.UNREADY, "")
    kept, _ = top.fitted([*rows, down], 3)
    assert kept == (rows[0], down)


def test_what_is_left_out_is_not_called_well_when_it_is_not() -> None:
    rows = [top.Row(f"app-{n}:3310", "blue", "", State.UNREADY, "") for n in range(5)]
    kept, left_out = top.fitted(rows, 3)
    assert (len(kept), left_out.partition(";")[0]) == (2, "… and 3 more, 3 of them not well")
    assert top.fitted(rows, 5) == (tuple(rows), "")


def test_keeps_a_history_of_requests_and_errors() -> None:
    series = [seen(Fleet((ready(BLUE, requests, errors),))) for requests, errors in ((0, 0), (50, 0), (100, 2))]
    lines = shown(*series)
    assert lines[1] == "requests/s    100.0  ▁▅█  at most 100.0"
    assert lines[2] == "errors/s        2.0  ▁▁█  at most 2.0"
    assert shown(seen(Fleet(())))[1] == "requests/s        ?"


def test_idle_instances_show_while_they_run_and_count_no_alarm() -> None:
    stopped = Observed(Instance("app-2", 3410, Colour.GREEN), State.STOPPED)
    lines = shown(seen(Fleet((ready(BLUE),), idle=(ready(GREEN, retires=True), stopped))))
    assert [line.split()[-2:] for line in lines if line.startswith("app-1:3410")] == [["idle,", "retires"]]
    assert not [line for line in lines if line.startswith("app-2:3410")]
    assert "1 of 1 instances ready" in lines[0]


def test_a_look_as_data_is_json() -> None:
    fleet = Fleet(
        (ready(BLUE, 3.0, 1.0),), version="1.4.0", load_balancers=(balancer(Peer("10.0.0.1:3310", Colour.BLUE, 0)),)
    )
    data = json.loads(json.dumps(top.data(seen(fleet, Lock(replace(RUNNING, at=AT)), awaited=("app-2",)))))
    assert (data["requests_per_second"], data["errors_per_second"], data["awaited"]) == (3.0, 1.0, ["app-2"])
    assert (data["instances"][0]["traffic"], data["instances"][0]["colour"]) == ("out", "blue")
    assert data["change"]["who"] == "ana@desk 1"
    assert json.loads(json.dumps(top.data(seen(Fleet(())))))["change"] is None


@pytest.fixture
def hanging() -> Iterator[threading.Event]:
    """A host that hangs until the test has ended."""
    event = threading.Event()
    yield event
    event.set()


def test_one_that_hangs_holds_nobody_up(hanging: threading.Event) -> None:
    asked: list[str] = []

    def hang() -> Part:
        hanging.wait()
        return Fleet(())

    def answer() -> Part:
        asked.append("app-2")
        return Fleet((ready(BLUE),))

    unasked = partial(top.unasked_host, HOST)
    watch = Watch({"app-1": Question(hang, unasked), "app-2": Question(answer, unasked)}, interval=0.01)
    watch.start()
    until(lambda: len(asked) > 5)
    answers = watch.answers()
    watch.end()
    assert answers["app-1"].said is None
    assert answers["app-2"].said == Fleet((ready(BLUE),))
    assert answers["app-1"].silent > answers["app-2"].silent


def test_a_defect_in_a_thread_is_not_a_screen_that_stands_still() -> None:
    def break_() -> Part:
        raise ZeroDivisionError

    watch = Watch({"app-1": Question(break_, partial(top.unasked_host, HOST))}, interval=0.01)
    watch.start()

    def is_broken() -> bool:
        try:
            watch.answers()
        except ZeroDivisionError:
            return True
        return False

    until(is_broken)


@pytest.fixture
def nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A fleet of which no host listens for SSH: port 1 of this machine refuses."""
    (tmp_path / "hosts.yml").write_text(
        "all: {vars: {ansible_host: 127.0.0.1, ansible_port: 1}}\n"
        "loadbalancers: {hosts: {lb-1: {}}}\napp: {hosts: {app-1: {amebo_web_ports: [3310], amebo_dispatchers: 1}}}\n"
    )
    monkeypatch.setenv("ANSIBLE_INVENTORY", str(tmp_path))
    monkeypatch.setenv("COLUMNS", "80")


@pytest.mark.usefixtures("nobody")
def test_asks_the_hosts_who_changes_the_fleet_and_how_far_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hosts = Hosts(tmp_path / "hosts", in_process=True)
    monkeypatch.setattr(keepers, "over_ssh", lambda _inventory: hosts)
    fleet = inventory.read()
    ask = command.questions(fleet, 0)["the lock"].ask
    assert ask() == Lock()
    with interlock.change(fleet, "rolling-update", "to 1.4.0", "a fix") as change:
        for number in range(command.TAIL):
            change.step(f"step {number}", "done")
        found = ask()
        assert isinstance(found, Lock)
        assert found.change is not None
        assert (found.change.verb, found.change.step) == ("rolling-update", f"step {command.TAIL - 1}")
        journal = hosts.file("lb-1", "journal.jsonl")
        good = journal.read_text()
        journal.write_text("this is no line of a journal\n")
        broken = ask()
        assert isinstance(broken, Lock)
        assert broken.change is None
        assert "the journal: its answer cannot be read" in broken.unknown
        journal.write_text(good)
        hosts.away = {"lb-1", "app-1"}
        away = ask()
        assert isinstance(away, Lock)
        assert "does not answer" in away.unknown
        hosts.away = set()


PATIENCE = 60.0  # seconds of silence


def typed(*words: str) -> Result:
    return CliRunner().invoke(command.commands, ["top", *words])


@pytest.mark.usefixtures("nobody")
def test_a_fleet_that_is_away_is_shown_as_such() -> None:
    once = typed("--once")
    assert once.exit_code == 0
    assert "0 of 1 instances ready" in once.output
    assert "cannot be asked" in once.output
    assert "change     unknown: " in once.output
    assert "app-1 does not answer over SSH" in once.output
    data = json.loads(typed("--once", "--json").output)
    assert [each["state"] for each in data["instances"]] == ["unreachable"]
    assert "lb-1 does not answer over SSH" in data["load_balancers"][0]["detail"]


@pytest.mark.usefixtures("nobody")
@pytest.mark.parametrize(
    ("words", "why"), [(("--json",), "add --once"), ((), "needs a terminal")], ids=["json for ever", "no terminal"]
)
def test_refuses_what_nobody_could_look_at(words: tuple[str, ...], why: str) -> None:
    assert why in str(typed(*words).exception)
    assert isinstance(typed(*words).exception, FleetError)


@pytest.fixture
def silent(nobody: None, tmp_path: Path) -> Iterator[None]:  # noqa: ARG001  # it writes the inventory
    """One more host, that takes connections and then says nothing, as one that is frozen."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with (tmp_path / "hosts.yml").open("a") as hosts:
            hosts.write(f"more: {{children: {{app: {{hosts: {{app-2: {{ansible_port: {port}}}}}}}}}}}\n")
        yield


@pytest.mark.usefixtures("silent")
@pytest.mark.parametrize("key", [b"q", b"\x03"], ids=["q", "Ctrl-C"])
def test_the_live_screen_shows_what_is_known_and_ends_by_a_key_while_a_host_hangs(key: bytes) -> None:
    """On a real terminal, which it leaves as it was."""
    heard = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)"  # a background job ignores it
    program = f"{heard}; from fleet.commands.top import commands; commands(['top', '--interval', '30'])"
    mine, theirs = pty.openpty()
    environment = {**os.environ, "TERM": "xterm", "PYTHONPATH": str(ROOT), "LINES": "24", "COLUMNS": "120"}
    child = subprocess.Popen(
        [sys.executable, "-c", f"import os, fcntl, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0); {program}"],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env=environment,
        start_new_session=True,
    )
    os.close(theirs)
    before = termios.tcgetattr(mine)
    said = _read_until(mine, b"unreachable")
    os.write(mine, key)
    said += _read_until(mine, b"\x1b[?1049l")  # the screen that was there before
    assert child.wait(20) == 0
    assert termios.tcgetattr(mine) == before
    os.close(mine)
    assert b"app-1:3310" in said
    assert b"asking app-2" in said


def _read_until(descriptor: int, word: bytes) -> bytes:
    said = b""
    while word not in said:
        assert select.select([descriptor], [], [], PATIENCE)[0], said.decode()
        try:
            part = os.read(descriptor, 65536)
        except OSError:  # the program is gone
            part = b""
        assert part, said.decode()
        said += part
    return said

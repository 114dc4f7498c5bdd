"""What a person and a program are shown: values in, lines out."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from io import StringIO
from typing import get_args

import pytest
from rich.console import Console

from fleet import model
from fleet.model import (
    Balance,
    Check,
    Colour,
    Dispatcher,
    Failed,
    Fleet,
    Host,
    Instance,
    Keep,
    LoadBalancer,
    Migrate,
    Observed,
    Peer,
    Rates,
    Record,
    RecordPorts,
    Replace,
    ReplaceDispatchers,
    Report,
    Retire,
    Shift,
    Smoke,
    Soak,
    Stage,
    State,
    Step,
    Stop,
    SwitchDispatchers,
    Timed,
)
from fleet.show import describe, fleet_data, fleet_table, plan_data, plan_lines, report_data, summary

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
BLUE, GREEN = Instance("app-1", 3310), Instance("app-1", 3410, Colour.GREEN)
STEPS: dict[Step, str] = {
    Check("1.1.0", ("app-1", "app-2")): "check that 1.1.0 could run on app-1, app-2",
    Stage("1.1.0", ("app-1",)): "stage 1.1.0 on app-1",
    Migrate("1.1.0", "app-1"): "migrate the database for 1.1.0, from app-1",
    Replace("1.1.0", (GREEN,)): "replace app-1:3410 with 1.1.0",
    Soak("1.1.0", (GREEN,), 2.5): "soak: app-1:3410 stay ready on 1.1.0 for 2.5 s",
    ReplaceDispatchers("1.1.0", "app-1"): "restart app-1's dispatchers on 1.1.0",
    Smoke("1.1.0", (GREEN,)): "ask app-1:3410 through every load balancer: ready on 1.1.0",
    Shift(0.5, ("lb-1", "lb-2")): "send 0.5 % of the traffic to green on lb-1, lb-2",
    Shift(100, ("lb-1",)): "send 100 % of the traffic to green on lb-1",
    SwitchDispatchers("1.1.0", ("app-1",)): "stop all dispatchers, and start those of app-1 on 1.1.0",
    Keep((GREEN,)): "keep app-1:3410 from being stopped",
    Retire((BLUE,), 600): "let app-1:3310 stay ready for 600 s; then their hosts stop them",
    Record("1.1.0"): "record 1.1.0 in the inventory",
    RecordPorts((Host("app-1", "", (3310, 3311)), Host("app-2", ""))): "record the web ports in the inventory: "
    "app-1 has 3310, 3311; app-2 has none",
    Balance(("lb-1", "lb-2")): "tell lb-1, lb-2 which instances there are",
    Stop((GREEN,)): "stop app-1:3410, once they have answered what they accepted",
}


def shown(fleet: Fleet) -> list[str]:
    """The table as it is printed on a wide terminal, its header left out."""
    out = StringIO()
    Console(file=out, width=200).print(fleet_table(fleet, NOW))
    return [" ".join(line.split()) for line in out.getvalue().splitlines()[1:]]


@pytest.mark.parametrize("step", STEPS, ids=lambda step: type(step).__name__)
def test_a_step_is_one_line(step: Step) -> None:
    assert describe(step) == STEPS[step]


def test_every_step_that_there_is_has_its_line() -> None:
    assert {type(step) for step in STEPS} == {*get_args(model.Step)}


def test_a_plan_is_numbered() -> None:
    assert plan_lines((Record("1.1.0"), Shift(0, ("lb-1",)))) == [
        "  1. record 1.1.0 in the inventory",
        "  2. send 0 % of the traffic to green on lb-1",
    ]
    assert plan_lines(()) == []


def test_a_plan_for_programs_is_json_with_the_fields_of_each_step() -> None:
    found = json.loads(json.dumps(plan_data(tuple(STEPS))))
    assert [each["line"] for each in found] == list(STEPS.values())
    smoke = next(each for each in found if each["step"] == "Smoke")
    assert smoke["instances"] == [{"host": "app-1", "port": 3410, "colour": "green"}]


@pytest.mark.parametrize(
    ("found", "line"),
    [
        (Observed(BLUE, State.READY, "1.0.0", NOW - timedelta(days=3)), "app-1:3310 1.0.0 ready 3 d"),
        (Observed(BLUE, State.READY, "1.0.0", NOW - timedelta(minutes=119)), "app-1:3310 1.0.0 ready 1 h"),
        (Observed(BLUE, State.READY, "1.0.0", NOW + timedelta(seconds=9)), "app-1:3310 1.0.0 ready 0 s"),
        (Observed(BLUE, State.STOPPED, detail="slot a failed"), "app-1:3310 stopped slot a failed"),
        (Observed(BLUE, State.UNREADY, "1.0.0", detail="database"), "app-1:3310 1.0.0 unready database"),
        (
            Observed(BLUE, State.READY, "1.0.0", restarts=("signal", "oom-kill")),
            "app-1:3310 1.0.0 ready restarted 2 times: oom-kill",
        ),
        (Observed(BLUE, State.READY, "1.0.0", rates=Rates(12.34, 0, 5.4)), "app-1:3310 1.0.0 ready 12.3 5 0.0"),
        (Observed(BLUE, State.READY, "1.0.0", rates=Rates(0, 0, None)), "app-1:3310 1.0.0 ready 0.0 0.0"),
    ],
)
def test_a_process_is_a_row(found: Observed[Instance], line: str) -> None:
    assert shown(Fleet((found,))) == [line]


def test_a_time_in_another_zone_is_the_same_time() -> None:
    since = datetime.fromisoformat("2026-01-02T05:03:05+02:00")
    assert shown(Fleet((Observed(BLUE, State.READY, "1.0.0", since),))) == ["app-1:3310 1.0.0 ready 1 m"]


def test_the_idle_colour_is_shown_while_it_runs() -> None:
    serving, dispatcher = Observed(BLUE, State.READY, "1.1.0"), Observed(Dispatcher("app-1", 1), State.READY, "1.1.0")
    retires = Observed(GREEN, State.READY, "1.0.0", retires=True)
    fleet = Fleet((serving,), (dispatcher,), idle=(retires,))
    assert shown(fleet) == [
        "app-1:3310 1.1.0 ready",
        "app-1:3410 1.0.0 ready idle, retires",
        "app-1/dispatcher-1 1.1.0 ready",
    ]
    assert len(shown(replace(fleet, idle=(replace(retires, state=State.STOPPED),)))) == 2


def test_what_runs_and_should_not_is_shown() -> None:
    stray = Observed(Instance("app-1", 3399), State.READY, "1.0.0")
    assert shown(Fleet((), strays=(stray,))) == ["app-1:3399 1.0.0 ready not in the inventory"]
    assert fleet_data(Fleet((), strays=(stray,)))["strays"][0]["port"] == 3399


def test_what_is_wrong_with_an_idle_instance_is_a_word_of_its_own() -> None:
    found = Observed(GREEN, State.UNREADY, "1.0.0", detail="database", retires=True)
    assert shown(Fleet((), idle=(found,))) == ["app-1:3410 1.0.0 unready database, idle, retires"]


def test_a_detail_is_shown_as_it_is() -> None:
    found = Observed(BLUE, State.UNREADY, detail="answers [bold]503")
    assert shown(Fleet((found,))) == ["app-1:3310 unready answers [bold]503"]


PEERS = (Peer("192.0.2.1:3310", Colour.BLUE, 0, "guard"), Peer("192.0.2.1:3410", Colour.GREEN, 10))
LINES = {
    "blue": (LoadBalancer("lb-1", 0), "lb-1: all traffic to blue"),
    "green": (LoadBalancer("lb-1", 100), "lb-1: all traffic to green"),
    "a canary": (LoadBalancer("lb-1", 5), "lb-1: 5 % of the traffic to green"),
    "almost all": (LoadBalancer("lb-1", 99.5), "lb-1: 99.5 % of the traffic to green"),
    "maintenance": (LoadBalancer("lb-1", 0, maintenance="queue"), "lb-1: all traffic to blue, maintenance: queue"),
    "the shared address": (LoadBalancer("lb-1", 0, holds=True), "lb-1: holds the shared address, all traffic to blue"),
    "another has it": (LoadBalancer("lb-2", 0, holds=False), "lb-2: all traffic to blue"),
    "away": (LoadBalancer("lb-1", detail="no route"), "lb-1 cannot be asked: no route"),
    "instances out": (
        LoadBalancer("lb-1", 0, peers=PEERS),
        "lb-1: all traffic to blue, 192.0.2.1:3310 out (guard: open), 192.0.2.1:3410 at 10 %",
    ),
}


@pytest.mark.parametrize("case", LINES)
def test_what_a_load_balancer_sends_where_is_a_line(case: str) -> None:
    found, line = LINES[case]
    assert summary(Fleet((), load_balancers=(found,))).splitlines()[1:] == [line]


def test_a_share_below_one_percent_is_shown() -> None:
    found = LoadBalancer("lb-1", 0.5)
    assert summary(Fleet((), load_balancers=(found,))).endswith("lb-1: 0.5 % of the traffic to green")


@pytest.mark.parametrize(
    ("fleet", "line"),
    [
        (Fleet(()), "0 of 0 instances ready, on no version"),
        (Fleet((Observed(BLUE, State.READY, "1.0.0"),), version="1.0.0"), "1 of 1 instances ready, on 1.0.0"),
        (
            Fleet((Observed(BLUE, State.READY, "1.1.0"), Observed(GREEN, State.UNREADY, "1.0.0")), version="1.0.0"),
            "1 of 2 instances ready, on 1.0.0, 1.1.0; the inventory asks for 1.0.0",
        ),
    ],
)
def test_the_fleet_in_a_sentence(fleet: Fleet, line: str) -> None:
    assert summary(fleet) == line


def test_a_fleet_for_programs_is_json() -> None:
    fleet = Fleet(
        (Observed(BLUE, State.READY, "1.1.0", NOW, rates=Rates(1, 0, 5)),),
        (Observed(Dispatcher("app-1", 1), State.STOPPED),),
        "1.1.0",
        (Observed(GREEN, State.READY, "1.0.0", retires=True),),
        (LoadBalancer("lb-1", 0, peers=PEERS),),
    )
    found = json.loads(json.dumps(fleet_data(fleet)))
    assert (found["instances"][0]["host"], found["instances"][0]["port"], found["instances"][0]["ready"]) == (
        "app-1",
        3310,
        True,
    )
    assert found["instances"][0]["since"] == "2026-01-02T03:04:05+00:00"
    assert (found["idle"][0]["port"], found["idle"][0]["version"]) == (3410, "1.0.0")
    assert (found["dispatchers"][0]["number"], found["dispatchers"][0]["ready"]) == (1, False)
    assert (
        found["load_balancers"][0]["peers"][0] | {"by": "guard", "weight": 0} == found["load_balancers"][0]["peers"][0]
    )


def test_a_report_for_programs_is_json() -> None:
    report = Report(
        "1.1.0",
        (GREEN,),
        (Failed(BLUE, "unready", "its last lines"),),
        (),
        (BLUE,),
        (Timed(Record("1.1.0"), 1.234),),
        (Shift(0, ("lb-1",)),),
        "it failed",
        2.345,
    )
    assert json.loads(json.dumps(report_data(report))) == {
        "version": "1.1.0",
        "done": ["app-1:3410"],
        "failed": [{"instance": "app-1:3310", "why": "unready", "journal": "its last lines"}],
        "untouched": [],
        "taken_out": ["app-1:3310"],
        "steps": [{"line": "record 1.1.0 in the inventory", "seconds": 1.23}],
        "undone": ["send 0 % of the traffic to green on lb-1"],
        "error": "it failed",
        "seconds": 2.35,
    }

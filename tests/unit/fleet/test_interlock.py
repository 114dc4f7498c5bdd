"""One change at a time, and every step of it written down: on hosts that are folders."""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from fleet import history, interlock
from fleet.effects import journal, keepers
from fleet.effects.inventory import Inventory
from fleet.effects.journal import Copy
from fleet.effects.lease import LeaseHeld, LeaseLost, Timing
from fleet.errors import FleetError, StepFailed
from tests.unit.fleet.effects.hosts import Hosts, until

LBS, APPS = ("lb-1", "lb-2"), ("app-1",)
FLEET = Inventory({"loadbalancers": LBS, "app": APPS, "database": ("db-1",)}, {})
UPDATE = ("rolling-update", "to 1.4.0", "a fix")
BRIEF = Timing(ttl=2, beat=0.5)
SLOW = Timing(ttl=60, beat=50)


@pytest.fixture
def hosts(tmp_path: Path) -> Hosts:
    return Hosts(tmp_path, in_process=True)


def told(hosts: Hosts) -> tuple[history.Change, ...]:
    return history.changes({name: Copy(tuple(hosts.journal(name))) for name in LBS})


def results(hosts: Hosts) -> list[str]:
    return [change.result for change in told(hosts)]


def is_free(hosts: Hosts) -> bool:
    return interlock.holder(FLEET, ask=hosts) is None


def break_lock(hosts: Hosts) -> None:
    held = interlock.holder(FLEET, ask=hosts)
    assert held
    interlock.break_(FLEET, held, "a thief", ask=hosts)


def test_writes_what_was_begun_each_step_and_how_it_ended(hosts: Hosts) -> None:
    with interlock.change(FLEET, *UPDATE, ask=hosts) as change:
        held = interlock.holder(FLEET, ask=hosts)
        assert held is not None
        assert (held.verb, held.what, held.why, held.votes, held.of) == (*UPDATE, 3, 3)
        assert re.fullmatch(r"\S+@\S+ \d+", held.who)
        change.step("step 1/1: stage 1.4.0")
        change.step("step 1/1: stage 1.4.0", "done")
    (done,) = told(hosts)
    assert (done.id, done.who, done.verb, done.what, done.why, done.result) == (held.id, held.who, *UPDATE, "done")
    assert [(step.what, step.result) for step in done.steps] == [("step 1/1: stage 1.4.0", "done")]
    assert hosts.journal("lb-1") == hosts.journal("lb-2")
    assert change.warnings == []
    assert is_free(hosts)


def test_a_database_host_has_no_vote() -> None:
    assert interlock.voters(FLEET) == (*APPS, *LBS)


def test_a_machine_that_is_both_has_one_vote() -> None:
    assert interlock.voters(Inventory({"loadbalancers": ("one",), "app": ("one",)}, {})) == ("one",)


def test_a_second_operator_does_nothing_at_all(hosts: Hosts) -> None:
    with interlock.change(FLEET, *UPDATE, ask=hosts):
        before = hosts.journal("lb-1")
        with pytest.raises(LeaseHeld, match=r"rolling-update: to 1\.4\.0"), interlock.change(FLEET, *UPDATE, ask=hosts):
            pytest.fail("two at once")
        assert hosts.journal("lb-1") == before
    assert results(hosts) == ["done"]


ENDS = {
    "a failed step": (StepFailed("app-1: no room\nand more"), "failed: app-1: no room"),
    "Ctrl-C": (KeyboardInterrupt(), "aborted"),
    "a fault of ours": (ValueError("hunter2"), "failed: ValueError"),
    "an exit": (SystemExit("hunter2"), "failed: SystemExit"),
}


@pytest.mark.parametrize("case", ENDS)
def test_writes_how_it_ended_and_gives_the_lock_back(case: str, hosts: Hosts) -> None:
    error, result = ENDS[case]
    with pytest.raises(type(error)) as raised, interlock.change(FLEET, *UPDATE, ask=hosts):
        raise error
    assert raised.value is error
    assert results(hosts) == [result]
    assert "hunter2" not in hosts.file("lb-1", "journal.jsonl").read_text()
    assert is_free(hosts)


def test_a_report_that_says_failed_ends_as_failed(hosts: Hosts) -> None:
    with interlock.change(FLEET, *UPDATE, ask=hosts) as change:
        change.failed("app-2:3310 is unready\nits journal: …")
    assert results(hosts) == ["failed: app-2:3310 is unready"]


def test_a_journal_that_cannot_be_written_at_the_end_hides_no_error(hosts: Hosts) -> None:
    error = StepFailed("app-1: no room")
    warnings: list[str] = []

    def fail() -> None:
        nonlocal warnings
        with interlock.change(FLEET, *UPDATE, ask=hosts) as change:
            warnings = change.warnings
            hosts.away = {*LBS}
            raise error

    with pytest.raises(StepFailed) as raised:
        fail()
    assert raised.value is error
    assert [why.partition(":")[0] for why in warnings] == ["the journal does not say how it ended"]
    hosts.away = set()
    assert results(hosts) == [history.NOT_ENDED]


def test_a_change_that_cannot_be_written_down_does_not_begin(hosts: Hosts) -> None:
    hosts.away = {*LBS}
    with pytest.raises(FleetError, match="lb-1 does not answer"), interlock.change(FLEET, *UPDATE, ask=hosts):
        pytest.fail("it began")
    hosts.away = set()
    assert is_free(hosts)


def test_goes_on_without_one_load_balancer_and_says_so_once(hosts: Hosts) -> None:
    hosts.away = {"lb-2"}
    with interlock.change(FLEET, *UPDATE, ask=hosts) as change:
        change.step("step 1/1: stage 1.4.0")
    assert change.warnings == ["the journal misses a line: lb-2 does not answer"]
    assert results(hosts) == ["done"]


def test_who_lost_the_lock_stops_before_the_next_step_and_writes_nothing_more(hosts: Hosts) -> None:
    before: list[str] = []

    def lose() -> None:
        with interlock.change(FLEET, *UPDATE, ask=hosts, timing=BRIEF) as change:
            change.step("step 1/2: stage 1.4.0")
            hosts.away = {"lb-2", "app-1"}
            until(change.lease.lost.is_set)
            before.extend(hosts.journal("lb-1"))
            change.step("step 2/2: replace app-1:3310 with 1.4.0")

    with pytest.raises(LeaseLost):
        lose()
    assert len(before) == 2
    assert hosts.journal("lb-1") == before


def test_a_broken_lock_stops_the_change_before_its_next_step(hosts: Hosts) -> None:
    """Though no renewal was due since: the load balancers refuse its lines."""

    def go_on() -> None:
        with interlock.change(FLEET, *UPDATE, ask=hosts, timing=SLOW) as change:
            break_lock(hosts)
            change.step("step 1/1: stage 1.4.0")

    with pytest.raises(LeaseLost, match=r"broken by .*: a thief"):
        go_on()
    (broken,) = told(hosts)
    assert (broken.result, broken.verb) == ("aborted", "rolling-update")
    (step,) = broken.steps
    assert step.what == f"broke the lock of {broken.who} (rolling-update, to 1.4.0)"
    assert json.loads(hosts.journal("lb-2")[-1])["why"] == "a thief"
    assert is_free(hosts)


def test_after_a_lock_was_broken_the_next_change_can_begin(hosts: Hosts) -> None:
    def meanwhile() -> None:
        with interlock.change(FLEET, *UPDATE, ask=hosts, timing=SLOW) as change:
            break_lock(hosts)
            with interlock.change(FLEET, "postgresql", "tune", "a reason", ask=hosts), pytest.raises(LeaseLost):
                change.step("step 1/1: stage 1.4.0")
            change.lease.check()

    with pytest.raises(LeaseLost):
        meanwhile()
    assert results(hosts) == ["aborted", "done"]


def test_breaks_only_the_lock_that_was_shown(hosts: Hosts) -> None:
    with interlock.change(FLEET, *UPDATE, ask=hosts):
        held = interlock.holder(FLEET, ask=hosts)
        assert held
    with interlock.change(FLEET, "postgresql", "tune", "a reason", ask=hosts) as change:
        with pytest.raises(LeaseHeld, match="postgresql: tune"):
            interlock.break_(FLEET, held, "a thief", ask=hosts)
        change.step("goes on")
    assert results(hosts) == ["done", "done"]


def test_no_lock_is_broken_that_could_not_be_written_down(hosts: Hosts) -> None:
    with interlock.change(FLEET, *UPDATE, ask=hosts) as change:
        held = interlock.holder(FLEET, ask=hosts)
        assert held
        hosts.away = {*LBS}
        with pytest.raises(FleetError, match="no load balancer has a journal"):
            interlock.break_(FLEET, held, "a thief", ask=hosts)
        hosts.away = set()
        change.step("goes on")
    assert results(hosts) == ["done"]


def test_the_lock_is_given_back_when_the_line_that_it_began_fails(hosts: Hosts) -> None:
    def ask(host: str, verb: str, request: Mapping[str, Any]) -> keepers.Json:
        if verb == "append":
            raise FleetError(f"{host}: no room")
        return hosts(host, verb, request)

    with pytest.raises(FleetError, match="lb-1: no room"), interlock.change(FLEET, *UPDATE, ask=ask):
        pytest.fail("it began")
    assert is_free(hosts)


def test_the_copies_verify_after_everything(hosts: Hosts) -> None:
    for _ in range(3):
        with interlock.change(FLEET, *UPDATE, ask=hosts) as change:
            change.step("step 1/1: stage 1.4.0")
    found = history.findings(*journal.read(hosts, LBS))
    assert (found.lines, found.problems) == (9, ())

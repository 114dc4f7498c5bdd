"""Steps done one after the other, on a fleet on this machine: what goes well, what fails, and how it is taken back."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fleet import history, interlock
from fleet.effects import journal, ssh
from fleet.effects.inventory import Inventory
from fleet.effects.journal import Copy
from fleet.effects.lease import LeaseLost
from fleet.errors import StepFailed
from fleet.interlock import Change
from fleet.model import Fleet, Keep, Report, Retire, Shift, Smoke, Soak, Step, Timed
from fleet.perform import Progress, do, perform
from fleet.plan.rolling import Policy
from fleet.show import describe
from tests.unit.fleet.effects.hosts import Hosts
from tests.unit.fleet.local import LBS, NEW, OLD, LocalFleet, local_fleet

POLICY = Policy()


@pytest.fixture
def fleet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[LocalFleet]:
    with local_fleet(tmp_path) as made:
        monkeypatch.setattr(ssh, "run", made.servers)
        yield made


def to_green(fleet: LocalFleet) -> tuple[Step, ...]:
    """Blue-green without what Ansible does."""
    return (
        Keep(fleet.green),
        Smoke(NEW, fleet.green),
        Shift(100, LBS),
        Soak(NEW, fleet.green, 0),
        Retire(fleet.blue, 600),
    )


def done(fleet: LocalFleet, steps: tuple[Step, ...], **how: Any) -> Report:
    return perform(steps, NEW, fleet.inventory, POLICY, Progress(), **how)


def test_does_every_step_and_reports_what_is_found_afterwards(fleet: LocalFleet) -> None:
    begun: list[str] = []
    ended: list[Timed] = []
    hears = Progress(step=lambda number, of, step: begun.append(f"{number}/{of} {describe(step)}"), ended=ended.append)
    steps = to_green(fleet)
    report = perform(steps, NEW, fleet.inventory, POLICY, hears)
    assert (report.done, report.failed, report.untouched, report.error) == (fleet.green, (), (), "")
    assert begun == [f"{number}/5 {describe(step)}" for number, step in enumerate(steps, 1)]
    assert [timed.step for timed in report.steps] == list(steps) == [timed.step for timed in ended]
    assert report.seconds >= sum(timed.seconds for timed in report.steps) > 0
    assert fleet.greens() == [100, 100]
    assert fleet.retiring() == sorted(f"amebo-retire-{each.port}.timer" for each in fleet.blue)


def test_all_steps_well_and_an_instance_left_behind_is_a_failure(fleet: LocalFleet) -> None:
    fleet.services[fleet.green[1]].health(version=OLD)
    report = done(fleet, (Shift(100, LBS),))
    assert report.error == "not every instance is ready"
    assert [(each.instance, each.why) for each in report.failed] == [(fleet.green[1], f"ready on {OLD}")]
    assert report.done == (fleet.green[0], fleet.green[2])


def test_stops_at_the_first_failure_and_says_what_is_untouched(fleet: LocalFleet) -> None:
    fleet.services[fleet.green[0]].health(503, status="unready")
    report = done(fleet, to_green(fleet), undo=leave)
    assert report.error.startswith(
        f"ask {', '.join(map(str, fleet.green))} through every load balancer: ready on {NEW} failed"
    )
    assert [type(timed.step) for timed in report.steps] == [Keep]
    assert (report.untouched, report.undone, report.taken_out) == (fleet.blue, (), ())
    assert (fleet.greens(), fleet.retiring()) == ([0, 0], [])


def test_takes_back_what_turns_bad_after_the_switch(fleet: LocalFleet) -> None:
    bad = fleet.green[2]
    asked: list[tuple[tuple[float, ...], Step]] = []
    back = (Shift(0, LBS), Retire(fleet.green, 60))

    def undo(found: Fleet, failed: Step) -> tuple[Step, ...]:
        asked.append((found.shares, failed))
        return back

    fleet.services[bad].health(503, status="database")
    steps = to_green(fleet)
    report = done(fleet, steps[2:], undo=undo)
    assert asked == [((100,), steps[3])]
    assert report.error == f"{describe(steps[3])} failed: {bad}, after its update: unready on {NEW}: database"
    assert [(each.instance, each.why) for each in report.failed] == [(bad, f"unready on {NEW}: database")]
    assert report.undone == back
    assert [timed.step for timed in report.steps] == [steps[2], *back]
    assert fleet.greens() == [0, 0]
    assert fleet.retiring() == sorted(f"amebo-retire-{each.port}.timer" for each in fleet.green)


def test_a_way_back_that_fails_is_said_beside_why_it_was_gone(fleet: LocalFleet) -> None:
    fleet.services[fleet.green[0]].health(version=OLD)
    report = done(
        fleet, (Smoke(NEW, fleet.green),), undo=lambda _fleet, _step: (Shift(-1, LBS), Retire(fleet.green, 60))
    )
    first, *_, last = report.error.splitlines()
    assert first.startswith("ask ")
    assert last.startswith(
        "and taking it back failed: send -1 % of the traffic to green on lb-1, lb-2: lb-1 did not change"
    )
    assert fleet.retiring() == []


def test_what_is_unwell_leaves_service_where_nothing_is_taken_back(fleet: LocalFleet) -> None:
    bad, *others = fleet.blue
    fleet.services[bad].health(503, status="unready")
    report = perform((Soak(OLD, fleet.blue, 0),), OLD, fleet.inventory, POLICY, Progress())
    assert (report.taken_out, report.done) == ((bad,), tuple(others))
    units = fleet.servers.units(bad.host)
    assert f"amebo-web@{bad.port}.socket" not in units.active | units.enabled
    assert f"amebo-web@{fleet.green[0].port}.socket" in units.active


def test_nobody_leaves_service_where_all_are_unwell(fleet: LocalFleet) -> None:
    for each in fleet.blue:
        fleet.services[each].health(503, status="database")
    report = perform((Soak(OLD, fleet.blue, 0),), OLD, fleet.inventory, POLICY, Progress())
    assert [each.instance for each in report.failed] == list(fleet.blue)
    assert report.taken_out == ()


def test_a_soak_sees_what_turns_bad_within_it(fleet: LocalFleet, monkeypatch: pytest.MonkeyPatch) -> None:
    fleet.send(100)
    looks: list[str] = []

    def run(name: str, variables: dict[str, object], command: str, timeout: int = 30) -> ssh.Output:
        looks.append(name)
        if looks.count("app-1") == 2:
            fleet.services[fleet.green[0]].health(503, status="unready")
        return fleet.servers(name, variables, command, timeout)

    monkeypatch.setattr(ssh, "run", run)
    with pytest.raises(StepFailed, match=f"{fleet.green[0]}, after its update"):
        do((Soak(NEW, fleet.green, 600),), fleet.inventory, Progress())


def test_a_host_that_dies_in_a_soak_fails_it(fleet: LocalFleet) -> None:
    fleet.send(100)
    fleet.servers.away = {"app-2"}
    with pytest.raises(StepFailed, match=f"{fleet.green[1]}, after its update: unreachable") as raised:
        do((Soak(NEW, fleet.green, 0),), fleet.inventory, Progress())
    assert raised.value.hosts == {"app-2"}


@pytest.mark.parametrize("why", ["no load balancer can be asked", "traffic went elsewhere meanwhile"])
def test_a_soak_fails_also_where_the_load_balancers_say_nothing_of_its_colour(fleet: LocalFleet, why: str) -> None:
    fleet.services[fleet.green[0]].health(503, status="unready")
    fleet.send(100)
    if why == "no load balancer can be asked":
        fleet.servers.away = {*LBS}
    else:
        fleet.send(0)
    with pytest.raises(StepFailed):
        do((Soak(NEW, fleet.green, 0),), fleet.inventory, Progress())


def test_nothing_to_do_is_done(fleet: LocalFleet) -> None:
    """Somebody else did it between the question and the lock."""
    report = perform((), OLD, fleet.inventory, POLICY, Progress())
    assert (report.done, report.error) == (fleet.blue, "")


def told(hosts: Hosts) -> list[tuple[str, str]]:
    (one,) = history.changes({name: Copy(tuple(hosts.journal(name))) for name in LBS})
    return [(step.what, step.result) for step in one.steps]


def test_every_step_is_in_the_journal_with_how_it_ended(fleet: LocalFleet, tmp_path: Path) -> None:
    hosts = Hosts(tmp_path / "keepers", in_process=True)
    fleet.services[fleet.green[0]].health(503, status="unready")
    steps = to_green(fleet)
    with interlock.change(fleet.inventory, "blue-green", f"to {NEW}", "a fix", ask=hosts) as change:
        report = done(fleet, steps, change=change, undo=lambda _fleet, _step: (Retire(fleet.green, 60),))
        change.failed(report.error)
    names = ", ".join(map(str, fleet.green))
    (kept, smoked, retired) = told(hosts)
    assert kept == (describe(steps[0]), "done")
    assert smoked[0] == describe(steps[1])
    assert smoked[1].startswith("failed: lb-1: /health/ready was answered with 503")
    assert retired == (f"let {names} stay ready for 60 s; then their hosts stop them", "done")


def test_who_lost_the_lock_does_no_further_step_and_takes_nothing_back(fleet: LocalFleet, tmp_path: Path) -> None:
    hosts = Hosts(tmp_path / "keepers", in_process=True)
    undone: list[Step] = []

    def undo(_fleet: Fleet, step: Step) -> tuple[Step, ...]:
        undone.append(step)
        return (Shift(0, LBS),)

    def steal(number: int, _of: int, _step: Step) -> None:
        if number == 2:
            held = interlock.holder(fleet.inventory, ask=hosts)
            assert held
            interlock.break_(fleet.inventory, held, "a thief", ask=hosts)

    def go_on(inventory: Inventory, change: Change) -> None:
        perform(
            (Shift(50, LBS), Shift(100, LBS)), NEW, inventory, POLICY, Progress(step=steal), change=change, undo=undo
        )

    with pytest.raises(LeaseLost), interlock.change(fleet.inventory, "x", "y", "z", ask=hosts) as change:
        go_on(fleet.inventory, change)
    assert (fleet.greens(), undone) == ([50, 50], [])
    assert journal.read(hosts, LBS)


def leave(_fleet: Fleet, _failed: Step) -> tuple[Step, ...]:
    return ()

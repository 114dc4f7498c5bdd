"""The verbs that change a fleet, as they are typed, on a fleet on this machine."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from fleet import history, interlock
from fleet.commands import change
from fleet.effects import inventory, keepers, release, retirement, ssh
from fleet.effects.journal import Copy
from fleet.effects.lease import LeaseHeld
from fleet.errors import FleetError, PlanRefused
from fleet.model import Colour, Fleet, Instance, Observed, State
from tests.unit.fleet.effects.hosts import Hosts
from tests.unit.fleet.local import LBS, NEW, OLD, LocalFleet, local_fleet

HERE = {"ansible_connection": "local", "ansible_become": False, "ansible_host": "127.0.0.1"}


@pytest.fixture
def fleet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[LocalFleet]:
    """Ansible and the inventory are real; only SSH is not in between."""
    with local_fleet(tmp_path) as made:
        groups = {
            name: {"hosts": {host: {**HERE, **made.inventory.hosts[host]} for host in hosts}}
            for name, hosts in made.inventory.groups.items()
        }
        (tmp_path / "inventory/group_vars/app").mkdir(parents=True)
        (tmp_path / "inventory/hosts.yml").write_text(json.dumps(groups))
        recorded(tmp_path).write_text(f"amebo_version: {OLD}\n")
        monkeypatch.setenv("ANSIBLE_INVENTORY", str(tmp_path / "inventory"))
        monkeypatch.setenv("COLUMNS", "250")
        monkeypatch.setenv("AMEBO_REPORTS", str(tmp_path / "reports"))
        monkeypatch.setattr(ssh, "run", made.servers)
        hosts = Hosts(tmp_path / "keepers", in_process=True)
        monkeypatch.setattr(keepers, "over_ssh", lambda _inventory: hosts)
        yield made


@pytest.fixture
def hosts(fleet: LocalFleet) -> Hosts:  # noqa: ARG001  # it is there once the fleet is
    made = keepers.over_ssh(inventory.read())
    assert isinstance(made, Hosts)
    return made


def recorded(folder: Path) -> Path:
    """What the inventory asks for."""
    return folder / "inventory/group_vars/app/version.yml"


def typed(*words: str) -> Result:
    return CliRunner().invoke(change.commands, words)


def refusal(result: Result) -> str:
    """The sentence that the operator reads on stderr."""
    assert isinstance(result.exception, FleetError), result.output
    return str(result.exception)


def told(hosts: Hosts) -> list[tuple[str, str, str, str]]:
    found = history.changes({name: Copy(tuple(hosts.journal(name))) for name in LBS})
    return [(each.verb, each.what, each.why, each.result) for each in found]


def maintenance(fleet: LocalFleet) -> list[str]:
    return [lb.traffic()["maintenance"] for lb in fleet.lbs.values()]


@pytest.mark.parametrize(
    ("words", "state"), [(("on",), "on"), (("on", "--queue"), "queue"), (("off",), "off")], ids=["on", "queue", "off"]
)
def test_maintenance_is_the_same_on_every_load_balancer(
    fleet: LocalFleet, hosts: Hosts, words: tuple[str, ...], state: str
) -> None:
    for lb in fleet.lbs.values():
        lb.change(maintenance="on")
    done = typed("maintenance-page", *words, "--yes", "--reason", "a new disk")
    assert done.exit_code == 0, done.output
    assert maintenance(fleet) == [state, state]
    assert told(hosts) == [("maintenance-page", f"maintenance {state}", "a new disk", "done")]


def test_every_change_leaves_a_page_of_itself_well_ended_or_not(fleet: LocalFleet, tmp_path: Path) -> None:
    typed("shift", "100", "--yes", "--reason", "a test")
    (well,) = (tmp_path / "reports").iterdir()
    fleet.servers.away = {"lb-2"}
    typed("shift", "0", "--yes")
    (failed,) = set((tmp_path / "reports").iterdir()) - {well}
    assert "-shift-" in well.name
    assert "100 % to green" in well.read_text()
    assert "cannot be asked" in failed.read_text()


def test_a_page_that_cannot_be_written_is_a_warning(fleet: LocalFleet, tmp_path: Path) -> None:
    (tmp_path / "reports").write_text("a file")
    done = typed("shift", "100", "--yes")
    assert (done.exit_code, fleet.greens()) == (0, [100, 100])
    assert "warning: there is no report of this change: " in done.output


@pytest.mark.parametrize("words", [("perhaps",), ("off", "--queue")])
def test_maintenance_is_one_of_three(fleet: LocalFleet, words: tuple[str, ...]) -> None:
    assert refusal(typed("maintenance-page", *words, "--yes")) == "maintenance-page is on, on --queue, or off"
    assert maintenance(fleet) == ["off", "off"]


def test_maintenance_can_be_tried_and_asks_first(fleet: LocalFleet, hosts: Hosts) -> None:
    assert typed("maintenance-page", "on", "--dry-run").output == "lb-1, lb-2: maintenance on\n"
    assert "add --yes to go on" in refusal(typed("maintenance-page", "on"))
    assert (maintenance(fleet), told(hosts)) == (["off", "off"], [])


def test_maintenance_on_some_load_balancers_is_maintenance_on_none(fleet: LocalFleet, hosts: Hosts) -> None:
    fleet.servers.away = {"lb-2"}
    assert refusal(typed("maintenance-page", "on", "--yes")).startswith("nothing was changed: lb-2 (")
    assert maintenance(fleet) == ["off", "off"]
    ((_, _, _, result),) = told(hosts)
    assert result.startswith("failed: nothing was changed: lb-2 (")


def test_maintenance_waits_for_who_changes_the_fleet(fleet: LocalFleet, hosts: Hosts) -> None:
    with interlock.change(fleet.inventory, "rolling-update", "to 1.4.0", "a fix", ask=hosts):
        assert isinstance(typed("maintenance-page", "on", "--yes").exception, LeaseHeld)
    assert maintenance(fleet) == ["off", "off"]


def test_a_rollback_shows_the_way_back_and_changes_nothing_before_it_is_told_to(
    fleet: LocalFleet, hosts: Hosts
) -> None:
    fleet.send(100)
    shown = typed("rollback", "--dry-run")
    assert "send 0 % of the traffic to green on lb-1, lb-2" in shown.output
    assert f"record {OLD} in the inventory" in shown.output
    steps = json.loads(typed("rollback", "--dry-run", "--json").output)
    assert [step["step"] for step in steps] == ["Keep", "Smoke", "Shift", "SwitchDispatchers", "Record", "Retire"]
    assert f"Switch back to {OLD}?" in refusal(typed("rollback"))
    assert (fleet.greens(), fleet.retiring(), told(hosts)) == ([100, 100], [], [])


def test_a_rollback_switches_back_and_lets_the_other_colour_go(fleet: LocalFleet, hosts: Hosts, tmp_path: Path) -> None:
    fleet.send(100)
    recorded(tmp_path).write_text(f"amebo_version: {NEW}\n")
    done = typed("rollback", "--yes", "--reason", "too slow")
    assert done.exit_code == 0, done.output
    assert f"The fleet runs {OLD}." in done.output
    assert fleet.greens() == [0, 0]
    assert fleet.retiring() == sorted(f"amebo-retire-{each.port}.timer" for each in fleet.green)
    assert f'amebo_version: "{OLD}"' in recorded(tmp_path).read_text()
    assert told(hosts) == [("rollback", f"to {OLD}", "too slow", "done")]


def test_an_old_colour_that_does_not_answer_as_it_should_gets_no_traffic_and_is_let_go(fleet: LocalFleet) -> None:
    fleet.send(100)
    fleet.services[fleet.blue[0]].answers["/v1/events"] = (200, "{}")
    done = typed("rollback", "--yes")
    assert (done.exit_code, fleet.greens()) == (1, [100, 100])
    assert "was answered with 200" in done.output
    assert fleet.retiring() == sorted(f"amebo-retire-{each.port}.timer" for each in fleet.blue)


def test_a_rollback_that_fails_says_so_to_people_programs_and_the_journal(fleet: LocalFleet, hosts: Hosts) -> None:
    fleet.send(100)
    (fleet.lbs["lb-2"].folder / "state.json.new").mkdir()  # so it cannot write down what changes
    done = typed("rollback", "--yes", "--json")
    assert done.exit_code == 1
    error = json.loads(done.output)["error"]
    assert error.startswith("send 0 % of the traffic to green on lb-1, lb-2 failed: lb-2 did not change")
    assert told(hosts)[0][3] == f"failed: {error.splitlines()[0]}"
    assert fleet.greens() == [100, 100]


def test_what_goes_on_after_a_rollback_that_stopped_half_way_goes_the_same_way(
    fleet: LocalFleet, tmp_path: Path
) -> None:
    """The inventory cannot be written, so that the traffic is switched and the version is not recorded."""
    fleet.send(100)
    recorded(tmp_path).unlink()
    recorded(tmp_path).parent.rmdir()
    recorded(tmp_path).parent.write_text("")
    stopped = typed("rollback", "--yes")
    assert (stopped.exit_code, fleet.greens()) == (1, [0, 0])
    assert f"go on with: ./ops.py blue-green {OLD}" in stopped.output


def test_a_rollback_is_refused_while_traffic_is_split(fleet: LocalFleet) -> None:
    fleet.send(5)
    assert isinstance(typed("rollback", "--yes").exception, PlanRefused)
    assert fleet.greens() == [5, 5]


def test_a_rollback_says_that_traffic_is_split(fleet: LocalFleet) -> None:
    fleet.send(5)
    assert "green has 5 % of the traffic" in refusal(typed("rollback", "--yes"))


def test_a_rollback_asks_for_a_version_where_it_cannot_tell(fleet: LocalFleet) -> None:
    """What was stopped here never had a release."""
    fleet.stop(fleet.green)
    assert "name it: ./ops.py blue-green VERSION" in refusal(typed("rollback", "--yes"))


BLUE = Observed(Instance("app-1", 3310), State.READY, "1.1.0")
GREEN = Observed(Instance("app-1", 3410, Colour.GREEN), State.STOPPED, release="1.0.0")


@pytest.mark.parametrize(
    ("idle", "before"),
    [
        ((GREEN,), "1.0.0"),
        ((GREEN, replace(GREEN, state=State.UNREADY)), "1.0.0"),
        ((GREEN, replace(GREEN, release="0.9.0")), None),
        ((replace(GREEN, release="1.1.0"),), None),
        ((replace(GREEN, release=None),), None),
        ((), None),
    ],
    ids=["one", "unready", "two", "the same", "none", "no instance"],
)
def test_the_version_before_is_what_the_idle_colour_ran(
    idle: tuple[Observed[Instance], ...], before: str | None
) -> None:
    fleet = Fleet((BLUE,), idle=idle)
    if before:
        assert change._before(fleet) == before
        return
    with pytest.raises(PlanRefused, match="cannot tell which version was before"):
        change._before(fleet)


def test_a_release_that_was_not_built_is_refused(fleet: LocalFleet) -> None:
    for verb in ("blue-green", "rolling-update"):
        assert "./ops.py build 9.9.9" in refusal(typed(verb, "9.9.9", "--yes"))
    assert fleet.greens() == [0, 0]


@pytest.fixture
def built(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Releases of both versions, as far as a plan looks at them."""
    find = release.find
    for version in (OLD, NEW):
        (tmp_path / f"amebo-{version}-py311.tar.gz").touch()
        (tmp_path / f"amebo-{version}-py311.tar.gz.sha256").touch()
    monkeypatch.setattr(release, "find", lambda version: find(version, tmp_path))


@pytest.mark.usefixtures("built")
def test_blue_green_shows_what_it_would_do(fleet: LocalFleet, hosts: Hosts) -> None:
    """Green runs the version already, so that nothing is replaced; it is asked, before anybody is sent there."""
    steps = json.loads(typed("blue-green", NEW, "--dry-run", "--json", "--soak", "7", "--ready", "60").output)
    names = [step["step"] for step in steps]
    assert names == [
        *("Check", "Stage", "Migrate", "Keep", "Smoke", "Shift", "Soak"),
        *("SwitchDispatchers", "Record", "Retire"),
    ]
    assert (steps[6]["seconds"], steps[9]["seconds"]) == (7, 60)
    assert (fleet.greens(), told(hosts)) == ([0, 0], [])


@pytest.mark.usefixtures("built")
def test_blue_green_does_nothing_where_nothing_is_to_do(fleet: LocalFleet, hosts: Hosts) -> None:
    fleet.stop(fleet.green)
    done = typed("blue-green", OLD, "--yes")
    assert (done.exit_code, "Nothing to do." in done.output) == (0, True)
    assert json.loads(typed("blue-green", OLD, "--yes", "--json").output) == []
    assert (fleet.greens(), told(hosts)) == ([0, 0], [])


def test_scaling_down_takes_an_instance_off_the_load_balancers_and_stops_it(
    fleet: LocalFleet, hosts: Hosts, tmp_path: Path
) -> None:
    """The other two serve on, with their twins; what was scaled stands in the inventory."""
    gone = fleet.blue[2], fleet.green[2]
    done = typed("scale", "2", "--yes", "--reason", "a quiet night")
    assert done.exit_code == 0, done.output
    kept = sorted(fleet.services[each].address for each in (*fleet.blue[:2], *fleet.green[:2]))
    assert [sorted(lb.traffic()["instances"]) for lb in fleet.lbs.values()] == [kept, kept]
    assert servers_units(fleet, "app-3") == set()
    assert servers_units(fleet, "app-2") == {unit for i in (fleet.blue[1], fleet.green[1]) for unit in both_units(i)}
    assert f"stop {gone[0]}, {gone[1]}, once they have answered" in done.output
    assert [host.web_ports for host in inventory.read().app_hosts] == [
        *((each.port,) for each in fleet.blue[:2]),
        (),
    ]
    assert told(hosts) == [("scale", "to 2 instances", "a quiet night", "done")]
    assert recorded(tmp_path).read_text() == f"amebo_version: {OLD}\n"
    assert "Nothing to do." in typed("scale", "2", "--yes").output


def test_scaling_that_died_before_nginx_was_told_goes_on(fleet: LocalFleet) -> None:
    """The file is written, and nginx does not know; what is not in the inventory any more still runs."""
    fleet.servers.away = {"app-3"}
    lost = typed("scale", "2", "--yes")
    assert lost.exit_code == 0, lost.output  # what is away goes first, and cannot be stopped
    for lb in fleet.lbs.values():
        text = (lb.folder / "instances.json").read_text()
        lb.write([fleet.services[each].address for each in fleet.blue], [])
        lb.reread()
        (lb.folder / "instances.json").write_text(text)
    fleet.servers.away = set()
    names = [step["step"] for step in json.loads(typed("scale", "2", "--dry-run", "--json").output)]
    assert names == ["Balance", "Stop"]
    done = typed("scale", "2", "--yes")
    assert done.exit_code == 0, done.output
    assert [len(lb.traffic()["instances"]) for lb in fleet.lbs.values()] == [4, 4]
    assert servers_units(fleet, "app-3") == set()


def test_scaling_can_be_tried_and_asks_first(fleet: LocalFleet, hosts: Hosts) -> None:
    (replaced, recorded_, told_, soaked) = json.loads(typed("scale", "4", "--dry-run", "--json").output)
    assert (replaced["step"], replaced["version"]) == ("Replace", OLD)
    assert [step["step"] for step in (recorded_, told_, soaked)] == ["RecordPorts", "Balance", "Soak"]
    assert "add --yes to go on" in refusal(typed("scale", "4"))
    assert [len(lb.traffic()["instances"]) for lb in fleet.lbs.values()] == [6, 6]
    assert told(hosts) == []


def servers_units(fleet: LocalFleet, host: str) -> set[str]:
    """What runs there."""
    return fleet.servers.units(host).active


def both_units(instance: Instance) -> tuple[str, ...]:
    return retirement.units(instance.port)[:2]


def test_an_update_without_a_version_says_how_to_name_one(fleet: LocalFleet) -> None:
    assert "./ops.py rolling-update 1.4.0" in refusal(typed("rolling-update"))
    assert "name the version" in refusal(typed("rolling-update", "--resume"))
    assert fleet.greens() == [0, 0]

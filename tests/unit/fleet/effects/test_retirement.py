"""A colour's end, as its hosts are told it: in a real shell, before a systemd that is a folder."""

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from fleet.effects import retirement, ssh
from fleet.effects.inventory import Inventory
from fleet.errors import StepFailed
from fleet.model import Colour, Instance
from tests.unit.fleet.servers import Servers

HOSTS = ("app-1", "app-2")
FLEET = Inventory({"app": HOSTS}, {name: {"ansible_host": name} for name in HOSTS})
GREEN = tuple(Instance(host, port, Colour.GREEN) for host in HOSTS for port in (3410, 3411))
BLUE_UNITS = ("amebo-web@3310.socket", "amebo-web-a@3310.service")


def units_of(slots: str) -> list[str]:
    """Two instances, each with its socket and one of its slots."""
    return sorted(
        unit
        for port, slot in zip((3410, 3411), slots, strict=True)
        for unit in (f"amebo-web@{port}.socket", f"amebo-web-{slot}@{port}.service")
    )


@pytest.fixture
def servers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Servers:
    """Green runs beside blue; a handover has left it on different slots."""
    made = Servers(tmp_path)
    for name in HOSTS:
        made.starts(name, [*BLUE_UNITS, *units_of("ab")])
    monkeypatch.setattr(ssh, "run", made)
    return made


def enabled(servers: Servers, name: str) -> list[str]:
    """Of green: blue stays as it was, whatever happens to green."""
    found = servers.units(name).enabled
    assert {*BLUE_UNITS} <= found
    return sorted(found - {*BLUE_UNITS})


def timers(servers: Servers, name: str) -> list[str]:
    return sorted(servers.units(name).timers)


def test_they_run_on_for_their_time_and_stop_by_themselves(servers: Servers) -> None:
    retirement.arrange(FLEET, GREEN, 600)
    for name in HOSTS:
        units = servers.units(name)
        assert {*units_of("ab")} <= units.active
        assert {seconds for seconds, _ in units.timers.values()} == {600}
        servers.time_passes(name)
        assert servers.units(name).active == {*BLUE_UNITS}


def test_they_are_stopped_at_once_and_for_good(servers: Servers) -> None:
    retirement.arrange(FLEET, GREEN, 600)
    retirement.stop(FLEET, GREEN)
    for name in HOSTS:
        assert servers.units(name).active == {*BLUE_UNITS}
        assert (enabled(servers, name), timers(servers, name)) == ([], [])
    retirement.stop(FLEET, GREEN)


def test_stopping_says_who_was_not_told(servers: Servers) -> None:
    servers.away = {"app-2"}
    with pytest.raises(StepFailed, match="app-2: app-2 does not answer") as failed:
        retirement.stop(FLEET, GREEN)
    assert failed.value.hosts == {"app-2"}
    assert servers.units("app-1").active == {*BLUE_UNITS}


def test_a_reboot_in_between_does_not_bring_them_back(servers: Servers) -> None:
    retirement.arrange(FLEET, GREEN, 600)
    assert [enabled(servers, name) for name in HOSTS] == [[], []]


def test_one_command_a_host_is_enough(servers: Servers) -> None:
    retirement.arrange(FLEET, GREEN, 600)
    retirement.cancel(FLEET, GREEN)
    assert sorted(name for name, _ in servers.told) == ["app-1", "app-1", "app-2", "app-2"]


def test_what_is_kept_is_as_it_was(servers: Servers) -> None:
    retirement.arrange(FLEET, GREEN, 600)
    retirement.cancel(FLEET, GREEN)
    for name in HOSTS:
        assert timers(servers, name) == []
        assert enabled(servers, name) == units_of("ab")
        servers.time_passes(name)
        assert {*units_of("ab")} <= servers.units(name).active


def test_what_was_stopped_before_it_is_kept_is_not_started(servers: Servers) -> None:
    """The rollout that comes next starts it; only its ports are the host's again at boot."""
    retirement.arrange(FLEET, GREEN, 0)
    servers.time_passes("app-1")
    retirement.cancel(FLEET, GREEN)
    assert servers.units("app-1").active == {*BLUE_UNITS}
    assert enabled(servers, "app-1") == ["amebo-web@3410.socket", "amebo-web@3411.socket"]


@pytest.mark.parametrize("again", [GREEN, GREEN[:1]], ids=["all", "one"])
def test_arranging_twice_counts_from_the_second_time(servers: Servers, again: Sequence[Instance]) -> None:
    retirement.arrange(FLEET, GREEN, 600)
    retirement.arrange(FLEET, again, 30)
    found = servers.units("app-1").timers
    assert sorted(found) == ["amebo-retire-3410.timer", "amebo-retire-3411.timer"]
    assert found["amebo-retire-3410.timer"][0] == 30


def test_keeping_twice_or_what_was_never_retired_changes_nothing(servers: Servers) -> None:
    before = servers.units("app-1")
    retirement.cancel(FLEET, GREEN)
    retirement.cancel(FLEET, GREEN)
    assert servers.units("app-1") == before


def test_only_the_named_instances_are_retired(servers: Servers) -> None:
    retirement.arrange(FLEET, GREEN[:1], 600)
    assert timers(servers, "app-1") == ["amebo-retire-3410.timer"]
    assert enabled(servers, "app-1") == units_of("ab")[1::2]
    assert (timers(servers, "app-2"), enabled(servers, "app-2")) == ([], units_of("ab"))


@pytest.mark.parametrize("port", [3410, 3411])
def test_an_instance_that_cannot_be_retired_is_said(servers: Servers, port: int) -> None:
    """Whichever it is: the exit code of the last one is not the whole truth."""
    servers.refuses("app-2", f"amebo-retire-{port}")
    with pytest.raises(StepFailed, match=f"app-2: .*no room for amebo-retire-{port}") as raised:
        retirement.arrange(FLEET, GREEN, 600)
    assert raised.value.hosts == {"app-2"}
    assert len(timers(servers, "app-1")) == 2


ACTS: dict[str, Callable[[], None]] = {
    "arrange": lambda: retirement.arrange(FLEET, GREEN, 600),
    "cancel": lambda: retirement.cancel(FLEET, GREEN),
}


@pytest.mark.parametrize("act", ACTS)
def test_a_host_that_is_away_is_said_and_the_others_are_told(servers: Servers, act: str) -> None:
    servers.away = {"app-1"}
    with pytest.raises(StepFailed, match="app-1: app-1 does not answer") as raised:
        ACTS[act]()
    assert raised.value.hosts == {"app-1"}
    assert [name for name, _ in servers.told if name == "app-2"] == ["app-2"]

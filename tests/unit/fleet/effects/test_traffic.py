"""Traffic on several load balancers: real nginx with the project's own configuration; only SSH is not in between."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from threading import Event
from typing import Any

import pytest

from fleet.effects import ssh, traffic
from fleet.effects.inventory import Inventory
from fleet.errors import StepFailed
from fleet.model import Colour, LoadBalancer
from fleet.model import Instance as Place
from tests.balancer.conftest import Balancer, free_port
from tests.unit.fleet.effects.hosts import until
from tests.unit.fleet.servers import Servers
from tests.unit.fleet.service import VERSION, Service

LBS = ("lb-1", "lb-2")


@dataclass
class Site:
    """Two load balancers, one blue and three green instances behind each."""

    inventory: Inventory
    servers: Servers
    lbs: dict[str, Balancer]
    green: list[Service]
    places: tuple[Place, ...]

    def greens(self) -> list[float]:
        """As nginx itself says, whatever anybody read."""
        return [lb.traffic()["green"] for lb in self.lbs.values()]

    def smoke(self, version: str = VERSION) -> None:
        traffic.smoke(self.inventory, version, self.places)


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    services = [Service(f"app-{number}:3410") for number in range(4)]
    lbs = {name: Balancer(tmp_path / name, free_port(), free_port(), {}) for name in LBS}
    hosts = {name: {"nginx_listen_port": lb.port, "nginx_control_port": lb.control} for name, lb in lbs.items()}
    servers = Servers(tmp_path / "servers")
    monkeypatch.setattr(ssh, "run", servers)
    places = tuple(Place(f"app-{number}", 3410, Colour.GREEN) for number in range(1, 4))
    try:
        for lb in lbs.values():
            lb.folder.mkdir()
            lb.write([services[0].address], [each.address for each in services[1:]])
            lb.start()
        yield Site(Inventory({"loadbalancers": LBS}, hosts), servers, lbs, services[1:], places)
    finally:
        for lb in lbs.values():
            lb.stop()
        for each in services:
            each.close()


def test_reads_what_each_load_balancer_sends_where(site: Site) -> None:
    blue_first = site.lbs["lb-1"]
    address = site.green[0].address
    blue_first.change(green=5, wish="pause", weights={address: 0}, by="guard")
    one, two = traffic.read(site.inventory)
    assert (one.name, one.green, one.wish, one.maintenance, one.detail) == ("lb-1", 5, "pause", "off", "")
    assert (two.name, two.green, two.wish, two.maintenance, two.detail) == ("lb-2", 0, "", "off", "")
    assert [(peer.address, peer.colour, peer.by, peer.tripped) for peer in one.peers if not peer.weight] == [
        (address, Colour.GREEN, "guard", False)
    ]
    assert sorted(peer.colour for peer in two.peers) == ["blue", "green", "green", "green"]


def test_reads_who_holds_the_shared_address(site: Site) -> None:
    def holds(address: str) -> list[bool | None]:
        hosts = {name: {**variables, "amebo_address": address} for name, variables in site.inventory.hosts.items()}
        return [each.holds for each in traffic.read(Inventory(site.inventory.groups, hosts))]

    assert holds("127.0.0.1") == [True, True]
    assert holds("192.0.2.10") == [False, False]
    assert [each.holds for each in traffic.read(site.inventory)] == [None, None]


def test_reads_as_the_user_that_logs_in(site: Site) -> None:
    traffic.read(site.inventory)
    assert len(site.servers.told) == 2
    assert not [command for _, command in site.servers.told if "sudo -n" in command]


def test_who_cannot_be_asked_is_told_with_why(site: Site) -> None:
    site.servers.away = {"lb-1"}
    site.lbs["lb-2"].stop()
    one, two = traffic.read(site.inventory)
    assert one == LoadBalancer("lb-1", detail="lb-1 does not answer over SSH")
    assert two.green is None
    assert "Connection refused" in two.detail


@pytest.mark.parametrize("body", ["<html>a console</html>", "[]", '{"green": 0}'])
def test_whatever_else_listens_there_is_not_taken_for_a_load_balancer(site: Site, body: str) -> None:
    other = Service("other")
    other.answers["/traffic"] = (200, body)
    hosts = {**site.inventory.hosts, "lb-2": {"nginx_control_port": other.server_port}}
    one, two = traffic.read(Inventory(site.inventory.groups, hosts))
    assert (one.green, two.green) == (0, None)
    assert body in two.detail
    other.close()


def test_a_login_that_prints_is_not_taken_for_an_answer(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    def greeting(name: str, variables: Any, command: str, timeout: int = 30) -> ssh.Output:
        output = site.servers(name, variables, command, timeout)
        return ssh.Output(output.code, f"Welcome to {name}\n{output.stdout}", output.stderr)

    monkeypatch.setattr(ssh, "run", greeting)
    assert [(each.green, each.detail) for each in traffic.read(site.inventory)] == [
        (None, "what it answered is no JSON; does a login script print?")
    ] * 2


def test_asks_the_server_itself_whatever_proxy_it_uses(site: Site) -> None:
    site.servers.environment = {"http_proxy": f"http://127.0.0.1:{free_port()}"}
    assert [each.detail for each in traffic.read(site.inventory)] == ["", ""]


CHANGES: list[dict[str, Any]] = [
    {"green": 100},
    {"green": 0.5},
    {"maintenance": "queue"},
    {"wish": "abort"},
    {"green": 25, "wish": ""},
]


@pytest.mark.parametrize("wanted", CHANGES, ids=str)
def test_changes_all_of_them(site: Site, wanted: dict[str, Any]) -> None:
    traffic.change(site.inventory, LBS, wanted)
    assert [{name: lb.traffic()[name] for name in wanted} for lb in site.lbs.values()] == [wanted, wanted]


def test_changes_only_those_that_are_named(site: Site) -> None:
    traffic.change(site.inventory, ["lb-2"], {"green": 100})
    assert site.greens() == [0, 100]


def test_changes_nothing_where_one_is_away(site: Site) -> None:
    site.servers.away = {"lb-2"}
    with pytest.raises(StepFailed, match=r"nothing was changed: lb-2 \(lb-2 does not answer over SSH\)") as raised:
        traffic.change(site.inventory, LBS, {"green": 100})
    assert raised.value.hosts == {"lb-2"}
    assert site.greens() == [0, 0]


@pytest.mark.parametrize("wanted", CHANGES, ids=str)
def test_puts_the_others_back_where_one_refuses(site: Site, wanted: dict[str, Any]) -> None:
    """It cannot write its state down: the folder is gone."""
    before = {"green": 50, "maintenance": "on", "wish": "pause"}
    for lb in site.lbs.values():
        lb.change(**before)
    refuse(site.lbs["lb-2"])
    with pytest.raises(
        StepFailed, match=r"lb-2 did not change: nginx answered 500: .*; as before: lb-1, lb-2$"
    ) as raised:
        traffic.change(site.inventory, LBS, wanted)
    assert raised.value.hosts == {"lb-2"}
    assert [{name: lb.traffic()[name] for name in before} for lb in site.lbs.values()] == [before, before]


def test_all_refuse_what_is_not_understood(site: Site) -> None:
    with pytest.raises(
        StepFailed, match=r"lb-1 did not change: nginx answered 400.*lb-2 did not.*as before: lb-1, lb-2"
    ):
        traffic.change(site.inventory, LBS, {"maintenance": "perhaps"})


def test_one_that_changed_though_its_answer_was_lost_is_put_back_too(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The line broke after the command was sent, and was mended."""
    lost: list[str] = []

    def run(name: str, variables: Any, command: str, timeout: int = 30) -> ssh.Output:
        site.servers.mute = {"lb-2"} if "PATCH" in command and name == "lb-2" and not lost else set()
        lost.extend(site.servers.mute)
        return site.servers(name, variables, command, timeout)

    monkeypatch.setattr(ssh, "run", run)
    monkeypatch.setattr(ssh, "on_each", one_by_one)
    with pytest.raises(StepFailed, match=r"lb-2 did not change: lb-2 does not answer.*; as before: lb-1, lb-2$"):
        traffic.change(site.inventory, LBS, {"green": 100})
    assert lost == ["lb-2"]
    assert site.greens() == [0, 0]


def test_says_of_whom_nobody_knows_whether_it_changed(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """The line broke, and stays broken."""

    def run(name: str, variables: Any, command: str, timeout: int = 30) -> ssh.Output:
        if "PATCH" in command and name == "lb-2":
            site.servers.mute = {"lb-2"}
        return site.servers(name, variables, command, timeout)

    monkeypatch.setattr(ssh, "run", run)
    monkeypatch.setattr(ssh, "on_each", one_by_one)
    with pytest.raises(StepFailed, match=r"NOT KNOWN, perhaps changed: lb-2; as before: lb-1$"):
        traffic.change(site.inventory, LBS, {"maintenance": "on"})
    assert site.lbs["lb-1"].traffic()["maintenance"] == "off"


def test_says_who_could_not_be_put_back(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first one changed, and refuses since."""

    def run(name: str, variables: Any, command: str, timeout: int = 30) -> ssh.Output:
        output = site.servers(name, variables, command, timeout)
        if "PATCH" in command and name == "lb-1" and (site.lbs["lb-1"].folder / "state.json").exists():
            refuse(site.lbs["lb-1"])
        return output

    monkeypatch.setattr(ssh, "run", run)
    refuse(site.lbs["lb-2"])
    with pytest.raises(StepFailed, match=r"STILL CHANGED: lb-1; as before: lb-2$"):
        traffic.change(site.inventory, LBS, {"green": 100})
    assert site.greens() == [100, 0]


def test_knows_what_it_can_put_back_before_it_changes_anything(site: Site) -> None:
    with pytest.raises(KeyError, match="weights"):
        traffic.change(site.inventory, LBS, {"weights": {site.green[0].address: 0}})
    assert all(peer.weight == 100 for each in traffic.read(site.inventory) for peer in each.peers)


def test_a_colour_that_answers_is_found_well_through_every_load_balancer(site: Site) -> None:
    site.smoke()
    assert sorted({name for name, _ in site.servers.told}) == ["lb-1", "lb-2"]
    assert site.greens() == [0, 0]


def test_an_instance_that_is_not_chosen_at_first_is_asked_for_at_length(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is busy with something else, or it was never its turn."""
    lb, release = site.lbs["lb-1"], Event()
    for each in site.green:
        each.answers["/held"], each.release = (200, "{}"), release

    def is_busy() -> bool:
        return any(each["active"] for each in lb.traffic()["instances"].values())

    def run(name: str, variables: Any, command: str, timeout: int = 30) -> ssh.Output:
        output = site.servers(name, variables, command, timeout)
        release.set()
        until(lambda: not is_busy())
        return output

    monkeypatch.setattr(ssh, "run", run)
    with ThreadPoolExecutor() as pool:
        held = pool.submit(lb.ask, path="/held", X_Amebo_Colour="green")
        until(is_busy)
        traffic.smoke(Inventory({"loadbalancers": ("lb-1",)}, site.inventory.hosts), VERSION, site.places)
        assert held.result().status == 200
    assert len(site.servers.told) == 2


JUDGEMENTS = {
    "another version": (("health", {"version": "1.0.0"}), r"/health/ready was answered with 200: .*1\.0\.0"),
    "no version": (("health", {"version": None}), r"/health/ready was answered with 200: .*null"),
    "a page of somebody else": (("/health/ready", (200, "<html>")), r"/health/ready was answered with 200: <html>"),
    "a number": (("/health/ready", (200, "7")), r"/health/ready was answered with 200: 7"),
    "no name": (("/health/ready", (200, f'{{"version": "{VERSION}"}}')), r"/health/ready was answered with 200: "),
    "not ready": (
        ("/health/ready", (503, '{"status": "draining"}')),
        r"/health/ready was answered with 503: .*draining",
    ),
    "strangers are let in": (
        ("/v1/events", (200, "[]")),
        r"without credentials was answered with 200, not with 401: \[\]",
    ),
    "a name twice": (
        ("health", {"instance": "app-2:3410"}),
        r"3 instances should answer, and 2 did: app-2:3410, app-3:3410",
    ),
}


@pytest.mark.parametrize("case", JUDGEMENTS)
def test_one_bad_instance_is_found(site: Site, case: str) -> None:
    (what, how), why = JUDGEMENTS[case]
    if what == "health":
        assert isinstance(how, dict)
        site.green[0].health(**how)
    else:
        assert isinstance(how, tuple)
        site.green[0].answers[what] = how
    with pytest.raises(StepFailed, match=why) as raised:
        site.smoke()
    assert [line.partition(":")[0] for line in str(raised.value).splitlines()] == ["lb-1", "lb-2"]
    assert raised.value.hosts == {"app-1", "app-2", "app-3"}


def test_a_release_that_fails_every_request_is_found(site: Site) -> None:
    """One instance that does is not: nginx asks another one, as it would for a publisher."""
    site.green[0].answers["/v1/events"] = (500, "oops")
    site.smoke()
    for each in site.green[1:]:
        each.answers["/v1/events"] = (500, "oops")
    with pytest.raises(StepFailed, match="lb-1: who asked for events without credentials was answered with 500"):
        site.smoke()


def test_an_instance_that_is_gone_is_missed(site: Site) -> None:
    site.green[2].close()
    with pytest.raises(StepFailed, match=r"lb-1: 3 instances should answer, and 2 did: app-1:3410, app-2:3410"):
        site.smoke()


def test_an_instance_that_one_load_balancer_does_not_know_is_missed(site: Site) -> None:
    """The inventory has it, and site.yml was not run since."""
    lb = site.lbs["lb-2"]
    lb.write([], [each.address for each in site.green[:2]])
    lb.reread()
    with pytest.raises(StepFailed, match=r"^lb-2: 3 instances should answer, and 2 did: app-1:3410, app-2:3410$"):
        site.smoke()


def test_a_load_balancer_that_is_away_fails_it(site: Site) -> None:
    site.servers.away = {"lb-2"}
    with pytest.raises(StepFailed, match=r"^lb-2: lb-2 does not answer over SSH$"):
        site.smoke()


def refuse(lb: Balancer) -> None:
    """It can write nothing down: a folder stands where its file should go."""
    (lb.folder / "state.json.new").mkdir(exist_ok=True)


def one_by_one(names: Any, ask: Any) -> dict[str, Any]:
    """Where the order is what a test is about."""
    return {name: ask(name) for name in names}

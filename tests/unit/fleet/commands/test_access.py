"""`access` as it is typed, on hosts that are folders."""

from dataclasses import dataclass
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from fleet import history, interlock
from fleet.commands import access
from fleet.effects import confirm, inventory, keepers, ssh
from fleet.effects.confirm import Ask, Subject
from fleet.effects.inventory import Inventory
from fleet.effects.journal import Copy
from fleet.effects.lease import LeaseHeld
from fleet.errors import FleetError
from tests.unit.fleet.effects.hosts import Hosts
from tests.unit.fleet.servers import Servers

NEW = "MaxAuthTries 3\n"


@dataclass
class Fleet:
    root: Path
    servers: Servers
    keepers: Hosts

    @property
    def wanted(self) -> str:
        """What the operator typed."""
        path = self.root / "hardened.conf"
        path.write_text(NEW)
        return str(path)

    def file(self, host: str) -> Path:
        return self.root / host / "50-amebo.conf"

    def files(self) -> dict[str, str | None]:
        found = {host: self.file(host) for host in ("lb-1", "app-1")}
        return {host: path.read_text() if path.exists() else None for host, path in found.items()}

    def told(self) -> list[tuple[str, str, str]]:
        changes = history.changes({"lb-1": Copy(tuple(self.keepers.journal("lb-1")))})
        return [(each.what, each.why, each.result) for each in changes]

    def over_ssh(self, hosts: Inventory) -> Ask:
        """Each host's files in a folder of its own; what sshd does with them is tested on real hosts."""

        def ask(host: str, verb: str, request: object) -> confirm.Json:
            assert isinstance(request, dict)
            own = self.root / host
            own.mkdir(exist_ok=True)
            there = {"path": str(self.file(host)), "check": ["sh", "-n"], "apply": ":", "undo": ":"}
            return real(hosts, str(own / "pending"), str(own))(host, verb, {**request, **there})

        return ask


real = confirm.over_ssh


@pytest.fixture
def fleet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Fleet:
    folder = tmp_path / "inventory"
    folder.mkdir()
    (folder / "hosts.yml").write_text(
        "loadbalancers: {hosts: {lb-1: {}}}\napp: {hosts: {app-1: {amebo_web_ports: [3310]}}}\n"
    )
    monkeypatch.setenv("ANSIBLE_INVENTORY", str(folder))
    monkeypatch.setenv("COLUMNS", "250")
    made = Fleet(tmp_path, Servers(tmp_path / "servers"), Hosts(tmp_path / "keepers", in_process=True))
    monkeypatch.setattr(ssh, "run", made.servers)
    monkeypatch.setattr(keepers, "over_ssh", lambda _inventory: made.keepers)
    monkeypatch.setattr(confirm, "over_ssh", made.over_ssh)
    return made


def typed(*words: str) -> Result:
    return CliRunner().invoke(access.commands, words)


def test_changes_one_host_after_the_other_application_hosts_first(fleet: Fleet) -> None:
    done = typed("sshd", fleet.wanted, "--yes", "--reason", "an audit")
    assert done.exit_code == 0, done.output
    assert done.output.splitlines()[-2:] == ["app-1: changed and confirmed", "lb-1: changed and confirmed"]
    assert fleet.files() == {"lb-1": NEW, "app-1": NEW}
    assert fleet.told() == [("sshd on app-1, lb-1", "an audit", "done")]


def test_shows_what_differs_and_changes_nothing_before_it_is_told_to(fleet: Fleet) -> None:
    (fleet.root / "app-1").mkdir()
    fleet.file("app-1").write_text("MaxAuthTries 6\n")
    shown = typed("sshd", fleet.wanted, "--dry-run")
    assert shown.output.splitlines() == [
        "--- app-1:/etc/ssh/sshd_config.d/50-amebo.conf",
        *("+++ wanted", "@@ -1 +1 @@", "-MaxAuthTries 6", "+MaxAuthTries 3"),
        "--- lb-1:/etc/ssh/sshd_config.d/50-amebo.conf",
        *("+++ wanted", "@@ -0,0 +1 @@", "+MaxAuthTries 3"),
    ]
    assert "add --yes to go on" in str(typed("sshd", fleet.wanted).exception)
    assert fleet.files() == {"lb-1": None, "app-1": "MaxAuthTries 6\n"}
    assert fleet.told() == []


def test_a_second_run_has_nothing_to_do(fleet: Fleet) -> None:
    assert typed("sshd", fleet.wanted, "--yes").exit_code == 0
    assert typed("sshd", fleet.wanted, "--yes").output == "app-1: nothing to do\nlb-1: nothing to do\n"
    assert len(fleet.told()) == 1


def test_only_the_mode_may_differ(fleet: Fleet) -> None:
    assert typed("sshd", fleet.wanted, "--yes").exit_code == 0
    fleet.file("lb-1").chmod(0o600)
    assert (
        "lb-1: /etc/ssh/sshd_config.d/50-amebo.conf: only its mode changes"
        in typed("sshd", fleet.wanted, "--yes").output
    )
    assert fleet.file("lb-1").stat().st_mode & 0o777 == 0o644


def test_changes_only_the_hosts_that_are_named(fleet: Fleet) -> None:
    assert typed("sshd", fleet.wanted, "--host", "lb-1", "--yes").exit_code == 0
    assert fleet.files() == {"lb-1": NEW, "app-1": None}
    refused = typed("sshd", fleet.wanted, "--host", "lb-2", "--yes").exception
    assert str(refused) == "no host lb-2 in the inventory has sshd; app-1, lb-1 have it"


def test_only_load_balancers_have_nginx(fleet: Fleet) -> None:
    refused = typed("nginx", fleet.wanted, "--host", "app-1", "--yes").exception
    assert str(refused) == "no host app-1 in the inventory has nginx; lb-1 has it"
    assert typed("nginx", fleet.wanted, "--yes").output.splitlines()[-1] == "lb-1: changed and confirmed"
    assert fleet.files() == {"lb-1": NEW, "app-1": None}


def test_stops_at_the_first_host_where_it_goes_wrong(fleet: Fleet) -> None:
    fleet.servers.refuses("app-1", "amebo-revert-sshd")
    failed = typed("sshd", fleet.wanted, "--yes").exception
    assert isinstance(failed, FleetError)
    assert str(failed).startswith("app-1: ")
    assert str(failed).endswith("\nuntouched: lb-1")
    assert fleet.files() == {"lb-1": None, "app-1": None}
    ((_, _, result),) = fleet.told()
    assert result.startswith("failed: app-1: ")


def test_waits_for_who_changes_the_fleet(fleet: Fleet) -> None:
    with interlock.change(inventory.read(), "rolling-update", "to 1.4.0", "a fix"):
        assert isinstance(typed("sshd", fleet.wanted, "--yes").exception, LeaseHeld)
    assert fleet.files() == {"lb-1": None, "app-1": None}


def test_refuses_what_is_too_large_to_be_such_a_file(fleet: Fleet) -> None:
    large = fleet.root / "large"
    large.write_bytes(b"#" * 70_000)
    assert "larger than 32 KB" in str(typed("sudo", str(large), "--yes").exception)


@pytest.mark.parametrize("subject", confirm.SUBJECTS.values(), ids=str)
def test_every_subject_can_be_typed_and_is_checked_first(subject: Subject) -> None:
    assert access.Name(subject.name)
    assert " -t" in (words := " ".join(subject.check)) or " -c -f" in words


def test_a_load_balancer_is_asked_where_its_publishers_come_in() -> None:
    assert "http://127.0.0.1:80/health" in confirm.SUBJECTS["nginx"].on({}).apply
    assert "http://127.0.0.1:8080/health" in confirm.SUBJECTS["nginx"].on({"nginx_listen_port": "8080"}).apply

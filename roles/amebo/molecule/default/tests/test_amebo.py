"""A host of the service, as a client, an admin and an intruder find it."""

import json

import pytest
from testinfra.host import Host

VERSION = "0.0.1-molecule"
PORTS = (3310, 3311)


def serving_slot(host: Host, port: int) -> str:
    return next(slot for slot in "ab" if host.service(f"amebo-web-{slot}@{port}").is_running)


@pytest.mark.parametrize("port", PORTS)
def test_an_instance_is_ready_with_the_release(host: Host, port: int) -> None:
    answer = json.loads(host.check_output(f"curl --silent http://127.0.0.1:{port}/health/ready"))
    assert (answer["status"], answer["version"]) == ("ready", VERSION)
    assert answer["instance"] == f"{host.check_output('hostname')}:{port}"


@pytest.mark.parametrize("port", PORTS)
def test_one_slot_serves_and_starts_at_boot_with_the_socket(host: Host, port: int) -> None:
    serving = serving_slot(host, port)
    idle = "b" if serving == "a" else "a"
    assert host.service(f"amebo-web@{port}.socket").is_enabled
    assert host.service(f"amebo-web-{serving}@{port}").is_enabled
    assert not host.service(f"amebo-web-{idle}@{port}").is_running
    assert not host.service(f"amebo-web-{idle}@{port}").is_enabled


def test_the_dispatcher_is_ready(host: Host) -> None:
    status = "curl --silent --unix-socket /run/amebo/dispatcher-1.sock http://localhost/health/ready"
    assert json.loads(host.check_output(status))["status"] == "ready"
    assert host.service("amebo-dispatcher@1").is_enabled


def test_the_release_is_compiled_and_belongs_to_root(host: Host) -> None:
    release = f"/opt/amebo/releases/{VERSION}"
    assert json.loads(host.file(f"{release}/RELEASE").content_string)["version"] == VERSION
    assert host.run(f"test -n \"$(find {release}/app -name '*.pyc')\"").succeeded
    assert host.check_output(f"find {release} ! -user root") == ""
    assert host.check_output("ls /opt/amebo/incoming") == ""


@pytest.mark.parametrize("path", ["/etc/amebo/service.env", "/etc/amebo/owner.env"])
def test_secrets_are_for_root_alone(host: Host, path: str) -> None:
    assert (host.file(path).user, host.file(path).mode) == ("root", 0o600)


def test_settings_reach_the_process(host: Host) -> None:
    assert 'AMEBO_ENVELOPE="64"' in host.file("/etc/amebo/service.env").content_string


def test_limits_are_in_force(host: Host) -> None:
    unit = f"amebo-web-{serving_slot(host, 3310)}@3310"
    assert host.check_output(f"systemctl show --property=MemoryMax --value {unit}") == str(512 * 1024**2)


def test_the_sandbox_is_tight(host: Host) -> None:
    unit = f"amebo-web-{serving_slot(host, 3310)}@3310"
    assert host.run(f"systemd-analyze security --threshold=20 {unit}").succeeded


def test_a_crash_is_healed_and_wakes_no_other_slot(host: Host) -> None:
    serving = serving_slot(host, 3311)
    unit = f"amebo-web-{serving}@3311"
    show = f"systemctl show --property=MainPID --value {unit}"
    before = host.check_output(show)
    host.check_output(f"systemctl kill --signal=KILL {unit}")
    healed = f"systemctl is-active --quiet {unit} && [ $({show}) != {before} ]"
    host.check_output(f"timeout 30 sh -c 'until {healed}; do sleep 0.1; done'")
    answer = host.check_output("curl --silent --retry 5 --retry-all-errors http://127.0.0.1:3311/health")
    assert answer
    assert serving_slot(host, 3311) == serving
    assert host.service("amebo-web@3311.socket").is_running

"""The guard as an operator, systemd and an intruder find it, without an nginx to guard."""

import json

from testinfra.host import Host

UNIT = "amebo-guard.service"


def show(host: Host, name: str) -> str:
    return str(host.check_output(f"systemctl show --property={name} --value {UNIT}"))


def test_it_is_running_and_starts_at_boot(host: Host) -> None:
    assert host.service(UNIT).is_running
    assert host.service(UNIT).is_enabled


def test_it_says_what_it_misses_and_goes_on(host: Host) -> None:
    state = json.loads(host.check_output("curl --silent http://127.0.0.1:9405/state"))
    assert "nginx at 127.0.0.1:8405 cannot be asked" in state["error"]
    assert "cannot be asked" in show(host, "StatusText")


def test_prometheus_can_ask_it_from_this_host_alone(host: Host) -> None:
    assert "amebo_guard_panic 0" in host.check_output("curl --silent http://127.0.0.1:9405/metrics")
    assert not host.socket("tcp://0.0.0.0:9405").is_listening


def test_systemd_watches_it(host: Host) -> None:
    assert show(host, "WatchdogUSec") == "10s"
    assert show(host, "Restart") == "always"


def test_it_runs_as_nobody_we_know_and_may_read_the_log(host: Host) -> None:
    status = host.file(f"/proc/{show(host, 'MainPID')}/status").content_string
    fields = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
    assert int(fields["Uid"].split()[0]) >= 61184  # systemd's range for users that come and go
    assert str(host.group("adm").gid) in fields["Groups"].split()


def test_the_sandbox_is_tight(host: Host) -> None:
    assert host.run(f"systemd-analyze security --threshold=20 {UNIT}").succeeded


def test_the_program_belongs_to_root(host: Host) -> None:
    assert host.check_output("find /opt/amebo-guard ! -user root") == ""
    assert host.check_output("find /opt/amebo-guard -perm /022") == ""


def test_settings_that_make_no_sense_are_refused(host: Host) -> None:
    check = 'echo \'{"policy": {"kept": 0.1}}\' > /tmp/wrong.json && cd /opt/amebo-guard && python3 -m guard --check'
    refused = host.run(f"{check} /tmp/wrong.json")
    assert refused.rc == 1
    assert "at least half stays in service" in refused.stderr


def test_a_guard_that_is_killed_comes_back(host: Host) -> None:
    before = show(host, "MainPID")
    host.check_output(f"systemctl kill --signal=KILL {UNIT}")
    changed = f"pid=$(systemctl show --property=MainPID --value {UNIT}); [ $pid != 0 ] && [ $pid != {before} ]"
    host.check_output(f"timeout 30 sh -c 'until {changed}; do sleep 0.1; done'")
    answer = "curl --silent --fail --retry 10 --retry-all-errors --retry-delay 1 http://127.0.0.1:9405/state"
    assert json.loads(host.check_output(answer))

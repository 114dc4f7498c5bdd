"""The real guard against real servers: with each of its looks, which stand for a second each, real requests come."""

import json
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from roles.guard.files.guard.model import DATABASE
from tests.unit.guard.rig import PROGRAM, Instance, Program, Rig, rigged, until

WAY_BACK = [0, 5, 25, 50, 100, 100]


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    with rigged(tmp_path) as made:
        made.guard.start()
        made.looks(3)
        yield made


def looks_until_out(rig: Rig, address: str, since: int) -> int:
    until(lambda: 0 in rig.balancer.weights(address))
    patched = next(look for look, body in rig.balancer.patches if body["weights"].get(address) == 0)
    return patched - since


def metrics(guard: Program) -> dict[tuple[str, ...], float]:
    families = text_string_to_metric_families(guard.get("/metrics")[1])
    return {(s.name, *s.labels.values()): s.value for family in families for s in family.samples}


def test_an_instance_that_answers_500_to_every_post_loses_its_traffic_within_three_looks(tmp_path: Path) -> None:
    with rigged(tmp_path, {"wait": 60, "longest_wait": 60}) as rig:
        rig.guard.start()
        rig.looks(3)
        bad, others = rig.instances[0], rig.instances[1:]
        bad.post, since = 500, rig.balancer.looks
        assert looks_until_out(rig, bad.address, since) <= 3
        rig.looks(1)
        posts, answered = bad.posts, sum(other.posts for other in others)
        rig.looks(3)
        assert bad.posts == posts
        assert sum(other.posts for other in others) > answered
        assert rig.guard.state(bad.address)["why"] == "answers with errors"
        assert [rig.balancer.weights(other.address) for other in others] == [[], []]


def test_once_healed_it_comes_back_in_growing_shares(rig: Rig) -> None:
    bad = rig.instances[0]
    bad.post = 500
    until(lambda: rig.balancer.weights(bad.address) == [0])
    bad.post = 201
    until(lambda: rig.guard.state(bad.address)["state"] == "closed" and rig.balancer.patches[-1][1]["by"] == "")
    assert rig.balancer.weights(bad.address) == WAY_BACK
    assert rig.balancer.placed[bad.address].by == ""


def test_one_that_is_still_bad_on_the_way_back_goes_out_again_and_waits_longer(rig: Rig) -> None:
    bad = rig.instances[0]
    bad.post = 500
    until(lambda: rig.balancer.weights(bad.address)[:3] == [0, 5, 0])
    until(lambda: rig.guard.state(bad.address)["ejections"] == 2)


def test_an_instance_that_refuses_is_out_after_three_probes(rig: Rig) -> None:
    bad = rig.instances[1]
    rig.balancer.requests_a_turn = 0
    since = rig.balancer.looks
    bad.stop()
    assert looks_until_out(rig, bad.address, since) <= 5  # one was under way, three saw it, one confirmed it
    bad.start()
    until(lambda: rig.balancer.weights(bad.address) == WAY_BACK)


def test_one_that_hangs_holds_up_nobody(tmp_path: Path) -> None:
    """The turns go on, and another that turns bad meanwhile is seen."""
    with rigged(tmp_path, instances=4) as rig:
        rig.guard.start()
        hanging, bad = rig.instances[0], rig.instances[1]
        hanging.hangs = True
        until(lambda: rig.balancer.placed[hanging.address].weight == 0)
        assert rig.guard.state(hanging.address)["why"] == "silent"
        bad.post, since = 500, rig.balancer.looks
        assert looks_until_out(rig, bad.address, since) <= 3


def test_a_database_that_all_miss_ejects_nobody(rig: Rig) -> None:
    for instance in rig.instances:
        instance.status, instance.post = DATABASE, 503
    until(lambda: rig.guard.state()["panic"])
    rig.looks(20)
    assert rig.balancer.patches == []
    assert metrics(rig.guard)["amebo_guard_panic",] == 1
    for instance in rig.instances:
        instance.status, instance.post = "ready", 201
    until(lambda: not rig.guard.state()["panic"])
    assert rig.balancer.patches == []


def test_never_takes_out_more_than_half(rig: Rig) -> None:
    rig.instances[0].stop()
    until(lambda: rig.balancer.placed[rig.instances[0].address].weight == 0)
    rig.instances[1].post = 500
    until(lambda: rig.guard.state()["panic"])
    rig.looks(10)
    assert [placed.weight for placed in rig.balancer.placed.values()] == [0, 100, 100]


def test_when_it_dies_nothing_changes_and_the_next_one_puts_back_what_is_healthy(rig: Rig) -> None:
    bad = rig.instances[0]
    bad.stop()
    until(lambda: rig.balancer.placed[bad.address].weight == 0)
    rig.guard.kill()
    asked = rig.balancer.looks
    bad.start()
    assert (rig.balancer.looks, rig.balancer.placed[bad.address].weight) == (asked, 0)
    rig.guard.popen = None
    rig.guard.start()
    until(lambda: rig.balancer.weights(bad.address) == WAY_BACK)


def test_leaves_alone_what_an_operator_has_set(rig: Rig) -> None:
    bad = rig.instances[0]
    rig.balancer.patch({"weights": {bad.address: 50}, "by": "operator"})
    bad.stop()
    until(lambda: rig.guard.state(bad.address)["failed_probes"] > 5)
    assert rig.balancer.placed[bad.address].weight == 50
    assert len(rig.balancer.patches) == 1


def test_an_operator_who_sets_a_weight_while_the_guard_decides_is_right(rig: Rig) -> None:
    """At the third probe, whose failure makes it bad, and after the look that the decision is made from."""
    bad, probes = rig.instances[0], iter(range(1000))

    def asked() -> None:
        if next(probes) == 2:
            rig.balancer.patch({"weights": {bad.address: 50}, "by": "operator"})

    bad.asked, bad.status = asked, "schema too old"
    until(lambda: rig.guard.state(bad.address)["by"] == "operator")
    rig.looks(5)
    assert [body["by"] for _, body in rig.balancer.patches] == ["operator"]


def test_follows_the_log_when_it_is_rotated(rig: Rig) -> None:
    rig.balancer.log.rename(rig.balancer.log.with_suffix(".1"))
    rig.balancer.log.touch()
    rig.looks(3)
    rig.instances[0].post, since = 500, rig.balancer.looks
    assert looks_until_out(rig, rig.instances[0].address, since) <= 3


def test_it_says_when_nginx_does_not_answer_and_when_it_does_again(rig: Rig) -> None:
    rig.balancer.refuses = True
    until(lambda: "GET /traffic answers 503" in rig.guard.state()["error"])
    rig.balancer.refuses = False
    until(lambda: rig.guard.state()["error"] == "")


def test_an_instance_that_is_added_is_guarded_too(rig: Rig) -> None:
    added = Instance().start()
    rig.balancer.placed |= {added.address: rig.balancer.placed[rig.instances[0].address]}
    until(lambda: rig.guard.state(added.address).get("state") == "closed")
    added.stop()
    until(lambda: rig.balancer.placed[added.address].weight == 0)


def test_metrics_say_who_is_out_how_often_and_why(rig: Rig) -> None:
    bad, other = rig.instances[0].address, rig.instances[1].address
    rig.balancer.requests_a_turn = 0
    rig.instances[0].stop()
    until(lambda: metrics(rig.guard).get(("amebo_guard_state", bad, "blue")) == 2)
    found = metrics(rig.guard)
    assert found["amebo_guard_state", other, "blue"] == 0
    assert found["amebo_guard_ejections_total", bad, "refused"] == 1
    assert found["amebo_guard_probe_failures_total", bad] >= 3
    assert found["amebo_guard_probe_failures_total", other] == 0
    assert found["amebo_guard_panic",] == 0
    assert found["amebo_guard_unreadable_lines_total",] == 0
    assert found["amebo_guard_last_turn_timestamp_seconds",] > 1.7e9


def test_systemd_hears_that_it_is_ready_and_alive(tmp_path: Path) -> None:
    with rigged(tmp_path) as rig, socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(tmp_path / "notify"))
        systemd.settimeout(20)
        rig.guard.start(NOTIFY_SOCKET=str(tmp_path / "notify"))
        heard = [systemd.recv(1000).decode() for _ in range(3)]
    assert all("READY=1\nWATCHDOG=1\n" in each for each in heard)
    assert "STATUS=3 closed" in heard[-1]


def test_it_starts_without_nginx_and_says_so(tmp_path: Path) -> None:
    with rigged(tmp_path) as rig:
        rig.balancer.refuses = True
        rig.guard.start()
        until(lambda: "cannot be asked" in rig.guard.state()["error"])
        rig.balancer.refuses = False
        until(lambda: len(rig.guard.state()["instances"]) == 3)


def test_another_path_is_not_found(rig: Rig) -> None:
    status, body = rig.guard.get("/")
    assert (status, json.loads(body)) == (404, {"error": "there are /metrics and /state"})


def test_it_ends_with_a_sentence_when_its_settings_make_no_sense(tmp_path: Path) -> None:
    (tmp_path / "guard.json").write_text('{"policy": {"kept": 0.1}}')
    argv = [sys.executable, "-S", "-B", "-m", "guard", str(tmp_path / "guard.json")]
    ended = subprocess.run(argv, cwd=PROGRAM, capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stderr) == (
        1,
        "error: kept is 0.1; wanted: from 0.5 to 1, at least half stays in service\n",
    )

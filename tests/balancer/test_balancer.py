"""Which instance gets a request: as nginx' own least_conn, max_fails and fail_timeout choose, and without a reload."""

import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest
import urllib3

from tests.balancer.conftest import Balancer, Behaviour, Instance, free_port

NATIVE = """
    upstream amebo {{
        least_conn;
        zone amebo 64k;
        server {first} max_fails=3 fail_timeout=1s;
        server {second} max_fails=3 fail_timeout=1s;
        keepalive 16;
        keepalive_timeout 5s;
    }}
"""


def always(status: int) -> Behaviour:
    return lambda _request: status


def asked(instances: list[Instance]) -> list[int]:
    return [instance.asked.total() for instance in instances]


def until(condition: Callable[[], bool], seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.002)  # others need the interpreter, too


def test_equally_busy_instances_are_asked_in_turn(serving: Balancer, instances: list[Instance]) -> None:
    for _ in range(20):
        serving.ask()
    first, second = asked(instances[:2])
    assert first + second == 20
    assert abs(first - second) <= 4  # each worker has a turn of its own


def test_the_least_busy_is_asked(serving: Balancer, instances: list[Instance]) -> None:
    held, release = threading.Event(), threading.Event()

    def hold(_request: BaseHTTPRequestHandler) -> int:
        held.set()
        release.wait(30)
        return 200

    instances[0].behaviour = hold
    waiting = []
    while not held.is_set():
        waiting.append(threading.Thread(target=serving.ask))
        waiting[-1].start()
        held.wait(0.05)
    before = instances[0].asked.total()
    for _ in range(10):
        serving.ask()
    assert instances[0].asked.total() == before
    assert serving.traffic()["instances"][instances[0].address]["active"] == 1
    release.set()
    for thread in waiting:
        thread.join()


def wait_until_asked(instances: list[Instance]) -> None:
    before = asked(instances)
    until(lambda: all(now > then for now, then in zip(asked(instances), before, strict=True)))


@pytest.mark.parametrize(
    ("method", "status"), [("POST", 500), ("GET", 500), ("POST", 503), ("GET", 0), ("POST", 0), ("POST", 502)]
)
def test_failures_count_as_nginx_itself_counts_them(
    method: str, status: int, balancer: Balancer, instances: list[Instance]
) -> None:
    """The same requests, one after the other, to nginx' own upstream group and to ours."""
    bad, good = instances[:2]
    bad.behaviour = always(status)
    found = []
    for native in (NATIVE.format(first=bad.address, second=good.address), ""):
        before = bad.asked.total()
        balancer.write([bad.address, good.address], [])
        balancer.start(native)
        statuses = sorted({balancer.ask(method).status for _ in range(12)})
        found.append((statuses, bad.asked.total() - before if status in (0, 502) or method == "POST" else "all along"))
        balancer.stop()
    assert found[0] == found[1]


def test_an_instance_that_failed_is_tried_again_after_its_time(serving: Balancer, instances: list[Instance]) -> None:
    bad = instances[0]
    bad.behaviour = always(500)
    for _ in range(12):
        assert serving.ask("POST").status == 200
    assert bad.asked["POST"] == 3
    bad.behaviour = always(200)
    until(lambda: serving.ask("POST").status == 200 and bad.asked["POST"] > 4)
    assert serving.traffic()["instances"][bad.address]["fails"] == 0


def test_one_request_at_a_time_tries_an_instance_that_failed(serving: Balancer, instances: list[Instance]) -> None:
    bad = instances[0]
    bad.behaviour = always(500)
    for _ in range(12):
        serving.ask("POST")
    until(lambda: serving.ask("POST").status == 200 and bad.asked["POST"] == 4)
    for _ in range(6):
        serving.ask("POST")
    assert bad.asked["POST"] == 4


def test_a_refused_connection_goes_to_the_next(serving: Balancer, instances: list[Instance]) -> None:
    instances[0].close()
    assert [serving.ask(method).status for method in ("GET", "POST") * 6] == [200] * 12
    assert serving.traffic()["instances"][instances[0].address]["tripped"]


def test_where_all_have_failed_all_are_asked_again(serving: Balancer, instances: list[Instance]) -> None:
    for instance in instances[:2]:
        instance.behaviour = always(500)
    for _ in range(6):
        serving.ask("POST")
    for instance in instances[:2]:
        instance.behaviour = always(200)
    assert serving.ask("POST").status == 200


def test_one_request_is_tried_on_so_many_instances(balancer: Balancer, instances: list[Instance]) -> None:
    for instance in instances:
        instance.behaviour = always(500)
    balancer.write([instance.address for instance in instances], [])
    balancer.start()
    assert balancer.ask("POST").status == 500
    assert sorted(asked(instances)) == [0, 1, 1, 1]


def test_without_an_instance_it_says_so_as_the_service_would(balancer: Balancer) -> None:
    balancer.write([f"127.0.0.1:{free_port()}"], [])
    balancer.start()
    answer = balancer.ask(X_Request_ID="mine")
    assert answer.status == 503
    assert answer.json() == {"error": "no instance answered", "code": 503, "details": [], "request_id": "mine"}


def test_nothing_stays_counted_as_busy(serving: Balancer, instances: list[Instance]) -> None:
    """Whatever the end: an answer, an error page, a try elsewhere, a client that went away."""
    instances[0].behaviour = always(0)
    for _ in range(6):
        serving.ask("POST")
        serving.ask()
    gone = threading.Event()

    def slow(_request: BaseHTTPRequestHandler) -> int:
        gone.wait(30)
        return 200

    instances[1].behaviour = slow
    impatient = urllib3.PoolManager(retries=False, timeout=0.3)
    with pytest.raises(urllib3.exceptions.HTTPError):
        impatient.request("GET", f"http://127.0.0.1:{serving.port}/v1/events")
    impatient.clear()
    gone.set()
    until(lambda: all(each["active"] == 0 for each in serving.traffic()["instances"].values()))
    assert serving.traffic()["instances"][instances[1].address]["fails"] == 0


def test_a_weight_of_nothing_lets_an_instance_go(serving: Balancer, instances: list[Instance]) -> None:
    status, now = serving.change(weights={instances[0].address: 0}, by="operator")
    assert status == 200
    assert (
        now["instances"][instances[0].address] | {"weight": 0, "by": "operator"}
        == now["instances"][instances[0].address]
    )
    for _ in range(10):
        serving.ask()
    assert asked(instances[:2]) == [0, 10]


def test_a_small_weight_is_a_small_share(serving: Balancer, instances: list[Instance]) -> None:
    serving.change(weights={instances[0].address: 10})
    for _ in range(300):
        serving.ask()
    assert 1 <= instances[0].asked.total() <= 45  # half of a tenth, of 300


def test_instances_come_and_go_without_a_reload(balancer: Balancer, instances: list[Instance]) -> None:
    addresses = [instance.address for instance in instances]
    balancer.write(addresses[:1], [])
    balancer.start()
    workers, stop, failed = balancer.workers(), threading.Event(), list[Any]()

    def publish() -> None:
        pool = urllib3.PoolManager(retries=False)
        while not stop.is_set():
            answer = pool.request("POST", f"http://127.0.0.1:{balancer.port}/v1/events", body=b"{}")
            if answer.status != 200:
                failed.append(answer.status)

    publishers = [threading.Thread(target=publish) for _ in range(4)]
    for thread in publishers:
        thread.start()
    for there in (addresses[:2], addresses[1:3], addresses[2:], addresses):
        balancer.write(there, [])
        assert set(balancer.reread()["instances"]) == set(there)
        wait_until_asked([instance for instance in instances if instance.address in there])
    stop.set()
    for thread in publishers:
        thread.join()
    assert failed == []
    assert balancer.workers() == workers


def test_what_an_operator_chose_outlives_a_restart_and_a_reload(serving: Balancer, instances: list[Instance]) -> None:
    serving.change(green=25, maintenance="queue", weights={instances[0].address: 0}, by="operator")
    before = serving.traffic()
    serving.reload()
    until(lambda: serving.traffic()["revision"] > before["revision"])
    serving.stop()
    serving.start()
    after = serving.traffic()
    assert after["revision"] > before["revision"]
    assert after | {"revision": 0} == before | {"revision": 0}


def test_a_broken_file_is_no_reason_not_to_start(balancer: Balancer, instances: list[Instance], tmp_path: Path) -> None:
    (tmp_path / "state.json").write_text('{"green": 10')
    balancer.write([instances[0].address], [])
    balancer.start()
    assert balancer.ask().status == 200
    assert balancer.traffic()["green"] == 0

"""Which colour a request goes to, maintenance, and the endpoint that changes both."""

import threading
from collections import Counter
from typing import Any

import pytest

from fleet.effects.synthetic import side_words
from tests.balancer.conftest import Balancer, Instance

WRITTEN = ("/v1/events", "/v1/events/batch", "/v1/applications")


def colours(instances: list[Instance]) -> dict[str, int]:
    return {
        "blue": sum(each.asked.total() for each in instances[:2]),
        "green": sum(each.asked.total() for each in instances[2:]),
    }


@pytest.mark.parametrize(("green", "least", "most"), [(0, 0, 0), (5, 5, 50), (37, 140, 230), (100, 500, 500)])
def test_credentials_are_split_by_the_share(
    serving: Balancer, instances: list[Instance], green: int, least: int, most: int
) -> None:
    serving.change(green=green)
    for number in range(500):
        serving.ask(Authorization=f"Bearer amebo_{number}")
    assert least <= colours(instances)["green"] <= most


def test_a_publisher_sees_one_side_and_moves_once(serving: Balancer, instances: list[Instance]) -> None:
    blue = [instance.address for instance in instances[:2]]
    seen: dict[str, list[bool]] = {f"Bearer {number}": [] for number in range(40)}
    for green in (0, 5, 25, 50, 100):
        serving.change(green=green)
        for who, is_green in seen.items():
            is_green += [serving.ask(Authorization=who).json()["instance"] not in blue for _ in range(2)]
    assert all(is_green == sorted(is_green) for is_green in seen.values())
    assert Counter((is_green[0], is_green[-1]) for is_green in seen.values()) == {(False, True): 40}


def test_a_signed_request_is_split_by_its_application(serving: Balancer, instances: list[Instance]) -> None:
    serving.change(green=50)
    for number in range(10):
        serving.ask("POST", X_Amebo_Application="shop", X_Amebo_Signature=f"{number:064x}")
    assert sorted(colours(instances).values()) == [0, 10]


def test_a_smoke_test_reaches_the_idle_colour_from_this_host(serving: Balancer, instances: list[Instance]) -> None:
    assert serving.ask(X_Amebo_Colour="green").status == 200
    assert colours(instances) == {"blue": 0, "green": 1}


def test_a_smoke_test_is_not_answered_by_the_other_colour(serving: Balancer, instances: list[Instance]) -> None:
    for instance in instances[2:]:
        serving.change(weights={instance.address: 0})
    assert serving.ask(X_Amebo_Colour="green").status == 503
    assert colours(instances) == {"blue": 0, "green": 0}


def test_where_one_colour_has_nobody_left_the_other_answers(serving: Balancer, instances: list[Instance]) -> None:
    serving.change(green=50, weights={instance.address: 0 for instance in instances[2:]})
    assert {serving.ask(Authorization=str(number)).status for number in range(10)} == {200}
    assert colours(instances)["green"] == 0


def test_what_one_side_cannot_answer_the_other_does(serving: Balancer, instances: list[Instance]) -> None:
    serving.change(green=50)
    for instance in instances[2:]:
        instance.behaviour = lambda _request: 500
    assert {serving.ask("POST", Authorization=str(number)).status for number in range(20)} == {200}
    assert colours(instances)["green"] > 0


def test_maintenance_refuses_writes_and_lets_read(serving: Balancer, instances: list[Instance]) -> None:
    serving.change(maintenance="on")
    refused = serving.ask("POST", X_Request_ID="mine")
    assert refused.status == 503
    assert refused.headers["Retry-After"] == "30"
    assert refused.json()["request_id"] == "mine"
    assert [serving.ask("POST", path).status for path in WRITTEN] == [503] * len(WRITTEN)
    assert serving.ask().status == 200
    assert serving.ask("POST", "/v1/tokens").status == 200
    assert sum(each.asked["POST"] for each in instances) == 1


def test_maintenance_may_queue_until_it_is_over(serving: Balancer, instances: list[Instance]) -> None:
    serving.change(maintenance="queue")
    answers: list[int] = []
    waiting = [
        threading.Thread(target=lambda path: answers.append(serving.ask("POST", path).status), args=(path,))
        for path in WRITTEN
    ]
    for thread in waiting:
        thread.start()
    assert serving.ask().status == 200
    assert answers == []
    serving.change(maintenance="off")
    for thread in waiting:
        thread.join()
    assert answers == [200] * len(WRITTEN)
    assert sum(each.asked["POST"] for each in instances) == len(WRITTEN)


@pytest.mark.parametrize("settings", [{"nginx_queue_seconds": 0.3}])
def test_a_queue_has_an_end(serving: Balancer) -> None:
    serving.change(maintenance="queue")
    assert serving.ask("POST").status == 503


@pytest.mark.parametrize(
    ("wanted", "status", "said"),
    [
        ({"green": 101}, 400, "from 0 to 100"),
        ({"green": "5"}, 400, "from 0 to 100"),
        ({"maintenance": "maybe"}, 400, "off, on or queue"),
        ({"weights": {"192.0.2.1:1": 5}}, 404, "no instance 192.0.2.1:1"),
        ({"weights": 5}, 400, "weights is an object"),
        ({"wish": "luck"}, 400, "pause, promote, abort"),
        ({"greeen": 5}, 400, "no greeen"),
        ({"green": 5, "revision": 4711}, 409, "somebody changed it"),
        ({"green": 5, "by": 7}, 400, "by is a word"),
    ],
)
def test_what_makes_no_sense_changes_nothing(serving: Balancer, wanted: dict[str, Any], status: int, said: str) -> None:
    before = serving.traffic()
    answered, body = serving.change(**wanted)
    assert answered == status
    assert said in body["error"]
    assert serving.traffic() == before


def test_a_share_is_known_since_it_was_set(serving: Balancer) -> None:
    first = serving.change(green=5)[1]["since"]
    assert first > 0
    assert serving.change(green=5, wish="pause")[1]["since"] == first
    assert serving.change(green=25)[1]["since"] > first


def test_half_a_change_is_no_change(serving: Balancer, instances: list[Instance]) -> None:
    before = serving.traffic()
    assert serving.change(green=50, weights={instances[0].address: 0, "192.0.2.1:1": 5})[0] == 404
    assert serving.traffic() == before


def test_changes_at_the_same_moment_are_all_kept(serving: Balancer, instances: list[Instance]) -> None:
    threads = [
        threading.Thread(target=serving.change, kwargs={"weights": {each.address: weight}})
        for each in instances
        for weight in (80, 60, 40)
    ]
    before = serving.traffic()["revision"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert serving.traffic()["revision"] == before + len(threads)


def test_a_change_on_a_full_disk_is_refused(serving: Balancer) -> None:
    (serving.folder / "state.json.new").mkdir()
    status, body = serving.change(green=50)
    assert status == 500
    assert "state.json.new" in body["error"]
    assert serving.traffic()["green"] == 0


@pytest.mark.parametrize("green", [1, 5, 50, 99])
def test_a_canarys_probes_reach_both_sides_whatever_the_share(
    serving: Balancer, instances: list[Instance], green: int
) -> None:
    serving.change(green=green)
    first, last = side_words()
    for word in (first, last):
        serving.ask("POST", X_Amebo_Application=word, Authorization="Bearer amebo_of_both")
    assert colours(instances) == {"blue": 1, "green": 1}

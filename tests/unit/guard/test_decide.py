"""The guard's decision: values in, values out, time passes by saying so."""

from dataclasses import replace

import pytest

from roles.guard.files.guard.decide import decide, still_meant, suspects
from roles.guard.files.guard.model import DATABASE, Change, Observed, Placed, Policy, Probe, State, Tally, Traffic, Turn
from tests.unit.guard.simulation import Log, Simulation, a_fleet

REFUSED = {"b1": "refused"}
BLACK_HOLE: Log = {"b1": (80, 80), "b2": (30, 0), "b3": (30, 0), "b4": (30, 0)}


def test_leaves_a_healthy_fleet_alone() -> None:
    fleet = a_fleet()
    assert all(fleet.turn(log={"b1": (100, 2), "b2": (90, 0)}).changes == () for _ in range(100))


def test_takes_out_what_failed_three_probes_in_a_row() -> None:
    fleet = a_fleet()
    assert fleet.run(2, REFUSED).changes == ()
    assert fleet.turn(REFUSED).changes == (Change({"b1": 0}, "guard"),)
    assert fleet.known["b1"].why == "refused"


def test_two_failed_probes_and_a_good_one_change_nothing() -> None:
    fleet = a_fleet()
    for _ in range(10):
        assert fleet.run(2, REFUSED).changes == ()
        assert fleet.turn().changes == ()


def test_an_instance_that_answers_500_to_every_post_is_out_in_the_turn_that_sees_it() -> None:
    """Its probes are good; every request that it fails is tried again on another, which shows in their counts."""
    fleet = a_fleet()
    fleet.run(5, log={"b1": (30, 0), "b2": (30, 0), "b3": (30, 0), "b4": (30, 0)})
    fleet.turn(log=BLACK_HOLE)
    assert fleet.out() == ["b1"]


@pytest.mark.parametrize("before_the_fault", range(0, 100, 10))
def test_an_instance_that_begins_to_fail_between_two_turns_is_out_within_two(before_the_fault: int) -> None:
    fleet = a_fleet()
    fine = dict.fromkeys(fleet.placed, (100, 0))
    fleet.run(60, log=fine)
    fleet.turn(log={**fine, "b1": (100, 100 - before_the_fault)})
    fleet.turn(log={**fine, "b1": (100, 100)})
    assert fleet.out() == ["b1"]


def test_few_requests_are_counted_over_the_longer_window() -> None:
    fleet = a_fleet()
    for number in range(30):
        if number % 5 == 0:
            fleet.turn(log={"b1": (1, 1), "b2": (1, 0), "b3": (1, 0)})
        else:
            fleet.turn()
    assert fleet.out() == ["b1"]


@pytest.mark.parametrize(
    "log",
    [
        pytest.param({"b1": (4, 4), "b2": (50, 0)}, id="too few tries"),
        pytest.param({"b1": (100, 49), "b2": (100, 0), "b3": (100, 0)}, id="less than half"),
        pytest.param({"b1": (100, 100), "b2": (100, 100), "b3": (100, 100), "b4": (100, 100)}, id="all fail"),
        pytest.param({"b1": (100, 100), "b2": (100, 90), "b3": (100, 80), "b4": (100, 0)}, id="most fail"),
        pytest.param({"b1": (100, 100), "b2": (100, 100), "b3": (100, 0)}, id="as many others fail as not"),
        pytest.param({"b1": (100, 80), "b2": (100, 45), "b3": (100, 45), "b4": (100, 45)}, id="not markedly better"),
        pytest.param({"b1": (100, 100)}, id="nobody to compare with"),
        pytest.param({"b1": (100, 100), "b2": (2, 0)}, id="hardly anybody to compare with"),
    ],
)
def test_the_log_ejects_nobody_when(log: Log) -> None:
    fleet = a_fleet()
    assert all(fleet.turn(log=log if number == 5 else {}).changes == () for number in range(40))


@pytest.mark.parametrize("tripped", [True, False])
def test_where_nginx_itself_avoids_an_instance_its_last_tries_are_enough(tripped: bool) -> None:
    """It stops asking after three failures: there may never be five of them, nor half of what was before."""
    fleet = a_fleet()
    fine = dict.fromkeys(fleet.placed, (300, 0))
    fleet.run(60, log=fine)
    fleet.trip(*["b1"] if tripped else [])
    fleet.turn(log={**fine, "b1": (103, 3)})
    assert fleet.out() == (["b1"] if tripped else [])


def test_where_nginx_avoids_most_of_them_nobody_is_to_blame() -> None:
    fleet = a_fleet()
    fine = dict.fromkeys(fleet.placed, (300, 0))
    fleet.run(60, log=fine)
    fleet.trip("b1", "b2", "b3")
    fleet.turn(log={**fine, "b1": (103, 3), "b2": (103, 3), "b3": (103, 3)})
    assert fleet.run(30, log={"b4": (900, 0)}).changes == ()
    assert fleet.out() == []


def test_an_instance_that_nginx_avoids_for_failures_between_good_tries_is_left_to_nginx() -> None:
    fleet = a_fleet()
    fleet.run(3)
    fleet.trip("b1")
    fleet.turns = (Turn(fleet.now, {"b1": Tally(300, 3, 0), "b2": Tally(300, 0, 0)}),)
    assert fleet.turn().changes == ()


def test_two_black_holes_of_four_do_not_hide_each_other() -> None:
    fleet = a_fleet()
    fleet.run(2, log={"b1": (500, 500), "b2": (500, 500), "b3": (20, 0), "b4": (20, 0)})
    assert fleet.out() == ["b1", "b2"]


def test_a_release_that_fails_everywhere_is_not_the_guard_s_business() -> None:
    """Colours are compared within themselves: a green that fails as a whole is the canary's to roll back."""
    fleet = a_fleet(blue=3, green=2, share=10)
    log = {"g1": (50, 50), "g2": (50, 50), "b1": (90, 0), "b2": (90, 0), "b3": (90, 0)}
    assert fleet.run(10, log=log).changes == ()


@pytest.mark.parametrize(("instances", "most"), [(1, 0), (2, 1), (3, 1), (4, 2), (5, 2), (6, 3), (9, 4)])
def test_at_least_half_of_a_colour_stays_although_one_after_the_other_turns_bad(instances: int, most: int) -> None:
    fleet = a_fleet(blue=instances)
    for number in range(1, instances + 1):
        fleet.run(10, {f"b{bad}": "refused" for bad in range(1, number + 1)}, seconds=0.5)
        assert len(fleet.out()) <= most
    assert len(fleet.out()) == most


def test_a_database_that_all_miss_ejects_nobody_and_is_a_panic() -> None:
    fleet = a_fleet(blue=3, green=1, share=50)
    everywhere = dict.fromkeys(fleet.placed, DATABASE)
    decisions = [fleet.turn(everywhere, dict.fromkeys(fleet.placed, (9, 9))) for _ in range(60)]
    assert [decision.changes for decision in decisions] == [()] * 60
    assert decisions[-1].panic
    assert fleet.run(2).panic is False


def test_who_was_ejected_before_the_others_missed_the_database_too_is_given_back() -> None:
    fleet = a_fleet()
    fleet.run(4, {"b1": DATABASE})
    assert fleet.out() == ["b1"]
    decision = fleet.run(2, dict.fromkeys(fleet.placed, DATABASE))
    assert fleet.out() == []
    assert decision.watches["b1"].state is State.CLOSED


def test_instances_that_operators_took_out_say_nothing_about_the_database() -> None:
    fleet = a_fleet(blue=5)
    for address in ("b4", "b5"):
        fleet.set(address, 0, "operator")
    fleet.placed["g1"] = Placed("green")
    fleet.green = 10
    stopped = {"b4": "refused", "b5": "refused"}
    fleet.run(3, {**stopped, "g1": DATABASE, "b1": DATABASE, "b2": DATABASE})
    assert fleet.out() == []


def test_one_that_misses_the_database_alone_is_bad() -> None:
    fleet = a_fleet()
    fleet.run(3, {"b2": DATABASE})
    assert fleet.out() == ["b2"]


def test_a_network_that_fails_for_most_ejects_nobody() -> None:
    fleet = a_fleet()
    assert fleet.run(30, {"b1": "silent", "b2": "silent", "b3": "silent"}).changes == ()
    assert fleet.out() == []


@pytest.mark.parametrize("why", [DATABASE, "silent"])
def test_what_all_shared_may_end_for_one_later_than_for_another(why: str) -> None:
    fleet = a_fleet()
    failing: Log = dict.fromkeys(fleet.placed, (20, 20))
    fleet.run(5, dict.fromkeys(fleet.placed, why), failing)
    fleet.run(8, {"b1": why, "b2": why}, {"b1": (5, 5), "b2": (5, 5), "b3": (50, 0), "b4": (50, 0)})
    assert fleet.out() == []
    fleet.run(3, {"b1": why})
    assert fleet.out() == ["b1"]


def test_panic_says_that_a_bad_one_is_kept_and_why() -> None:
    fleet = a_fleet(blue=2)
    fleet.run(3, REFUSED)
    decision = fleet.run(3, {"b1": "refused", "b2": "silent"})
    assert decision.panic
    assert (fleet.state("b2"), fleet.known["b2"].why) == (State.CLOSED, "silent")


def test_comes_back_in_growing_shares_and_in_nobody_s_name_at_the_end() -> None:
    fleet = a_fleet()
    fleet.run(3, REFUSED)
    weights = []
    for _ in range(40):
        fleet.turn()
        weights.append((fleet.placed["b1"].weight, fleet.placed["b1"].by))
    distinct = list(dict.fromkeys(weights))
    assert distinct == [(0, "guard"), (5, "guard"), (25, "guard"), (50, "guard"), (100, "guard"), (100, "")]
    assert [weights.count(each) for each in distinct[1:5]] == [5, 5, 5, 5]


def test_waits_for_two_good_probes_however_long_it_was_out() -> None:
    fleet = a_fleet()
    fleet.run(100, REFUSED)
    fleet.turn()
    assert fleet.state("b1") is State.OPEN
    fleet.turn()
    assert fleet.state("b1") is State.HALF_OPEN


def until_half_open(fleet: Simulation) -> int:
    for turns in range(1, 1000):
        fleet.turn()
        if fleet.state("b1") is State.HALF_OPEN:
            return turns
    raise AssertionError("it never came back")


def test_each_failure_on_the_way_back_makes_the_wait_longer_up_to_a_bound() -> None:
    fleet = a_fleet()
    fleet.run(2, log=BLACK_HOLE)
    waits = []
    for _ in range(7):
        waits.append(until_half_open(fleet))
        fleet.turn(log={"b1": (2, 2), "b2": (30, 0), "b3": (30, 0)})
        assert fleet.state("b1") is State.OPEN
    assert waits == [10, 20, 40, 80, 160, 300, 300]


def test_on_the_way_back_a_share_counts_from_when_nginx_asks_it_again() -> None:
    fleet = a_fleet()
    fleet.trip("b1")
    fleet.run(3, REFUSED)
    until_half_open(fleet)
    fleet.run(30)
    assert fleet.placed["b1"].weight == 5
    fleet.trip()
    fleet.run(4)
    assert fleet.placed["b1"].weight == 5
    fleet.turn()
    assert fleet.placed["b1"].weight == 25


def test_on_the_way_back_the_one_request_that_nginx_tries_is_enough() -> None:
    fleet = a_fleet()
    fleet.trip("b1")
    fleet.run(3, REFUSED)
    until_half_open(fleet)
    fleet.turn(log={"b1": (1, 1), "b2": (30, 0), "b3": (30, 0)})
    assert fleet.state("b1") is State.OPEN


def test_one_failed_probe_on_the_way_back_is_enough() -> None:
    fleet = a_fleet()
    fleet.run(3, REFUSED)
    until_half_open(fleet)
    fleet.turn(REFUSED)
    assert (fleet.state("b1"), fleet.placed["b1"].weight) == (State.OPEN, 0)


def test_what_led_to_the_ejection_does_not_count_again_on_the_way_back() -> None:
    fleet = a_fleet()
    fleet.policy = replace(Policy(), wait=1.0)
    fleet.run(2, log=BLACK_HOLE)
    assert until_half_open(fleet) < max(fleet.policy.windows)
    fleet.run(20)
    assert fleet.placed["b1"] == Placed("blue")


def test_a_failure_long_after_it_came_back_is_a_first_one() -> None:
    fleet = a_fleet()
    for _ in range(2):
        fleet.run(3, REFUSED)
        assert fleet.known["b1"].ejections == 1
        until_half_open(fleet)
        fleet.run(400)
    fleet.run(3, REFUSED)
    until_half_open(fleet)
    fleet.run(30)
    fleet.run(3, REFUSED)
    assert fleet.known["b1"].ejections == 2


def test_on_the_way_back_still_counts_as_out() -> None:
    fleet = a_fleet()
    fleet.run(3, {"b1": "refused", "b2": "refused"})
    until_half_open(fleet)
    fleet.run(3, {"b3": "refused"})
    assert fleet.out() == []
    assert fleet.state("b3") is State.CLOSED


def test_a_colour_without_traffic_may_be_stopped() -> None:
    fleet = a_fleet(blue=2, green=2)
    decision = fleet.run(50, {"g1": "refused", "g2": "refused"})
    assert (decision.changes, decision.panic) == ((), False)
    assert fleet.known["g1"].failing == 50


def test_the_stopped_colour_does_not_make_a_fault_look_shared() -> None:
    fleet = a_fleet(blue=2, green=4)
    fleet.run(3, {"b1": "refused", **{f"g{number}": "refused" for number in range(1, 5)}})
    assert fleet.out() == ["b1"]


def test_at_all_shares_between_both_colours_are_guarded() -> None:
    fleet = a_fleet(blue=2, green=2, share=37)
    fleet.run(3, {"b1": "refused", "g2": "silent"})
    assert (fleet.out("blue"), fleet.out("green")) == (["b1"], ["g2"])


def test_at_100_percent_green_it_is_blue_that_is_idle() -> None:
    fleet = a_fleet(blue=2, green=2, share=100)
    fleet.run(3, {"b1": "refused", "g2": "silent"})
    assert (fleet.out("blue"), fleet.out("green")) == ([], ["g2"])


def test_an_instance_whose_colour_became_idle_is_back_as_soon_as_it_is_healthy() -> None:
    fleet = a_fleet(blue=2, green=2, share=50)
    fleet.run(3, {"g1": "refused"})
    fleet.green = 0
    fleet.run(20, {"g1": "refused"})
    assert fleet.placed["g1"] == Placed("green", 0, "guard")
    fleet.run(2)
    assert fleet.placed["g1"] == Placed("green", 100, "")


@pytest.mark.parametrize("weight", [0, 50, 100])
def test_never_touches_what_an_operator_has_set(weight: int) -> None:
    fleet = a_fleet()
    fleet.set("b1", weight, "operator")
    fleet.run(20, REFUSED, BLACK_HOLE)
    fleet.run(60)
    assert fleet.placed["b1"] == Placed("blue", weight, "operator")


@pytest.mark.parametrize("by", ["operator", "canary"])
def test_an_operator_may_take_over_what_the_guard_has_out(by: str) -> None:
    fleet = a_fleet()
    fleet.run(3, REFUSED)
    fleet.set("b1", 30, by)
    fleet.run(60)
    assert fleet.placed["b1"] == Placed("blue", 30, by)


def test_a_weight_of_nothing_without_a_name_is_somebody_s() -> None:
    fleet = a_fleet()
    fleet.set("b1", 0, "")
    fleet.run(60, REFUSED)
    assert fleet.placed["b1"] == Placed("blue", 0, "")


def test_what_operators_took_out_counts_towards_the_half() -> None:
    fleet = a_fleet()
    fleet.set("b4", 0, "operator")
    fleet.run(3, REFUSED)
    fleet.run(5, {"b1": "refused", "b2": "silent"})
    assert fleet.out() == ["b1"]


def test_an_operator_who_takes_more_out_gets_back_what_the_guard_took() -> None:
    fleet = a_fleet()
    fleet.run(3, {"b1": "refused", "b2": "refused"})
    fleet.set("b3", 0, "operator")
    fleet.turn({"b1": "refused"})
    assert fleet.out() == ["b1"]  # b2 answers again, so it is the better one
    fleet.run(20, {"b1": "refused"})
    assert fleet.out() == ["b1"]


def test_a_fleet_that_shrinks_gets_back_what_is_more_than_half() -> None:
    fleet = a_fleet(blue=6)
    fleet.run(3, {"b1": "refused", "b2": "refused", "b3": "refused"})
    for gone in ("b4", "b5"):
        del fleet.placed[gone]
    fleet.turn({"b1": "refused", "b2": "refused", "b3": "refused"})
    assert len(fleet.out()) == 2


def test_a_new_process_puts_back_what_the_one_before_took_out() -> None:
    fleet = a_fleet()
    fleet.run(3, REFUSED)
    fleet.restart()
    fleet.turn(REFUSED)
    assert fleet.state("b1") is State.OPEN
    fleet.run(2)
    assert fleet.state("b1") is State.HALF_OPEN
    fleet.run(30)
    assert fleet.placed["b1"] == Placed("blue", 100, "")


@pytest.mark.parametrize(("found", "then"), [(5, 25), (25, 50), (30, 50), (50, 100)])
def test_a_new_process_goes_on_where_the_one_before_was_on_the_way_back(found: int, then: int) -> None:
    fleet = a_fleet()
    fleet.set("b1", found, "guard")
    fleet.run(7)
    assert fleet.placed["b1"] == Placed("blue", then, "guard")


def test_a_change_that_did_not_arrive_is_asked_for_again() -> None:
    fleet = a_fleet()
    fleet.run(3, REFUSED)
    fleet.set("b1", 100, "")  # as if nginx had never heard of it
    assert fleet.turn(REFUSED).changes == (Change({"b1": 0}, "guard"),)


def test_an_instance_that_is_no_longer_there_is_forgotten() -> None:
    fleet = a_fleet()
    fleet.run(3, REFUSED)
    del fleet.placed["b1"]
    assert "b1" not in fleet.turn().watches


def test_suspects_are_those_that_it_is_not_sure_of_yet() -> None:
    fleet = a_fleet()
    asked = [suspects(fleet.turn(REFUSED).watches, fleet.policy) for _ in range(4)]
    assert asked == [{"b1"}, {"b1"}, set(), set()]


def test_what_somebody_set_since_the_look_is_left_out_of_a_change() -> None:
    before = Traffic(0, dict.fromkeys(("b1", "b2", "b3"), Placed("blue")))
    after = Traffic(0, {"b1": Placed("blue", 50, "operator"), "b2": Placed("blue", tripped=True)})
    changes = (Change({"b1": 0, "b2": 0}, "guard"), Change({"b3": 100}, ""))
    assert list(still_meant(changes, before, after)) == [Change({"b2": 0}, "guard")]


def slow_turns(seconds: float) -> tuple[Turn, ...]:
    quick = Tally(100, 0, 0, (0.02,) * 100)
    return (Turn(1000.0, {"b1": Tally(100, 0, 0, (seconds,) * 100), "b2": quick, "b3": quick}),)


@pytest.mark.parametrize(
    ("factor", "seconds", "why"),
    [(0.0, 9.0, ""), (5.0, 9.0, "slow"), (5.0, 0.9, ""), (5.0, 1.1, "slow")],
    ids=["off by default", "far slower than the others", "below the floor", "above it"],
)
def test_slowness_counts_only_where_it_is_turned_on(factor: float, seconds: float, why: str) -> None:
    placed = {address: Placed("blue") for address in ("b1", "b2", "b3")}
    policy = replace(Policy(), slow_factor=factor)
    probes = dict.fromkeys(placed, Probe())
    begun = decide(Observed(Traffic(0, placed), probes), {}, policy, 990.0).watches
    decision = decide(Observed(Traffic(0, placed), probes, slow_turns(seconds)), begun, policy, 1000.0)
    assert decision.watches["b1"].why == why
    assert (decision.changes != ()) is bool(why)

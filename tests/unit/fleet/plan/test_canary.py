"""The canary's next decision: an observation in, a decision out."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fleet.errors import PlanRefused
from fleet.plan import judge
from fleet.plan.canary import (
    Abort,
    Advance,
    Decision,
    Finish,
    Hold,
    Observation,
    Policy,
    decide,
    settled,
    window_before,
)
from fleet.plan.judge import Outcome, Side

POLICY = Policy(soak_seconds=60, patience_seconds=600)
BEGAN = 1_000_000.0
GOOD = Side(1_000, 1, tuple(float(20 + n % 10) for n in range(999)))
BAD = Side(1_000, 100, GOOD.latencies[:900])
SLOW, SLOWER, SLOWEST = (replace(GOOD, latencies=tuple(each * n for each in GOOD.latencies)) for n in (2, 4, 12))
DEAD = Side(20, 20)
FEW = Side(50, 0, GOOD.latencies[:50])
NONE = Side()


def look(
    share: int, new: Side = GOOD, old: Side = GOOD, *, before: Side = NONE, is_paused: bool = False
) -> Observation:
    return Observation(share, BEGAN, old, new, before, is_paused)


def after(seconds: float, observed: Observation, policy: Policy = POLICY) -> Decision:
    return decide(observed, policy, BEGAN + seconds)


def said(decision: Decision) -> str:
    """A decision in short, without the evidence."""
    match decision:
        case Advance(to):
            return f"advance to {to}"
        case Hold(is_overdue=is_overdue):
            return "hold, overdue" if is_overdue else "hold"
        case Abort():
            return "abort"
        case Finish():
            return "finish"


@pytest.mark.parametrize(
    ("seconds", "observed", "expected"),
    [
        pytest.param(0, look(0), "advance to 5", id="nothing is on the new side yet"),
        pytest.param(0, look(0, NONE, NONE), "advance to 5", id="and nobody asks for anything"),
        pytest.param(0, look(0, is_paused=True), "hold", id="paused before it began"),
        pytest.param(59, look(5), "hold", id="soaks"),
        pytest.param(60, look(5), "advance to 25", id="has soaked"),
        pytest.param(60, look(25), "advance to 50", id="the next step"),
        pytest.param(60, look(50), "advance to 100", id="and the next"),
        pytest.param(60, look(7), "advance to 25", id="a share that is no step goes on to the next"),
        pytest.param(-5, look(5), "hold", id="the load balancer's clock is ahead"),
        pytest.param(10, look(5, DEAD), "abort", id="dead on arrival"),
        pytest.param(10, look(5, BAD), "abort", id="certain during the soak"),
        pytest.param(10, look(5, SLOW), "abort", id="slow during the soak"),
        pytest.param(60, look(50, BAD), "abort", id="bad at the end of the soak"),
        pytest.param(60, look(5, FEW), "hold", id="too little data"),
        pytest.param(600, look(5, FEW), "hold", id="patient"),
        pytest.param(601, look(5, FEW), "hold, overdue", id="patient no more, and yet it holds"),
        pytest.param(60, look(5, NONE), "hold", id="no data"),
        pytest.param(1e9, look(5, NONE), "hold, overdue", id="no data for thirty years"),
        pytest.param(1e9, look(5, NONE, NONE), "hold, overdue", id="no data on either side"),
        pytest.param(60, look(5, BAD, replace(BAD, failures=100)), "hold", id="both sides fail: nothing is learned"),
        pytest.param(1e9, look(5, is_paused=True), "hold", id="paused, well as it may be"),
        pytest.param(10, look(5, BAD, is_paused=True), "abort", id="paused, but it fails"),
        pytest.param(59, look(100, before=GOOD), "hold", id="everything is on the new side: soaks"),
        pytest.param(60, look(100, before=GOOD), "finish", id="and proves itself"),
        pytest.param(60, look(100, old=NONE, before=GOOD), "finish", id="the old side has no traffic any more"),
        pytest.param(60, look(100, BAD, NONE, before=GOOD), "abort", id="fails with everything on it"),
        pytest.param(60, look(100, DEAD, NONE), "abort", id="dead needs nothing to compare with"),
        pytest.param(60, look(100, old=GOOD), "hold", id="at 100 % what trickles to the old side proves nothing"),
        pytest.param(60, look(100, NONE, NONE, before=GOOD), "hold", id="no data at 100 %"),
        pytest.param(60, look(100, before=GOOD, is_paused=True), "hold", id="paused at 100 %"),
        pytest.param(60, look(100, SLOW, before=GOOD), "finish", id="another time, another load: it may be that"),
        pytest.param(59, look(100, SLOWER, before=GOOD), "hold", id="or the moment after the switch"),
        pytest.param(60, look(100, SLOWER, before=GOOD), "abort", id="but no longer by so much"),
        pytest.param(10, look(100, SLOWEST, before=GOOD), "abort", id="nor ever by this"),
    ],
)
def test_decides(seconds: float, observed: Observation, expected: str) -> None:
    assert said(after(seconds, observed)) == expected


def test_goes_all_the_way_through_its_steps_and_ends() -> None:
    share, story = 0, []
    while True:
        decision = after(60, look(share, before=GOOD))
        story.append(said(decision))
        if not isinstance(decision, Advance):
            break
        share = decision.to
    assert story == ["advance to 5", "advance to 25", "advance to 50", "advance to 100", "finish"]


def test_an_interrupted_canary_goes_on_where_it_is() -> None:
    first = after(30, look(25))
    assert said(first) == "hold"
    assert after(60, look(25)) == after(60, look(25))
    assert said(after(60, look(25))) == "advance to 50"


def test_a_small_difference_waits_for_the_end_of_the_soak_and_of_a_pause() -> None:
    """5 of 400 beside 1 of 1,000 is certain to 98 %, not to 99.9 %."""
    doubtful = Side(400, 5, GOOD.latencies[:395])
    assert said(after(59, look(5, doubtful))) == "hold"
    assert said(after(60, look(5, doubtful))) == "abort"
    assert said(after(86_400, look(5, doubtful, is_paused=True))) == "hold"


def test_every_decision_after_the_first_shows_its_evidence() -> None:
    for observed in (look(5), look(5, BAD), look(5, NONE), look(5, is_paused=True), look(100, before=GOOD)):
        decision = after(60, observed)
        assert decision.verdict is not None
        assert len(decision.verdict.findings) == 4


def test_an_abort_says_where_and_why() -> None:
    decision = after(10, look(25, DEAD))
    assert isinstance(decision, Abort)
    assert decision.why == "at 25 %, success rate: 20 of 20 fail; that needs no more data"


def test_a_hold_says_how_long_or_what_is_missing() -> None:
    soaking, open_still, overdue = after(20, look(5)), after(60, look(5, FEW)), after(900, look(5, FEW))
    assert isinstance(soaking, Hold)
    assert soaking.why == "40 s at 5 % to go"
    assert isinstance(open_still, Hold)
    assert open_still.why.startswith("undecided at 5 %: success rate: too little data: 50 of 100 on the new side")
    assert isinstance(overdue, Hold)
    assert overdue.why.startswith("still undecided after 900 s at 5 %: ")


@pytest.mark.parametrize("steps", [(), (5, 25), (50, 25, 100), (5, 5, 100), (0, 100), (5, 100, 150)])
def test_refuses_steps_that_do_not_rise_to_all(steps: tuple[int, ...]) -> None:
    with pytest.raises(PlanRefused, match=r"rise from 1 or more to 100 percent"):
        Policy(steps=steps)


def test_at_100_percent_the_old_side_is_read_at_the_end_of_the_step_before() -> None:
    assert window_before(BEGAN, POLICY) == (BEGAN - 60, BEGAN)


a_count = st.integers(0, 400)
sides = st.builds(
    lambda requests, failures, ms: Side(requests, min(requests, failures), (ms,) * max(0, requests - failures)),
    a_count,
    a_count,
    st.floats(1, 100),
)
observations = st.builds(
    Observation,
    share=st.integers(0, 100),
    began=st.just(BEGAN),
    old=sides,
    new=sides,
    before=sides,
    is_paused=st.booleans(),
)


@given(observed=observations, seconds=st.floats(-100, 1e9))
@settings(max_examples=300, deadline=None)
def test_whatever_is_seen_it_only_advances_by_one_step_on_a_pass_after_the_soak(
    observed: Observation, seconds: float
) -> None:
    decision = after(seconds, observed)
    match decision:
        case Advance(to, None):
            assert (observed.share, to) == (0, 5)
        case Advance(to, verdict):
            assert verdict is not None
            assert to == min(step for step in POLICY.steps if step > observed.share)
            assert verdict.outcome is Outcome.PASS
            assert seconds >= POLICY.soak_seconds
            assert not observed.is_paused
            assert observed.new.requests >= POLICY.judgement.minimum_new
        case Finish(verdict):
            assert (observed.share, verdict.outcome) == (100, Outcome.PASS)
            assert not observed.is_paused
        case Abort(verdict):
            assert verdict.outcome is Outcome.FAIL
        case Hold():
            assert observed.is_paused or seconds < POLICY.soak_seconds or decision.verdict is not None


@given(seconds=st.floats(0, 1e12), share=st.integers(1, 100), old=sides, before=sides)
@settings(max_examples=100, deadline=None)
def test_no_data_never_advances_however_long(seconds: float, share: int, old: Side, before: Side) -> None:
    assert isinstance(after(seconds, look(share, NONE, old, before=before)), Hold)


def test_the_judgements_own_numbers_are_part_of_the_policy() -> None:
    eager = replace(POLICY, judgement=judge.Policy(minimum_new=50))
    assert said(after(60, look(5, FEW), eager)) == "advance to 25"


def delivered(attempts: int, failures: int) -> Side:
    return Side(deliveries=attempts, delivery_failures=failures)


@pytest.mark.parametrize(
    ("seconds", "old", "new", "expected"),
    [
        pytest.param(5, delivered(1_000, 1), delivered(200, 0), "55 s of deliveries to go", id="well, and early"),
        pytest.param(60, delivered(1_000, 1), delivered(200, 0), "deliveries: 0.00% fail", id="well"),
        pytest.param(60, delivered(0, 0), delivered(0, 0), "deliveries: no data", id="a quiet minute"),
        pytest.param(60, delivered(1_000, 1), delivered(99, 9), "too little data: 99 of 100", id="too few to tell"),
        pytest.param(5, delivered(1_000, 1), delivered(200, 100), "since the dispatchers were switched", id="bad"),
        pytest.param(60, delivered(900, 18), delivered(200, 13), "deliveries: 6.50% fail", id="a little worse"),
        pytest.param(60, delivered(1_000, 500), delivered(200, 104), "50.00% fail on the old side, too", id="all bad"),
    ],
)
def test_dispatchers_stay_unless_more_of_their_deliveries_fail(
    seconds: float, old: Side, new: Side, expected: str
) -> None:
    decision = settled(old, new, POLICY, seconds)
    assert expected in decision.why
    kinds = {"of deliveries to go": Hold, "since the dispatchers": Abort}
    assert type(decision) is next((kind for word, kind in kinds.items() if word in expected), Finish)


def test_a_certain_difference_in_deliveries_is_enough_only_once_they_have_soaked() -> None:
    old, new = delivered(300, 6), delivered(110, 9)
    assert isinstance(settled(old, new, POLICY, 30), Hold)
    assert isinstance(settled(old, new, POLICY, 60), Abort)

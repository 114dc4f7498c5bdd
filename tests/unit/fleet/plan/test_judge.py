"""The canary's judgement: two sides in, a verdict out."""

from dataclasses import replace
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fleet.plan.judge import Finding, Outcome, Policy, Side, judge, p95

POLICY = Policy()
PASS, FAIL, INCONCLUSIVE = Outcome.PASS, Outcome.FAIL, Outcome.INCONCLUSIVE


def latencies(count: int, median: float = 20, seed: int = 1) -> tuple[float, ...]:
    """Log-normal, as latencies are: the p95 is about 2.3 times the median."""
    random = Random(seed)  # noqa: S311  (no secret; the same numbers every time)
    return tuple(median * random.lognormvariate(0, 0.5) for _ in range(count))


def a_side(requests: int = 1000, failures: int = 0, seed: int = 1) -> Side:
    return Side(requests, failures, latencies(requests - failures, seed=seed))


OLD = replace(a_side(10_000), deliveries=10_000, delivery_failures=100, saturation=0.4)
NEW = replace(a_side(1_000, seed=2), deliveries=1_000, delivery_failures=10, saturation=0.4)


def finding(metric: str, old: Side, new: Side, policy: Policy = POLICY) -> Finding:
    return next(each for each in judge(old, new, policy).findings if each.metric == metric)


def test_passes_when_both_sides_are_alike_and_says_of_each_metric_what_it_saw() -> None:
    verdict = judge(OLD, NEW, POLICY)
    assert verdict.outcome is PASS
    seen = [(f.metric, f.outcome, f.old, f.new, f.old_sample, f.new_sample) for f in verdict.findings]
    assert seen == [
        ("success rate", PASS, 1.0, 1.0, 10_000, 1_000),
        ("latency", PASS, p95(OLD.latencies), p95(NEW.latencies), 10_000, 1_000),
        ("delivery failures", PASS, 0.01, 0.01, 10_000, 1_000),
        ("saturation", PASS, 0.4, 0.4, 10_000, 1_000),
    ]
    assert all(f.why for f in verdict.findings)


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        pytest.param((0, 0), (0, 0), INCONCLUSIVE, id="no data at all"),
        pytest.param((10_000, 0), (0, 0), INCONCLUSIVE, id="none on the new side"),
        pytest.param((0, 0), (10_000, 0), INCONCLUSIVE, id="none on the old side"),
        pytest.param((10_000, 0), (99, 0), INCONCLUSIVE, id="one short on the new side"),
        pytest.param((49, 0), (1_000, 0), INCONCLUSIVE, id="one short on the old side"),
        pytest.param((50, 0), (100, 0), PASS, id="just enough on both"),
        pytest.param((10_000, 0), (20, 20), FAIL, id="20 of 20 need not wait"),
        pytest.param((0, 0), (20, 20), FAIL, id="20 of 20 need no old side"),
        pytest.param((1, 0), (10, 10), FAIL, id="10 of 10 are just certain"),
        pytest.param((10_000, 0), (9, 9), INCONCLUSIVE, id="9 of 9 are not"),
        pytest.param((10_000, 0), (30, 15), INCONCLUSIVE, id="half of few could be chance"),
        pytest.param((1_000, 1_000), (20, 20), INCONCLUSIVE, id="gross on both sides: not the release"),
        pytest.param((1_000, 100), (1_000, 100), INCONCLUSIVE, id="one in ten on both sides: not the release"),
        pytest.param((1_000, 100), (1_000, 200), FAIL, id="twice as many as a side that fails, too"),
        pytest.param((10_000, 10), (1_000, 1), PASS, id="one in a thousand on both"),
        pytest.param((10_000, 10), (1_000, 11), FAIL, id="one percent more"),
        pytest.param((10_000, 0), (100, 2), PASS, id="two failures are one mishap, rare as it is"),
        pytest.param((10_000, 0), (100, 3), FAIL, id="three beside none are not"),
        pytest.param((100, 0), (100, 5), PASS, id="five beside none of a hundred could be chance"),
        pytest.param((100, 0), (100, 6), FAIL, id="six are not"),
        pytest.param((1_000_000, 1_000), (1_000_000, 2_000), PASS, id="certain, but within the tolerance"),
        pytest.param((1_000_000, 1_000), (1_000_000, 7_000), FAIL, id="certain and beyond it"),
        pytest.param((10_000, 300), (1_000, 0), PASS, id="better"),
    ],
)
def test_the_success_rate(old: tuple[int, int], new: tuple[int, int], expected: Outcome) -> None:
    assert finding("success rate", Side(*old), Side(*new)).outcome is expected


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        pytest.param((), (), INCONCLUSIVE, id="no data at all"),
        pytest.param(latencies(1_000), latencies(99), INCONCLUSIVE, id="one short on the new side"),
        pytest.param(latencies(49), latencies(1_000), INCONCLUSIVE, id="one short on the old side"),
        pytest.param(latencies(50), latencies(100, seed=2), PASS, id="just enough, and alike"),
        pytest.param(latencies(5_000), latencies(5_000, 22, seed=2), PASS, id="a tenth slower: certain, but tiny"),
        pytest.param(latencies(5_000), latencies(500, 30, seed=2), FAIL, id="half as slow again"),
        pytest.param(latencies(5_000), latencies(500, 10, seed=2), PASS, id="twice as fast"),
        pytest.param(latencies(5_000), latencies(5_000, 24, seed=2), PASS, id="a fifth slower: within the tolerance"),
        pytest.param(latencies(5_000), latencies(5_000, 27, seed=2), FAIL, id="a third slower: beyond it"),
        pytest.param(
            latencies(5_000), latencies(100, 26, seed=2), PASS, id="a third slower, but too few to be certain"
        ),
        pytest.param((1.0,) * 5_000, (4.0,) * 500, PASS, id="four times as slow, but 3 ms"),
        pytest.param((1.0,) * 5_000, (40.0,) * 500, FAIL, id="forty times as slow"),
        pytest.param((20.0,) * 5_000, (*(20.0,) * 900, *(500.0,) * 100), FAIL, id="a tenth very slow"),
        pytest.param((20.0,) * 5_000, (*(20.0,) * 990, *(500.0,) * 10), PASS, id="a hundredth very slow: not the p95"),
        pytest.param((20.0,) * 5_000, (*(5.0,) * 900, *(500.0,) * 100), FAIL, id="faster, but for a tenth that hangs"),
        pytest.param((20.0,) * 50, (*(20.0,) * 900, *(500.0,) * 100), PASS, id="an old p95 that nobody knows"),
        pytest.param((*(5.0,) * 90, *(50.0,) * 5), (*(5.0,) * 94, *(80.0,) * 6), PASS, id="a p95 of few, by chance"),
    ],
)
def test_the_latency(old: tuple[float, ...], new: tuple[float, ...], expected: Outcome) -> None:
    assert finding("latency", Side(latencies=old), Side(latencies=new)).outcome is expected


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        pytest.param((0, 0), (0, 0), INCONCLUSIVE, id="no deliveries"),
        pytest.param((1_000, 10), (5, 5), INCONCLUSIVE, id="a handler that dies in a quiet minute"),
        pytest.param((1_000, 10), (20, 20), FAIL, id="all that a breaker lets through"),
        pytest.param((1_000, 100), (20, 20), INCONCLUSIVE, id="handlers were dying before"),
        pytest.param((1_000, 10), (1_000, 50), PASS, id="within the tolerance"),
        pytest.param((1_000, 10), (1_000, 100), FAIL, id="one in ten beside one in a hundred"),
    ],
)
def test_the_delivery_failures(old: tuple[int, int], new: tuple[int, int], expected: Outcome) -> None:
    before, after = (Side(deliveries=count, delivery_failures=failures) for count, failures in (old, new))
    assert finding("delivery failures", before, after).outcome is expected


@pytest.mark.parametrize(
    ("old", "new", "requests", "expected"),
    [
        (0.4, None, 1_000, INCONCLUSIVE),
        (0.4, 0.89, 1_000, PASS),
        (0.4, 0.9, 1_000, FAIL),
        (None, 0.95, 1_000, FAIL),
        (0.95, 0.95, 1_000, INCONCLUSIVE),
        (0.4, 0.95, 99, INCONCLUSIVE),
        (None, 0.2, 0, PASS),
    ],
)
def test_the_saturation(old: float | None, new: float | None, requests: int, expected: Outcome) -> None:
    before, after = Side(requests=1_000, saturation=old), Side(requests=requests, saturation=new)
    assert finding("saturation", before, after).outcome is expected


def test_deliveries_and_saturation_without_data_do_not_hold_it() -> None:
    quiet = replace(NEW, deliveries=0, delivery_failures=0, saturation=None)
    assert judge(OLD, quiet, POLICY).outcome is PASS


@pytest.mark.parametrize(
    ("new", "why"),
    [
        (replace(NEW, failures=100), "success rate: 10.00% fail, beside 0.00% on the old side"),
        (replace(NEW, latencies=latencies(1_000, 60)), "latency: median "),
        (replace(NEW, delivery_failures=500), "delivery failures: 50.00% fail"),
        (replace(NEW, saturation=0.97), "saturation: the busiest instance is busy 97% of the time"),
    ],
)
def test_one_metric_that_fails_is_enough_and_the_verdict_names_it_alone(new: Side, why: str) -> None:
    verdict = judge(OLD, new, POLICY)
    assert verdict.outcome is FAIL
    assert verdict.why.startswith(why)
    assert ";" not in verdict.why


def test_an_open_verdict_says_what_is_missing_and_nothing_of_what_does_not_hold_it() -> None:
    new = Side(40, 0, latencies(40))
    assert judge(OLD, new, POLICY).why == (
        "success rate: too little data: 40 of 100 on the new side; latency: too little data: 40 of 100 on the new side"
    )


def test_a_stricter_confidence_lets_pass_what_a_lenient_one_does_not() -> None:
    old, new = Side(10_000, 10), Side(400, 4)
    assert finding("success rate", old, new).outcome is FAIL
    assert finding("success rate", old, new, replace(POLICY, confidence=0.9999)).outcome is PASS


counts = st.tuples(st.integers(0, 3_000), st.integers(0, 3_000)).map(lambda pair: (max(pair), min(pair)))


@given(old=counts, new=counts)
@settings(max_examples=200, deadline=None)
def test_a_side_that_fails_less_never_fails(old: tuple[int, int], new: tuple[int, int]) -> None:
    outcome = finding("success rate", Side(*old), Side(*new)).outcome
    less = new[1] * old[0] <= old[1] * new[0]
    shares_fault = old[1] > POLICY.shared_failures * old[0]
    assert outcome is not FAIL or not (less and old[0] and (shares_fault or new[1] * 2 <= new[0]))


@given(old=counts, new=counts)
@settings(max_examples=200, deadline=None)
def test_more_failures_on_the_new_side_never_turn_a_failure_into_a_pass(
    old: tuple[int, int], new: tuple[int, int]
) -> None:
    requests, failures = new
    outcomes = [finding("success rate", Side(*old), Side(requests, f)).outcome for f in (failures, requests)]
    assert outcomes != [FAIL, PASS]


@pytest.mark.parametrize(("values", "expected"), [((7.0,), 7.0), (tuple(range(101)), 95.0)])
def test_the_p95_is_linear_between_values(values: tuple[float, ...], expected: float) -> None:
    assert p95(values) == expected

"""The demo's report counts what happened and flatters nobody."""

from dataclasses import replace

from fleet.demo.report import Change, Received, Sent, is_clean, report

CHANGE = Change(began=10.0, ended=20.0, instances=6, from_version="1.0.0", to_version="1.0.1")
KEYS = {"requests", "acknowledged", "failed", "delivered", "lost", "duplicated", "latency_ms", "rollout_seconds"}


def sent(number: int, *, due: float = 15.0, seconds: float = 0.01) -> Sent:
    return Sent(due, seconds, f"event-{number}")


def test_counts_a_clean_run() -> None:
    counted = report([sent(1), sent(2)], [Received(15.1, "event-1"), Received(15.2, "event-2")], CHANGE)
    assert counted.keys() >= KEYS | {"instances", "from_version", "to_version"}
    assert (counted["requests"], counted["acknowledged"], counted["delivered"], counted["rollout_seconds"]) == (
        2,
        2,
        2,
        10,
    )
    assert is_clean(counted)


def test_an_acknowledged_event_that_never_came_is_lost() -> None:
    counted = report([sent(1), sent(2)], [Received(15.1, "event-1")], CHANGE)
    assert counted["lost"] == 1
    assert not is_clean(counted)


def test_a_request_without_an_acknowledgement_is_failed_and_said_why() -> None:
    counted = report([sent(1), Sent(15.0, 0.1, None, "502: Bad Gateway")], [Received(15.1, "event-1")], CHANGE)
    assert counted["failed"] == 1
    assert counted["errors"] == {"502: Bad Gateway": 1}
    assert not is_clean(counted)


def test_an_event_that_came_twice_is_duplicated_but_not_delivered_twice() -> None:
    counted = report([sent(1)], [Received(15.1, "event-1"), Received(15.3, "event-1")], CHANGE)
    assert (counted["delivered"], counted["duplicated"]) == (1, 1)


def test_an_event_that_nobody_was_promised_is_not_delivered() -> None:
    assert report([sent(1)], [Received(15.1, "event-1"), Received(15.1, "other")], CHANGE)["delivered"] == 1


def test_a_change_that_stopped_is_not_clean() -> None:
    assert not is_clean(report([sent(1)], [Received(15.1, "event-1")], replace(CHANGE, succeeded=False)))


def test_nothing_sent_is_not_clean() -> None:
    assert not is_clean(report([], [], CHANGE))


def test_latency_is_split_at_the_change() -> None:
    requests = [sent(n, due=due, seconds=due / 1000) for n, due in enumerate([5.0, 5.0, 15.0, 15.0, 25.0, 25.0])]
    latency = report(requests, [], CHANGE)["latency_ms"]
    assert [latency[part]["p50"] for part in ("before", "during", "after")] == [5, 15, 25]

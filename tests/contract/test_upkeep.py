"""What the service keeps about itself: keys, failures to sign in, and what happened minute by minute."""

from datetime import UTC, datetime, timedelta

import pytest

from app.model import Minute
from app.ports import Storage
from app.rules import LATENCY_BOUNDS
from app.storage.migrate import MIGRATIONS, REQUIRED, oldest
from tests.contract.conftest import Later
from tests.contract.examples import publish

WEEK = timedelta(days=7)
FIVE_MINUTES = timedelta(minutes=5)
MINUTE = datetime.now(UTC).replace(second=0, microsecond=0)
NONE = (0,) * (len(LATENCY_BOUNDS) + 1)


def test_the_schema_is_the_one_that_is_required(storage: Storage) -> None:
    assert storage.schema_version() == REQUIRED
    assert storage.oldest_schema() == oldest(MIGRATIONS[-1])


@pytest.mark.usefixtures("subscribed")
def test_a_key_is_forgotten_when_it_has_had_its_time(storage: Storage, later: Later) -> None:
    first = publish(storage, "k").event
    assert storage.expire(WEEK, 100) == 0
    assert publish(storage, "k").duplicate
    later(WEEK.total_seconds() + 1)
    assert storage.expire(WEEK, 100) == 1
    second = publish(storage, "k", content="other")
    assert (second.duplicate, second.same_content) == (False, True)
    assert storage.event(first.event) is not None  # the event stays


@pytest.mark.usefixtures("subscribed")
def test_keys_are_forgotten_some_at_a_time(storage: Storage, later: Later) -> None:
    for number in range(5):
        publish(storage, f"k-{number}")
    later(2)
    publish(storage, "young")
    assert [storage.expire(timedelta(seconds=1), 2) for _ in range(4)] == [2, 2, 1, 0]
    assert publish(storage, "young").duplicate


def test_failures_to_sign_in_are_counted_within_a_window(storage: Storage, later: Later) -> None:
    assert storage.failed_sign_ins(["address 1"], FIVE_MINUTES) == 0
    for _ in range(3):
        storage.count_sign_in(["address 1", "name a"], FIVE_MINUTES, failed=True)
    storage.count_sign_in(["address 2", "name a"], FIVE_MINUTES, failed=True)
    assert storage.failed_sign_ins(["address 1"], FIVE_MINUTES) == 3
    assert storage.failed_sign_ins(["address 2", "name a"], FIVE_MINUTES) == 4
    assert storage.failed_sign_ins(["address 3"], FIVE_MINUTES) == 0
    storage.count_sign_in(["name a"], FIVE_MINUTES, failed=False)
    assert storage.failed_sign_ins(["address 1", "name a"], FIVE_MINUTES) == 3
    later(FIVE_MINUTES.total_seconds() + 1)
    assert storage.failed_sign_ins(["address 1", "address 2"], FIVE_MINUTES) == 0
    storage.count_sign_in(["address 1"], FIVE_MINUTES, failed=True)
    assert storage.failed_sign_ins(["address 1"], FIVE_MINUTES) == 1  # it counts from the start again


def test_what_several_processes_counted_in_a_minute_is_added_up(storage: Storage) -> None:
    latency = (1, 2, *NONE[2:])
    one = Minute(MINUTE, "shop", published=3, delivered=2, retried=1, latency=latency)
    other = Minute(MINUTE, "shop", published=1, failed=4, latency=(0, 5, *NONE[2:]))
    storage.add_minutes([one, Minute(MINUTE, "", due=7, oldest_seconds=1.5)])
    storage.add_minutes([other, Minute(MINUTE, "", due=3, oldest_seconds=2.5)])
    storage.add_minutes([Minute(MINUTE, "bank", published=1)])
    summed = Minute(MINUTE, "shop", published=4, delivered=2, retried=1, failed=4, latency=(1, 7, *NONE[2:]))
    assert storage.minutes("shop", MINUTE) == (summed,)
    (everybody,) = storage.minutes(None, MINUTE)
    assert (everybody.published, everybody.failed, everybody.latency[:2]) == (5, 4, (1, 7))
    assert (everybody.due, everybody.oldest_seconds) == (7, 2.5)  # levels are not summed up


def test_a_minute_without_deliveries_is_added_to_another(storage: Storage) -> None:
    for _ in range(2):
        storage.add_minutes([Minute(MINUTE, "shop", published=1)])
    assert storage.minutes("shop", MINUTE) == (Minute(MINUTE, "shop", published=2),)
    storage.add_minutes([Minute(MINUTE, "shop", latency=(1, 2))])
    assert storage.minutes("shop", MINUTE) == (Minute(MINUTE, "shop", published=2, latency=(1, 2)),)


def test_minutes_are_told_in_order_from_a_time_on_and_forgotten_after_a_week(storage: Storage) -> None:
    ages = (timedelta(days=9), timedelta(minutes=1), timedelta(), timedelta(days=1))
    storage.add_minutes([Minute(MINUTE - age, "shop", published=1) for age in ages])
    known = [each.minute for each in storage.minutes("shop", MINUTE - timedelta(days=10))]
    assert known == sorted(MINUTE - age for age in ages)
    assert [each.minute for each in storage.minutes(None, MINUTE)] == [MINUTE]
    storage.expire(WEEK, 1)
    assert [each.minute for each in storage.minutes("shop", MINUTE - timedelta(days=10))] == known[1:]

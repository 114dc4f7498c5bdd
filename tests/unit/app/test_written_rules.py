"""What is written down about what happened: the audit's chain, and how long deliveries took."""

from dataclasses import replace
from datetime import UTC, datetime
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app import rules
from app.model import Action, Application, AuditEntry, Subscription

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
ENTRY = AuditEntry(1, NOW, "@admin", "grant", "order.placed", {"b": 1, "a": [None, "ä"]})


def test_an_entry_is_hashed_with_the_one_before_it() -> None:
    # printf '[1,"2026-01-01T12:00:00+00:00","@admin","grant","order.placed",{"a":[null,"\\u00e4"],"b":1}]' | sha256sum
    first = rules.chained(ENTRY, b"")
    assert first.hash.hex() == "90e5259b116cee938cdd5d1c333c473a45541abaf592b86c28bb1318db4fa6eb"
    assert rules.chained(replace(ENTRY, details={"a": [None, "ä"], "b": 1}), b"").hash == first.hash
    assert rules.chained(ENTRY, first.hash).hash != first.hash


@pytest.mark.parametrize(
    "change",
    [
        {"entry": 2},
        {"timestamped": NOW.replace(microsecond=1)},
        {"actor": "admin"},
        {"verb": "revoke"},
        {"subject": "order.paid"},
        {"details": {"b": 1}},
    ],
    ids=str,
)
def test_nothing_about_an_entry_changes_without_its_hash(change: dict[str, object]) -> None:
    changed = replace(ENTRY, **change)  # type: ignore[arg-type]  # fields of an entry
    assert rules.chained(changed, b"").hash != rules.chained(ENTRY, b"").hash


def test_what_is_public_of_an_item_holds_no_secret() -> None:
    shop = Application(
        "shop", "http://x", "the secret", b"hash", "d", active=True, timestamped=NOW, previous_secret="before"
    )
    assert rules.public(shop) == {
        "application": "shop",
        "address": "http://x",
        "description": "d",
        "active": True,
        "timestamped": NOW.isoformat(),
        "rotated": None,
    }
    subscription = Subscription(UUID(int=1), "shop", "a", "/", 5, "", active=True, timestamped=NOW)
    assert rules.public(subscription)["subscription"] == str(UUID(int=1))
    assert rules.public(Action("a", "shop", {"type": "object"}, 1, NOW))["status"] == "active"


@pytest.mark.parametrize(
    ("seconds", "bucket"),
    [(0.0, 0), (0.001, 0), (0.0011, 1), (0.002, 1), (1.0, 10), (1.024, 10), (1.03, 11), (8388.0, 23), (1e9, 24)],
)
def test_a_delivery_falls_under_the_first_bound_that_it_does_not_exceed(seconds: float, bucket: int) -> None:
    assert rules.latency_bucket(seconds) == bucket


@pytest.mark.parametrize(
    ("counts", "quantile", "bound"),
    [
        ((), 0.5, None),
        ((0, 0, 0), 0.5, None),
        ((1,), 0.0, 0.001),
        ((10, 0, 0), 0.99, 0.001),
        ((50, 50), 0.5, 0.001),
        ((50, 50), 0.51, 0.002),
        ((90, 9, 1), 0.95, 0.002),
        ((90, 9, 1), 1.0, 0.004),
        ((0,) * 24 + (1,), 0.5, rules.LATENCY_BOUNDS[-1]),  # slower than all bounds: at least the last
    ],
)
def test_a_quantile_is_the_bound_under_which_so_many_fell(
    counts: tuple[int, ...], quantile: float, bound: float | None
) -> None:
    assert rules.latency_quantile(counts, quantile) == bound


@given(st.lists(st.floats(0.0, 8000.0), min_size=1, max_size=200), st.sampled_from([0.5, 0.9, 0.95, 0.99]))
def test_a_quantile_of_buckets_is_within_twice_the_exact_one(seconds: list[float], quantile: float) -> None:
    counts = [0] * (len(rules.LATENCY_BOUNDS) + 1)
    for each in seconds:
        counts[rules.latency_bucket(each)] += 1
    found = rules.latency_quantile(counts, quantile)
    assert found is not None
    under = sum(each <= found for each in seconds)
    assert under >= quantile * len(seconds)
    assert sum(each <= found / 2 for each in seconds) < quantile * len(seconds) or found == rules.LATENCY_BOUNDS[0]

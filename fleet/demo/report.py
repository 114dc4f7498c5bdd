"""PURE: what happened to the traffic while the fleet was changed."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import quantiles
from typing import Any


@dataclass(frozen=True)
class Sent:
    """One request: when it was due, the seconds until its answer; `event` is the id it was acknowledged with.

    Time counts from the moment it was due, so a stalled service cannot hide the requests that queued up behind.
    """

    due: float
    seconds: float
    event: str | None
    error: str = ""


@dataclass(frozen=True)
class Received:
    """One webhook whose signature was right."""

    at: float
    event: str


@dataclass(frozen=True)
class Change:
    """The change that the traffic went through; times on the clock of the traffic, in seconds."""

    began: float
    ended: float
    instances: int
    from_version: str
    to_version: str
    succeeded: bool = True


def report(sent: Sequence[Sent], received: Sequence[Received], change: Change) -> dict[str, Any]:
    """Counts of requests and events; latency in ms before, during and after the change; the errors by their words."""
    acknowledged = {request.event for request in sent if request.event}
    receipts = Counter(webhook.event for webhook in received)
    return {
        "requests": len(sent),
        "acknowledged": len(acknowledged),
        "failed": sum(1 for request in sent if request.event is None),
        "delivered": len(acknowledged & receipts.keys()),
        "lost": len(acknowledged - receipts.keys()),
        "duplicated": sum(1 for count in receipts.values() if count > 1),
        "latency_ms": _latency(sent, change),
        "rollout_seconds": round(change.ended - change.began, 1),
        "instances": change.instances,
        "from_version": change.from_version,
        "to_version": change.to_version,
        "updated": change.succeeded,
        "errors": dict(Counter(request.error for request in sent if request.event is None).most_common(5)),
    }


def is_clean(counted: dict[str, Any]) -> bool:
    """The change succeeded, nothing failed, nothing was lost, and there was something that could have been."""
    return bool(counted["updated"] and counted["acknowledged"]) and counted["failed"] == counted["lost"] == 0


def _latency(sent: Sequence[Sent], change: Change) -> dict[str, dict[str, float]]:
    parts = {
        "before": [s.seconds for s in sent if s.due < change.began],
        "during": [s.seconds for s in sent if change.began <= s.due <= change.ended],
        "after": [s.seconds for s in sent if s.due > change.ended],
    }
    return {name: _percentiles(seconds) for name, seconds in parts.items()}


def _percentiles(seconds: list[float]) -> dict[str, float]:
    """In milliseconds; empty where two values are not there to stand between."""
    if len(seconds) < 2:
        return {}
    cuts = quantiles(seconds, n=100, method="inclusive")
    return {f"p{p}": round(1000 * cuts[p - 1], 1) for p in (50, 95, 99)}

"""The first page: what failed, what waits, and how it went of late."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import falcon

from app.broker import Broker
from app.console.history import SPANS, Span, Step, steps
from app.console.pages import Page, render
from app.console.plots import Plot, clock, durations, latencies, rates
from app.console.registry import Subscribed, subscribed
from app.errors import Malformed
from app.model import Breaker, Filters, Gist, Minute, Principal, Status
from app.model import Page as Part
from app.registry import Registry

COUNTED = 1000  # dead letters are counted as far as this
LATEST = 5  # of them are on the page


@dataclass(frozen=True)
class DeadLetters:
    """The newest ones, and how many there are; `more` than that where not all were counted."""

    latest: tuple[Gist, ...]
    count: int
    more: bool


@dataclass(frozen=True)
class Waiting:
    """What is due at this moment, and for how long; only an administrator sees what waits for all."""

    due: int
    oldest_seconds: float


@dataclass(frozen=True)
class Course:
    """How it went over a span of time."""

    span: Span
    whole: Step
    rows: tuple[Step, ...]
    plots: tuple[Plot, ...]


class OverviewPage(Page):
    """GET /."""

    def __init__(self, broker: Broker, registry: Registry) -> None:
        self._broker = broker
        self._registry = registry

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        principal, span = req.context.principal, _span(req.get_param("hours") or "1")
        since = span.since(datetime.now(UTC))
        render(
            req,
            resp,
            "overview.html",
            dead=self._dead_letters(principal),
            waiting=self._waiting(principal),
            troubled=self._troubled(principal),
            course=course(self._broker.minutes(principal, since), since, span, of_all=principal.administrator),
            spans=SPANS,
        )

    def _dead_letters(self, principal: Principal) -> DeadLetters:
        found = self._broker.gists(principal, Filters(status=Status.FAILED), Part(COUNTED, descending=True))
        return DeadLetters(found.items[:LATEST], len(found.items), found.next is not None)

    def _waiting(self, principal: Principal) -> Waiting | None:
        if not principal.administrator:
            return None
        backlog = self._broker.backlog()
        return Waiting(backlog.due, backlog.oldest_seconds)

    def _troubled(self, principal: Principal) -> tuple[Subscribed, ...]:
        """Among the first subscriptions those whose handler fails so much that deliveries are held back."""
        found = subscribed(self._registry, principal, Filters())
        return tuple(each for each in found if each.endpoint.breaker is not Breaker.CLOSED)


def course(minutes: tuple[Minute, ...], since: datetime, span: Span, *, of_all: bool) -> Course:
    """How long the oldest was due is known of all together alone."""
    whole = timedelta(hours=span.hours)
    return Course(
        span=span,
        whole=steps(minutes, since, span, whole)[0],
        rows=steps(minutes, since, span, span.row),
        plots=_plots(steps(minutes, since, span, span.step), span, clock(since, since + whole), of_all=of_all),
    )


def _plots(found: tuple[Step, ...], span: Span, times: tuple[str, ...], *, of_all: bool) -> tuple[Plot, ...]:
    seconds = span.step.total_seconds()

    def rate(*names: tuple[str, str]) -> list[tuple[str, list[float | None]]]:
        return [(label, [getattr(step, name) / seconds for step in found]) for name, label in names]

    plots = (
        rates("Published and delivered", rate(("published", "published"), ("delivered", "delivered")), times),
        latencies(
            "Latency from publication to delivery",
            [("median", [step.median for step in found]), ("95th percentile", [step.slow for step in found])],
            times,
        ),
        rates("Retries and failures", rate(("retried", "retries"), ("failed", "failures")), times),
    )
    if not of_all:
        return plots
    return (*plots, durations("Oldest due gist", [("age", [step.oldest_seconds for step in found])], times))


def _span(hours: str) -> Span:
    for span in SPANS:
        if hours == str(span.hours):
            return span
    raise Malformed(f"hours must be {', '.join(str(span.hours) for span in SPANS[:-1])} or {SPANS[-1].hours}")

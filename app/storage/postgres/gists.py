"""Gists in PostgreSQL: the queue."""

import secrets
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

from psycopg import Connection
from psycopg.rows import class_row, dict_row, kwargs_row, tuple_row

from app import rules
from app.model import (
    Attempt,
    AuditEntry,
    Backlog,
    Breaker,
    Claim,
    Completion,
    Delivery,
    Endpoint,
    Filters,
    Gist,
    Page,
    Publication,
    Room,
    Selection,
    Situation,
    Status,
    Subscription,
)
from app.storage.postgres.database import Database, audit
from app.storage.postgres.events import publish_within
from app.storage.sql import QUERIES

COUNTED = 100_000  # due gists are counted as far as this
KNOWN_FOR = 10.0  # seconds after which claims know of new subscriptions to begin at


class PostgresGists(Database):
    """The port Gists."""

    _known: tuple[UUID, ...] = ()
    _known_until = 0.0

    def gist(self, gist: UUID) -> Gist | None:
        found = self._find("get_gist", {"gist": gist}, dict_row)
        if found is None:
            return None
        return _gist(**found, tries=self._all("get_attempts", {"gist": gist}, class_row(Attempt)))

    def gists(self, filters: Filters, page: Page) -> tuple[Gist, ...]:
        lowest, highest = rules.gists_of(filters.event) if filters.event else (None, None)
        return self._list("list_gists", filters, page, kwargs_row(_gist), lowest=lowest, highest=highest)

    def situation(self, gist: UUID) -> Situation | None:
        found, rest = self.gist(gist), self._find("get_situation", {"gist": gist}, dict_row)
        if found is None or rest is None:
            return None
        named = {"subscription": found.subscription}
        return Situation(
            gist=found,
            subscription=self._one("get_subscription_of_gist", named, class_row(Subscription)),
            endpoint=self._one("get_endpoints", {"subscription": [found.subscription]}, kwargs_row(_endpoint)),
            **rest,
        )

    def requeue(self, selection: Selection, after: UUID | None, most: int, *, dry_run: bool) -> tuple[int, UUID | None]:
        gists = list(selection.gists) or None
        parameters = {**vars(selection.filters), "gists": gists, "after": after, "most": most, "dry_run": dry_run}
        found = self._one("requeue", parameters, dict_row)
        return found["many"], found["last"] if found["seen"] == most else None

    def claim(self, room: Room, lease: timedelta) -> Claim:
        parameters = {
            "limit": room.limit,
            "free": room.free,
            "busy": list(room.busy),
            "held": list(room.busy.values()),
            "lease": lease,
            "rotation": rules.ROTATION,
            "claim": uuid4(),
            "start": self._start(),
            "lane": secrets.randbits(64) - 2**63,
        }
        rows = self._all("claim", parameters, dict_row)
        return Claim(tuple(map(_delivery, rows)), any(each["more"] for each in rows))

    def _start(self) -> UUID:
        """Just before one of the subscriptions, at random: ids begin with their time, so that any id would not do."""
        now = time.monotonic()
        if now >= self._known_until:
            self._known = tuple(subscription for (subscription,) in self._all("list_endpoints", {}, tuple_row))
            self._known_until = now + KNOWN_FOR
        return UUID(int=secrets.choice(self._known).int - 1) if self._known else UUID(int=0)

    def complete(self, completions: Sequence[Completion], announcements: Sequence[Publication]) -> int:
        """One statement as a rule; a transaction of several where there is more to do than to record."""
        gone = [each.delivery for each in completions if each.gone]
        if not (gone or announcements):
            return len(self._all("complete", _columns(completions), tuple_row))
        with self._connection() as connection, connection.transaction():
            switched_off = _switch_off(connection, gone)
            found = connection.execute(QUERIES["complete"].encode(), _columns(completions)).fetchall()
            recorded = {gist for (gist,) in found}
            keys = {rules.announcement_key(each.delivery) for each in completions if each.delivery.gist in recorded}
            if announced := [each for each in announcements if each.key in keys]:
                publish_within(connection, announced)
            for subscription in switched_off:
                audit(connection, _entry_of_switch_off(subscription))
            return len(found)

    def release(self, deliveries: Sequence[Delivery]) -> None:
        gists, claims = [each.gist for each in deliveries], list({each.claim for each in deliveries})
        self._do("release", {"gist": gists, "claim": claims})

    def next_due(self) -> float | None:
        return self._one("next_due", {}, dict_row)["seconds"]  # type: ignore[no-any-return]  # the query says which

    def endpoints(self, subscriptions: Sequence[UUID]) -> tuple[Endpoint, ...]:
        return self._all("get_endpoints", {"subscription": list(subscriptions)}, kwargs_row(_endpoint))

    def backlog(self) -> Backlog:
        found = self._one("backlog", {"bound": COUNTED}, dict_row)
        breakers = dict.fromkeys(map(str, Breaker), 0) | (found["breakers"] or {})
        return Backlog(found["due"], found["oldest_seconds"], breakers)


def _switch_off(connection: Connection[Any], gone: Sequence[Delivery]) -> list[UUID]:
    """First of all in a transaction, because completing looks at whether a subscription is on.

    Its audit is the last: who holds that waits for nobody, so that no two wait for each other.
    """
    parameters = {"gist": [each.gist for each in gone], "claim": [each.claim for each in gone]}
    return [
        subscription for (subscription,) in connection.execute(QUERIES["switch_off"].encode(), parameters).fetchall()
    ]


def _entry_of_switch_off(subscription: UUID) -> AuditEntry:
    details = {"reason": "its handler answered 410"}
    return AuditEntry(0, datetime.now(UTC), rules.SYSTEM, "switch off", str(subscription), details)


def _gist(**found: Any) -> Gist:  # noqa: ANN401  # a row, as it comes
    return Gist(**{**found, "status": Status(found["status"])})


def _endpoint(**found: Any) -> Endpoint:  # noqa: ANN401
    return Endpoint(**{**found, "breaker": Breaker(found["breaker"])})


def _delivery(found: dict[str, Any]) -> Delivery:
    secret, previous = found["secret"], found["previous_secret"]
    return Delivery(
        gist=found["gist"],
        claim=found["claim"],
        event=found["event"],
        subscription=found["subscription"],
        action=found["action"],
        application=found["application"],
        payload=found["payload"],
        metadata=found["metadata"],
        timestamped=found["timestamped"],
        wanted=found["wanted"],
        url=rules.handler_url(found["address"], found["handler"]),
        secrets=(secret, previous) if previous else (secret,),
        attempt=found["attempt"],
        retries=found["retries"],
        max_retries=found["max_retries"],
        active=found["active"],
        in_lane=found["in_lane"],
    )


def _columns(completions: Sequence[Completion]) -> dict[str, Any]:
    """One array a column, in order of the gist so that two batches never lock each other out."""
    done = sorted(completions, key=lambda each: each.delivery.gist)
    return {
        "gist": [each.delivery.gist for each in done],
        "claim": [each.delivery.claim for each in done],
        "status": [str(each.status) for each in done],
        "attempt": [each.attempt.attempt if each.attempt else each.delivery.attempt - 1 for each in done],
        "retries": [each.retries for each in done],
        "delay": [timedelta(seconds=each.delay) for each in done],
        "http": [each.attempt.status if each.attempt else None for each in done],
        "milliseconds": [each.attempt.ms if each.attempt else 0 for each in done],
        "response": [each.attempt.response if each.attempt else "" for each in done],
        "error": [each.attempt.error if each.attempt else None for each in done],
        "timestamped": [each.attempt.timestamped if each.attempt else None for each in done],
        "tried": [each.attempt is not None for each in done],
        "window": rules.BREAKER_WINDOW,
        "least": rules.BREAKER_LEAST,
        "memory": rules.BREAKER_MEMORY,
        "ratio": rules.BREAKER_RATIO,
        "rest": rules.BREAKER_REST,
    }

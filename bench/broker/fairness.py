"""Ten subscriptions to ten receivers, and events for all ten: how fast nine get theirs when the tenth answers, too.

Then the same when the tenth accepts and never answers, in turn, because one drain differs from the next by a tenth. The
backlog keeps the dispatcher as busy as it can be, so every place that the tenth takes is one that the nine lose.
"""

from statistics import median

from bench.broker import load
from bench.broker.lines import Findings, Line
from bench.broker.postgres import Database, Durable
from bench.broker.processes import until
from bench.broker.receiver import Receiver, receiving
from bench.broker.service import Service, service

ENDPOINTS = 10
ROUNDS = 5


def measure(cluster: Durable, *, quick: bool) -> Findings:
    events, rounds = (300, 1) if quick else (5_000, ROUNDS)
    found = [_both(cluster.database(f"fairness_{number}"), events) for number in range(rounds)]
    answering, hanging, slots = (median(each[column] for each in found) for column in range(3))
    lines = (
        Line("nine beside one that hangs", hanging, "deliveries/s", answering, "tenth answers", target=0.9),
        Line("sent to the one that hangs", slots, "deliveries"),
    )
    details = {"events": events, "rounds": found}
    return Findings(f"Nine endpoints beside a tenth, {events:,} events for each", lines, details)


def _both(database: Database, events: int) -> tuple[float, float, int]:
    """The rate of the nine while the tenth answers, that while it hangs, and what it was sent then."""
    with receiving(ENDPOINTS) as receivers, service(database) as running:
        running.web()
        publisher = running.register(*(receiver.url for receiver in receivers))
        answering = _drained(running, database, publisher, receivers, events, hangs=False)
        hanging = _drained(running, database, publisher, receivers, events, hangs=True)
        return answering, hanging, receivers[-1].count()


def _drained(
    running: Service,
    database: Database,
    publisher: load.Publisher,
    receivers: tuple[Receiver, ...],
    events: int,
    *,
    hangs: bool,
) -> float:
    """What the nine receive together a second, from the first receipt of any to the last of all."""
    for receiver in receivers:
        receiver.ask("/reset")
    receivers[-1].ask("/hang" if hangs else "/answer")
    load.fill(publisher, events)
    database.level()
    nine = receivers[:-1]
    with running.dispatching():
        until(lambda: all(len(each.stamps()) >= events for each in nine), 300, "the nine to have everything")
        counts = [each.ask("/counts") for each in nine]
        if not hangs:
            until(database.is_delivered, 60, "the deliveries to be recorded")
    span: float = max(each["last"] for each in counts) - min(each["first"] for each in counts)
    received: int = sum(each["count"] for each in counts)
    return received / span

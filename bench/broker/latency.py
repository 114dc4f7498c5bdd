"""From publish to receipt at 200 events a second, at random times that wait for no answer; one web, one dispatcher.

What an event costs PostgreSQL: statements, WAL and dead tuples; once plainly, and once beside a transaction that is
held open for two minutes, which keeps vacuum from cleaning up.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from bench.broker import load
from bench.broker.lines import Details, Findings, Line
from bench.broker.postgres import Database, Durable, Use
from bench.broker.processes import until
from bench.broker.receiver import Receiver, receiving
from bench.broker.service import service

RATE = 200
HELD = 120.0  # seconds that the transaction beside is open


@dataclass(frozen=True)
class Run:
    """Milliseconds from publish to receipt, and what the database did."""

    events: int
    p50: float
    p95: float
    p99: float
    use: Use

    @property
    def statements(self) -> float:
        return self.use.calls / self.events

    @property
    def wal(self) -> float:
        return self.use.wal / self.events

    @property
    def dead(self) -> float:
        return sum(self.use.dead.values()) / self.events


def measure(cluster: Durable, *, quick: bool) -> Findings:
    database = cluster.database("latency")
    with receiving() as (receiver,), service(database) as running:
        running.web()
        running.dispatcher()
        publisher = running.register(receiver.url)
        load.open_loop(publisher, RATE, 2)
        plain = observed(database, receiver, publisher, 5 if quick else 60)
        with _held_open(database):
            beside = observed(database, receiver, publisher, 5 if quick else HELD)
    lines = (
        Line("p50", plain.p50, "ms"),
        Line("p95", plain.p95, "ms", target=100, at_most=True),
        Line("p99", plain.p99, "ms"),
        Line("p95 beside a held transaction", beside.p95, "ms", plain.p95, "plain"),
        Line("statements an event", plain.statements, "", target=1, at_most=True),
        Line("WAL an event", plain.wal, "bytes"),
        Line("dead tuples an event", plain.dead, ""),
        Line("dead tuples an event beside a held transaction", beside.dead, "", plain.dead, "plain"),
    )
    details = {"plain": _details(plain), "beside_a_held_transaction": _details(beside)}
    return Findings(f"Publish to receipt at {RATE} events/s", lines, details)


def observed(
    database: Database,
    receiver: Receiver,
    publisher: load.Publisher,
    seconds: float,
) -> Run:
    """Publish for so long, wait for all, and read off what it took."""
    until(database.is_delivered, 60, "what came before to be recorded")
    database.level()
    receiver.ask("/reset")
    before = database.used()
    intended = load.open_loop(publisher, RATE, seconds)
    until(lambda: len(receiver.stamps()) >= len(intended), 60, "the last receipts")
    until(database.is_delivered, 60, "the last deliveries to be recorded")
    use = database.used().since(before)
    stamps = receiver.stamps()
    waits = [(stamps[number] - when) * 1000 for number, when in intended.items()]
    return Run(len(intended), *load.percentiles(waits), use)


@contextmanager
def _held_open(database: Database) -> Iterator[None]:
    """A transaction that has taken its snapshot and does nothing more."""
    with database.connect() as connection:
        connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
        connection.execute("SELECT count(*) FROM applications")
        yield
        connection.execute("ROLLBACK")


def _details(run: Run) -> Details:
    return {
        "events": run.events,
        "p50": run.p50,
        "p95": run.p95,
        "p99": run.p99,
        "statements": run.use.calls,
        "most_called": run.use.top(),
        "wal_bytes": run.use.wal,
        "dead_tuples": run.use.dead,
    }

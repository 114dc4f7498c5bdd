"""Publishing through one web process, 16 and 64 connections, one subscription, no dispatcher: beside the peer.

The batch route is held against what PostgreSQL can do by itself: single INSERTs of the same payload by pgbench; and
single events also against what any service in Falcon under waitress can answer. All but that a second time with flushes
that take longer, to see what a slower disk costs each.
"""

from dataclasses import dataclass

from bench.broker import load
from bench.broker.bare import bare
from bench.broker.lines import Findings, Line
from bench.broker.load import Pace, Publisher
from bench.broker.peer import peer
from bench.broker.postgres import Database, Durable, inserts_a_second
from bench.broker.service import service

CONNECTIONS = (16, 64)
BATCHES = (1, 4)
SLOWER_MS = 4  # brings pgbench to the 6,700 inserts a second or so for which the targets were set
NOWHERE = "http://127.0.0.1:9"  # nobody delivers, so nobody need listen


@dataclass(frozen=True)
class _Found:
    """On one disk: ours and the peer's by connections, batches, and inserts a second."""

    ours: dict[int, Pace]
    batches: dict[int, Pace]
    theirs: dict[int, Pace]
    limit: float

    def lines(self, where: str = "") -> list[Line]:
        beside = [_beside_peer(where, count, self.ours[count], self.theirs[count]) for count in CONNECTIONS]
        return [line for lines in beside for line in lines] + [
            _beside_limit(where, count, pace, self.limit) for count, pace in self.batches.items()
        ]

    @property
    def details(self) -> dict[str, object]:
        return {"ours": _each(self.ours), "peer": _each(self.theirs), "batch": _each(self.batches)}


def measure(cluster: Durable, *, quick: bool) -> Findings:
    seconds = 3 if quick else 20
    plain, nothing = _found(cluster, "publish", seconds), _nothing(seconds)
    cluster.delay_flushes(SLOWER_MS)
    slower = _found(cluster, "publish_slower", seconds)
    cluster.delay_flushes(0)
    lines = [
        *plain.lines(),
        *(_beside_nothing(count, plain.ours[count], nothing[count]) for count in CONNECTIONS),
        *slower.lines(f"flush +{SLOWER_MS} ms: "),
    ]
    details = {"seconds": seconds, **plain.details, "nothing": _each(nothing), "slower": slower.details}
    return Findings("Publish, one web process", tuple(lines), details)


def _found(cluster: Durable, name: str, seconds: int) -> _Found:
    ours, batches = _ours(cluster.database(f"{name}_ours"), seconds)
    theirs = _theirs(cluster.database(f"{name}_peer"), seconds)
    return _Found(ours, batches, theirs, inserts_a_second(cluster.database(f"{name}_limit"), load.payload(), seconds))


def _ours(database: Database, seconds: int) -> tuple[dict[int, Pace], dict[int, Pace]]:
    with service(database) as running:
        running.web()
        publisher = running.register(NOWHERE)
        singles = {count: paced(database, publisher, count, seconds) for count in CONNECTIONS}
        batches = {count: paced(database, publisher, count, seconds, load.BATCH) for count in BATCHES}
        return singles, batches


def paced(database: Database, publisher: Publisher, connections: int, seconds: int, batch: int = 1) -> Pace:
    """After a warm-up; every event that was answered must be in the database."""
    load.hammer(publisher, connections, 2, batch)
    database.level()
    before = database.count("events")
    pace = load.hammer(publisher, connections, seconds, batch)
    stored = database.count("events") - before
    if stored < pace.answers * batch:
        raise SystemExit(f"{pace.answers * batch} events were answered, and {stored} are stored")
    return pace


def _theirs(database: Database, seconds: int) -> dict[int, Pace]:
    with peer(database) as running:
        publisher = running.register(NOWHERE)
        running.deliver(active=False)
        load.fill_singly(publisher, 1)  # its slow check of the API key is made here, and cached
        found = {}
        for count in CONNECTIONS:
            load.hammer(publisher, count, 2)
            database.level()
            found[count] = load.hammer(publisher, count, seconds)
        return found


def _nothing(seconds: int) -> dict[int, Pace]:
    with bare() as publisher:
        load.hammer(publisher, CONNECTIONS[0], 2)
        return {count: load.hammer(publisher, count, seconds) for count in CONNECTIONS}


def _beside_nothing(connections: int, ours: Pace, nothing: Pace) -> Line:
    return Line(f"{connections} connections, of the most", ours.rate, "events/s", nothing.rate, "nothing behind it")


def _beside_peer(where: str, connections: int, ours: Pace, theirs: Pace) -> tuple[Line, ...]:
    where = f"{where}{connections} connections"
    return (
        Line(f"{where}, rate", ours.rate, "events/s", theirs.rate, "peer", target=8),
        Line(f"{where}, p50", ours.p50, "ms", theirs.p50, "peer"),
        Line(f"{where}, p95", ours.p95, "ms", theirs.p95, "peer", target=0.2, at_most=True),
        Line(f"{where}, p99", ours.p99, "ms", theirs.p99, "peer"),
    )


def _beside_limit(where: str, connections: int, pace: Pace, limit: float) -> Line:
    what = f"{where}batches of {load.BATCH:,}, {connections} connection{'s' if connections > 1 else ''}"
    return Line(what, pace.rate * load.BATCH, "events/s", limit, "pgbench", target=2)


def _each(paces: dict[int, Pace]) -> dict[str, dict[str, float]]:
    return {f"{count} connections": vars(pace) for count, pace in paces.items()}

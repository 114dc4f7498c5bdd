"""Publishing through one web process, 16 and 64 connections, one subscription, no dispatcher: beside the peer.

The batch route is held against what PostgreSQL can do by itself: single INSERTs of the same payload by pgbench; and
single events also against what any service in Falcon under waitress can answer. All but that a second time with flushes
that take longer, to see what a slower disk costs each. Ours and the others take turns, and of three rounds the middle
counts: a machine is not as fast in one minute as in another.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from statistics import median

from bench.broker import load
from bench.broker.bare import bare
from bench.broker.lines import Findings, Line
from bench.broker.load import Pace, Publisher
from bench.broker.peer import peer
from bench.broker.postgres import Database, Durable, inserts_a_second
from bench.broker.service import service

CONNECTIONS = (16, 64)
ROUNDS = 3
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
    seconds = 2 if quick else 7
    with bare() as nothing:
        plain = _found(cluster, "publish", seconds)
        most = {count: _nothing(nothing, count, seconds) for count in CONNECTIONS}
    cluster.delay_flushes(SLOWER_MS)
    slower = _found(cluster, "publish_slower", seconds)
    cluster.delay_flushes(0)
    lines = [
        *plain.lines(),
        *(_beside_nothing(count, plain.ours[count], most[count]) for count in CONNECTIONS),
        *slower.lines(f"flush +{SLOWER_MS} ms: "),
    ]
    details = {"seconds": seconds, "rounds": ROUNDS, **plain.details, "nothing": _each(most), "slower": slower.details}
    return Findings(f"Publish, one web process (the middle of {ROUNDS} rounds)", tuple(lines), details)


def _found(cluster: Durable, name: str, seconds: int) -> _Found:
    database, of_peer = cluster.database(f"{name}_ours"), cluster.database(f"{name}_peer")
    with service(database) as running, peer(of_peer) as other:
        running.web()
        ours, theirs = running.register(NOWHERE), other.register(NOWHERE)
        other.deliver(active=False)
        load.fill_singly(theirs, 1)  # its slow check of the API key is made here, and cached
        rounds = []
        for number in range(ROUNDS):
            beside = {count: _beside(database, ours, of_peer, theirs, count, seconds) for count in CONNECTIONS}
            batches = {count: paced(database, ours, count, seconds, load.BATCH) for count in BATCHES}
            limit = inserts_a_second(cluster.database(f"{name}_limit_{number}"), load.payload(), seconds)
            rounds.append((beside, batches, limit))
    return _Found(
        ours={count: _middle(beside[count][0] for beside, _, _ in rounds) for count in CONNECTIONS},
        theirs={count: _middle(beside[count][1] for beside, _, _ in rounds) for count in CONNECTIONS},
        batches={count: _middle(batches[count] for _, batches, _ in rounds) for count in BATCHES},
        limit=median(limit for _, _, limit in rounds),
    )


def _beside(
    database: Database, ours: Publisher, of_peer: Database, theirs: Publisher, connections: int, seconds: int
) -> tuple[Pace, Pace]:
    """Ours, and at once the peer."""
    pace = paced(database, ours, connections, seconds)
    load.hammer(theirs, connections, 2)
    of_peer.level()
    return pace, load.hammer(theirs, connections, seconds)


def _middle(paces: Iterable[Pace]) -> Pace:
    """That of the middle rate."""
    ranked = sorted(paces, key=lambda pace: pace.rate)
    return ranked[len(ranked) // 2]


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


def _nothing(publisher: Publisher, connections: int, seconds: int) -> Pace:
    load.hammer(publisher, connections, 2)
    return _middle([load.hammer(publisher, connections, seconds) for _ in range(ROUNDS)])


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

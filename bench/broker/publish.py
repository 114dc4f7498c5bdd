"""Publishing through one web process, 16 and 64 connections, one subscription, no dispatcher: beside the peer.

The batch route is held against what PostgreSQL can do by itself: single INSERTs of the same payload by pgbench; and
single events also against what any service in Falcon under waitress can answer.
"""

from bench.broker import load
from bench.broker.bare import bare
from bench.broker.lines import Findings, Line
from bench.broker.load import Pace, Publisher
from bench.broker.peer import peer
from bench.broker.postgres import Database, Durable, inserts_a_second
from bench.broker.service import service

CONNECTIONS = (16, 64)
BATCHES = (1, 4)
NOWHERE = "http://127.0.0.1:9"  # nobody delivers, so nobody need listen


def measure(cluster: Durable, *, quick: bool) -> Findings:
    seconds = 3 if quick else 20
    ours, batches = _ours(cluster.database("publish_ours"), seconds)
    theirs = _theirs(cluster.database("publish_peer"), seconds)
    limit = inserts_a_second(cluster.database("publish_limit"), load.payload(), seconds)
    nothing = _nothing(seconds)
    lines = [line for count in CONNECTIONS for line in _beside_peer(count, ours[count], theirs[count])]
    lines += [_beside_nothing(count, ours[count], nothing[count]) for count in CONNECTIONS]
    lines += [_beside_limit(count, pace, limit) for count, pace in batches.items()]
    details = {
        "seconds": seconds,
        "ours": _each(ours),
        "peer": _each(theirs),
        "batch": _each(batches),
        "nothing": _each(nothing),
    }
    return Findings("Publish, one web process", tuple(lines), details)


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


def _beside_peer(connections: int, ours: Pace, theirs: Pace) -> tuple[Line, ...]:
    where = f"{connections} connections"
    return (
        Line(f"{where}, rate", ours.rate, "events/s", theirs.rate, "peer", target=8),
        Line(f"{where}, p50", ours.p50, "ms", theirs.p50, "peer"),
        Line(f"{where}, p95", ours.p95, "ms", theirs.p95, "peer", target=0.2, at_most=True),
        Line(f"{where}, p99", ours.p99, "ms", theirs.p99, "peer"),
    )


def _beside_limit(connections: int, pace: Pace, limit: float) -> Line:
    what = f"batches of {load.BATCH:,}, {connections} connection{'s' if connections > 1 else ''}"
    return Line(what, pace.rate * load.BATCH, "events/s", limit, "pgbench", target=2)


def _each(paces: dict[int, Pace]) -> dict[str, dict[str, float]]:
    return {f"{count} connections": vars(pace) for count, pace in paces.items()}

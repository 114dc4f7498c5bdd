"""The time of a claim of 256 gists when 1,000, 100,000 and 1,000,000 are due: it should hardly grow."""

import time
from datetime import timedelta
from pathlib import Path
from statistics import median

from app.model import Delivery, Room
from app.storage import postgres
from app.storage.postgres import PostgresStorage
from bench.broker.lines import Findings, Line
from bench.broker.postgres import Database, Durable
from bench.broker.publish import NOWHERE
from bench.broker.service import service

SIZES = (1_000, 100_000, 1_000_000)
LIMIT = 256
IN_A_ROW = 3  # as many as the smallest backlog has
LEASE = timedelta(seconds=90)
_BACKLOG = Path(__file__).with_name("backlog.sql")


def measure(cluster: Durable, *, quick: bool) -> Findings:
    sizes = tuple(size // 10 for size in SIZES[1:]) if quick else SIZES
    database = cluster.database("claims")
    with service(database) as running:
        running.web()
        running.register(NOWHERE)
    found = {size: _claims(database, size, 3 if quick else 10) for size in sizes}
    smallest = median(found[sizes[0]])
    lines = tuple(_line(size, median(found[size]), sizes[0], smallest, last=size == sizes[-1]) for size in sizes)
    return Findings(f"A claim of {LIMIT} gists", lines, {"milliseconds": {str(size): found[size] for size in sizes}})


def _claims(database: Database, size: int, rounds: int) -> list[float]:
    """Milliseconds of each; between rounds everything is due again, and vacuum has been there."""
    database.run("TRUNCATE events, gists")
    with database.connect() as connection:
        connection.execute(_BACKLOG.read_bytes(), {"size": size})
    pool = postgres.connect(database.url, 1)
    try:
        return [each for _ in range(rounds) for each in _round(database, PostgresStorage(pool))]
    finally:
        pool.close()


def _round(database: Database, storage: PostgresStorage) -> list[float]:
    database.level()
    taken: list[Delivery] = []
    milliseconds = []
    for _ in range(IN_A_ROW):
        began = time.perf_counter()
        claim = storage.claim(Room(limit=LIMIT, free=2 * LIMIT), LEASE)
        milliseconds.append((time.perf_counter() - began) * 1000)
        taken += claim.deliveries
    if len(taken) != IN_A_ROW * LIMIT:
        raise SystemExit(f"{IN_A_ROW} claims brought {len(taken)} gists rather than {IN_A_ROW * LIMIT}")
    storage.release(taken)
    return milliseconds


def _line(size: int, milliseconds: float, smallest: int, beside: float, *, last: bool) -> Line:
    if size == smallest:
        return Line(f"{size:,} due", milliseconds, "ms")
    return Line(
        f"{size:,} due", milliseconds, "ms", beside, f"{smallest:,} due", target=1.5 if last else None, at_most=True
    )

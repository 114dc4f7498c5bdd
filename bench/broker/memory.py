"""Memory of a web process and a dispatcher at their start, and as 100,000 events are published and delivered."""

from bench.broker import load
from bench.broker.lines import Details, Findings, Line, grid
from bench.broker.postgres import Durable
from bench.broker.processes import memory, until
from bench.broker.receiver import receiving
from bench.broker.service import service

STEPS = 5


def measure(cluster: Durable, *, quick: bool) -> Findings:
    step = 400 if quick else 20_000
    database = cluster.database("memory")
    with receiving() as (receiver,), service(database) as running:
        web, dispatcher = running.web(), running.dispatcher()
        publisher = running.register(receiver.url)
        rows = [_row(0, web, dispatcher)]
        for number in range(1, STEPS + 1):
            load.fill(publisher, step, start=(number - 1) * step)
            until(database.is_delivered, 300, "deliveries to be recorded")
            rows.append(_row(number * step, web, dispatcher))
    columns = ("events", "web RSS", "web PSS", "dispatcher RSS", "dispatcher PSS")
    steps: Details = grid("Memory in MiB", columns, rows)
    lines = [
        Line(f"{column} after {rows[-1][0]:,} events", rows[-1][at], "MiB", rows[0][at], "at the start")
        for at, column in enumerate(columns[1:], start=1)
    ]
    return Findings("Memory", tuple(lines), {"steps": steps})


def _row(events: int, web: int, dispatcher: int) -> tuple[int, float, float, float, float]:
    return events, *memory(web), *memory(dispatcher)

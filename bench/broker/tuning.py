"""What a user can set, and what it does here: processes, commits and threads; envelope; idles; rest_when; window."""

import time
from contextlib import ExitStack

from bench.broker import load
from bench.broker.delivery import drained
from bench.broker.latency import RATE, observed
from bench.broker.lines import Details, Findings, grid
from bench.broker.postgres import Database, Durable
from bench.broker.processes import cpu_seconds
from bench.broker.publish import NOWHERE, paced
from bench.broker.receiver import receiving
from bench.broker.service import service

CONNECTIONS = 64
THREADS = (1, 2, 4, 8, 16, 32)
MOST = (1, 8, 64, 256)
BATCH, BATCHES_AT_ONCE = 100, 16
ENVELOPES = (32, 64, 128, 256, 512, 1024)
IDLES = (1, 5, 30)
REST_WHEN = (0, 8, 32)
WINDOWS = (0, 2, 10)
PACE = ("events/s", "p50 ms", "p95 ms", "p99 ms")
Variant = tuple[str, int, dict[str, object]]  # its name, its web processes, their settings


def measure(cluster: Durable, *, quick: bool) -> Findings:
    details = {
        "publish": _publish(cluster, 2 if quick else 10),
        "batches": _batches(cluster, 2 if quick else 10),
        "envelope": _envelope(cluster, 1_000 if quick else 20_000),
        "idles": _idles(cluster, 5 if quick else 120),
        "rest_when": _rest_when(cluster, 3 if quick else 20),
        "commit_window": _commit_window(cluster, 3 if quick else 20),
    }
    return Findings("Tuning", (), details)


def _publish(cluster: Durable, seconds: int) -> Details:
    """The events of 64 connections, one a request: with a second process, and by how many may share a commit."""
    variants: list[Variant] = [("1 process", 1, {}), ("2 processes", 2, {})]
    variants += [(f"commits of at most {each}", 1, {"commit_most": each}) for each in MOST]
    rows = _paces(cluster.database("tuning_publish"), variants, CONNECTIONS, 1, seconds)
    return grid(f"Publish, {CONNECTIONS} connections", ("", *PACE), rows)


def _batches(cluster: Durable, seconds: int) -> Details:
    """Batches need a thread each."""
    variants: list[Variant] = [(str(each), 1, {"threads": each}) for each in THREADS]
    rows = _paces(cluster.database("tuning_batches"), variants, BATCHES_AT_ONCE, BATCH, seconds)
    return grid(f"Publish batches of {BATCH}, {BATCHES_AT_ONCE} connections", ("threads", *PACE), rows)


def _paces(
    database: Database, variants: list[Variant], connections: int, batch: int, seconds: int
) -> list[tuple[str, float, float, float, float]]:
    rows = []
    with service(database) as running:
        with running.serving():
            publisher = running.register(NOWHERE)
        for name, processes, settings in variants:
            with ExitStack() as stack:
                for _ in range(processes):
                    stack.enter_context(running.serving(**settings))
                pace = paced(database, publisher, connections, seconds, batch)
            rows.append((name, pace.rate * batch, pace.p50, pace.p95, pace.p99))
    return rows


def _envelope(cluster: Durable, backlog: int) -> Details:
    """A backlog drained by one dispatcher."""
    database, rows = cluster.database("tuning_envelope"), []
    with receiving() as (receiver,), service(database) as running:
        running.web()
        publisher = running.register(receiver.url)
        for envelope in ENVELOPES:
            load.fill(publisher, backlog)
            rows.append((str(envelope), *drained(running, database, receiver, backlog, envelope=envelope)))
    columns = ("envelope", "deliveries/s until recorded", "until received")
    return grid(f"Delivery of {backlog:,}, one dispatcher", columns, rows)


def _idles(cluster: Durable, seconds: int) -> Details:
    """A web process and a dispatcher that have nothing to do, a pair for each value, all at the same time."""
    with ExitStack() as stack:
        pairs = []
        for idles in IDLES:
            database = cluster.database(f"tuning_idles_{idles}")
            running = stack.enter_context(service(database))
            pairs.append((idles, database, running.web(), running.dispatcher(idles=idles)))
        before = [(database.used(), cpu_seconds(web), cpu_seconds(sender)) for _, database, web, sender in pairs]
        time.sleep(seconds)
        rows = []
        for (idles, database, web, sender), (used, web_cpu, sender_cpu) in zip(pairs, before, strict=True):
            each = 60 / seconds
            statements = database.used().since(used).calls * each
            cpu = ((cpu_seconds(sender) - sender_cpu) * each * 1000, (cpu_seconds(web) - web_cpu) * each * 1000)
            rows.append((str(idles), float(statements), *cpu))
    columns = ("idles", "statements a minute", "dispatcher's ms of CPU a minute", "web's")
    return grid("Nothing to do", columns, rows)


def _rest_when(cluster: Durable, seconds: int) -> Details:
    """Resting a second while little is due: fewer statements, later deliveries."""
    database, rows = cluster.database("tuning_rest"), []
    with receiving() as (receiver,), service(database) as running:
        running.web()
        publisher = running.register(receiver.url)
        for rest_when in REST_WHEN:
            with running.dispatching(rest_when=rest_when, idles=1):
                run = observed(database, receiver, publisher, seconds)
            rows.append((str(rest_when), run.p50, run.p95, run.statements))
    columns = ("rest_when", "p50 ms", "p95 ms", "statements an event")
    return grid(f"{RATE} events/s from publish to receipt, idles 1", columns, rows)


def _commit_window(cluster: Durable, seconds: int) -> Details:
    """Waiting a little for company: fewer statements, later answers."""
    database, rows = cluster.database("tuning_window"), []
    with receiving() as (receiver,), service(database) as running:
        with running.serving():
            publisher = running.register(receiver.url)
        for window in WINDOWS:
            with running.serving(commit_window=window), running.dispatching():
                run = observed(database, receiver, publisher, seconds)
            rows.append((str(window), run.p50, run.p95, run.statements))
    columns = ("commit_window in ms", "p50 ms", "p95 ms", "statements an event")
    return grid(f"{RATE} events/s from publish to receipt", columns, rows)

"""python -m app: the composition root, the only place that knows every adapter."""

import argparse
import asyncio
import logging
import os
import socket
import sys
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

from psycopg import Error

from app import dispatcher, settings, version, web
from app.broker import Broker
from app.credentials import Administrator, Tokens
from app.delivery.guard import Guard
from app.errors import AmeboError
from app.health import Health
from app.http import Services, create_app, create_status_app
from app.registry import Registry
from app.settings import Settings
from app.storage import postgres
from app.storage.migrate import migrate
from app.storage.postgres import PostgresStorage
from app.storage.wakeup import Waker

SPARE = 2  # connections beside one a thread, so that health is answered when every thread is at work


def run_web(chosen: Settings) -> None:
    """Serve the HTTP API."""
    settings.require(chosen, "dsn", "secret")
    pool = postgres.connect(chosen.dsn, chosen.threads + SPARE)
    storage, waker = PostgresStorage(pool), Waker(chosen.dsn)
    health = Health(chosen.instance, storage.schema_version)
    services = Services(
        broker=Broker(storage, waker.wake),
        registry=Registry(storage, Guard(chosen.allow_private_handlers).refusal),
        storage=storage,
        administrator=Administrator(chosen.username, chosen.password),
        tokens=Tokens(chosen.secret, timedelta(seconds=chosen.token_lifetime)),
        health=health,
    )
    waker.start()
    server = web.Server(create_app(services), chosen, health)
    web.serve_status(create_status_app(health), chosen.status_socket)
    server.run()
    waker.stop()
    pool.close()


def run_dispatcher(chosen: Settings) -> None:
    """Deliver gists to their handlers."""
    settings.require(chosen, "dsn")
    pool = postgres.connect(chosen.dsn, 4)
    storage = PostgresStorage(pool)
    health = Health(chosen.instance, storage.schema_version)
    web.serve_status(create_status_app(health), chosen.status_socket)
    asyncio.run(dispatcher.serve(Broker(storage), chosen, health))
    pool.close()


def run_migrate(chosen: Settings) -> None:
    """Bring the database's schema up to date; safe to repeat, and from several places at once."""
    settings.require(chosen, "dsn")
    applied = migrate(chosen.dsn, chosen.service_role, chosen.reader_role)
    print("\n".join(f"applied {name}" for name in applied) or "nothing to apply")  # noqa: T201  # its result


VERBS: dict[str, tuple[Callable[[Settings], None], str]] = {
    "web": (run_web, "AMEBO_DSN=postgresql:///amebo AMEBO_SECRET=$(openssl rand -hex 32) python -m app web"),
    "dispatcher": (run_dispatcher, "AMEBO_DSN=postgresql:///amebo python -m app dispatcher"),
    "migrate": (run_migrate, "AMEBO_DSN=postgresql://amebo_owner@db-1/amebo python -m app migrate"),
}


def main() -> int:
    """Run one verb; an error for the operator is a sentence on stderr."""
    arguments = vars(_parser().parse_args())
    verb = arguments.pop("verb")
    overrides = {name: value for name, value in arguments.items() if value is not None}
    try:
        chosen = settings.load(overrides, os.environ, Path.cwd())
        chosen = replace(chosen, instance=chosen.instance or f"{socket.gethostname()}:{chosen.port}")
        logging.basicConfig(level=chosen.log_level.upper(), format="%(levelname)s %(name)s %(message)s")
        VERBS[verb][0](chosen)
    except (AmeboError, Error, OSError) as error:
        print(f"error: {error}", file=sys.stderr)  # noqa: T201
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m app", description="Amebo: events in, signed webhooks out.")
    parser.add_argument("--version", action="version", version=version())
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    for name, (function, example) in VERBS.items():
        verb = verbs.add_parser(name, help=function.__doc__, description=function.__doc__, epilog=f"Example: {example}")
        verb.add_argument("--dsn", help="instead of AMEBO_DSN")
        if name == "web":
            verb.add_argument("--port", help="instead of AMEBO_PORT")
    return parser


if __name__ == "__main__":
    sys.exit(main())

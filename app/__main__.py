"""python -m app: the composition root, the only place that knows every adapter."""

import argparse
import asyncio
import logging
import os
import socket
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path

from app import __version__, dev, dispatcher, schema, settings, web
from app.broker import Broker
from app.credentials import Administrator, Tokens
from app.delivery.guard import Guard
from app.errors import AmeboError
from app.health import Health
from app.http import Services, create_app, create_status_app
from app.ports import Storage
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
    waker = Waker(chosen.dsn)
    services = compose(chosen, PostgresStorage(pool), waker.wake)
    waker.start()
    server = web.Server(create_app(services), chosen, services.health)
    web.serve_status(create_status_app(services.health), chosen.status_socket)
    server.run()
    waker.stop()
    pool.close()


def compose(chosen: Settings, storage: Storage, wake: Callable[[], None] = lambda: None) -> Services:
    """What the HTTP API works with, on any storage."""
    return Services(
        broker=Broker(storage, schema.violations, wake),
        registry=Registry(storage, Guard(chosen.allow_private_handlers).refusal),
        storage=storage,
        administrator=Administrator(chosen.username, chosen.password),
        tokens=Tokens(chosen.secret, timedelta(seconds=chosen.token_lifetime)),
        health=Health(chosen.instance, storage.schema_version),
    )


def run_dispatcher(chosen: Settings) -> None:
    """Deliver gists to their handlers."""
    settings.require(chosen, "dsn")
    pool = postgres.connect(chosen.dsn, 4)
    storage = PostgresStorage(pool)
    health = Health(chosen.instance, storage.schema_version)
    web.serve_status(create_status_app(health), chosen.status_socket)
    asyncio.run(dispatcher.serve(Broker(storage, schema.violations), chosen, health))
    pool.close()


def run_migrate(chosen: Settings) -> None:
    """Bring the database's schema up to date; safe to repeat, and from several places at once."""
    settings.require(chosen, "dsn")
    applied = migrate(chosen.dsn, chosen.service_role, chosen.reader_role)
    print("\n".join(f"applied {name}" for name in applied) or "nothing to apply")  # noqa: T201  # its result


def run_dev(chosen: Settings) -> None:
    """Run it all on a throwaway PostgreSQL cluster, and print commands to try."""
    dev.run(chosen.port)


def show_config(chosen: Settings) -> None:
    """Show every setting as it is in force, secrets masked."""
    for name, value in settings.shown(chosen).items():
        print(f"{name}={value}")  # noqa: T201  # its result


def check_config(chosen: Settings) -> None:
    """Check that the settings are enough to run the service."""
    settings.require(chosen, "dsn", "secret")
    print("the settings are complete")  # noqa: T201  # its result


@dataclass(frozen=True)
class Verb:
    """What a word on the command line runs, how it is used, and the settings that it takes as options."""

    run: Callable[[Settings], None]
    example: str
    options: tuple[str, ...] = ()


VERBS = {
    "web": Verb(
        run_web, "AMEBO_DSN=postgresql:///amebo AMEBO_SECRET=$(openssl rand -hex 32) %(prog)s", ("dsn", "port")
    ),
    "dispatcher": Verb(run_dispatcher, "AMEBO_DSN=postgresql:///amebo %(prog)s", ("dsn",)),
    "migrate": Verb(run_migrate, "AMEBO_DSN=postgresql://amebo_owner@db-1/amebo %(prog)s", ("dsn",)),
    "dev": Verb(run_dev, "%(prog)s --port 3310", ("port",)),
    "config show": Verb(show_config, "%(prog)s"),
    "config check": Verb(check_config, "%(prog)s"),
}


def main(words: Sequence[str] | None = None) -> int:
    """Run one verb; an error for the operator is a sentence on stderr."""
    arguments = vars(_parser().parse_args(words))
    verb: Verb = arguments.pop("verb")
    try:
        verb.run(_settings({name: value for name, value in arguments.items() if value is not None}))
    except (AmeboError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)  # noqa: T201
        return 1
    return 0


def _settings(options: dict[str, str]) -> Settings:
    chosen = settings.load(options, os.environ, Path.cwd())
    logging.basicConfig(level=chosen.log_level.upper(), format="%(levelname)s %(name)s %(message)s")
    logging.getLogger("waitress.queue").setLevel(logging.ERROR)  # else it complains at each request under load
    return replace(chosen, instance=chosen.instance or f"{socket.gethostname()}:{chosen.port}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m app", description="Amebo: events in, signed webhooks out.")
    parser.add_argument("--version", action="version", version=__version__)
    verbs = parser.add_subparsers(required=True, metavar="VERB")
    config = verbs.add_parser("config", help="Show or check the settings.").add_subparsers(required=True)
    for words, verb in VERBS.items():
        group, _, name = words.rpartition(" ")
        parent = config if group else verbs
        _add(parent.add_parser(name, help=verb.run.__doc__, description=verb.run.__doc__), verb)
    return parser


def _add(parser: argparse.ArgumentParser, verb: Verb) -> None:
    parser.epilog = f"Example: {verb.example % {'prog': parser.prog}}"
    parser.set_defaults(verb=verb)
    for option in verb.options:
        parser.add_argument(f"--{option}", help=f"instead of AMEBO_{option.upper()}")


if __name__ == "__main__":
    sys.exit(main())

"""python -m app: the composition root, the only place that knows every adapter."""

import argparse
import asyncio
import gc
import json
import os
import re
import socket
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

from app import __version__, audit, dev, dispatcher, listen, logs, metrics, schema, settings, team, web
from app.broker import Broker
from app.catalogue import Catalogues
from app.commit import GroupCommit
from app.console import add_console
from app.credentials import Administrator, SignIn, Tokens
from app.delivery.guard import Guard
from app.errors import AmeboError
from app.fibers import offload
from app.health import Health
from app.http import Services, create_app, create_status_app, is_quick
from app.http.limits import Limits
from app.minutes import Minutes
from app.model import Published
from app.ports import Storage
from app.publishing import Commit, Publisher
from app.registry import Registry
from app.settings import Settings
from app.storage.migrate import LOCK_TIMEOUT, migrate
from app.storage.postgres import PostgresStorage, connect
from app.storage.wakeup import Waker

DELIVERING = 4  # connections of a dispatcher: it claims, completes, looks ahead and keeps up


def run_web(chosen: Settings) -> None:
    """Serve the HTTP API."""
    settings.require(chosen, "dsn", "secret")
    with _storage(chosen, chosen.pool_size) as storage:
        waker, minutes = Waker(chosen.dsn), Minutes(storage)
        commit = GroupCommit(storage.publish, chosen.commit_most, chosen.commit_window / 1000)
        services = compose(chosen, storage, commit.publish, waker.wake, minutes, _health(chosen, storage))
        metrics.Backlog(services.broker.backlog)
        metrics.Pool(storage.pool_state)
        helpers = (waker, minutes)
        for helper in helpers:
            helper.start()
        app = create_app(services)
        if chosen.console:
            add_console(app, services, chosen.secret)
        server = web.Server(app, chosen, services.health, is_quick)
        web.serve_status(create_status_app(services.health), chosen.status_socket)
        gc.freeze()  # what is there now stays; to look at it again and again took a twentieth of the time
        server.run()
        for helper in reversed(helpers):
            helper.stop()


def compose(
    chosen: Settings,
    storage: Storage,
    commit: Commit | None = None,
    wake: Callable[[], None] = lambda: None,
    minutes: Minutes | None = None,
    health: Health | None = None,
) -> Services:
    """What the HTTP API works with, on any storage."""

    def count(published: Sequence[Published]) -> None:
        metrics.count_published(published)
        if minutes is not None:
            minutes.published(published)

    catalogues = Catalogues(storage, lambda schemata: schema.compiled(schemata).violations, offload)
    return Services(
        broker=Broker(storage, wake),
        publisher=Publisher(catalogues, commit or storage.publish, wake, count),
        registry=Registry(storage, Guard(chosen.allow_private_handlers).refusal),
        storage=storage,
        sign_in=SignIn(Administrator(chosen.username, chosen.password), storage, chosen.login_failures),
        tokens=Tokens(chosen.secret, timedelta(seconds=chosen.token_lifetime)),
        limits=Limits(chosen.rate_limit, chosen.rate_limit_address, chosen.trusted_proxies),
        health=health or Health(chosen.instance, storage.schema_version, oldest=storage.oldest_schema),
    )


def run_dispatcher(chosen: Settings) -> None:
    """Deliver gists to their handlers."""
    settings.require(chosen, "dsn")
    if chosen.dispatchers > 1:
        team.run("dispatcher", chosen.dispatchers, chosen.status_socket)
        return
    with _storage(chosen, DELIVERING, durable=False) as storage:
        broker, health = Broker(storage), _health(chosen, storage)
        metrics.Backlog(broker.backlog)
        metrics.Pool(storage.pool_state)
        web.serve_status(create_status_app(health), chosen.status_socket)
        asyncio.run(dispatcher.serve(broker, storage, chosen, health))


def run_migrate(chosen: Settings, running: Sequence[int], lock_timeout: float) -> None:
    """Bring the database's schema up to date; safe to repeat, and from several places at once."""
    settings.require(chosen, "dsn")
    applied = migrate(chosen.dsn, chosen.service_role, chosen.reader_role, running, lock_timeout)
    _say("\n".join(f"applied {name}" for name in applied) or "nothing to apply")


def run_dev(chosen: Settings) -> None:
    """Run it all on a throwaway PostgreSQL cluster, and print commands to try."""
    dev.run(chosen.port)


def show_config(chosen: Settings) -> None:
    """Show every setting as it is in force, secrets masked."""
    for name, value in settings.shown(chosen).items():
        _say(f"{name}={value}")


def check_config(chosen: Settings) -> None:
    """Check that the settings are enough to run the service."""
    settings.require(chosen, "dsn", "secret")
    _say("the settings are complete")


def verify_audit(chosen: Settings) -> None:
    """Check the audit's chain of hashes from its first entry to its last."""
    settings.require(chosen, "dsn")
    with _storage(chosen, 1) as storage:
        _say(f"{audit.verify(storage)} entries, none was changed, added or removed")


def show_audit(chosen: Settings) -> None:
    """Show every administrative change, a JSON object a line."""
    settings.require(chosen, "dsn")
    with _storage(chosen, 1) as storage:
        for entry in audit.entries(storage):
            _say(json.dumps(audit.shown(entry)))


@contextmanager
def _storage(chosen: Settings, connections: int, *, durable: bool = True) -> Iterator[PostgresStorage]:
    pools = [connect(chosen.dsn, connections, durable=durable)]
    if chosen.read_dsn:
        pools.append(connect(chosen.read_dsn, connections))
    try:
        yield PostgresStorage(*pools)
    finally:
        for pool in pools:
            pool.close()


def _health(chosen: Settings, storage: PostgresStorage) -> Health:
    lag = storage.replica_lag if chosen.read_dsn else None
    return Health(
        chosen.instance,
        storage.schema_version,
        pool=storage.pool_state,
        replica_lag=lag,
        oldest=storage.oldest_schema,
    )


def _schemas(text: str) -> tuple[int, ...]:
    if not re.fullmatch(r"([0-9]+(,[0-9]+)*)?", text):
        raise argparse.ArgumentTypeError(f"{text!r} must be numbers divided by commas")
    return tuple(map(int, filter(None, text.split(","))))


def _seconds(text: str) -> float:
    if not re.fullmatch(r"[0-9]+(\.[0-9]+)?", text) or not 0 < float(text) < 1e6:
        raise argparse.ArgumentTypeError(f"{text!r} must be more than 0 seconds")
    return float(text)


@dataclass(frozen=True)
class Verb:
    """What a word on the command line runs, how it is used, and the settings that it takes as options.

    `own`: options that are no settings, with what argparse wants to know of them; they are arguments of `run`.
    """

    run: Callable[..., None]
    example: str
    options: tuple[str, ...] = ()
    own: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


MIGRATING: Mapping[str, Mapping[str, Any]] = {
    "running": {
        "type": _schemas,
        "default": (),
        "metavar": "2,3",
        "help": "schemas that the releases which run were built for; what would leave one of them behind is refused",
    },
    "lock_timeout": {
        "type": _seconds,
        "default": LOCK_TIMEOUT,
        "metavar": "SECONDS",
        "help": f"how long one attempt waits for a lock, while others wait behind it ({LOCK_TIMEOUT:g})",
    },
}

VERBS = {
    "web": Verb(
        run_web, "AMEBO_DSN=postgresql:///amebo AMEBO_SECRET=$(openssl rand -hex 32) %(prog)s", ("dsn", "port")
    ),
    "dispatcher": Verb(run_dispatcher, "AMEBO_DSN=postgresql:///amebo %(prog)s", ("dsn",)),
    "migrate": Verb(run_migrate, "AMEBO_DSN=postgresql://amebo_owner@db-1/amebo %(prog)s", ("dsn",), MIGRATING),
    "dev": Verb(run_dev, "%(prog)s --port 3310", ("port",)),
    "config show": Verb(show_config, "%(prog)s"),
    "config check": Verb(check_config, "%(prog)s"),
    "audit verify": Verb(verify_audit, "AMEBO_DSN=postgresql:///amebo %(prog)s", ("dsn",)),
    "audit show": Verb(show_audit, "AMEBO_DSN=postgresql:///amebo %(prog)s", ("dsn",)),
}
GROUPS = {"config": "Show or check the settings.", "audit": "Show or check the administrative changes."}


def main(words: Sequence[str] | None = None) -> int:
    """Run one verb; an error for the operator is a sentence on stderr."""
    arguments = vars(_parser().parse_args(words))
    try:
        verb: Verb | None = arguments.pop("verb", None)
        if verb is None:
            listen.run(**arguments, secrets=listen.secrets_in(os.environ))
            return 0
        own = {name: arguments.pop(name) for name in verb.own}
        verb.run(_settings({name: value for name, value in arguments.items() if value is not None}), **own)
    except (AmeboError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)  # noqa: T201
        return 1
    return 0


def _settings(options: dict[str, str]) -> Settings:
    chosen = settings.load(options, os.environ, Path.cwd())
    chosen = replace(chosen, instance=chosen.instance or f"{socket.gethostname()}:{chosen.port}")
    logs.configure(chosen.log_level, chosen.log_format, chosen.instance)
    return chosen


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m app", description="Amebo: events in, signed webhooks out.")
    parser.add_argument("--version", action="version", version=__version__)
    verbs = parser.add_subparsers(required=True, metavar="VERB")
    groups = {
        name: verbs.add_parser(name, help=text).add_subparsers(required=True, metavar="WHAT")
        for name, text in GROUPS.items()
    }
    for words, verb in VERBS.items():
        group, _, name = words.rpartition(" ")
        parent = groups[group] if group else verbs
        _add(parent.add_parser(name, help=verb.run.__doc__, description=verb.run.__doc__), verb)
    _add_listen(verbs.add_parser("listen", help=listen.__doc__, description=listen.__doc__))
    return parser


def _add_listen(parser: argparse.ArgumentParser) -> None:
    """The one verb that needs no settings."""
    parser.epilog = f"Example: AMEBO_WEBHOOK_SECRET=whsec_… {parser.prog} --port 4000"
    parser.add_argument("--port", type=int, default=4000, help="port to listen on (4000)")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (127.0.0.1)")
    parser.add_argument("--status", type=int, default=204, help="what to answer, to try retries out (204)")


def _add(parser: argparse.ArgumentParser, verb: Verb) -> None:
    parser.epilog = f"Example: {verb.example % {'prog': parser.prog}}"
    parser.set_defaults(verb=verb)
    for option in verb.options:
        parser.add_argument(f"--{option}", help=f"instead of AMEBO_{option.upper()}")
    for name, keywords in verb.own.items():
        parser.add_argument(f"--{name.replace('_', '-')}", **keywords)


def _say(text: str) -> None:
    print(text)  # noqa: T201  # a verb's result


if __name__ == "__main__":
    sys.exit(main())

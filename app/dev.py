"""python -m app dev: everything on a throwaway cluster, with commands to try, until Ctrl-C."""

import contextlib
import os
import secrets
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from types import FrameType

from app import listen
from app.cluster import throwaway
from app.errors import AmeboError

SOURCE = Path(__file__).resolve().parent.parent
USERNAME, PASSWORD = "dev", "devdevdev"  # of a service on loopback that ends with the terminal
READY_WITHIN = 30.0

TRY = """
Amebo is ready on http://127.0.0.1:{port}; Ctrl-C ends it, and everything that it holds. In another terminal:

  U=http://127.0.0.1:{port}; json() {{ curl -sS -H 'Content-Type: application/json' "$@"; echo; }}

  # a token for the administrator
  TOKEN=$(json $U/v1/tokens -d '{{"username": "{username}", "password": "{password}"}}' | cut -d'"' -f4)
  api() {{ json -H "Authorization: Bearer $TOKEN" "$@"; }}

  # an application, an action with its schema, and a subscription; webhooks are printed here, in this terminal
  api $U/v1/applications -d '{{"application": "shop", "address": "http://127.0.0.1:{receiver}"}}'
  api $U/v1/actions -d '{{"action": "order.placed", "application": "shop",
    "schemata": {{"type": "object", "properties": {{"id": {{"type": "integer"}}}}, "required": ["id"]}}}}'
  api $U/v1/subscriptions -d '{{"application": "shop", "action": "order.placed", "handler": "/webhooks"}}'

  # an event; the same once more is a duplicate; and one that breaks the schema
  api $U/v1/events -d '{{"action": "order.placed", "payload": {{"id": 1}}, "deduper": "order-1"}}'
  api $U/v1/events -d '{{"action": "order.placed", "payload": {{"id": 1}}, "deduper": "order-1"}}'
  api $U/v1/events -d '{{"action": "order.placed", "payload": {{"id": "one"}}}}'

  # what became of it; one gist with its attempts; the same delivered once more
  api $U/v1/gists
  GIST=$(api "$U/v1/gists?per_page=1" | cut -d'"' -f6)
  api $U/v1/gists/$GIST
  api -X POST $U/v1/regists/$GIST

The database: psql "{dsn}"
"""


class Stop(Exception):  # not an error: the way out
    """Somebody wants it to end."""


def run(port: int) -> None:
    """Run it all in the foreground and leave nothing behind."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _stop)
    with contextlib.suppress(Stop), throwaway() as cluster, listen.receiver() as receiver:
        environment = _environment(cluster.dsn, port)
        with _running("migrate", environment) as migration:
            if migration.wait() != 0:
                raise AmeboError("the database cannot be migrated; what was said is above")
        with _running("web", environment) as web, _running("dispatcher", environment):
            _await_ready(port, web)
            _say(TRY.format(dsn=cluster.dsn, port=port, receiver=receiver, username=USERNAME, password=PASSWORD))
            os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOWAIT)
            raise AmeboError("a process ended by itself; what it said is above")


def _stop(_signal: int, _frame: FrameType | None) -> None:
    """Once: nothing may break off the cleaning up."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)
    raise Stop


def _environment(dsn: str, port: int) -> dict[str, str]:
    return {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(filter(None, [str(SOURCE), os.environ.get("PYTHONPATH")])),
        "AMEBO_DSN": dsn,
        "AMEBO_SECRET": secrets.token_hex(32),
        "AMEBO_USERNAME": USERNAME,
        "AMEBO_PASSWORD": PASSWORD,
        "AMEBO_HOST": "127.0.0.1",
        "AMEBO_PORT": str(port),
        "AMEBO_ALLOW_PRIVATE_HANDLERS": "127.0.0.0/8",
        "AMEBO_DRAIN_TIMEOUT": "2",
        "AMEBO_LOG_LEVEL": "warning",
    }


@contextlib.contextmanager
def _running(verb: str, environment: dict[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    """In a session of its own, so that Ctrl-C reaches only this process, which ends the others in order."""
    argv = [sys.executable, "-m", "app", verb]
    with subprocess.Popen(argv, env=environment, start_new_session=True) as process:
        try:
            yield process
        finally:
            process.terminate()
            process.wait()


def _await_ready(port: int, web: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + READY_WITHIN
    while time.monotonic() < deadline and web.poll() is None:
        with contextlib.suppress(OSError), urllib.request.urlopen(f"http://127.0.0.1:{port}/health/ready"):
            return
        time.sleep(0.1)
    raise AmeboError(f"the web process is not ready on port {port}; what it said is above")


def _say(text: str) -> None:
    print(text, flush=True)  # noqa: T201  # the terminal is what this is for

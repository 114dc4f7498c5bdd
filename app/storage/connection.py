"""Connections that never wait for ever: neither for a host that is gone nor for a database that hangs."""

import select
import time
from typing import Any, TypeVar

from psycopg import Connection, OperationalError, ProgrammingError
from psycopg.abc import PQGen
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.waiting import Ready, Wait

from app import fibers

_CONNECT: dict[str, Any] = {
    "connect_timeout": 3,
    "keepalives_idle": 5,
    "keepalives_interval": 2,
    "keepalives_count": 3,
    "tcp_user_timeout": 5000,
    "application_name": "amebo",
}
_FLAGS = {Wait.R: select.EPOLLIN, Wait.W: select.EPOLLOUT, Wait.RW: select.EPOLLIN | select.EPOLLOUT}
_READY = {select.EPOLLIN: Ready.R, select.EPOLLOUT: Ready.W}  # libpq finds out what else there is
PATIENCE = 5.0
Result = TypeVar("Result")


def patient(dsn: str, **more: str) -> str:
    """The DSN with limits to the waiting, and `more`, where it does not set its own."""
    return make_conninfo(**{**_CONNECT, **more, **conninfo_to_dict(dsn)})


def is_well_formed(dsn: str) -> bool:
    """Whether libpq could read it; a special character left as it is in a URL's password makes a strange port."""
    try:
        ports = str(conninfo_to_dict(dsn).get("port", ""))
    except ProgrammingError:
        return False
    return all(port.strip().isdecimal() for port in ports.split(",") if port)


class BoundedConnection(Connection[Any]):
    """Gives up on an answer after five seconds; then, as after any failure of operation, it is not used again."""

    def wait(self, gen: PQGen[Result], interval: float = 0.1, timeout: float | None = None) -> Result:
        try:
            if fibers.is_fiber():
                return self._wait_as_fiber(gen, timeout or PATIENCE)
            return super().wait(gen, interval, timeout or PATIENCE)
        except OperationalError:
            self.pgconn.finish()  # an answer that comes after all would be taken for the next question's
            raise

    def _wait_as_fiber(self, gen: PQGen[Result], seconds: float) -> Result:
        """As psycopg waits, but the loop goes on with others meanwhile."""
        deadline = time.monotonic() + seconds
        try:
            wanted = next(gen)
            while True:
                heard = fibers.ready(self.pgconn.socket, _FLAGS[wanted], deadline - time.monotonic())
                if not heard:
                    raise OperationalError(f"no answer within {seconds:g} s")
                wanted = gen.send(_READY.get(heard, Ready.RW))
        except StopIteration as end:
            found: Result = end.value
            return found

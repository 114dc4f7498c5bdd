"""Processes that a bench starts and ends, and what the kernel knows about them."""

import contextlib
import os
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from http.client import HTTPConnection, HTTPException
from pathlib import Path

ROOT = Path(__file__).parents[2]
PATIENCE = 15.0  # seconds that a process may take to end in good order
_TICKS = os.sysconf("SC_CLK_TCK")


@contextlib.contextmanager
def running(
    argv: Sequence[str], environment: Mapping[str, str], log: Path, sockets: Sequence[socket.socket] = ()
) -> Iterator[subprocess.Popen[bytes]]:
    """One process, told to end at the end; what it says goes to the log."""
    with log.open("ab") as said:
        popen = subprocess.Popen(
            argv,
            cwd=ROOT,
            env={**os.environ, **environment},
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=said,
            pass_fds=[each.fileno() for each in sockets],
        )
    try:
        yield popen
    finally:
        _end(popen)


def _end(popen: subprocess.Popen[bytes]) -> None:
    popen.terminate()
    try:
        popen.wait(PATIENCE)
    except subprocess.TimeoutExpired:
        popen.kill()
        popen.wait()


def until(condition: Callable[[], bool], seconds: float, what: str) -> None:
    """Wait for something to become true; the bench fails when it does not."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise SystemExit(f"after {seconds:.0f} s still waiting for {what}")
        time.sleep(0.02)


def answers(connection: HTTPConnection, path: str) -> bool:
    """Whether a GET of the path is answered with 200."""
    with contextlib.suppress(OSError, HTTPException), contextlib.closing(connection):
        connection.request("GET", path)
        return connection.getresponse().status == 200
    return False


class UnixConnection(HTTPConnection):
    """HTTP on a unix socket."""

    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=2)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(str(self._path))


def family(pid: int) -> tuple[int, ...]:
    """A process and all that it started."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return pid, *(each for child in children for each in family(int(child)))


def memory(pid: int) -> tuple[float, float]:
    """RSS and PSS in MiB, of the process and all that it started."""
    rss = pss = 0.0
    for each in family(pid):
        for line in Path(f"/proc/{each}/smaps_rollup").read_text().splitlines():
            name, _, value = line.partition(":")
            rss += int(value.split()[0]) / 1024 if name == "Rss" else 0.0
            pss += int(value.split()[0]) / 1024 if name == "Pss" else 0.0
    return rss, pss


def cpu_seconds(pid: int) -> float:
    """Spent so far, in user and kernel mode, by the process and all that it started."""
    fields = [Path(f"/proc/{each}/stat").read_text().rpartition(")")[2].split() for each in family(pid)]
    return sum(int(each[11]) + int(each[12]) for each in fields) / _TICKS

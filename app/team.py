"""Several processes of one kind under one parent: told to end together, and ended when one of them ends by itself."""

import os
import signal
import subprocess
import sys
from types import FrameType

from app import systemd
from app.errors import AmeboError


def run(verb: str, many: int, status_socket: str) -> None:
    """Start so many processes of `python -m app VERB`, and return when they were told to end and have ended.

    Each has a status socket of its own: the path with its number behind it, or the ports that follow each other.
    """
    told = False
    team = [_start(verb, _socket(status_socket, number)) for number in range(many)]

    def stop(_signal: int, _frame: FrameType | None) -> None:
        nonlocal told
        told = True
        _end(team)

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
    systemd.notify("READY=1")
    os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOWAIT)
    _end(team)
    codes = [each.wait() for each in team]
    if not told or any(codes):
        raise AmeboError(f"one of {many} processes ended by itself, so the others were ended; what it said is above")


def _start(verb: str, status_socket: str) -> subprocess.Popen[bytes]:
    own = {"AMEBO_DISPATCHERS": "1", "AMEBO_STATUS_SOCKET": status_socket, "NOTIFY_SOCKET": ""}
    argv = [sys.executable, "-m", "app", verb]
    return subprocess.Popen(argv, env={**os.environ, **own}, start_new_session=True)


def _socket(path: str, number: int) -> str:
    host, _, port = path.rpartition(":")
    if not path or "/" in path or not port.isdecimal():
        return path and f"{path}.{number}"
    return f"{host}:{int(port) + number}"


def _end(team: list[subprocess.Popen[bytes]]) -> None:
    for each in team:
        if each.poll() is None:
            each.terminate()

"""The two things that systemd and a service say to each other: sockets on the way in, READY on the way out."""

import os
import socket

_FIRST = 3


def listen_sockets() -> list[socket.socket]:
    """The sockets that systemd opened for this process, taken once: children must not take them for theirs."""
    count = int(os.environ.pop("LISTEN_FDS", "0"))
    pid = os.environ.pop("LISTEN_PID", "")
    os.environ.pop("LISTEN_FDNAMES", None)
    if pid != str(os.getpid()):
        return []
    sockets = [socket.socket(fileno=descriptor) for descriptor in range(_FIRST, _FIRST + count)]
    for each in sockets:
        each.set_inheritable(False)
    return sockets


def notify(state: str) -> None:
    """Tell systemd `READY=1` or `STOPPING=1`; nothing happens where nobody listens."""
    path = os.environ.get("NOTIFY_SOCKET", "")
    if not path:
        return
    address = "\0" + path[1:] if path.startswith("@") else path
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as notifier:
        notifier.sendto(state.encode(), address)

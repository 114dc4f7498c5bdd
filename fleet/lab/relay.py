"""Pass frames between two network interfaces, each one late. A program of its own: relay.py ONE OTHER MILLISECONDS.

The kernel's own way, tc netem, is missing from many kernels of virtual machines.
"""

import os
import selectors
import socket
import sys
import time
from collections import deque
from contextlib import suppress
from dataclasses import dataclass, field

_EVERY_PROTOCOL = 0x0003
_SOL_PACKET = 263
_PACKET_VNET_HDR = 15  # frames come and go with their offload header: unfinished checksums and large segments survive
_PACKET_IGNORE_OUTGOING = 23
_LARGEST = 70_000  # a segment that the kernel has not cut into frames yet
_MOST_WAITING = 10_000  # then frames are lost, as in any full queue


@dataclass(frozen=True)
class Way:
    """One direction, and what is on its way in it: when it is due, and the frame."""

    source: socket.socket
    target: socket.socket
    waiting: deque[tuple[float, bytes]] = field(default_factory=lambda: deque(maxlen=_MOST_WAITING))


def relay(one: str, other: str, delay: float) -> None:
    """Pass frames both ways, `delay` seconds late, for ever."""
    first, second = _open(one), _open(other)
    _go_on_in_background()
    ways = (Way(first, second), Way(second, first))
    with selectors.DefaultSelector() as selector:
        for way in ways:
            selector.register(way.source, selectors.EVENT_READ, way)
        while True:
            for key, _ in selector.select(_seconds_until_due(ways)):
                _take(key.data, delay)
            for way in ways:
                _pass_on(way)


def _open(interface: str) -> socket.socket:
    raw = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(_EVERY_PROTOCOL))
    raw.setsockopt(_SOL_PACKET, _PACKET_VNET_HDR, 1)
    raw.setsockopt(_SOL_PACKET, _PACKET_IGNORE_OUTGOING, 1)
    raw.bind((interface, 0))
    raw.setblocking(False)
    return raw


def _go_on_in_background() -> None:
    """Let whoever started this go on: from now on no frame is missed."""
    if os.fork():
        os._exit(0)
    os.setsid()
    nowhere = os.open(os.devnull, os.O_RDWR)
    for descriptor in range(3):
        os.dup2(nowhere, descriptor)


def _seconds_until_due(ways: tuple[Way, ...]) -> float | None:
    due = [way.waiting[0][0] for way in ways if way.waiting]
    return max(0.0, min(due) - time.monotonic()) if due else None


def _take(way: Way, delay: float) -> None:
    with suppress(OSError):  # nothing more to read; or the cable is out
        while True:
            way.waiting.append((time.monotonic() + delay, way.source.recv(_LARGEST)))


def _pass_on(way: Way) -> None:
    while way.waiting and way.waiting[0][0] <= time.monotonic():
        _, frame = way.waiting.popleft()
        with suppress(OSError):  # a frame that cannot be sent is lost, as on any wire
            way.target.send(frame)


if __name__ == "__main__":
    relay(sys.argv[1], sys.argv[2], int(sys.argv[3]) / 1000)

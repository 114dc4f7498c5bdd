"""One change at a time: for each lab, and for what the labs of this machine share."""

import fcntl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from fleet.lab.model import PREFIX

_LOCKS = Path("/run/lock")


@contextmanager
def locked(what: str, say: Callable[[str], None] = lambda _: None) -> Iterator[None]:
    """Hold the lock on `what` until the block ends; the kernel lets go of it when the process dies, however it dies."""
    with (_LOCKS / f"{PREFIX}.{what}.lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say(f"waiting for another command that holds {what}")
            fcntl.flock(file, fcntl.LOCK_EX)
        yield

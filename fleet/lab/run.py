"""Start a program of this machine and wait for it."""

import subprocess
from collections.abc import Sequence
from typing import IO

from fleet.errors import LabError


def run(argv: Sequence[str], *, timeout: float = 60, output: IO[str] | None = None) -> str:
    """Return what `argv` printed; raises LabError with its own words when it fails.

    With `output`, what it and its children print goes there, and the children may outlive it.
    """
    try:
        done = subprocess.run(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=output or subprocess.PIPE,
            stderr=output or subprocess.PIPE,
            text=True,
            timeout=timeout,
            check=False,
        )
    except FileNotFoundError as error:
        raise LabError(f"{argv[0]} is not installed here; run: make setup") from error
    except subprocess.TimeoutExpired as error:
        raise LabError(f"{' '.join(argv)}: no end after {timeout:.0f} s") from error
    if done.returncode:
        words = (done.stderr or done.stdout or "").strip() or f"exit code {done.returncode}"
        raise LabError(f"{' '.join(argv)}: {words}")
    return done.stdout or ""

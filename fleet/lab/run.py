"""Start a program of this machine and wait for it."""

import subprocess
from collections.abc import Sequence
from pathlib import Path

from fleet.errors import LabError


def run(argv: Sequence[str], *, timeout: float = 60) -> str:
    """Return what `argv` printed; raises LabError with its own words when it fails."""
    try:
        done = subprocess.run(
            argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=timeout, check=False
        )
    except FileNotFoundError as error:
        raise LabError(f"{argv[0]} is not installed here; run: make setup") from error
    except subprocess.TimeoutExpired as error:
        raise LabError(f"{' '.join(argv)}: no end after {timeout:.0f} s") from error
    if done.returncode:
        words = (done.stderr or done.stdout or "").strip() or f"exit code {done.returncode}"
        raise LabError(f"{' '.join(argv)}: {words}")
    return done.stdout or ""


def start(argv: Sequence[str], log: Path) -> None:
    """Start a program that stays when this one goes; what it prints goes to the end of `log`."""
    with log.open("a") as output:
        subprocess.run(
            ["setsid", "--fork", *argv], stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, check=True
        )

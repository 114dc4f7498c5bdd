"""Start a program of this machine and wait for it."""

import subprocess
from collections.abc import Callable, Sequence
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


def follow(argv: Sequence[str], say: Callable[[str], None]) -> None:
    """Run a long program and pass on each line it prints; raises LabError with the last ones when it fails."""
    lines: list[str] = []
    with subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as program:
        for line in program.stdout or ():
            lines.append(line.rstrip())
            say(lines[-1])
    if program.returncode:
        raise LabError(
            f"{argv[0]} … failed with exit code {program.returncode}; it said last:\n" + "\n".join(lines[-10:])
        )

"""What a machine must have before a lab can be made on it; asked first, so that nothing is left half done."""

import os
import shutil
import sys
from pathlib import Path

from fleet.errors import LabError
from fleet.lab.run import run

_PACKAGES = Path(__file__).parent / "apt-packages.txt"
_WITHOUT = "Without any of it, `.venv/bin/python -m app dev` runs the service on this machine."


def check() -> None:
    """Raise LabError with one sentence on what is missing here."""
    refusal = refusal_for(sys.platform, os.geteuid(), has_dpkg=shutil.which("dpkg-query") is not None)
    if refusal:
        raise LabError(refusal)
    installed = run(["dpkg-query", "-W", "-f", "${db:Status-Status} ${Package}\n"])
    if missing := missing_packages(needed(_PACKAGES.read_text()), installed):
        names = " ".join(missing)
        raise LabError(f"the lab needs Debian packages that are not installed: {names}; run: make setup. {_WITHOUT}")


def refusal_for(platform: str, user: int, *, has_dpkg: bool) -> str | None:
    if not platform.startswith("linux") or not has_dpkg:
        return f"the lab boots Debian hosts as containers, which needs a Debian machine. {_WITHOUT}"
    if user != 0:
        return f"the lab makes mounts, networks and control groups, which needs root: run it with sudo. {_WITHOUT}"
    return None


def needed(text: str) -> list[str]:
    """Read the list that `make setup` installs: a package a line, comments after `#`."""
    lines = (line.partition("#")[0].strip() for line in text.splitlines())
    return [line for line in lines if line]


def missing_packages(wanted: list[str], installed: str) -> list[str]:
    """Compare with the lines of dpkg-query, a status and a name each."""
    present = {line.split()[1] for line in installed.splitlines() if line.startswith("installed ")}
    return [package for package in wanted if package not in present]

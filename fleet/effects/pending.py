"""Runs on a host, not here: changes one file, which the host puts back by itself unless the change is confirmed.

It travels with each command, so it needs nothing but the host's own Python, systemd, and flock of util-linux. What
puts the file back is a shell script beside the old file, which needs still less; a timer runs it, or the next boot.
"""

import fcntl
import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

Json = dict[str, Any]
Request = Mapping[str, Any]

PATIENCE_SECONDS = 12  # a command that hangs ends: the timer's script waits for the lock that it holds

# In its folder are the old file, unless there was none, and what else the change saved there.
REVERT = """#!/bin/sh
# Puts {path} back as it was. With "boot": before anything has read it.
cd {home} || exit 1
if [ -e old ]; then
    cp -p old {beside} && sync {beside} && mv {beside} {path} || exit 1
else
    rm -f {path} || exit 1
fi
[ "$1" = boot ] || {{ {undo}; }} || exit 1
echo {path} is as it was before, because nobody confirmed its change
rm -rf {home}
"""
UNIT = "amebo-revert-at-boot.service"
AT_BOOT = """# Written by ops.py access.
[Unit]
Description=Undo changes that nobody had confirmed when the host went down
DefaultDependencies=no
RequiresMountsFor=/etc {folder}
After=local-fs.target systemd-remount-fs.service
Before=sysinit.target network-pre.target nftables.service ssh.service ssh.socket
ConditionPathExistsGlob={folder}/*/revert

[Service]
Type=oneshot
ExecStart=/bin/sh -c 'for each in {folder}/*/revert; do sh "$each" boot; done'

[Install]
WantedBy=sysinit.target
"""


def look(folder: Path, request: Request) -> Json:
    """The file as it is, and whether a change of it waits to be confirmed; leaves no trace."""
    path = Path(request["path"])
    text = path.read_bytes().decode(errors="replace") if path.exists() else None
    return {"text": text, "same": _is_as_wanted(path, request), "pending": (folder / request["name"]).exists()}


def install(folder: Path, request: Request) -> Json:
    """Save, arm, then change: what fails before the file is placed is `refused`, what fails after it is `undone`."""
    name, path, home = request["name"], Path(request["path"]), folder / request["name"]
    if home.exists() and (problem := _end_forgotten(home, name)):
        return {"refused": problem}
    if _is_as_wanted(path, request):
        return {"changed": False}
    if problem := _checked(folder / "candidate", path, request) or _saved(home, path, request) or _armed(home, request):
        return {"refused": problem}
    _place(path, request)
    if problem := _sh(request["apply"], home):
        return {"undone": problem, "left": _reverted(home, name)}
    (home / "applied").touch()
    return {"changed": True}


def confirm(folder: Path, request: Request) -> Json:
    """Whoever can ask this can get in: the change stays. It is answered again when the first answer was lost."""
    name, home = request["name"], folder / request["name"]
    if not _is_as_wanted(Path(request["path"]), request):
        return {"confirmed": False}
    if home.exists():
        if not (home / "applied").exists():
            return {"undone": "it was interrupted", "left": _reverted(home, name)}
        over = _hidden(home)
        home.rename(over)  # from here on nothing is put back, whatever the timer does
        _stop(f"{_unit(name)}.timer", f"{_unit(name)}.service")
        shutil.rmtree(over)
    return {"confirmed": True, "problem": _sh(request["keep"], folder)}


VERBS: dict[str, Callable[[Path, Request], Json]] = {"look": look, "install": install, "confirm": confirm}


def main(folder: str, verb: str, request: Request) -> None:
    """Print the answer. One request at a time on this host."""
    signal.alarm(PATIENCE_SECONDS)
    os.umask(0o077)
    place = Path(folder)
    if verb == "look":
        answer = look(place, request)
    else:
        place.mkdir(mode=0o700, parents=True, exist_ok=True)
        with _locked(place / "lock"):
            answer = VERBS[verb](place, request)
    json.dump(answer, sys.stdout)


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _end_forgotten(home: Path, name: str) -> str:
    """Undo what was never armed, or could not be undone when its time was over; else say that it has to be waited for.

    Its service, if it waits for the lock, would undo the change that comes next.
    """
    if subprocess.run(["systemctl", "is-active", "--quiet", f"{_unit(name)}.timer"], check=False).returncode == 0:
        return f"another change of {name} waits to be confirmed; within a minute it is confirmed or undone: try again"
    _stop(f"{_unit(name)}.service")
    problem = _run(["sh", str(home / "revert")])
    return f"an earlier change of {name} was not confirmed, and cannot be undone: {problem}" if problem else ""


def _checked(candidate: Path, path: Path, request: Request) -> str:
    """What the program says against the file, else nothing."""
    _write(candidate, request["content"], 0o600)
    try:
        return _run([*request["check"], str(candidate)]).replace(str(candidate), str(path))
    finally:
        candidate.unlink()


def _saved(home: Path, path: Path, request: Request) -> str:
    """The whole folder appears at once, and is on the disk, so that no boot finds half of it."""
    half = _hidden(home)
    shutil.rmtree(half, ignore_errors=not half.exists())
    half.mkdir(mode=0o700)
    if path.exists() and (problem := _run(["cp", "-p", str(path), str(half / "old")])):
        return problem
    if problem := _sh(request["save"], half):
        return f"what is in force could not be put back: {problem}"
    quoted = {
        name: shlex.quote(str(value)) for name, value in (("path", path), ("home", home), ("beside", _beside(path)))
    }
    (half / "revert").write_text(REVERT.format(**quoted, undo=request["undo"]))
    for each in [*half.iterdir(), half]:
        _sync(each)
    half.rename(home)
    _sync(home.parent)
    return ""


def _armed(home: Path, request: Request) -> str:
    """Why it could not be; then the old state is forgotten, since nothing has changed."""
    unit = Path(request["units"]) / UNIT
    wanted = AT_BOOT.format(folder=home.parent)
    if not unit.exists() or unit.read_text() != wanted:
        _write(unit, wanted.encode(), 0o644)
    problem = _run(["systemctl", "enable", "--quiet", "--no-reload", UNIT]) or _run(
        [
            *("systemd-run", "--quiet", "--collect", f"--unit={_unit(request['name'])}"),
            *(f"--on-active={request['seconds']}", "--timer-property=AccuracySec=100ms"),
            *("--property=Restart=on-failure", "--property=RestartSec=5"),  # a full disk, say, may be mended
            *("flock", str(home.parent / "lock"), "sh", str(home / "revert")),
        ]
    )
    if problem:
        shutil.rmtree(home)
    return problem


def _place(path: Path, request: Request) -> None:
    new = _beside(path)
    _write(new, request["content"], request["mode"])
    new.replace(path)
    _sync(path.parent)


def _reverted(home: Path, name: str) -> str:
    """Now rather than when its time is over; what fails now is tried again then."""
    if problem := _run(["sh", str(home / "revert")]):
        return problem
    _stop(f"{_unit(name)}.timer")
    return ""


def _beside(path: Path) -> Path:
    """In the same folder, by a name that neither sshd nor sudo reads."""
    return path.with_name(f"{path.name}.amebo")


def _hidden(home: Path) -> Path:
    """Not there, for a boot."""
    return home.with_name(f".{home.name}")


def _is_as_wanted(path: Path, request: Request) -> bool:
    return (
        path.is_file() and path.read_bytes() == request["content"] and path.stat().st_mode & 0o7777 == request["mode"]
    )


def _unit(name: str) -> str:
    return f"amebo-revert-{name}"


def _stop(*units: str) -> None:
    """One that is gone already is as good."""
    subprocess.run(["systemctl", "stop", *units], stderr=subprocess.DEVNULL, check=False)


def _sh(script: str, folder: Path) -> str:
    return _run(["sh", "-c", script], folder)


def _run(argv: Sequence[str], folder: Path | None = None) -> str:
    """What a failed command said, or its exit code; nothing when it went well."""
    try:
        ended = subprocess.run(argv, cwd=folder, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return f"{argv[0]} is not installed; playbooks/site.yml installs it"
    words = f"{ended.stderr}\n{ended.stdout}".strip()
    return (words or f"{argv[0]} ended with {ended.returncode}") if ended.returncode != 0 else ""


def _write(path: Path, content: bytes, mode: int) -> None:
    """On the disk, with its mode, when it returns."""
    path.unlink(missing_ok=True)
    with path.open("wb") as file:
        os.fchmod(file.fileno(), mode)
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

"""A release: the service with all its dependencies, built once here and never on a server."""

import fcntl
import gzip
import hashlib
import io
import json
import re
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from fleet.errors import FleetError, PlanRefused, ReleaseExists
from fleet.plan import schema
from fleet.plan.schema import Migrations

ROOT = Path(__file__).resolve().parents[2]
VERSION = re.compile(r"[0-9]+\.[0-9]+\.[0-9]+([.-][A-Za-z0-9.]+)?")  # a systemd instance name, too
MIGRATIONS = "app/storage/migrations"
PLATFORMS = ("manylinux2014_x86_64", "manylinux_2_28_x86_64")


@dataclass(frozen=True)
class Release:
    """A built release: the archive, and the SHA-256 of it in hex, which stands beside it in `archive`.sha256."""

    version: str
    archive: Path
    sha256: str


def build(version: str, python: str = "3.11", *, source: Path = ROOT, dist: Path = ROOT / "dist") -> Release:
    """Write dist/amebo-VERSION-pyXY.tar.gz; the same sources give the same bytes.

    Raises FleetError for a malformed version, for migrations that could not be deployed, and for dependencies that
    cannot be had; ReleaseExists where another content was released under this version before.
    """
    if not VERSION.fullmatch(version):
        raise FleetError(f"{version!r} is not a version; write it as MAJOR.MINOR.PATCH, for example 1.4.0")
    archive = _archive(version, python, source)
    sha256 = hashlib.sha256(archive).hexdigest()
    path = dist / f"amebo-{version}-py{python.replace('.', '')}.tar.gz"
    if path.exists() and hashlib.sha256(path.read_bytes()).hexdigest() != sha256:
        raise ReleaseExists(f"{path} was built before from other sources; releases do not change: take a new version")
    dist.mkdir(parents=True, exist_ok=True)
    _write_atomically(path, archive)
    _write_atomically(path.with_name(path.name + ".sha256"), f"{sha256}  {path.name}\n".encode())
    return Release(version, path, sha256)


def find(version: str, dist: Path = ROOT / "dist") -> Path:
    """A built release's archive; refuses a version that was not built here."""
    built = sorted(dist.glob(f"amebo-{version}-py*.tar.gz"))
    if not built:
        raise PlanRefused(f"there is no release {version} in {dist}; build it with: ./ops.py build {version}")
    return built[0]


def migrations(archive: Path) -> Migrations:
    """Those that are in a release, also in one from before they said what runs after them."""
    with tarfile.open(archive) as tar:
        return tuple(sorted(schema.migration(Path(file.name).name, _first_line(tar, file)) for file in _sql(tar)))


def service_requirements(text: str) -> list[str]:
    """The pinned lines of the group "service" in requirements.txt."""
    group = re.search(r"^# --- service.*?$(.*?)^# ---", text, re.MULTILINE | re.DOTALL)
    if group is None:
        raise FleetError("requirements.txt has no group '# --- service'; a release is built from it")
    lines = (line.strip() for line in group[1].splitlines())
    return [line for line in lines if line and not line.startswith("#")]


def pip_argv(requirements: list[str], python: str, target: Path) -> list[str]:
    """Wheels for the servers' Python only: nothing is compiled, neither here nor there."""
    platforms = [word for platform in PLATFORMS for word in ("--platform", platform)]
    return [
        *(sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--target", str(target)),
        *("--only-binary=:all:", "--implementation", "cp", "--python-version", python, *platforms),
        *("--no-compile", "--no-deps", *requirements),
    ]


def _archive(version: str, python: str, source: Path) -> bytes:
    dependencies = _dependencies(service_requirements((source / "requirements.txt").read_text()), python)
    steps = _migrations(source / MIGRATIONS)
    runs = {"schema": schema.built_for(steps), "oldest": schema.oldest(steps)}
    stamp = json.dumps({"version": version, "python": python, **runs}) + "\n"
    tree = io.BytesIO()
    with tarfile.open(fileobj=tree, mode="w") as tar:
        _add(tar, "RELEASE", stamp.encode())
        _add_tree(tar, source / "app", "app/")
        _add_tree(tar, dependencies, "")
    return gzip.compress(tree.getvalue(), compresslevel=6, mtime=0)


def _migrations(folder: Path) -> Migrations:
    """Refuses here what would be refused on every fleet."""
    files = sorted(folder.glob("[0-9]*.sql"))
    found = [(path.name, path.read_text().partition("\n")[0]) for path in files]
    silent = [name for name, line in found if not re.fullmatch(r"-- oldest: [0-9]{4}", line)]
    steps = tuple(schema.migration(name, line) for name, line in found)
    faults = [f"{name} does not begin with a line '-- oldest: NNNN'" for name in silent] or schema.faults(steps)
    if faults:
        raise FleetError(f"{'; '.join(faults)} (docs/migrations.md)")
    return steps


def _sql(tar: tarfile.TarFile) -> Iterator[tarfile.TarInfo]:
    """The service comes before its dependencies, which need not be unpacked to find its migrations."""
    began = False
    for file in tar:
        if file.name.startswith(f"{MIGRATIONS}/") and file.name.endswith(".sql"):
            began = True
            yield file
        elif began:
            return


def _first_line(tar: tarfile.TarFile, file: tarfile.TarInfo) -> str:
    content = tar.extractfile(file)
    return content.readline().decode() if content else ""


def _dependencies(requirements: list[str], python: str) -> Path:
    """Install them once for each list of pins; two releases with the same pins share the tree."""
    key = hashlib.sha256("\n".join([python, *PLATFORMS, *requirements]).encode()).hexdigest()[:16]
    target = ROOT / ".cache/dependencies" / key
    target.parent.mkdir(parents=True, exist_ok=True)
    with target.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # who builds at the same time waits, and then finds them
        return target if target.exists() else _install(requirements, python, target)


def _install(requirements: list[str], python: str, target: Path) -> Path:
    unfinished = target.with_suffix(".unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    pip = subprocess.run(pip_argv(requirements, python, unfinished), capture_output=True, text=True, check=False)
    if pip.returncode != 0:
        raise FleetError(f"cannot install the service's dependencies for Python {python}:\n{pip.stderr.strip()}")
    shutil.rmtree(unfinished / "bin", ignore_errors=True)  # entry points of this machine's Python
    return unfinished.rename(target)


def _add_tree(tar: tarfile.TarFile, folder: Path, prefix: str) -> None:
    for path in sorted(folder.rglob("*")):
        if path.is_file() and "__pycache__" not in path.parts:
            _add(tar, prefix + path.relative_to(folder).as_posix(), path.read_bytes())


def _add(tar: tarfile.TarFile, name: str, content: bytes) -> None:
    """Owner, mode and time are the same wherever and whenever it is built."""
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode = len(content), 0o644
    tar.addfile(entry, io.BytesIO(content))


def _write_atomically(path: Path, content: bytes) -> None:
    unfinished = path.with_name(path.name + ".unfinished")
    unfinished.write_bytes(content)
    unfinished.replace(path)

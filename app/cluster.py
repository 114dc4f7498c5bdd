"""A throwaway PostgreSQL cluster: on a unix socket in a folder of its own, and gone without a trace afterwards."""

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from app.errors import AmeboError

_OPTIONS = "-c listen_addresses= -c fsync=off -c max_connections=200 -c unix_socket_directories={folder}"


@dataclass(frozen=True)
class Cluster:
    """A cluster in its folder; `user` runs it, None for who runs this."""

    folder: Path
    user: str | None

    @property
    def dsn(self) -> str:
        """The superuser's way in, to the database amebo."""
        return f"host={self.folder} user=amebo dbname=amebo"

    def start(self) -> None:
        """Return when it answers."""
        options = _OPTIONS.format(folder=self.folder)
        self._run("pg_ctl", "start", "--wait", "-D", "data", "-l", "log", "-o", options)

    def stop(self, mode: str = "fast") -> None:
        """`fast` ends sessions in good order; `immediate` is a crash."""
        self._run("pg_ctl", "stop", "--wait", "-D", "data", "-m", mode)

    def create(self) -> None:
        self._run("initdb", "-D", "data", "--username", "amebo", "--auth", "trust", "--no-sync", "--encoding", "UTF8")
        self.start()
        self._run("createdb", "-h", str(self.folder), "-U", "amebo", "amebo")

    def _run(self, tool: str, *arguments: str) -> None:
        argv = [_path(tool), *arguments]
        ran = subprocess.run(
            argv,
            cwd=self.folder,
            user=self.user,
            group=self.user and _group(self.user),
            extra_groups=[] if self.user else None,
            env={**os.environ, "LC_ALL": "C.UTF-8"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            check=False,
        )
        if ran.returncode != 0:
            raise AmeboError(f"{tool} failed: {ran.stderr.decode(errors='replace').strip()}")


@contextmanager
def throwaway() -> Iterator[Cluster]:
    """A new cluster, which nobody else on the machine can reach; nothing is flushed to disk."""
    folder = Path(tempfile.mkdtemp(prefix="amebo-", dir="/tmp"))  # the path of a socket must be short
    cluster = Cluster(folder, _user())
    try:
        if cluster.user is not None:
            shutil.chown(folder, cluster.user)
        cluster.create()
        yield cluster
    finally:
        if (folder / "data/postmaster.pid").exists():
            cluster.stop()
        shutil.rmtree(folder, ignore_errors=True)


def _user() -> str | None:
    """PostgreSQL refuses to run as root; root has it run by somebody without rights."""
    return "nobody" if os.geteuid() == 0 else None


def _group(user: str) -> int:
    return pwd.getpwnam(user).pw_gid


def _path(tool: str) -> str:
    """From Debian's folder of the newest version, else from PATH."""
    found = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{tool}"), key=lambda path: int(path.parts[-3]))
    path = str(found[-1]) if found else shutil.which(tool)
    if path is None:
        raise AmeboError(f"there is no {tool} on this machine; try: apt-get install postgresql")
    return path

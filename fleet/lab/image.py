"""The Debian image that all hosts of a release share: built once, then only read."""

import hashlib
import shutil
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

from fleet.lab import mirror
from fleet.lab.locks import locked
from fleet.lab.model import MIRROR_PORT
from fleet.lab.places import cache
from fleet.lab.run import follow
from fleet.lab.sources import Mirrors

RELEASES = ("bookworm", "trixie")
PACKAGES = ("systemd", "systemd-sysv", "dbus", "openssh-server", "python3", "python3-apt", "iproute2", "sudo",
            "ca-certificates", "procps", "curl")  # fmt: skip
_RECIPE = Path(__file__).parent / "image"


def ensure(debian: str, link: Path, mirrors: Mirrors, say: Callable[[str], None]) -> Path:
    """Return the image's directory and remember it in `link`: a lab keeps the image it began with.

    A machine that has none by the present recipe builds it first.
    """
    if link.exists():
        return link.resolve()
    directory = cache() / "images" / f"{debian}-{recipe_digest()}"
    with locked(f"image-{debian}", say):
        if not directory.exists():
            say(f"building the Debian {debian} image, once for all labs (about half a minute)")
            _build(debian, mirrors, directory, say)
    link.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    link.unlink(missing_ok=True)
    link.symlink_to(directory)
    return directory


def recipe_digest() -> str:
    """Name the recipe by its content, so that a changed recipe makes a new image and never alters one in use."""
    digest = hashlib.sha256("\n".join((*PACKAGES, mirror.sources_list("release"))).encode())
    for path in sorted(_RECIPE.rglob("*")):
        digest.update(str(path.relative_to(_RECIPE)).encode())
        digest.update(path.read_bytes() if path.is_file() else b"")
    return digest.hexdigest()[:8]


def build_command(debian: str, mirrors: Mirrors, root: Path, temporary: Path) -> list[str]:
    """Run mmdebstrap in a process namespace of its own, which dies, whole, with the command that started it."""
    return [
        *("setpriv", "--pdeathsig", "KILL"),
        *("unshare", "--pid", "--mount-proc", "--fork", "--kill-child"),
        *("env", f"TMPDIR={temporary}"),
        *("mmdebstrap", "--variant=minbase", f"--include={','.join(PACKAGES)}", "--skip=cleanup/apt/lists"),
        "--dpkgopt=force-unsafe-io",  # an interrupted build is thrown away, so nothing needs to be synced on its way
        f"--customize-hook={_RECIPE}/customize.sh",
        *(debian, str(root)),
        f"deb {mirrors.debian} {debian} main",
        f"deb {mirrors.debian} {debian}-updates main",
        f"deb {mirrors.security} {debian}-security main",
    ]


def host_list_name(name: str, mirrors: Mirrors) -> str:
    """Translate an index file's name from the machine's mirror to the lab's, so that hosts know it as theirs."""
    for path, uri in (("debian-security", mirrors.security), ("debian", mirrors.debian)):
        prefix = _list_prefix(uri)
        if name.startswith(f"{prefix}_dists_"):
            return f"{_list_prefix(f'http://{mirror.HOST}:{MIRROR_PORT}/{path}')}{name.removeprefix(prefix)}"
    return name


def _build(debian: str, mirrors: Mirrors, directory: Path, say: Callable[[str], None]) -> None:
    """Build beside the final place and move there whole; what an interrupted build left goes first."""
    workshop = directory.with_name(f"{debian}.unfinished")
    shutil.rmtree(workshop, ignore_errors=not workshop.exists())
    root, temporary = workshop / "root", workshop / "tmp"
    temporary.mkdir(parents=True)
    workshop.chmod(0o755)
    temporary.chmod(0o1777)
    try:
        follow(build_command(debian, mirrors, root, temporary), lambda line: say(f"  {line.removeprefix('I: ')}"))
        _point_at_mirror(debian, mirrors, root)
        root.rename(directory)
    finally:
        shutil.rmtree(workshop)


def _point_at_mirror(debian: str, mirrors: Mirrors, root: Path) -> None:
    apt = root / "etc/apt"
    for other in (apt / "sources.list.d").glob("*"):
        other.unlink()
    (apt / "sources.list").write_text(mirror.sources_list(debian))
    for path in (root / "var/lib/apt/lists").iterdir():
        path.rename(path.with_name(host_list_name(path.name, mirrors)))


def _list_prefix(uri: str) -> str:
    """Name a URI's indexes as apt does: no scheme, no credentials, `_` for `/`."""
    parts = urlsplit(uri)
    host = parts.netloc.rpartition("@")[2]
    return (host + parts.path).replace("_", "%5f").replace("~", "%7e").replace("/", "_")

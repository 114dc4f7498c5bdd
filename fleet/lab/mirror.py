"""The lab's package mirror: nginx on the lab's gateway, passing on the machine's own Debian mirrors."""

from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from fleet.lab import cgroup
from fleet.lab.model import MIRROR_PORT, Lab, machine_name
from fleet.lab.places import Places, cache
from fleet.lab.run import run
from fleet.lab.sources import Mirrors

HOST = "mirror"  # its name in every host's /etc/hosts, so that no host needs its lab's address to find it


def config(address: str, directory: Path, packages: Path, mirrors: Mirrors) -> str:
    """Render nginx's configuration; everything it writes lies in `directory` and `packages`."""
    loader = FileSystemLoader(Path(__file__).parent)
    environment = Environment(loader=loader, undefined=StrictUndefined, trim_blocks=True, autoescape=False)  # noqa: S701  # not HTML
    return environment.get_template("mirror.conf.j2").render(
        address=address,
        port=MIRROR_PORT,
        directory=directory,
        packages=packages,
        mirrors={"debian": mirrors.debian, "debian-security": mirrors.security},
    )


def sources_list(debian: str) -> str:
    """Return a host's /etc/apt/sources.list: the same in every lab."""
    uri = f"http://{HOST}:{MIRROR_PORT}"
    return (
        f"deb {uri}/debian {debian} main\n"
        f"deb {uri}/debian {debian}-updates main\n"
        f"deb {uri}/debian-security {debian}-security main\n"
    )


def ensure_running(lab: Lab, places: Places, mirrors: Mirrors) -> None:
    """Start the mirror unless it runs: nginx listens when its first process returns, or fails with its own words."""
    group = machine_name(lab.name, HOST)
    if cgroup.processes(group):
        return
    packages = cache() / "packages"
    for directory in (places.mirror, packages):
        directory.mkdir(parents=True, exist_ok=True)
    path = places.mirror / "nginx.conf"
    path.write_text(config(lab.gateway, places.mirror, packages, mirrors))
    argv = ["nginx", "-e", str(places.mirror / "error.log"), "-c", str(path)]
    run(cgroup.enter(cgroup.create(group), argv))

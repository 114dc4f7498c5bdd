"""Where a lab keeps its things: all below .lab/NAME and inventory/NAME, and the caches that labs share."""

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

TREE = Path(__file__).resolve().parents[2]


def name_of_this_tree(purpose: str) -> str:
    """Return a lab's name for `purpose` that no other copy of the project on this machine uses."""
    return f"{purpose}-{hashlib.sha256(str(TREE).encode()).hexdigest()[:6]}"


def cache() -> Path:
    """Images and packages, shared by all labs of this machine and kept when they go."""
    return Path(os.environ.get("AMEBO_LAB_CACHE", "/var/cache/amebo-lab"))


@dataclass(frozen=True)
class Places:
    """The paths of one lab."""

    name: str
    tree: Path = TREE

    @property
    def state(self) -> Path:
        return self.tree / ".lab" / self.name

    @property
    def inventory(self) -> Path:
        return self.tree / "inventory" / self.name

    @property
    def description(self) -> Path:
        return self.state / "lab.json"

    @property
    def base(self) -> Path:
        """The link to the image that the lab's hosts lie over."""
        return self.state / "image"

    @property
    def key(self) -> Path:
        return self.state / "id_ed25519"

    @property
    def known_hosts(self) -> Path:
        return self.state / "known_hosts"

    @property
    def ssh_config(self) -> Path:
        return self.state / "ssh_config"

    @property
    def vault_password(self) -> Path:
        return self.state / "vault-password"

    @property
    def mirror(self) -> Path:
        return self.state / "mirror"

    def host(self, name: str) -> "HostPlaces":
        return HostPlaces(self.state / "hosts" / name)


@dataclass(frozen=True)
class HostPlaces:
    """The paths of one host: a disk of its own, mounted, and the root that lies over the image."""

    directory: Path

    @property
    def image(self) -> Path:
        return self.directory / "disk.img"

    @property
    def disk(self) -> Path:
        return self.directory / "disk"

    @property
    def root(self) -> Path:
        return self.directory / "root"

    @property
    def filler(self) -> Path:
        """What takes up the disk while the fault disk-full lasts; the host itself cannot see it."""
        return self.disk / "filler"

    @property
    def host_key(self) -> Path:
        return self.directory / "ssh_host_ed25519_key"

    @property
    def log(self) -> Path:
        return self.directory / "console.log"

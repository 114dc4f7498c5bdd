"""One fleet for all stories: six instances on three hosts, two load balancers; left by each story as it found it."""

import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from itertools import count
from pathlib import Path
from typing import Any

import pytest
import testinfra
from testinfra.host import Host

from fleet.demo.traffic import Traffic
from fleet.effects import inventory, release, ssh, traffic
from fleet.effects.inventory import Inventory
from fleet.lab.places import name_of_this_tree
from fleet.model import LoadBalancer

ROOT = Path(__file__).parents[2]
LAB = name_of_this_tree("stories")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Stories of the empty lab come first: the fleet is installed on it only once."""
    items.sort(key=lambda item: "stories" in getattr(item, "fixturenames", ()))


@dataclass
class Stories:
    """The lab's fleet, and how a person would command it."""

    environment: dict[str, str]
    run: str = field(default_factory=lambda: f"story{secrets.token_hex(2)}")
    numbers: Iterator[int] = field(default_factory=lambda: count(1))
    built: list[Path] = field(default_factory=list)

    def ops(self, *words: str, code: int = 0, **environment: str) -> str:
        """Type an ops.py command, expect its exit code, return all that it printed."""
        return self._run([sys.executable, "ops.py", *words], code, environment)

    def play(self, name: str, *words: str, code: int = 0, **environment: str) -> str:
        """Type an ansible-playbook command."""
        program = Path(sys.executable).with_name("ansible-playbook")
        return self._run([str(program), f"playbooks/{name}.yml", *words], code, environment)

    def status(self) -> list[dict[str, Any]]:
        """What ops.py says of every instance."""
        instances: list[dict[str, Any]] = self.everything()["instances"]
        return instances

    def everything(self) -> dict[str, Any]:
        """All that ops.py status says."""
        found: dict[str, Any] = json.loads(self.ops("status", "--json", "--window", "0"))
        return found

    def versions(self) -> list[str | None]:
        """The version of each ready instance; None for one that is not ready."""
        return [i["version"] if i["ready"] else None for i in self.status()]

    def host(self, name: str) -> Host:
        """A host for testinfra to look at."""
        return testinfra.get_host(f"ssh://{name}", ssh_config=str(ROOT / ".lab" / LAB / "ssh_config"))

    def wait_until_ready(self, seconds: float = 60) -> None:
        """Until every instance is ready; what was found last is the evidence if it never happens."""
        until = time.monotonic() + seconds
        while None in self.versions():
            assert time.monotonic() < until, json.dumps(self.status(), indent=2)

    def releases(self) -> dict[str, str]:
        """What lies in /opt/amebo/releases of each app host."""
        fleet = self.inventory()
        return {h: ssh.run(h, fleet.hosts[h], "ls /opt/amebo/releases").stdout for h in fleet.group("app")}

    def load_balancer(self) -> LoadBalancer:
        """The one that publishers reach."""
        return next(each for each in traffic.read(self.hosts) if each.holds)

    def sabotage(self, how: str, *hosts: str) -> None:
        """Let the processes of a `treacherous_release` misbehave on these hosts, and on no other."""
        fleet = self.hosts
        for host in fleet.group("app"):
            word = f"touch /run/amebo/{how}" if host in hosts else f"rm -f /run/amebo/{how}"
            assert ssh.run(host, fleet.hosts[host], f"sudo -n {word}").code == 0

    def nginx_workers(self) -> str:
        """The load balancers' worker processes, which are others after each reload."""
        fleet = self.hosts
        workers = [
            ssh.run(lb, fleet.hosts[lb], "pgrep -f '^nginx: worker'").stdout for lb in fleet.group("loadbalancers")
        ]
        assert all(workers)
        return "".join(workers)

    @cached_property
    def hosts(self) -> Inventory:
        """How to reach them, read once."""
        return inventory.read()

    def inventory(self) -> Inventory:
        """As Ansible reads it now."""
        return inventory.read()

    def traffic(self, **settings: Any) -> Traffic:
        """A publisher through nginx that never retries, and a receiver."""
        fleet = self.inventory()
        password = str(fleet.hosts[fleet.group("app")[0]]["vault_amebo_admin_password"])
        return Traffic(fleet.url, password, **settings)

    def build(self, source: Path = ROOT) -> str:
        """A release of these sources under a version of its own."""
        version = f"0.{next(self.numbers)}.0-{self.run}"
        self.built.append(release.build(version, source=source).archive)
        return version

    def forget_releases(self) -> None:
        """Leave dist/ as it was."""
        for archive in self.built:
            archive.unlink()
            archive.with_name(archive.name + ".sha256").unlink()

    def _run(self, argv: list[str], code: int, environment: dict[str, str]) -> str:
        ended = subprocess.run(
            argv, cwd=ROOT, env=self.environment | environment, capture_output=True, text=True, timeout=600, check=False
        )
        assert ended.returncode == code, (
            f"{' '.join(argv)} ended with {ended.returncode}\n{ended.stdout}\n{ended.stderr}"
        )
        return ended.stdout + (ended.stderr if code else "")


def machine_dies(operator: int) -> None:
    """End a process and all that it started, also what has a session of its own, as Ansible's workers have."""
    family = [operator]
    for pid in family:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGSTOP)  # so that it starts nothing more
        family += children(pid)
    for pid in family:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def children(parent: int) -> list[int]:
    """As the kernel has them now."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            after_name = path.read_text().rpartition(")")[2].split()
            found += [int(path.parent.name)] if int(after_name[1]) == parent else []
    return found


@pytest.fixture(scope="session")
def empty_lab() -> Iterator[Stories]:
    """Six hosts on which nothing is installed yet."""
    environment = {
        **os.environ,
        "ANSIBLE_INVENTORY": str(ROOT / "inventory" / LAB),
        "AMEBO_VAULT_PASSWORD_FILE": str(ROOT / ".lab" / LAB / "vault-password"),
        "AMEBO_REPORTS": str(ROOT / ".lab" / LAB / "reports"),
        "ANSIBLE_NOCOLOR": "1",
    }
    os.environ |= environment
    stories = Stories(environment)
    try:
        stories.ops("lab", "up", "--name", LAB, "--hosts", "6", "--balancers", "2")
        settings = ROOT / "inventory" / LAB / "group_vars/app/main.yml"
        settings.write_text("amebo_ready_timeout_seconds: 20\n")  # a release that never turns ready is given up soon
        yield stories
    finally:
        stories.ops("lab", "down", "--name", LAB)
        stories.forget_releases()


@pytest.fixture(scope="session")
def stories(empty_lab: Stories) -> Stories:
    """The fleet as playbooks/site.yml makes it."""
    version = empty_lab.build()
    empty_lab.play("site", "-e", f"amebo_version={version}")
    return empty_lab


def changed(folder: Path, path: str, honest: str, instead: str) -> Path:
    """The sources with one line changed."""
    if not (folder / "app").exists():
        shutil.copytree(ROOT / "app", folder / "app")
        shutil.copy(ROOT / "requirements.txt", folder)
    text = (folder / path).read_text()
    assert honest in text
    (folder / path).write_text(text.replace(honest, instead))
    return folder


@pytest.fixture
def broken_release(stories: Stories, tmp_path: Path) -> str:
    """A release that starts but whose health never turns ready."""
    honest = 'return ("ready" if schema >= REQUIRED else "schema too old"), schema'
    return stories.build(changed(tmp_path, "app/health.py", honest, 'return "broken on purpose", schema'))


@pytest.fixture(scope="session")
def treacherous_release(stories: Stories, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A release as good as any, until `sabotage` makes it fail at publishing or delivering, slow, or unready."""
    folder, run = tmp_path_factory.mktemp("treacherous"), 'Path("/run/amebo")'
    changed(
        folder,
        "app/http/events.py",
        "        draft = _draft(parse(req, NEW)",
        f'        if ({run} / "failing").exists():\n            raise RuntimeError("on purpose")\n'
        f'        time.sleep(0.2 if ({run} / "slow").exists() else 0)\n'
        "        draft = _draft(parse(req, NEW)",
    )
    changed(
        folder,
        "app/http/events.py",
        "import falcon\n",
        "import time\nfrom pathlib import Path\n\nimport falcon\n",
    )
    changed(
        folder,
        "app/health.py",
        "        if self.draining:\n",
        f'        if ({run} / "unready").exists():\n            return "broken on purpose", schema\n'
        "        if self.draining:\n",
    )
    changed(
        folder,
        "app/delivery/http.py",
        "        try:\n            async with",
        f'        try:\n            assert not ({run} / "undeliverable").exists()\n            async with',
    )
    changed(folder, "app/delivery/http.py", "import time\n", "import time\nfrom pathlib import Path\n")
    changed(folder, "app/health.py", "import time\n", "import time\nfrom pathlib import Path\n")
    return stories.build(folder)

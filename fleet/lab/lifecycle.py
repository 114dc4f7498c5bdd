"""Bring a lab up and take it down: each step ensures its part, so that a second run finishes what a first one left."""

import shutil
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

from fleet.errors import LabError
from fleet.lab import (
    cgroup,
    container,
    disk,
    image,
    inventory,
    keys,
    mirror,
    network,
    observe,
    preflight,
    sources,
    ssh,
    state,
)
from fleet.lab.locks import locked
from fleet.lab.model import Host, Lab, Limits, check_name, layout, machine_name
from fleet.lab.places import Places

Say = Callable[[str], None]
_AT_ONCE = 4  # hosts that boot side by side; more only wait for the processor


def up(
    name: str = "lab",
    *,
    hosts: int | None = None,
    balancers: int | None = None,
    debian: str | None = None,
    limits: Limits | None = None,
    say: Say = lambda _: None,
) -> Lab:
    """Ensure the lab is there and all its hosts answer; what is not given stays as it is, or is 5 hosts of bookworm."""
    check_name(name)
    preflight.check()
    given = {"size": hosts, "balancers": balancers, "debian": debian, "limits": limits}
    wanted = {field: value for field, value in given.items() if value is not None}
    places = Places(name)
    inventory.refuse_foreign(places)
    with locked(name, say):
        network.refuse_foreign(name, places.tree)
        if orphans := network.orphans(name):
            say(f"removing a lab called {name} whose directory is gone: {orphans[0]}")
            _end(name, orphans)
        present = state.find(places)
        lab = _agreed(present, name, wanted)
        mirrors = sources.read()
        image.ensure(lab.debian, places.base, mirrors, say)
        lab = replace(lab, network=network.claim(name, places.tree, lab.network))
        state.save(lab, places)
        keys.ensure(lab, places)
        mirror.ensure_running(lab, places, mirrors)
        if not _ensure_hosts(lab, places, say):
            say(f"lab {name} is up already")
        inventory.write(lab, places)
        if present and present.size < lab.size:
            _introduce(lab, places)
        return lab


def down(name: str = "lab", *, say: Say = lambda _: None) -> bool:
    """Remove all of the lab that this machine has, whatever the state files say; False if there was nothing."""
    check_name(name)
    preflight.check()
    places = Places(name)
    with locked(name, say):
        network.refuse_foreign(name, places.tree)
        found = _end(name, [places.tree, *network.orphans(name)]) or places.state.exists()
        inventory.remove(places)
        shutil.rmtree(places.state, ignore_errors=not places.state.exists())
    return found


def _end(name: str, trees: list[Path]) -> bool:
    """End the lab's hosts, its network and its mounts in `trees`, not what is written there; False without hosts."""
    groups = cgroup.find(machine_name(name, ""))
    for group in groups:
        container.stop(group)
    for tree in trees:
        disk.unmount_below(Places(name, tree).state)
    network.remove(name)  # after the mounts, for it takes away the bridges, which alone say where those are
    for group in groups:
        cgroup.remove(group)
        container.forget(group)
    return bool(groups)


def _agreed(present: Lab | None, name: str, wanted: Mapping[str, Any]) -> Lab:
    """Reconcile what is there with what is asked for; raises LabError where only a new lab could satisfy it."""
    if present is None:
        lab = Lab(name, 0, **{"debian": "bookworm", "size": 5, **wanted})
        layout(lab.size, lab.balancers)
        if lab.debian not in image.RELEASES:
            raise LabError(f"the lab knows Debian {' and '.join(image.RELEASES)}, not {lab.debian}")
        return lab
    grown = replace(present, size=wanted.get("size", present.size))
    if replace(present, **wanted) != grown or grown.hosts[: present.size] != present.hosts:
        raise LabError(
            f"{present}; it cannot become what you ask for, for it can only gain app hosts, from three hosts on; "
            f"first run: ./ops.py lab down --name {name}"
        )
    return grown


def _ensure_hosts(lab: Lab, places: Places, say: Say) -> bool:
    """Boot the dead hosts and wait for all that are not broken; False if every host ran already."""

    def ensure(host: Host) -> bool:
        started = time.monotonic()
        booted = container.ensure_running(lab, host, places)
        if booted or not observe.faults(lab, host, places):
            ssh.wait_until_up(lab, host, places)
        if booted:
            say(f"{host.name} is up at {lab.address(host)} ({time.monotonic() - started:.1f} s)")
        return booted

    with ThreadPoolExecutor(_AT_ONCE) as pool:
        return any(list(pool.map(ensure, lab.hosts)))


def _introduce(lab: Lab, places: Places) -> None:
    """Tell every host the names of those that came later."""
    for host in lab.hosts:
        container.write_hosts_file(lab, places.host(host.name))

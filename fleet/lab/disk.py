"""A host's disk: a sparse ext4 image of its own, mounted, under an overlay over the shared Debian image."""

import errno
import os
import time
from pathlib import Path

from fleet.errors import LabError
from fleet.lab.places import HostPlaces
from fleet.lab.run import run

DISK_MB = 4096
_MOUNTINFO = Path("/proc/self/mountinfo")


def format_command(image: Path) -> list[str]:
    """Build the file system for a host.

    No journal: the machine's own file system has one, and a second would only double every fsync.
    No reserve for root: a full disk is full for everybody.
    """
    options = ["-q", "-F", "-m", "0", "-O", "^has_journal", "-E", "lazy_itable_init=1"]
    return ["mkfs.ext4", *options, str(image)]


def overlay_command(base: Path, places: HostPlaces) -> list[str]:
    options = f"lowerdir={base},upperdir={places.disk}/upper,workdir={places.disk}/work"
    return ["mount", "-t", "overlay", "overlay", "-o", options, str(places.root)]


def mount(base: Path, places: HostPlaces) -> None:
    """Ensure the host's root is there, from its disk as it was left or from a new one."""
    mounted = mounts_below(places.directory)
    if places.disk not in mounted:
        _attach(places)
    for name in ("upper", "work"):
        (places.disk / name).mkdir(exist_ok=True)
    if places.root not in mounted:
        places.root.mkdir(exist_ok=True)
        run(overlay_command(base, places))


def _attach(places: HostPlaces) -> None:
    places.disk.mkdir(parents=True, exist_ok=True)
    if not places.image.exists():
        fresh = places.image.with_suffix(".new")
        with fresh.open("wb") as file:
            file.truncate(DISK_MB << 20)
        run(format_command(fresh))
        fresh.rename(places.image)
    run(["mount", "-o", "loop,noatime", str(places.image), str(places.disk)])


def mounts_below(directory: Path, mountinfo: Path = _MOUNTINFO) -> list[Path]:
    """Return what is mounted below `directory`, the deepest and latest first."""
    points = [Path(_unescape(line.split()[4])) for line in mountinfo.read_text().splitlines()]
    return [point for point in reversed(points) if point.is_relative_to(directory)]


def unmount_below(directory: Path, timeout: float = 5) -> None:
    """Unmount all below `directory`; the loop device of a disk goes with its mount."""
    for point in mounts_below(directory):
        deadline = time.monotonic() + timeout
        while not _unmounted(point):
            if time.monotonic() > deadline:
                raise LabError(f"{point} is in use: leave that directory in every shell, then run the command again")
            time.sleep(0.1)


def fill(places: HostPlaces) -> None:
    """Take every free block of the host's disk; reserved but never written, they cost this machine nothing."""
    with places.filler.open("wb") as file:
        try:
            os.posix_fallocate(file.fileno(), 0, DISK_MB << 20)
        except OSError as error:
            if error.errno != errno.ENOSPC:
                raise
            # As meant: more was asked for than there is, and the kernel has given all.


def _unmounted(point: Path) -> bool:
    try:
        run(["umount", str(point)])
    except LabError:
        return False
    return True


def _unescape(field: str) -> str:
    return field.replace("\\040", " ").replace("\\011", "\t").replace("\\134", "\\")

"""What is mounted where, in the kernel's own words."""

from pathlib import Path

from fleet.lab import disk
from fleet.lab.places import HostPlaces

MOUNTINFO = """\
1 0 254:0 / / rw - ext4 /dev/vda rw
20 1 7:0 / /srv/a\\040tree/.lab/lab/hosts/app-1/disk rw,noatime - ext4 /dev/loop0 rw
21 1 0:40 / /srv/a\\040tree/.lab/lab/hosts/app-1/root rw - overlay overlay rw
22 1 7:1 / /srv/a\\040tree/.lab/lab-2/hosts/app-1/disk rw - ext4 /dev/loop1 rw
"""


def test_finds_a_labs_mounts_latest_first_and_no_other_labs(tmp_path: Path) -> None:
    mountinfo = tmp_path / "mountinfo"
    mountinfo.write_text(MOUNTINFO)
    host = HostPlaces(Path("/srv/a tree/.lab/lab/hosts/app-1"))
    assert disk.mounts_below(Path("/srv/a tree/.lab/lab"), mountinfo) == [host.root, host.disk]


def test_a_host_writes_to_its_own_disk_only() -> None:
    host = HostPlaces(Path("/lab/hosts/app-1"))
    options = disk.overlay_command(Path("/cache/bookworm"), host)[5]
    assert options == "lowerdir=/cache/bookworm,upperdir=/lab/hosts/app-1/disk/upper,workdir=/lab/hosts/app-1/disk/work"

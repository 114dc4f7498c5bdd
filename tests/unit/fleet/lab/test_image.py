"""How the image is built, and how a host finds its package indexes in it."""

from pathlib import Path

import pytest

from fleet.lab import image, mirror
from fleet.lab.sources import Mirrors

MIRRORS = Mirrors("https://user:word@mirror.example/some_where/debian", "http://deb.debian.org/debian-security")


def test_the_build_dies_with_the_command_that_started_it() -> None:
    command = image.build_command("trixie", MIRRORS, Path("/c/root"), Path("/c/tmp"))
    assert command[:3] == ["setpriv", "--pdeathsig", "KILL"]
    assert "--kill-child" in command[: command.index("mmdebstrap")]


def test_the_build_takes_the_machines_own_mirrors() -> None:
    command = image.build_command("trixie", MIRRORS, Path("/c/root"), Path("/c/tmp"))
    assert command[-5:-3] == ["trixie", "/c/root"]
    assert command[-1] == "deb http://deb.debian.org/debian-security trixie-security main"


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("mirror.example_some%5fwhere_debian_dists_bookworm_InRelease", "mirror:3177_debian_dists_bookworm_InRelease"),
        (
            "deb.debian.org_debian-security_dists_bookworm-security_main_binary-amd64_Packages",
            "mirror:3177_debian-security_dists_bookworm-security_main_binary-amd64_Packages",
        ),
        ("lock", "lock"),
    ],
)
def test_indexes_are_known_to_hosts_by_the_labs_mirror(name: str, expected: str) -> None:
    assert image.host_list_name(name, MIRRORS) == expected


def test_the_recipe_has_the_same_name_until_it_changes() -> None:
    assert image.recipe_digest() == image.recipe_digest()


def test_the_mirror_listens_on_the_labs_address_only_and_passes_on_both_archives() -> None:
    text = mirror.config("10.77.3.1", Path("/lab/mirror"), Path("/cache"), MIRRORS)
    assert "listen 10.77.3.1:3177;" in text
    assert f"proxy_pass {MIRRORS.debian}/;" in text
    assert f"proxy_pass {MIRRORS.security}/dists/;" in text


def test_every_host_of_every_lab_has_the_same_sources() -> None:
    assert mirror.sources_list("bookworm").splitlines() == [
        "deb http://mirror:3177/debian bookworm main",
        "deb http://mirror:3177/debian bookworm-updates main",
        "deb http://mirror:3177/debian-security bookworm-security main",
    ]

"""The machine's own mirrors, out of apt's two formats."""

from pathlib import Path

import pytest

from fleet.lab import sources
from fleet.lab.sources import Mirrors

ONE_LINE = """
# deb http://commented.example/debian bookworm main
deb [arch=amd64 signed-by=/usr/share/keyrings/x.gpg] https://mirror.example/debian/ bookworm main contrib
deb-src http://source.example/debian bookworm main
deb http://security.example/debian-security bookworm-security main
"""
DEB822 = """
Types: deb
# http://snapshot.example/archive
URIs: http://mirror.example/debian
Suites: bookworm bookworm-updates
Components: main

Types: deb
URIs: http://mirror.example/security
Suites:
 bookworm-security
Components: main
"""


def machine(root: Path, **files: str) -> Path:
    (root / "sources.list.d").mkdir()
    for name, text in files.items():
        (root / {"one_line": "sources.list", "deb822": "sources.list.d/debian.sources"}[name]).write_text(text)
    return root


def test_reads_the_one_line_format(tmp_path: Path) -> None:
    found = sources.read(machine(tmp_path, one_line=ONE_LINE))
    assert found == Mirrors("https://mirror.example/debian", "http://security.example/debian-security")


def test_reads_the_deb822_format(tmp_path: Path) -> None:
    found = sources.read(machine(tmp_path, deb822=DEB822))
    assert found == Mirrors("http://mirror.example/debian", "http://mirror.example/security")


def test_a_machine_without_debian_sources_gets_the_public_mirrors(tmp_path: Path) -> None:
    assert sources.read(machine(tmp_path)) == Mirrors()


@pytest.mark.parametrize(
    "line",
    [
        "deb http://ppa.example/ubuntu noble main",
        "deb mirror+file:///etc/apt/mirrors/debian.list bookworm main",
        "deb https://deb.nodesource.com/node_20.x nodistro main",
    ],
)
def test_sources_that_cannot_be_passed_on_are_not_taken(tmp_path: Path, line: str) -> None:
    assert sources.read(machine(tmp_path, one_line=line)).debian == Mirrors().debian


def test_a_disabled_stanza_counts_for_nothing() -> None:
    assert list(sources.parse_deb822("Types: deb\nURIs: http://a/debian\nSuites: bookworm\nEnabled: no\n")) == []

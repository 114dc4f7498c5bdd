"""Where this machine gets its Debian packages from: read from its own apt sources, in either of apt's two formats."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

APT = Path("/etc/apt")
_RELEASES = "bullseye|bookworm|trixie|forky|sid|oldoldstable|oldstable|stable|testing|unstable"


@dataclass(frozen=True)
class Mirrors:
    """The two archives a Debian host needs."""

    debian: str = "http://deb.debian.org/debian"
    security: str = "http://deb.debian.org/debian-security"


def read(apt: Path = APT) -> Mirrors:
    """Return the machine's mirrors, Debian's public ones where its sources name none."""
    entries = list(_entries(apt))
    return Mirrors(
        debian=_first(entries, rf"({_RELEASES})", Mirrors.debian),
        security=_first(entries, rf"({_RELEASES})(-security|/updates)", Mirrors.security),
    )


def parse_one_line(text: str) -> Iterator[tuple[str, str]]:
    """Yield (URI, suite) of each `deb [options] URI SUITE COMPONENT…` line."""
    for line in text.splitlines():
        if match := re.match(r"deb\s+(?:\[[^]]*]\s+)?(\S+)\s+(\S+)", line.strip()):
            yield match[1], match[2]


def parse_deb822(text: str) -> Iterator[tuple[str, str]]:
    """Yield (URI, suite) for each pair that an enabled stanza of type deb names."""
    lines = "\n".join(line for line in text.splitlines() if not line.startswith("#"))
    for stanza in re.split(r"\n\s*\n", lines):
        fields = {
            key.lower(): value.split() for key, value in re.findall(r"^([\w-]+):((?:.*)(?:\n[ \t].*)*)", stanza, re.M)
        }
        if "deb" in fields.get("types", []) and fields.get("enabled") != ["no"]:
            yield from ((uri, suite) for uri in fields.get("uris", []) for suite in fields.get("suites", []))


def _entries(apt: Path) -> Iterator[tuple[str, str]]:
    parts = apt / "sources.list.d"
    for path in (apt / "sources.list", *sorted(parts.glob("*.list"))):
        if path.exists():
            yield from parse_one_line(path.read_text())
    for path in sorted(parts.glob("*.sources")):
        yield from parse_deb822(path.read_text())


def _first(entries: Iterable[tuple[str, str]], suite: str, default: str) -> str:
    usable = (uri for uri, name in entries if re.fullmatch(suite, name) and urlsplit(uri).scheme in {"http", "https"})
    return next(usable, default).rstrip("/")

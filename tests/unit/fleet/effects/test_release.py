"""What goes into a release."""

import hashlib
import json
import tarfile
from pathlib import Path

import pytest

from fleet.effects import release
from fleet.errors import FleetError, PlanRefused


def test_holds_the_service_its_dependencies_and_its_stamp(tmp_path: Path) -> None:
    built = release.build("9.9.1", dist=tmp_path)
    with tarfile.open(built.archive) as tar:
        names = set(tar.getnames())
        stamp = tar.extractfile("RELEASE")
        assert stamp is not None
        assert json.load(stamp) == {"version": "9.9.1", "python": "3.11"}
    assert {"app/__init__.py", "falcon/__init__.py", "waitress/__init__.py", "psycopg/__init__.py"} <= names
    assert not [name for name in names if "__pycache__" in name or name.startswith(("fleet/", "ansible/", "/", ".."))]


def test_the_checksum_beside_it_is_the_archives(tmp_path: Path) -> None:
    built = release.build("9.9.1", dist=tmp_path)
    beside = built.archive.with_name(built.archive.name + ".sha256").read_text()
    assert beside == f"{hashlib.sha256(built.archive.read_bytes()).hexdigest()}  {built.archive.name}\n"


def test_the_same_sources_give_the_same_bytes(tmp_path: Path) -> None:
    first = release.build("9.9.1", dist=tmp_path / "one")
    assert release.build("9.9.1", dist=tmp_path / "two").sha256 == first.sha256


def test_never_changes_a_release_that_was_built(tmp_path: Path) -> None:
    (tmp_path / "amebo-9.9.1-py311.tar.gz").write_bytes(b"other sources")
    with pytest.raises(FleetError, match="take a new version"):
        release.build("9.9.1", dist=tmp_path)


@pytest.mark.parametrize("version", ["1", "1.0", "v1.0.0", "1.0.0/../..", "1.0.0 ", ""])
def test_refuses_what_is_no_version(version: str, tmp_path: Path) -> None:
    with pytest.raises(FleetError, match=r"MAJOR\.MINOR\.PATCH"):
        release.build(version, dist=tmp_path)


def test_names_the_command_that_builds_a_missing_release(tmp_path: Path) -> None:
    with pytest.raises(PlanRefused, match=r"\./ops\.py build 1\.2\.3"):
        release.find("1.2.3", dist=tmp_path)

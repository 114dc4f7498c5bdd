"""What goes into a release."""

import hashlib
import importlib.util
import json
import shutil
import tarfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from fleet.effects import release
from fleet.errors import FleetError, PlanRefused
from fleet.plan.schema import Migration

ROOT = release.ROOT
LAST = max(int(path.name[:4]) for path in (release.ROOT / release.MIGRATIONS).glob("*.sql"))
GOES = f"{LAST + 1:04}_goes"


def test_holds_the_service_its_dependencies_and_its_stamp(tmp_path: Path) -> None:
    built = release.build("9.9.1", dist=tmp_path)
    with tarfile.open(built.archive) as tar:
        names = set(tar.getnames())
        stamp = tar.extractfile("RELEASE")
        assert stamp is not None
        assert json.load(stamp) == {"version": "9.9.1", "python": "3.11", "schema": LAST, "oldest": 1}
    assert {"app/__init__.py", "falcon/__init__.py", "waitress/__init__.py", "psycopg/__init__.py"} <= names
    assert not [name for name in names if "__pycache__" in name or name.startswith(("fleet/", "ansible/", "/", ".."))]


def test_the_checksum_beside_it_is_the_archives(tmp_path: Path) -> None:
    built = release.build("9.9.1", dist=tmp_path)
    beside = built.archive.with_name(built.archive.name + ".sha256").read_text()
    assert beside == f"{hashlib.sha256(built.archive.read_bytes()).hexdigest()}  {built.archive.name}\n"


def test_the_same_sources_give_the_same_bytes(tmp_path: Path) -> None:
    first = release.build("9.9.1", dist=tmp_path / "one")
    assert release.build("9.9.1", dist=tmp_path / "two").sha256 == first.sha256


def test_two_who_install_the_same_dependencies_at_once_both_have_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(release, "ROOT", tmp_path)
    pins = [line for line in (ROOT / "requirements.txt").read_text().splitlines() if line.startswith("falcon==")]
    with ThreadPoolExecutor(2) as both:
        folders = list(both.map(lambda _: release._dependencies(pins, "3.11"), range(2)))
    assert folders[0] == folders[1]
    assert (folders[0] / "falcon/__init__.py").is_file()


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


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """The sources, to change."""
    shutil.copytree(release.ROOT / "app", tmp_path / "source/app")
    shutil.copy(release.ROOT / "requirements.txt", tmp_path / "source")
    return tmp_path / "source"


def test_says_which_schema_it_was_built_for_and_who_else_runs_on_it(source: Path, tmp_path: Path) -> None:
    folder = source / release.MIGRATIONS
    names = [path.stem for path in sorted(folder.glob("*.sql"))]
    (folder / f"{GOES}.sql").write_text(f"-- oldest: {LAST:04}\nALTER TABLE audit DROP COLUMN details;\n")
    built = release.build("9.9.1", source=source, dist=tmp_path)
    with tarfile.open(built.archive) as tar:
        stamp = tar.extractfile("RELEASE")
        assert stamp is not None
        assert json.load(stamp) == {"version": "9.9.1", "python": "3.11", "schema": LAST + 1, "oldest": LAST}
    assert [each.name for each in release.migrations(built.archive)] == [*names, GOES]
    assert release.migrations(built.archive)[-1] == Migration(LAST + 1, GOES, LAST)


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        ("ALTER TABLE audit DROP COLUMN details;\n", f"{GOES}.sql does not begin with a line '-- oldest: NNNN'"),
        ("-- oldest: 2\n", f"{GOES}.sql does not begin"),
        (
            f"-- oldest: {LAST + 1:04}\n",
            f"{GOES} says oldest {LAST + 1:04}, but a release built for schema {LAST} always still runs",
        ),
    ],
)
def test_refuses_to_build_what_could_never_be_deployed(source: Path, tmp_path: Path, content: str, fault: str) -> None:
    (source / release.MIGRATIONS / f"{GOES}.sql").write_text(content)
    with pytest.raises(FleetError, match=fault):
        release.build("9.9.1", source=source, dist=tmp_path)
    assert not list(tmp_path.glob("*.tar.gz"))


def test_a_playbook_gets_the_refusal_as_a_sentence(source: Path, tmp_path: Path) -> None:
    (source / release.MIGRATIONS / f"{GOES}.sql").write_text(f"-- oldest: {LAST:04}\n")
    archive = str(release.build("9.9.1", source=source, dist=tmp_path).archive)
    spec = importlib.util.spec_from_file_location("filters", release.ROOT / "roles/amebo/filter_plugins/schema.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    refusal = module.FilterModule().filters()["amebo_schema_refusal"]
    links = "web-3310-a /opt/amebo/releases/1.0.0"
    lines = "/opt/amebo/releases/1.0.0/app/storage/migrations/0001_first_tables.sql:-- Names sort by byte.\n"
    answers = [{"status": -1}, {"status": 503, "json": {"schema": None}}, {"status": 200, "json": {"schema": 1}}]
    assert "app-1 runs 1.0.0" in refusal(archive, "9.9.1", "app-1", [links, lines], answers)
    assert refusal(archive, "9.9.1", "app-1", ["", lines], answers) == ""

"""Migrations of a database that is used: they leave nobody behind, and hold nobody up for long."""

import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import psycopg
import pytest

from app.__main__ import main
from app.errors import AmeboError, Conflict, Unavailable
from app.health import Health
from app.storage import migrate as migrations
from app.storage import postgres
from app.storage.migrate import MIGRATIONS, REQUIRED, migrate
from app.storage.postgres import PostgresStorage
from tests.contract.processes import until

NEXT = REQUIRED + 1
EXPANDS = "ALTER TABLE audit ADD COLUMN IF NOT EXISTS reason text;"
CONTRACTS = "ALTER TABLE audit DROP COLUMN IF EXISTS details;"


@pytest.fixture
def release(tmp_path: Path) -> Callable[..., tuple[Path, ...]]:
    """The migrations of a release that has some more than this one, each with the oldest that it says."""
    for path in MIGRATIONS:
        shutil.copy(path, tmp_path)

    def with_more(*more: tuple[str, int]) -> tuple[Path, ...]:
        for number, (statement, oldest) in enumerate(more, start=NEXT):
            (tmp_path / f"{number:04}_more.sql").write_text(f"-- oldest: {oldest:04}\n{statement}\n")
        return tuple(sorted(tmp_path.glob("*.sql")))

    return with_more


@pytest.fixture
def up(dsn: str) -> Callable[..., tuple[str, ...]]:
    """Migrate this test's database, for roles that do not exist."""
    return partial(migrate, dsn, "s", "r", lock_timeout=0.1)


@pytest.fixture
def health(dsn: str) -> Iterator[Health]:
    """That of a process of this release, on this test's database."""
    pool = postgres.connect(dsn, 1)
    storage = PostgresStorage(pool)
    yield Health("app-1:3310", storage.schema_version, oldest=storage.oldest_schema)
    pool.close()


def ask(dsn: str, question: str, *values: object) -> object:
    """The first value of the first row, None without any."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        row = connection.execute(question.encode(), values).fetchone()
        return row[0] if row else None


def applied(dsn: str) -> object:
    return ask(dsn, "SELECT max(version) FROM migrations")


@pytest.mark.parametrize("path", MIGRATIONS, ids=lambda path: path.stem)
def test_a_migration_says_who_still_runs_after_it(path: Path) -> None:
    number = int(path.name[:4])
    assert 1 <= migrations.oldest(path) <= max(1, number - 1)


def test_a_migration_that_does_not_say_it_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "0003_silent.sql"
    path.write_text("ALTER TABLE audit DROP COLUMN details;\n-- oldest: 0002\n")
    with pytest.raises(ValueError, match=r"the first line of 0003_silent\.sql"):
        migrations.oldest(path)


@pytest.mark.parametrize("running", [(REQUIRED - 1,), (REQUIRED - 1, REQUIRED), (0,), (0, REQUIRED)])
def test_a_contraction_is_refused_while_something_runs_that_it_would_leave_behind(
    dsn: str, up: Callable[..., object], release: Callable[..., object], running: tuple[int, ...]
) -> None:
    with pytest.raises(Conflict) as refusal:
        up(running, files=release((EXPANDS, 1), (CONTRACTS, REQUIRED)))
    assert f"after migration {NEXT + 1:04}_more" in str(refusal.value)
    assert f"built for schema {REQUIRED} to {NEXT} to every host first" in str(refusal.value)
    assert applied(dsn) == REQUIRED  # not even what expands


@pytest.mark.parametrize("running", [(), (REQUIRED,), (REQUIRED, NEXT)])
def test_a_contraction_is_applied_when_everybody_can_run_after_it(
    dsn: str, up: Callable[..., object], release: Callable[..., object], running: tuple[int, ...]
) -> None:
    assert up(running, files=release((CONTRACTS, REQUIRED))) == (f"{NEXT:04}_more",)
    assert up(running, files=release((CONTRACTS, REQUIRED))) == ()
    assert ask(dsn, "SELECT max(oldest) FROM migrations") == REQUIRED


def test_what_expands_is_applied_whoever_runs(up: Callable[..., object], release: Callable[..., object]) -> None:
    assert up((0, 1), files=release((EXPANDS, 1))) == (f"{NEXT:04}_more",)


def test_what_was_left_behind_before_stops_no_later_migration(
    up: Callable[..., object], release: Callable[..., object]
) -> None:
    assert up((REQUIRED,), files=release((CONTRACTS, REQUIRED))) == (f"{NEXT:04}_more",)
    assert up((0,), files=release((CONTRACTS, REQUIRED), (EXPANDS, REQUIRED))) == (f"{NEXT + 1:04}_more",)


def test_a_release_that_the_database_has_left_behind_says_so(
    dsn: str, up: Callable[..., object], release: Callable[..., object]
) -> None:
    up((NEXT,), files=release((EXPANDS, 1), (CONTRACTS, NEXT)))
    with pytest.raises(Conflict) as refusal:
        migrate(dsn, "s", "r")
    for said in (f"built for schema {REQUIRED}", f"migration {NEXT + 1:04}_more", f"schema {NEXT} or later"):
        assert said in str(refusal.value)


@pytest.mark.parametrize(
    ("oldest", "status"), [(1, "ready"), (REQUIRED, "ready"), (NEXT, "schema too new")], ids=["1", "required", "next"]
)
def test_a_process_is_ready_on_a_newer_schema_unless_it_was_left_behind(
    up: Callable[..., object], release: Callable[..., object], health: Health, oldest: int, status: str
) -> None:
    assert health.ready()[0]
    up(files=release((EXPANDS, 1), (CONTRACTS, oldest)))
    ready, answer = health.ready()
    assert (ready, answer["status"], answer["schema"]) == (status == "ready", status, NEXT + 1)
    assert health.may_accept() == ready


def test_a_table_of_migrations_from_before_is_completed(
    dsn: str, up: Callable[..., object], release: Callable[..., object], health: Health
) -> None:
    with psycopg.connect(dsn) as connection:
        connection.execute("ALTER TABLE migrations DROP COLUMN oldest")
    assert health.oldest() == 1
    assert up() == ()
    assert ask(dsn, "SELECT count(*) FROM migrations WHERE oldest IS NULL") == 0
    with psycopg.connect(dsn) as connection:  # as a release from before does it
        connection.execute("INSERT INTO migrations (version, name) VALUES (%s, 'by an older release')", [NEXT])
    assert up(files=release((EXPANDS, REQUIRED))) == ()
    assert ask(dsn, "SELECT oldest FROM migrations WHERE version = %s", NEXT) == REQUIRED


def test_with_nothing_to_apply_it_waits_for_no_reader(dsn: str, up: Callable[..., object]) -> None:
    """A dump reads every table in one transaction for hours."""
    with psycopg.connect(dsn) as reader:
        reader.execute("SELECT FROM migrations")
        reader.execute("LOCK TABLE audit, gists, events IN ACCESS SHARE MODE")
        assert up() == ()


def test_it_gives_way_and_says_who_is_in_the_way(
    dsn: str, up: Callable[..., object], release: Callable[..., object], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(migrations, "ATTEMPTS", 2)
    with psycopg.connect(dsn, application_name="nightly report") as reader:
        reader.execute("SELECT FROM audit")
        with pytest.raises(Unavailable) as refusal:
            up(files=release((EXPANDS, 1)))
        for said in (
            f"{NEXT:04}_more was not applied: 2 times it waited 0.1 s",
            f"pid {reader.info.backend_pid} (nightly report, idle in transaction, in a transaction since 2",
            "pg_terminate_backend",
        ):
            assert said in str(refusal.value)
        assert applied(dsn) == REQUIRED
    assert up(files=release((EXPANDS, 1))) == (f"{NEXT:04}_more",)


@pytest.fixture
def persistent(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a slow machine too, it has not given up before the way is free."""
    monkeypatch.setattr(migrations, "ATTEMPTS", 1000)


@pytest.mark.usefixtures("persistent")
def test_it_goes_on_by_itself_when_the_way_is_free(
    dsn: str, up: Callable[..., tuple[str, ...]], release: Callable[..., object], caplog: pytest.LogCaptureFixture
) -> None:
    with ThreadPoolExecutor() as threads, psycopg.connect(dsn) as reader:
        reader.execute("SELECT FROM audit")
        migrating = threads.submit(up, files=release((EXPANDS, 1)))
        until(lambda: "attempt 1 of" in caplog.text)
        reader.rollback()
        assert migrating.result() == (f"{NEXT:04}_more",)
    assert applied(dsn) == NEXT


@pytest.mark.usefixtures("persistent")
def test_who_comes_behind_it_is_let_pass(
    dsn: str, up: Callable[..., tuple[str, ...]], release: Callable[..., object]
) -> None:
    """Whoever asks for a table that a migration waits for waits behind it, until the migration gives way."""
    impatient = f"{dsn} options='-c statement_timeout=10s'"
    with ThreadPoolExecutor() as threads, psycopg.connect(dsn) as holder, psycopg.connect(impatient) as other:
        holder.execute("SELECT FROM audit")
        migrating = threads.submit(up, files=release((EXPANDS, 1)))
        until(lambda: is_waiting(dsn))
        other.execute("SELECT FROM audit")
        assert not migrating.done()
        other.rollback()
        holder.rollback()
        assert migrating.result() == (f"{NEXT:04}_more",)


def is_waiting(dsn: str) -> bool:
    asked = "SELECT FROM pg_locks WHERE relation = 'audit'::regclass AND NOT granted"
    with psycopg.connect(dsn, autocommit=True) as connection:
        return connection.execute(asked).fetchone() is not None


@pytest.mark.parametrize("running", ["", "2", "0,2,13"])
def test_the_command_takes_what_runs_and_how_long_to_wait(
    dsn: str, running: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["migrate", "--dsn", dsn, f"--running={running}", "--lock-timeout=0.5"]) == 0
    assert capsys.readouterr().out == "nothing to apply\n"


@pytest.mark.parametrize("words", ["--running=1,", "--running=two", "--lock-timeout=0", "--lock-timeout=nan"])
def test_the_command_refuses_what_makes_no_sense(dsn: str, words: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["migrate", "--dsn", dsn, words])
    assert "must be" in capsys.readouterr().err


def test_two_at_the_same_moment_apply_it_once(
    dsn: str, up: Callable[..., tuple[str, ...]], release: Callable[..., object], in_threads: Callable[..., None]
) -> None:
    files = release((EXPANDS, 1), (CONTRACTS, REQUIRED))
    found: list[str] = []
    in_threads(*(lambda: found.extend(up((REQUIRED,), files=files)) for _ in range(2)))
    assert found == [f"{NEXT:04}_more", f"{NEXT + 1:04}_more"]
    assert applied(dsn) == NEXT + 1


def test_two_releases_at_the_same_moment_agree(
    dsn: str, up: Callable[..., object], release: Callable[..., object], in_threads: Callable[..., None]
) -> None:
    """Whichever is first: the newer one contracts, and the older one either came before or is told."""
    said: list[AmeboError] = []

    def older() -> None:
        try:
            migrate(dsn, "s", "r")
        except Conflict as refusal:
            said.append(refusal)

    files = release((EXPANDS, 1), (CONTRACTS, NEXT))
    in_threads(older, lambda: up((NEXT,), files=files))
    assert applied(dsn) == NEXT + 1
    assert all("built for schema" in str(each) for each in said)

"""Who can run on which schema: values in, values out."""

import pytest

from fleet.errors import PlanRefused
from fleet.plan import schema
from fleet.plan.schema import Found, Migration, Migrations

FIRST = Migration(1, "0001_first", 1)
EXPANDS = Migration(2, "0002_new_column", 1)
CONTRACTS = Migration(3, "0003_old_column_goes", 2)
FURTHER = Migration(4, "0004_more", 2)
RELEASES: dict[str, Migrations] = {
    "1.0.0": (FIRST,),
    "1.1.0": (FIRST, EXPANDS),
    "1.2.0": (FIRST, EXPANDS, CONTRACTS),
    "1.3.0": (FIRST, EXPANDS, CONTRACTS, FURTHER),
}


def check(version: str, runs: str | None = None, database: int | None = None, kept: tuple[str, ...] = ()) -> None:
    """A host whose one process has `runs`, and that keeps other releases."""
    there = (*kept, *([runs] if runs else ()))
    found = Found({"web-3310-a": runs} if runs else {}, {each: RELEASES[each] for each in there})
    schema.check(version, RELEASES[version], "app-1", found, database)


@pytest.mark.parametrize(
    ("version", "runs", "database"),
    [
        ("1.0.0", None, None),  # a fresh fleet
        ("1.3.0", None, None),
        ("1.1.0", "1.0.0", 1),  # expand
        ("1.2.0", "1.1.0", 2),  # contract, one release later
        ("1.3.0", "1.2.0", 3),
        ("1.3.0", "1.1.0", 2),
        ("1.2.0", "1.1.0", None),  # nobody there could ask the database
        ("1.0.0", "1.1.0", 2),  # back, over what only expanded
        ("1.1.0", "1.2.0", 3),  # back to the oldest that runs after the contraction
        ("1.1.0", "1.1.0", 2),
    ],
)
def test_lets_pass_what_can_run_together(version: str, runs: str | None, database: int | None) -> None:
    check(version, runs, database)


@pytest.mark.parametrize(("version", "database"), [("1.2.0", 1), ("1.2.0", None), ("1.3.0", 1)])
def test_refuses_a_contraction_while_something_older_runs(version: str, database: int | None) -> None:
    with pytest.raises(PlanRefused) as refusal:
        check(version, "1.0.0", database)
    for said in (
        "app-1 runs 1.0.0 (web-3310-a), built for schema 1",
        f"migration 0003_old_column_goes of {version}",
        f"deploy a release built for schema 2 to every host first, then {version}",
    ):
        assert said in str(refusal.value)


def test_refuses_to_go_back_behind_a_contraction() -> None:
    with pytest.raises(PlanRefused) as refusal:
        check("1.0.0", "1.2.0", 3)
    for said in ("1.0.0 was built for schema 1", "0003_old_column_goes, which the database has", "schema 2 or later"):
        assert said in str(refusal.value)


def test_knows_of_a_contraction_that_was_applied_before_anything_ran_on_it() -> None:
    """The update stopped after its migrations; then somebody wants the release before the one that still runs."""
    with pytest.raises(PlanRefused, match="0003_old_column_goes"):
        check("1.0.0", "1.1.0", 3, kept=("1.2.0",))


def test_goes_back_while_a_contraction_was_brought_but_not_applied() -> None:
    check("1.0.0", "1.1.0", 2, kept=("1.2.0",))


def test_what_was_left_behind_already_keeps_nobody_from_going_on() -> None:
    """A host that was away comes back with a release from before the contraction; it needs the new one."""
    check("1.3.0", "1.0.0", 3)


def test_says_between_which_schemas_the_release_in_between_is() -> None:
    late = (FIRST, EXPANDS, Migration(3, "0003_more", 1), Migration(4, "0004_old_column_goes", 2))
    found = Found({"dispatcher-1": "1.0.0"}, {"1.0.0": (FIRST,)})
    with pytest.raises(PlanRefused, match="built for schema 2 to 3 to every host first"):
        schema.check("2.0.0", late, "app-1", found, 1)


def test_a_process_whose_release_is_gone_counts_for_nothing() -> None:
    found = Found({"web-3310-b": "0.9.0", "web-3310-a": "1.1.0"}, {"1.1.0": RELEASES["1.1.0"]})
    assert schema.running(found) == (2,)
    schema.check("1.2.0", RELEASES["1.2.0"], "app-1", found, 2)


@pytest.mark.parametrize(
    ("migrations", "fault"),
    [
        ((), ""),
        ((FIRST,), ""),
        (RELEASES["1.3.0"], ""),
        ((FIRST, Migration(2, "0002_both_at_once", 2)), "0002_both_at_once says oldest 0002, but a release built for"),
        ((FIRST, Migration(2, "0002_later", 5)), "0002_later says oldest 0005"),
        ((FIRST, EXPANDS, CONTRACTS, Migration(4, "0004_again", 1)), "less than the 0002 of 0003_old_column_goes"),
    ],
)
def test_names_what_could_never_be_deployed(migrations: Migrations, fault: str) -> None:
    found = schema.faults(migrations)
    assert len(found) == (1 if fault else 0)
    assert fault in "".join(found)


@pytest.mark.parametrize(
    ("line", "oldest"),
    [
        ("-- oldest: 0002", 2),
        ("-- oldest: 0012\n", 12),
        ("-- A release from before this runs on it.", 1),
        ("CREATE TABLE applications (", 1),
        ("-- see -- oldest: 0002", 1),
        ("", 1),
    ],
)
def test_reads_what_a_migration_says(line: str, oldest: int) -> None:
    assert schema.migration("0014_some_change.sql", line) == Migration(14, "0014_some_change", oldest)


def test_reads_what_a_host_says() -> None:
    links = "web-3310-a /opt/amebo/releases/1.1.0\ndispatcher-1 /opt/amebo/releases/1.0.0\n"
    lines = (
        "/opt/amebo/releases/1.1.0/app/storage/migrations/0002_new_column.sql:-- oldest: 0001\n"
        "/opt/amebo/releases/1.1.0/app/storage/migrations/0001_first.sql:-- oldest: 0001\n"
        '/opt/amebo/releases/1.0.0/app/storage/migrations/0001_first.sql:-- Names sort by byte (COLLATE "C"): all.\n'
    )
    found = schema.read(links, lines)
    assert found == Found(
        {"web-3310-a": "1.1.0", "dispatcher-1": "1.0.0"}, {"1.1.0": (FIRST, EXPANDS), "1.0.0": (FIRST,)}
    )
    assert schema.running(found) == (1, 2)
    assert schema.running(schema.read("", "")) == ()

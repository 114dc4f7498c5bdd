"""Which releases can run on which schema: a deployment that would leave one of them behind is refused.

A release is known by the schema that it was built for, the number of its last migration, because versions such as
0.3.0-fix2 have no order that could be relied on.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from fleet.errors import PlanRefused


@dataclass(frozen=True, order=True)
class Migration:
    """A step of the schema, by number; `oldest`: the schema of the oldest releases that still run after it."""

    number: int
    name: str
    oldest: int


Migrations = tuple[Migration, ...]  # in their order


@dataclass(frozen=True)
class Found:
    """What a host has: by process, the version that it would start with; by version, the release's migrations."""

    processes: Mapping[str, str]
    releases: Mapping[str, Migrations]


def check(version: str, wanted: Migrations, host: str, found: Found, database: int | None) -> None:
    """Whether everybody can run: what runs on the host with release `version`'s schema, and that with the database's.

    `database` is the number of its schema, None when nobody there could ask it. Raises PlanRefused.
    """
    known = {each for migrations in (wanted, *found.releases.values()) for each in migrations}
    applied = sorted(each for each in known if each.number <= (database or 0))
    _refuse_to_leave_behind(version, wanted, host, found, oldest(applied))
    _refuse_to_return(version, wanted, applied)


def built_for(migrations: Sequence[Migration]) -> int:
    """The schema that a release with these was built for; 0 without any."""
    return max((each.number for each in migrations), default=0)


def oldest(migrations: Sequence[Migration]) -> int:
    """The schema of the oldest releases that run once all of these are applied."""
    return max((each.oldest for each in migrations), default=1)


def running(found: Found) -> tuple[int, ...]:
    """The schemas that the releases of a host's processes were built for."""
    return tuple(sorted({built_for(found.releases[version]) for version in _used(found)}))


def faults(migrations: Migrations) -> tuple[str, ...]:
    """Why these could never be deployed without an interruption; `()` when they could."""
    found = [
        f"{each.name} says oldest {each.oldest:04}, but a release built for schema {each.number - 1} always still runs "
        "while it is applied: contract one release after the code has stopped using what goes"
        for each in migrations
        if each.oldest >= max(each.number, 2)
    ]
    found += [
        f"{after.name} says oldest {after.oldest:04}, less than the {before.oldest:04} of {before.name}: what was "
        "taken from a release does not come back"
        for before, after in pairwise(migrations)
        if after.oldest < before.oldest
    ]
    return tuple(found)


def read(links: str, first_lines: str) -> Found:
    """From what a host says: lines `web-3310-a /opt/amebo/releases/1.0.0`, and `PATH:LINE` of each migration."""
    processes = dict(line.split(maxsplit=1) for line in links.splitlines())
    releases: dict[str, list[Migration]] = {}
    for path, _, line in (text.partition(":") for text in first_lines.splitlines()):
        *_, version, _app, _storage, _migrations, name = path.split("/")
        releases.setdefault(version, []).append(migration(name, line))
    return Found(
        {process: release.rpartition("/")[2] for process, release in processes.items()},
        {version: tuple(sorted(migrations)) for version, migrations in releases.items()},
    )


def migration(name: str, line: str) -> Migration:
    """From the name of its file and its first line; without a word about it there, any release runs after it."""
    head, _, number = line.rstrip().partition("-- oldest: ")
    known = not head and number.isdecimal()
    return Migration(int(name[:4]), name.removesuffix(".sql"), int(number) if known else 1)


def _used(found: Found) -> dict[str, list[str]]:
    """Versions that processes have, and which; not one that is gone from the host, since nobody can start it."""
    used: dict[str, list[str]] = {}
    for process, version in sorted(found.processes.items()):
        if version in found.releases:
            used.setdefault(version, []).append(process)
    return used


def _refuse_to_leave_behind(version: str, wanted: Migrations, host: str, found: Found, reached: int) -> None:
    """What the database has left behind already is helped by going on, not by waiting."""
    for used, processes in _used(found).items():
        schema = built_for(found.releases[used])
        obstacle = next((each for each in wanted if each.oldest > max(schema, reached)), None)
        if obstacle:
            raise PlanRefused(
                f"{host} runs {used} ({', '.join(processes)}), built for schema {schema}, and migration "
                f"{obstacle.name} of {version} leaves it behind: after it only releases built for schema "
                f"{obstacle.oldest} or later run; deploy a release built for schema {_between(obstacle)} to every host "
                f"first, then {version}"
            )


def _between(obstacle: Migration) -> str:
    """The schemas of the releases that run both before and after the obstacle."""
    first, last = obstacle.oldest, obstacle.number - 1
    return f"{first} to {last}" if first < last else f"{first}"


def _refuse_to_return(version: str, wanted: Migrations, applied: Sequence[Migration]) -> None:
    """The host's releases tell of what was applied: who applied it had been brought to every host before."""
    schema = built_for(wanted)
    obstacle = next((each for each in applied if each.oldest > schema), None)
    if obstacle:
        raise PlanRefused(
            f"{version} was built for schema {schema}, and since migration {obstacle.name}, which the database has, "
            f"only releases built for schema {obstacle.oldest} or later run; choose one of those"
        )

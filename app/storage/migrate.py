"""Migrations: numbered files, each applied once, in order, by one process at a time. They only ever expand."""

from pathlib import Path
from typing import Any

from psycopg import Connection, Error
from psycopg.sql import SQL, Composed, Identifier

from app.errors import Unavailable
from app.storage.connection import patient

MIGRATIONS = tuple(sorted((Path(__file__).parent / "migrations").glob("[0-9]*.sql")))
REQUIRED = max(int(path.name[:4]) for path in MIGRATIONS)
_LOCK = 0x414D45424F  # "AMEBO"; every process that migrates asks for the same advisory lock


def migrate(dsn: str, service_role: str, reader_role: str) -> tuple[str, ...]:
    """Apply what is missing, and grant it to the roles that exist; returns the names of what was applied."""
    try:
        with Connection[Any].connect(patient(dsn), autocommit=True) as connection:
            connection.execute("SELECT pg_advisory_lock(%s)", [_LOCK])
            applied = tuple(path.stem for path in _missing(connection) if _apply(connection, path))
            for role, statements in ((service_role, SERVICE), (reader_role, READER)):
                _grant(connection, role, statements)
    except Error as error:
        raise Unavailable(f"cannot migrate the database: {error}".strip()) from error
    return applied


def _missing(connection: Connection[Any]) -> list[Path]:
    connection.execute(
        "CREATE TABLE IF NOT EXISTS migrations"
        " (version integer PRIMARY KEY, name text NOT NULL, applied timestamptz NOT NULL DEFAULT now())"
    )
    done = {version for (version,) in connection.execute("SELECT version FROM migrations")}
    return [path for path in MIGRATIONS if int(path.name[:4]) not in done]


def _apply(connection: Connection[Any], path: Path) -> bool:
    with connection.transaction():
        connection.execute(path.read_bytes())
        connection.execute("INSERT INTO migrations (version, name) VALUES (%s, %s)", [int(path.name[:4]), path.stem])
    return True


SERVICE = (
    "GRANT USAGE ON SCHEMA public TO {role}",
    "GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO {role}",
    "REVOKE INSERT, UPDATE, DELETE ON migrations FROM {role}",
    "REVOKE UPDATE, DELETE ON audit FROM {role}",  # what was written stays
)
READER = (  # everything but what credentials are made of
    "GRANT USAGE ON SCHEMA public TO {role}",
    "GRANT SELECT ON ALL TABLES IN SCHEMA public TO {role}",
    "REVOKE SELECT ON applications FROM {role}",
    "GRANT SELECT (application, address, description, active, timestamped, rotated) ON applications TO {role}",
)


def _grant(connection: Connection[Any], role: str, statements: tuple[str, ...]) -> None:
    if connection.execute("SELECT FROM pg_roles WHERE rolname = %s", [role]).fetchone() is None:
        return
    with connection.transaction():
        for statement in statements:
            connection.execute(_for(role, statement))


def _for(role: str, statement: str) -> Composed:
    return SQL(statement).format(role=Identifier(role))

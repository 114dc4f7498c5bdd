"""One PostgreSQL for the peer, the limits and ours: durable as in production, thrown away afterwards."""

import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psycopg
from psycopg.rows import TupleRow
from psycopg.sql import SQL, Identifier, Literal

from app.cluster import Cluster, throwaway

SETTINGS = {
    "listen_addresses": "",
    "max_connections": "200",
    "fsync": "on",
    "synchronous_commit": "on",
    "shared_buffers": "512MB",
    "max_wal_size": "4GB",  # no checkpoint in the middle of a measurement; there is one before each
    "shared_preload_libraries": "pg_stat_statements",
}
_STATEMENTS = """
SELECT query, sum(calls)::bigint FROM pg_stat_statements JOIN pg_database ON oid = dbid
WHERE datname = current_database() AND query NOT LIKE '%of_the_bench%' AND query NOT LIKE '%pg_stat_%'
GROUP BY query
"""
_WAL = "SELECT pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0') AS of_the_bench"
_OPEN = "SELECT FROM gists AS of_the_bench WHERE status IN ('pending', 'retrying') LIMIT 1"
_DEAD = "SELECT relname, n_dead_tup FROM pg_stat_user_tables WHERE n_dead_tup > 0"


class Durable(Cluster):
    """A throwaway cluster that flushes each commit to disk."""

    def start(self) -> None:
        options = {**SETTINGS, "unix_socket_directories": str(self.folder)}
        words = " ".join(f"-c {name}={value}" for name, value in options.items())
        self._run("pg_ctl", "start", "--wait", "-D", "data", "-l", "log", "-o", words)

    def delay_flushes(self, milliseconds: int) -> None:
        """Let each flush of the WAL take longer by so much, whoever waits for it; 0 as the disk takes."""
        with psycopg.connect(self.dsn, autocommit=True) as connection:
            connection.execute("ALTER SYSTEM SET commit_siblings = 0")
            connection.execute(SQL("ALTER SYSTEM SET commit_delay = {}").format(Literal(milliseconds * 1000)))
            connection.execute("SELECT pg_reload_conf()")

    def database(self, name: str) -> "Database":
        """A new, empty one."""
        with psycopg.connect(self.dsn, autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name}".encode())
        database = Database(self.folder, name)
        with database.connect() as connection:
            connection.execute("CREATE EXTENSION pg_stat_statements")
        return database


@contextmanager
def durable() -> Iterator[Durable]:
    """A cluster on the disk of /tmp; a bench where that is memory would measure nothing."""
    with throwaway() as made:
        made.stop()
        if filesystem(made.folder) in ("tmpfs", "ramfs"):
            raise SystemExit(f"{made.folder} is in memory, so nothing would be flushed to a disk; mount a disk there")
        cluster = Durable(made.folder, made.user)
        cluster.start()
        yield cluster


def filesystem(path: Path) -> str:
    """The kind of file system that holds the path."""
    argv = ["findmnt", "--noheadings", "--output", "FSTYPE", "--target", str(path)]
    return subprocess.run(argv, capture_output=True, text=True, check=True).stdout.strip()


@dataclass(frozen=True)
class Database:
    """A database of the cluster in `folder`."""

    folder: Path
    name: str

    @property
    def url(self) -> str:
        """As every driver reads it."""
        return f"postgresql://amebo@/{self.name}?host={quote(str(self.folder), safe='')}"

    def connect(self) -> psycopg.Connection[TupleRow]:
        return psycopg.connect(self.url, autocommit=True)

    def run(self, statement: str) -> None:
        with self.connect() as connection:
            connection.execute(statement.encode())

    def count(self, table: str) -> int:
        with self.connect() as connection:
            row = connection.execute(SQL("SELECT count(*) FROM {}").format(Identifier(table))).fetchone()
        return int(row[0]) if row else 0

    def is_delivered(self) -> bool:
        """Whether everything that was published is delivered, and recorded as such."""
        with self.connect() as connection:
            return connection.execute(_OPEN).fetchone() is None

    def level(self) -> None:
        """The same start for everybody: everything is on disk, statistics are fresh."""
        with self.connect() as connection:
            connection.execute("VACUUM ANALYZE")
            connection.execute("CHECKPOINT")

    def used(self) -> "Use":
        """What the database has done until now."""
        with self.connect() as connection:
            statements: dict[str, int] = dict(connection.execute(_STATEMENTS.encode()).fetchall())
            dead: dict[str, int] = dict(connection.execute(_DEAD).fetchall())
            row = connection.execute(_WAL).fetchone()
        return Use(statements, int(row[0]) if row else 0, dead)


@dataclass(frozen=True)
class Use:
    """Calls by statement, WAL bytes, and dead tuples by table as they stand."""

    statements: dict[str, int]
    wal: int
    dead: dict[str, int]

    def since(self, before: "Use") -> "Use":
        """What was added; dead tuples are those of the end."""
        calls = {query: number - before.statements.get(query, 0) for query, number in self.statements.items()}
        return Use({query: number for query, number in calls.items() if number > 0}, self.wal - before.wal, self.dead)

    @property
    def calls(self) -> int:
        return sum(self.statements.values())

    def top(self, most: int = 8) -> dict[str, int]:
        """The statements called most, by their first words."""
        ranked = sorted(self.statements.items(), key=lambda item: -item[1])[:most]
        return {" ".join(query.split())[:120]: number for query, number in ranked}


def inserts_a_second(database: Database, payload: Any, seconds: int, clients: int = 32) -> float:  # noqa: ANN401  # JSON
    """What pgbench reaches with single INSERTs of the payload into a table that has a primary key and nothing else."""
    database.run("CREATE TABLE rows (row bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, payload json NOT NULL)")
    script = database.folder / "insert.sql"
    script.write_text("INSERT INTO rows (payload) VALUES (:payload);\n")
    database.level()
    argv = ["pgbench", "--no-vacuum", "--protocol=prepared", f"--client={clients}", "--jobs=2", f"--time={seconds}"]
    argv += [f"--define=payload={json.dumps(payload)}", f"--file={script}", database.url]
    ran = subprocess.run(argv, capture_output=True, text=True, check=False)
    rates = [line.split()[2] for line in ran.stdout.splitlines() if line.startswith("tps = ")]
    if ran.returncode != 0 or not rates:
        raise SystemExit(f"pgbench failed: {ran.stderr.strip()}")
    return float(rates[0])

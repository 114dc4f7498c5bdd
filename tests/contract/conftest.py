"""One real PostgreSQL cluster for the whole run; a database of its own for each test, copied from a migrated one."""

from collections.abc import Iterator
from itertools import count

import psycopg
import pytest

from app.cluster import Cluster, throwaway
from app.storage.migrate import migrate

_NUMBERS = count(1)


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    with throwaway() as running:
        migrate(running.dsn, "amebo_service", "amebo_reader")
        yield running


@pytest.fixture
def dsn(cluster: Cluster) -> str:
    return new_database(cluster)


def new_database(cluster: Cluster) -> str:
    """A fresh database with every migration applied."""
    name = f"test_{next(_NUMBERS)}"
    with psycopg.connect(f"{cluster.dsn} dbname=postgres", autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name} TEMPLATE amebo")
    return f"{cluster.dsn} dbname={name}"

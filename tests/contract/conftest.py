"""One real PostgreSQL cluster for the whole run; a database of its own for each test, copied from a migrated one."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from itertools import count

import psycopg
import pytest

from app.cluster import Cluster, throwaway
from app.model import Subscription
from app.ports import Storage
from app.storage import postgres
from app.storage.memory import MemoryStorage
from app.storage.migrate import migrate
from app.storage.postgres import PostgresStorage
from tests.contract import examples
from tests.contract.api import Api

_NUMBERS = count(1)
Later = Callable[[float], None]


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


@pytest.fixture(params=["memory", "postgres"])
def storage(request: pytest.FixtureRequest) -> Iterator[Storage]:
    """Each kind of storage, empty."""
    if request.param == "memory":
        yield MemoryStorage()
        return
    pool = postgres.connect(request.getfixturevalue("dsn"), 4)
    yield PostgresStorage(pool)
    pool.close()


@pytest.fixture
def subscribed(storage: Storage) -> Subscription:
    """The application "shop" subscribes to its own action "order.placed"."""
    return examples.shop(storage)


@pytest.fixture
def later(storage: Storage) -> Later:
    """Let so many seconds pass: by its clock in memory; in PostgreSQL all that it remembers is that much older."""

    def pass_time(seconds: float) -> None:
        if isinstance(storage, MemoryStorage):
            before = storage.clock
            storage.clock = lambda: before() + timedelta(seconds=seconds)
        elif isinstance(storage, PostgresStorage):
            examples.grow_older(storage, timedelta(seconds=seconds))

    return pass_time


@pytest.fixture
def in_threads() -> Callable[..., None]:
    """Do several things at one moment, each in a thread of its own; what one raises is raised when all are done."""

    def run(*works: Callable[[], object]) -> None:
        barrier = threading.Barrier(len(works))

        def work(each: Callable[[], object]) -> None:
            barrier.wait()
            each()

        with ThreadPoolExecutor(len(works)) as threads:
            for done in [threads.submit(work, each) for each in works]:
                done.result()

    return run


@pytest.fixture(scope="module", params=["memory", "postgres"])
def api(request: pytest.FixtureRequest) -> Iterator[Api]:
    """The HTTP API on each kind of storage; what one test makes is there for the next, so names are new each time."""
    if request.param == "memory":
        yield Api(MemoryStorage())
        return
    pool = postgres.connect(new_database(request.getfixturevalue("cluster")), 4)
    yield Api(PostgresStorage(pool))
    pool.close()

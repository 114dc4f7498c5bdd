"""Storage in PostgreSQL: a statement or two a method, on a pool that gives up soon when the database is away."""

from app.storage.postgres.database import Pool, connect
from app.storage.postgres.events import PostgresEvents
from app.storage.postgres.gists import PostgresGists
from app.storage.postgres.registrations import PostgresRegistrations
from app.storage.postgres.upkeep import PostgresUpkeep

__all__ = ["Pool", "PostgresStorage", "connect"]


class PostgresStorage(PostgresRegistrations, PostgresEvents, PostgresGists, PostgresUpkeep):
    """The port Storage on a pool of autocommit connections: a statement by itself is a transaction."""

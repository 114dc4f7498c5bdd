"""Storage in memory: the same behaviour as PostgreSQL's, for tests and for reading what that is."""

from app.storage.memory.gists import MemoryGists
from app.storage.memory.registrations import MemoryRegistrations
from app.storage.memory.upkeep import MemoryUpkeep

__all__ = ["MemoryStorage"]


class MemoryStorage(MemoryRegistrations, MemoryGists, MemoryUpkeep):
    """The port Storage; `clock` is the storage's own, by which leases run out."""

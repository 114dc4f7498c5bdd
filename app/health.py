"""Whether this process may get traffic, and the words in which it says so."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from app import __version__
from app.errors import Unavailable
from app.storage.migrate import REQUIRED

UNREACHABLE = "database unreachable"


@dataclass
class Health:
    """The life of one process; `draining` turns true once, when it is told to end."""

    instance: str
    schema_version: Callable[[], int]
    draining: bool = False
    since: datetime = field(default_factory=lambda: datetime.now(UTC))

    def ready(self) -> tuple[bool, dict[str, Any]]:
        """The answer of /health/ready, and whether it is yes."""
        status, schema = self._status()
        return status == "ready", {
            "status": status,
            "version": __version__,
            "instance": self.instance,
            "schema": schema,
            "since": self.since.isoformat(timespec="seconds"),
        }

    def may_accept(self) -> bool:
        """A process that is not ready accepts nothing; but without a database nobody is, and a 503 beats silence."""
        ready, answer = self.ready()
        return ready or answer["status"] == UNREACHABLE

    def _status(self) -> tuple[str, int | None]:
        if self.draining:
            return "draining", None
        try:
            schema = self.schema_version()
        except Unavailable:
            return UNREACHABLE, None
        return ("ready" if schema >= REQUIRED else "schema too old"), schema

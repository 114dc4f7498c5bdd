"""What publishing needs of the registry, kept in memory, and yet never stale.

Nothing is stored that was checked against another revision of the registry than the one in force at that moment.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from threading import Lock
from typing import Protocol, TypeVar

from app.errors import Violation
from app.model import Action, Application, Json, Permission
from app.ports import Registrations

Result = TypeVar("Result")
Check = Callable[[object, str], tuple[Violation, ...]]


class Ask(Protocol):
    """Does what may take its time, and returns what comes of it."""

    def __call__(self, work: Callable[[], Result], /) -> Result: ...


class Lookup(Protocol):
    """Where credentials are looked up: the storage, or a catalogue."""

    def application(self, name: str) -> Application | None: ...
    def application_by_apikey(self, apikey_hash: bytes) -> Application | None: ...


@dataclass(frozen=True)
class Known:
    """An action, the check of its payloads, and who may publish it beside its owner."""

    action: Action
    check: Check
    publishers: frozenset[str]


class Catalogue:
    """The registry as of one revision, filled as it is asked; what is not there is asked for each time."""

    def __init__(self, storage: Registrations, compiled: Callable[[Json], Check], ask: Ask) -> None:
        self.revision = storage.revision()  # before anything is read, so that nothing read can be older
        self._ask = ask
        self._storage = storage
        self._compiled = compiled
        self._applications: dict[str | bytes, Application] = {}
        self._actions: dict[str, Known] = {}

    def application(self, name: str) -> Application | None:
        known = self._applications.get(name)
        return known or self._keep(name, partial(self._storage.application, name))

    def application_by_apikey(self, apikey_hash: bytes) -> Application | None:
        known = self._applications.get(apikey_hash)
        return known or self._keep(apikey_hash, partial(self._storage.application_by_apikey, apikey_hash))

    def action(self, name: str) -> Known | None:
        return self._actions.get(name) or self._ask(partial(self._read_action, name))

    def is_current(self) -> bool:
        return self._ask(self._storage.revision) == self.revision

    def _read_action(self, name: str) -> Known | None:
        action = self._storage.action(name)
        if action is None:
            return None
        grants = self._storage.grants(name)
        publishers = frozenset(each.application for each in grants if each.permission is Permission.PUBLISH)
        return self._actions.setdefault(name, Known(action, self._compiled(action.schemata), publishers))

    def _keep(self, key: str | bytes, read: Callable[[], Application | None]) -> Application | None:
        found = self._ask(read)
        return None if found is None else self._applications.setdefault(key, found)


def _at_once(work: Callable[[], Result], /) -> Result:
    return work()


class Catalogues:
    """The present catalogue; who finds that it is not any more asks for the next.

    `ask` is how the storage is asked: whoever must not wait may have it done elsewhere.
    """

    def __init__(self, storage: Registrations, compiled: Callable[[Json], Check], ask: Ask = _at_once) -> None:
        self._storage = storage
        self._compiled = compiled
        self._ask = ask
        self._lock = Lock()
        self._present: Catalogue | None = None

    def present(self) -> Catalogue:
        return self._present or self.after(None)

    def after(self, stale: Catalogue | None) -> Catalogue:
        """The one after `stale`; many may find out at once, and one of them reads it."""
        return self._ask(partial(self._after, stale))

    def _after(self, stale: Catalogue | None) -> Catalogue:
        with self._lock:
            if self._present is None or self._present is stale:
                self._present = Catalogue(self._storage, self._compiled, self._ask)
            return self._present

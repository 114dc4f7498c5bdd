"""Reading and checking the audit of administrative changes."""

from collections.abc import Iterator
from typing import Any

from app import rules
from app.errors import AmeboError
from app.model import AuditEntry
from app.ports import Registrations

AT_ONCE = 1000


class Tampered(AmeboError):
    """The audit is not what was written."""


def entries(storage: Registrations) -> Iterator[AuditEntry]:
    """All of them, in order."""
    last = 0
    while found := storage.audit(last, AT_ONCE):
        yield from found
        last = found[-1].entry


def verify(storage: Registrations) -> int:
    """The number of entries; raises Tampered with the first that does not follow from the one before.

    The end of the chain is kept apart, so that entries which are missing at the end are missed, too.
    """
    many, head = storage.audit_head()
    previous, seen = b"", 0
    for entry in entries(storage):
        seen += 1
        if seen > many:
            break  # written since the head was read
        if entry.entry != seen or rules.chained(entry, previous).hash != entry.hash:
            raise Tampered(f"entry {entry.entry} of the audit was changed, or one before it is missing")
        previous = entry.hash
    if seen < many or previous != head:
        raise Tampered(f"the audit ends at entry {seen}, but {many} were written")
    return many


def shown(entry: AuditEntry) -> dict[str, Any]:
    return {**rules.public(entry), "hash": entry.hash.hex()}

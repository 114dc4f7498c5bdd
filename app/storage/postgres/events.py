"""Events in PostgreSQL."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any
from uuid import UUID

from psycopg import Connection
from psycopg.rows import class_row, dict_row, tuple_row

from app import jsontext
from app.model import Event, Filters, Page, Publication, Published
from app.storage.postgres.database import Database
from app.storage.sql import QUERIES

NUL = r"\u0000"


class PostgresEvents(Database):
    """The port Events."""

    def publish(self, publications: Sequence[Publication]) -> tuple[Published | None, ...]:
        rows = self._all("publish", {"drafts": drafts(publications)}, tuple_row)
        found = {event: rest for event, *rest in rows}
        each_found = [(each, found.get(each.event)) for each in publications]
        left = [each for each, row in each_found if row is None]
        before = self._published_before(left) if left else {}
        return tuple(before.get(each.event) if row is None else _published(each, *row) for each, row in each_found)

    def event(self, event: UUID) -> Event | None:
        return self._find("get_event", {"event": event}, class_row(Event))

    def events(self, filters: Filters, readable: Sequence[str], page: Page) -> tuple[Event, ...]:
        return self._list("list_events", filters, page, class_row(Event), readable=list(readable))

    def readable(self, application: str) -> tuple[str, ...]:
        return tuple(action for (action,) in self._all("list_readable", {"application": application}, tuple_row))

    def backfill(
        self, subscription: UUID, filters: Filters, after: UUID | None, most: int, *, dry_run: bool
    ) -> tuple[int, UUID | None]:
        parameters = {"subscription": subscription, "after": after, "most": most, "dry_run": dry_run, **_times(filters)}
        found = self._one("backfill", parameters, dict_row)
        return found["many"], found["last"] if found["seen"] == most else None

    def _published_before(self, publications: list[Publication]) -> dict[UUID, Published]:
        """What their keys stand for. One whose key expired this very moment is not there, and counts as unchecked."""
        parameters = {name: [getattr(each, name) for each in publications] for name in ("publisher", "key", "digest")}
        found: dict[UUID, Published] = {}
        for first in self._all("get_published", parameters, dict_row):
            publication, same = publications[first.pop("place") - 1], first.pop("same_content")
            found[publication.event] = Published(Event(**first), duplicate=True, same_content=same)
        return found


def publish_within(connection: Connection[Any], publications: Sequence[Publication]) -> None:
    """As part of somebody's transaction, and whatever the revision."""
    unchecked = [replace(each, revision=0) for each in publications]
    connection.execute(QUERIES["publish"].encode(), {"drafts": drafts(unchecked)})


def drafts(publications: Sequence[Publication]) -> str:
    """One parameter for all of them: an array for each column takes several times as long to write down.

    PostgreSQL reads every string within it, and there is one character that it has no text for. It keeps JSON with that
    all the same, but then must not look into it here.
    """
    whole = [_draft(each, place) for place, each in enumerate(publications)]
    text = jsontext.dumps(whole)
    return jsontext.dumps([_sealed(each) for each in whole]) if NUL in text else text


def _draft(publication: Publication, place: int) -> dict[str, Any]:
    return {
        "event": publication.event,
        "action": publication.action,
        "application": publication.application,
        "payload": publication.payload,
        "metadata": publication.metadata,
        "deduper": publication.deduper,
        "sleep_until": publication.sleep_until,
        "publisher": publication.publisher,
        "key": publication.key,
        "digest": publication.digest.hex(),
        "lane": publication.lane,
        "revision": publication.revision,
        "place": place,
    }


def _sealed(draft: dict[str, Any]) -> dict[str, Any]:
    """With the payload and the metadata as text."""
    payload, metadata = jsontext.dumps(draft["payload"]), jsontext.dumps(draft["metadata"])
    return {**draft, "payload": None, "metadata": None, "payload_text": payload, "metadata_text": metadata}


def _published(publication: Publication, timestamped: datetime, fanout: int, checked: bool) -> Published | None:
    if not checked:
        return None
    event = Event(
        event=publication.event,
        action=publication.action,
        application=publication.application,
        payload=publication.payload,
        metadata=publication.metadata,
        deduper=publication.deduper,
        sleep_until=publication.sleep_until,
        timestamped=timestamped,
        fanout=fanout,
    )
    return Published(event)


def _times(filters: Filters) -> dict[str, datetime | None]:
    return {"since": filters.since, "until": filters.until}

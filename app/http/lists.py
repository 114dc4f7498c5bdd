"""Lists: cursors, page sizes, sort and filters from the query string, and the answer's shape."""

import base64
import binascii
import json
import re
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import falcon

from app.errors import Malformed, NotFound
from app.model import Filters, Item, Listing, Page

LARGEST_PAGE = 100
_CONTROL = re.compile(r"[\x00-\x1f]")  # in no name and no deduper
PAGING = ("cursor", "per_page", "sort", "from", "to")


def page(req: falcon.Request, key: str, *, descending: bool = False) -> Page:
    """Which page is asked for; `key` is the one field that the list sorts by, `-key` its reverse."""
    sort = req.get_param("sort", default=f"-{key}" if descending else key)
    if sort not in (key, f"-{key}"):
        raise Malformed(f"sort must be {key} or -{key}")
    asked = Page(per_page=_per_page(req), descending=sort.startswith("-"))
    cursor = req.get_param("cursor")
    return asked if cursor is None else _at(asked, cursor, is_uuid=key in ("event", "gist", "subscription"))


def filters(req: falcon.Request, *names: str, states: tuple[str, ...] = ()) -> Filters:
    """The filters of a list; one that it does not have is refused rather than ignored. A status is one of `states`."""
    unknown = sorted(set(req.params) - set(names) - set(PAGING))
    if unknown:
        raise Malformed(f"unknown parameters: {', '.join(unknown)[:200]}; this list knows {', '.join(names + PAGING)}")
    given: dict[str, Any] = {name: _filter(name, req.get_param(name), states) for name in names}
    return Filters(**given, since=_time(req, "from"), until=_time(req, "to"))


def answer(asked: Page, found: Listing[Item], show: Callable[[Item], Any]) -> dict[str, Any]:
    meta = {
        "per_page": asked.per_page,
        "next": _cursor(found.next, backwards=False),
        "prev": _cursor(found.prev, backwards=True),
    }
    return {"data": [show(item) for item in found.items], "meta": meta}


def identity(text: str, what: str) -> UUID:
    """An id from a path; what cannot be one names nothing."""
    try:
        return UUID(text)
    except ValueError as error:
        raise NotFound(f"there is no {what} {text[:100]!r}") from error


def _per_page(req: falcon.Request) -> int:
    try:
        number = int(req.get_param("per_page", default="50"))
    except ValueError:
        number = 0
    if not 1 <= number <= LARGEST_PAGE:
        raise Malformed(f"per_page must be a number from 1 to {LARGEST_PAGE}")
    return number


def _cursor(key: str | None, *, backwards: bool) -> str | None:
    if key is None:
        return None
    return base64.urlsafe_b64encode(json.dumps([key, backwards]).encode()).decode()


def _at(asked: Page, cursor: str, *, is_uuid: bool) -> Page:
    try:
        key, backwards = json.loads(base64.urlsafe_b64decode(cursor.encode()))
        key = str(UUID(key)) if is_uuid else _name(key)
    except (ValueError, TypeError, AttributeError, RecursionError, binascii.Error) as error:
        raise Malformed("the cursor is not one that this list gave out") from error
    return replace(asked, key=key, backwards=bool(backwards))


def _name(key: object) -> str:
    if not isinstance(key, str) or not key.isprintable():
        raise ValueError("not a name")
    return key


def _filter(name: str, value: str | None, states: tuple[str, ...]) -> UUID | str | None:
    if value is None:
        return None
    if name in ("subscription", "event"):
        try:
            return UUID(value)
        except ValueError as error:
            raise Malformed(f"{name} must be an id") from error
    if name == "status" and value not in states:
        raise Malformed(f"status must be one of {', '.join(states)}")
    if _CONTROL.search(value):
        raise Malformed(f"{name} has characters that no {name} has")
    return value


def _time(req: falcon.Request, name: str) -> datetime | None:
    value = req.get_param(name)
    if value is None:
        return None
    try:
        time = datetime.fromisoformat(value.replace(" ", "+"))  # a plus sign in a query string is a space
    except ValueError as error:
        raise Malformed(f"{name} must be a time in ISO 8601") from error
    return time if time.tzinfo else time.replace(tzinfo=UTC)

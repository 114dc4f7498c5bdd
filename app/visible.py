"""What a principal may see of a list, and how a list is cut into pages. Pure."""

from collections.abc import Callable, Sequence
from dataclasses import replace

from app.errors import Forbidden
from app.model import Filters, Item, Listing, Page, Principal


def only_own(principal: Principal, filters: Filters) -> Filters:
    """Narrow a list to what belongs to the application that asks; an administrator sees all."""
    if principal.administrator:
        return filters
    if filters.application not in (None, principal.name):
        raise Forbidden(f"application {principal.name!r} may not see what belongs to {filters.application!r}")
    return replace(filters, application=principal.name)


def listing(rows: Sequence[Item], page: Page, key: Callable[[Item], str]) -> Listing[Item]:
    """Cut what storage read, one row more than a page, into the page and the keys to go on from."""
    more = len(rows) > page.per_page
    items = tuple(rows[: page.per_page])
    if page.backwards:
        items = items[::-1]
    if not items:
        return Listing(())
    has_next = more if not page.backwards else True
    has_prev = more if page.backwards else page.key is not None
    return Listing(items, key(items[-1]) if has_next else None, key(items[0]) if has_prev else None)

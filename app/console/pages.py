"""What all pages of the console share: the look, who looks at it, forms, and lists with their filters."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Generic, cast
from urllib.parse import urlencode

import falcon
from jinja2 import Environment, PackageLoader, StrictUndefined

from app.console import shown
from app.console.static import address_of
from app.errors import NotFound
from app.http.lists import answer
from app.model import Item, Listing, Principal
from app.model import Page as Part

_PLACES = (
    ("/", "Overview"),
    ("/console/dead-letters", "Dead letters"),
    ("/console/gists", "Gists"),
    ("/console/events", "Events"),
    ("/console/subscriptions", "Subscriptions"),
    ("/console/actions", "Actions"),
    ("/console/applications", "Applications"),
)
_TEMPLATES = Environment(
    loader=PackageLoader("app.console"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
    auto_reload=False,
)
_TEMPLATES.globals.update(places=_PLACES, static=address_of, glyphs=shown.GLYPHS)
_TEMPLATES.filters.update(
    ago=shown.ago, duration=shown.duration, pretty=shown.pretty, short=shown.short, until=shown.until, when=shown.when
)


class Page:
    """A resource that answers with a page; the door finds out who is asking, unless it is `for_everybody`."""

    public = True  # for the API's credentials: a browser brings a cookie instead
    for_everybody = False


class NoPage(Page):
    """Whatever else is asked for."""

    def on_get(self, req: falcon.Request, resp: falcon.Response, rest: str) -> None:  # noqa: ARG002  # Falcon's signature
        raise NotFound(f"there is no page {req.path[:200]}")


@dataclass(frozen=True)
class Form:
    """What a form sent."""

    fields: Mapping[str, list[str]] = field(default_factory=dict)

    def first(self, name: str) -> str:
        return self.fields.get(name, [""])[0]

    def all(self, name: str) -> list[str]:
        return self.fields.get(name, [])


@dataclass(frozen=True)
class Shelf(Generic[Item]):
    """A page of a list: its items, where it goes on, and the filters that are in force, as text."""

    items: tuple[Item, ...]
    next: str | None
    prev: str | None
    filters: Mapping[str, str]

    @property
    def query(self) -> str:
        """The filters, as an address carries them."""
        return urlencode(self.filters)


def render(req: falcon.Request, resp: falcon.Response, template: str, **values: object) -> None:
    """Answer with a page."""
    resp.content_type = falcon.MEDIA_HTML
    resp.text = _TEMPLATES.get_template(template).render(
        principal=_principal(req),
        form_token=getattr(req.context, "form_token", ""),
        path=req.path,
        now=datetime.now(UTC),
        **values,
    )


def shelf(req: falcon.Request, asked: Part, found: Listing[Item], *names: str) -> Shelf[Item]:
    """The page of a list that was asked for, filtered by these names and by time."""
    meta = answer(asked, found, lambda item: item)["meta"]
    given: dict[str, Any] = {name: req.get_param(name) for name in (*names, "from", "to")}
    kept = {name: value for name, value in given.items() if value}
    return Shelf(found.items, _beyond(req, kept, meta["next"]), _beyond(req, kept, meta["prev"]), kept)


def notice(req: falcon.Request, name: str) -> str:
    """What the page before says by a parameter; taken away, so that it is no filter."""
    said = parameters(req).pop(name, "")
    return said if isinstance(said, str) else ""


def parameters(req: falcon.Request) -> dict[str, str | list[str]]:
    """Those of the query string, to change; Falcon's own dictionary, which it only shows as a mapping."""
    return cast(dict[str, str | list[str]], req.params)


def _beyond(req: falcon.Request, kept: Mapping[str, str], cursor: str | None) -> str | None:
    return None if cursor is None else f"{req.path}?{urlencode({**kept, 'cursor': cursor})}"


def _principal(req: falcon.Request) -> Principal | None:
    return getattr(req.context, "principal", None)

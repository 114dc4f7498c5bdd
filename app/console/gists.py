"""Gists: the dead letters first, then all of them, each with its attempts; and sending them again."""

from dataclasses import replace
from uuid import UUID

import falcon

from app.broker import Broker
from app.console.pages import Form, Page, Shelf, notice, render, shelf
from app.errors import Invalid, NotFound
from app.http.lists import filters, identity, page
from app.model import Event, Filters, Gist, Principal, Selection, Status

OF_ALL = ("status", "action", "application", "subscription", "event")
OF_FAILED = ("action", "application", "subscription", "event")


class GistsPage(Page):
    """GET /console/gists."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        asked = page(req, "gist", descending=True)
        found = self._broker.gists(req.context.principal, filters(req, *OF_ALL, states=tuple(Status)), asked)
        render(req, resp, "gists.html", shelf=shelf(req, asked, found, *OF_ALL), states=tuple(Status))


class DeadLettersPage(Page):
    """GET /console/dead-letters: the gists that failed, with boxes to choose some."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        requeued = notice(req, "requeued")
        wanted = _failed(req)
        asked = page(req, "gist", descending=True)
        found: Shelf[Gist] = shelf(req, asked, self._broker.gists(req.context.principal, wanted, asked), *OF_FAILED)
        render(req, resp, "dead_letters.html", shelf=found, requeued=requeued if requeued.isdecimal() else "")


class RequeuesPage(Page):
    """POST /console/requeues: first counts and asks, and when that is confirmed does it.

    Which gists: the chosen ones, or all that the filters in the address let through; only ones that failed.
    """

    def __init__(self, broker: Broker) -> None:
        self._broker = broker

    def on_post(self, req: falcon.Request, resp: falcon.Response) -> None:
        form, wanted = req.context.form, _failed(req)
        chosen = () if form.first("which") == "all" else _chosen(form)
        confirmed = form.first("confirmed") == "yes"
        selection = Selection(chosen, Filters(status=Status.FAILED) if chosen else wanted)
        again = self._broker.requeue(req.context.principal, selection, dry_run=not confirmed)
        back = f"/console/dead-letters{'?' if req.query_string else ''}{req.query_string}"
        if confirmed:
            joint = "&" if req.query_string else "?"
            raise falcon.HTTPSeeOther(f"{back}{joint}requeued={again.gists}")
        given = {name: req.get_param(name) for name in (*OF_FAILED, "from", "to") if req.get_param(name)}
        render(req, resp, "requeue.html", again=again, chosen=chosen, filters=given, back=back, query=req.query_string)


class GistPage(Page):
    """GET /console/gists/{gist}, and POST to deliver it once more."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker

    def on_get(self, req: falcon.Request, resp: falcon.Response, gist: str) -> None:
        replayed = notice(req, "replayed")
        found = self._broker.gist(req.context.principal, identity(gist, "gist"))
        render(
            req,
            resp,
            "gist.html",
            gist=found,
            explanation=self._broker.explain(req.context.principal, found.gist),
            event=self._event(req.context.principal, found.event),
            replayed=replayed == "yes",
        )

    def on_post(self, req: falcon.Request, resp: falcon.Response, gist: str) -> None:
        replayed = self._broker.replay(req.context.principal, identity(gist, "gist"))
        resp.status, resp.location = falcon.HTTP_303, f"/console/gists/{replayed.gist}?replayed=yes"

    def _event(self, principal: Principal, event: UUID) -> Event | None:
        """None where the grant to read it was taken back since."""
        try:
            return self._broker.event(principal, event)
        except NotFound:
            return None


def _failed(req: falcon.Request) -> Filters:
    return replace(filters(req, *OF_FAILED), status=Status.FAILED)


def _chosen(form: Form) -> tuple[UUID, ...]:
    given = form.all("gist")
    if not given:
        raise Invalid("no gist is chosen; go back, and tick the boxes of those to replay")
    return tuple(identity(each, "gist") for each in given)

"""Signing in, as the administrator or as an application, and out."""

import math
from datetime import UTC, datetime

import falcon

from app import credentials, rules
from app.catalogue import Lookup
from app.console.door import SIGN_IN, let_in, let_out
from app.console.pages import Page, notice, render
from app.console.session import Session, Sessions
from app.credentials import SignIn
from app.errors import AmeboError, Forbidden, TooMany, Unauthenticated
from app.model import Application, Principal

LONGEST_NAME, LONGEST_PASSWORD = 255, 1000


class SignInPage(Page):
    """GET and POST /console/sign-in."""

    for_everybody = True

    def __init__(self, sign_in: SignIn, lookup: Lookup, sessions: Sessions) -> None:
        self._sign_in = sign_in
        self._lookup = lookup
        self._sessions = sessions

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        if hasattr(req.context, "principal"):
            raise falcon.HTTPSeeOther("/")
        render(req, resp, "sign_in.html", name="", next=_inside(notice(req, "next")), problem="")

    def on_post(self, req: falcon.Request, resp: falcon.Response) -> None:
        form = req.context.form
        name, onward = form.first("name"), _inside(form.first("next"))
        try:
            session = self._session(name, form.first("password"), req.context.address)
        except (Unauthenticated, Forbidden, TooMany) as error:
            _again(req, resp, name, onward, error)
            return
        let_in(req, resp, self._sessions.cookie(session))
        req.context.principal = session.principal  # for the log
        resp.status, resp.location = falcon.HTTP_303, onward

    def _session(self, name: str, password: str, address: str) -> Session:
        if len(name) > LONGEST_NAME or len(password) > LONGEST_PASSWORD or not name.isprintable():
            raise Unauthenticated("wrong name or password")
        now, application = datetime.now(UTC), self._application(name, password)
        if application is not None:
            return self._sessions.begin(Principal(name), now, application)
        return self._sessions.begin(self._sign_in.check(name, password, address), now)

    def _application(self, name: str, apikey: str) -> Application | None:
        """What is no API key of this application may still be the administrator's password."""
        if not apikey.startswith(credentials.PREFIX) or name == rules.SYSTEM:
            return None
        found = self._lookup.application_by_apikey(credentials.apikey_hash(apikey))
        if found is None or found.application != name:
            return None
        if not found.active:
            raise Forbidden(f"application {name!r} is switched off")
        return found


class SignOutPage(Page):
    """POST /console/sign-out."""

    def on_post(self, req: falcon.Request, resp: falcon.Response) -> None:  # noqa: ARG002  # Falcon's signature
        let_out(resp)
        resp.status, resp.location = falcon.HTTP_303, SIGN_IN


def _again(req: falcon.Request, resp: falcon.Response, name: str, onward: str, error: AmeboError) -> None:
    """The same page once more, with what was wrong."""
    resp.status = falcon.HTTP_401
    problem = "Wrong name, or wrong password or API key."
    if isinstance(error, TooMany):
        resp.status = falcon.HTTP_429
        resp.set_header("Retry-After", str(math.ceil(error.retry_after)))
        problem = "Too many failed sign-ins. Wait five minutes, then try again."
    if isinstance(error, Forbidden):
        resp.status = falcon.HTTP_403
        problem = f"{error.message[:1].upper()}{error.message[1:]}."
    render(req, resp, "sign_in.html", name=name, next=onward, problem=problem)


def _inside(wanted: str) -> str:
    """Where to go on to: a page of the console, never another site."""
    return wanted if wanted.startswith("/console/") and "\\" not in wanted and wanted.isprintable() else "/"

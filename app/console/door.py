"""The console's door: who comes in, what a form must bring, and what leaves: security headers, and errors as pages."""

import re
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qs, quote, urlsplit

import falcon

from app.console.pages import Form, Page, parameters, render
from app.console.session import COOKIE, Session, Sessions
from app.errors import Forbidden, Malformed
from app.http.body import read

SIGN_IN = "/console/sign-in"
LARGEST_FORM = 64 * 1024
MOST_FIELDS = 500
HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self'; "
        "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}
_OURS = re.compile(r"/console(/.*)?|/", re.DOTALL)


class Door:
    """Middleware around the console's resources; it leaves all other paths alone."""

    def __init__(self, sessions: Sessions) -> None:
        self._sessions = sessions

    def process_request(self, req: falcon.Request, resp: falcon.Response) -> None:  # noqa: ARG002  # Falcon's signature
        """A form that is sent with an empty field asks for nothing there."""
        if is_ours(req.path):
            for name in [name for name, value in req.params.items() if not value]:
                del parameters(req)[name]

    def process_resource(
        self,
        req: falcon.Request,
        resp: falcon.Response,
        resource: object,
        params: dict[str, Any],  # noqa: ARG002
    ) -> None:
        if not isinstance(resource, Page):
            return
        session = self._sessions.read(req.cookies.get(COOKIE, ""))
        if session is not None:
            self._welcome(req, resp, session)
        if req.method == "POST":
            _check_origin(req)
            req.context.form = _form(req)
        if resource.for_everybody:
            return
        if session is None:
            raise falcon.HTTPSeeOther(_way_in(req))
        if req.method == "POST" and not self._sessions.is_form_token(session, req.context.form.first("form_token")):
            raise Forbidden("this form is not from your session; go back, load the page again, and send it once more")

    def process_response(
        self,
        req: falcon.Request,
        resp: falcon.Response,
        resource: object,  # noqa: ARG002
        req_succeeded: bool,  # noqa: ARG002
    ) -> None:
        if not is_ours(req.path):
            return
        resp.set_headers(HEADERS)
        if "cache-control" not in resp.headers:
            resp.set_header("Cache-Control", "no-store")
        if resp.status_code >= 400:
            _explain(req, resp)

    def _welcome(self, req: falcon.Request, resp: falcon.Response, session: Session) -> None:
        req.context.principal = session.principal
        req.context.form_token = self._sessions.form_token(session)
        longer = self._sessions.renewed(session, datetime.now(UTC))
        if longer is not None:
            let_in(req, resp, self._sessions.cookie(longer))


def is_ours(path: str) -> bool:
    return _OURS.fullmatch(path) is not None


def let_in(req: falcon.Request, resp: falcon.Response, cookie: str) -> None:
    """Hand out the cookie; it ends with the browser, and its content with the session.

    Whoever lies about the scheme spoils no cookie but the own one, so that every proxy's word is taken.
    """
    secure = req.forwarded_scheme == "https"
    resp.set_cookie(COOKIE, cookie, path="/", secure=secure, http_only=True, same_site="Strict")


def let_out(resp: falcon.Response) -> None:
    resp.unset_cookie(COOKIE, path="/", same_site="Strict")


def _check_origin(req: falcon.Request) -> None:
    """Browsers say where a form was sent from; another site's forms are refused, and what does not say it."""
    source = req.get_header("Origin") or req.get_header("Referer") or ""
    if urlsplit(source).netloc.lower() != (req.get_header("Host") or "").lower():
        raise Forbidden("this form was sent from another site")


def _form(req: falcon.Request) -> Form:
    if (req.content_type or "").partition(";")[0].strip().lower() != falcon.MEDIA_URLENCODED:
        raise Malformed("the body must be a form")
    try:
        return Form(parse_qs(read(req, LARGEST_FORM).decode(), errors="strict", max_num_fields=MOST_FIELDS))
    except ValueError as error:
        raise Malformed("the form cannot be read") from error


def _way_in(req: falcon.Request) -> str:
    """To where one signs in, and from there back to the page."""
    wanted = req.relative_uri if req.method == "GET" else "/"
    return SIGN_IN if wanted == "/" else f"{SIGN_IN}?next={quote(wanted, safe='')}"


def _explain(req: falcon.Request, resp: falcon.Response) -> None:
    """Put what the API would answer as JSON on a page."""
    if isinstance(resp.media, dict):
        error, resp.media = resp.media, None
        render(req, resp, "error.html", error=error)

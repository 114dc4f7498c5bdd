"""What happens around every request: its id, its measure, its line in the log, who is asking, and how often."""

import random
import re
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import falcon

from app import credentials, logs, rules
from app.catalogue import Lookup
from app.credentials import Tokens
from app.errors import Forbidden, Unauthenticated
from app.http.body import LARGEST, read
from app.http.limits import Limits
from app.metrics import count_request
from app.model import Application, Principal

UNMEASURED = ("/health", "/metrics")
_REQUEST_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}")


class Requests:
    """Takes or makes the request's id, echoes it, and measures and logs the request."""

    def process_request(self, req: falcon.Request, resp: falcon.Response) -> None:
        given = req.get_header("X-Request-ID") or ""
        req.context.request_id = given if _REQUEST_ID.fullmatch(given) else f"{random.getrandbits(128):032x}"
        req.context.started = time.perf_counter()
        logs.request_id.set(req.context.request_id)
        resp.set_header("X-Request-ID", req.context.request_id)

    def process_response(  # Falcon's signature, as is that of process_resource
        self,
        req: falcon.Request,
        resp: falcon.Response,
        resource: object,  # noqa: ARG002
        req_succeeded: bool,  # noqa: ARG002
    ) -> None:
        if not req.path.startswith(UNMEASURED):
            seconds, context = time.perf_counter() - req.context.started, req.context
            count_request(req.uri_template, req.method, resp.status_code, seconds)
            logs.access(
                method=req.method,
                path=req.path,
                route=req.uri_template or "",
                status=resp.status_code,
                ms=seconds * 1000,
                principal=context.principal.label if hasattr(context, "principal") else "",
                address=getattr(context, "address", ""),
            )
        logs.request_id.set("")


class Access:
    """Finds out who is asking, for every resource but those that say `public = True`.

    One that says `publishes = True` finds out for itself when it is posted to, with `req.context.identify`, in whatever
    it looks things up.
    """

    def __init__(self, lookup: Lookup, tokens: Tokens, limits: Limits) -> None:
        self._lookup = lookup
        self._tokens = tokens
        self._limits = limits

    def process_request(self, req: falcon.Request, resp: falcon.Response) -> None:
        self._limits.check_address(req, resp)

    def process_resource(
        self,
        req: falcon.Request,
        resp: falcon.Response,
        resource: object,
        params: dict[str, Any],  # noqa: ARG002
    ) -> None:
        if getattr(resource, "public", False):
            return
        identify = self._identify(req, resp)
        if req.method == "POST" and getattr(resource, "publishes", False):
            req.context.identify = identify
        else:
            identify(self._lookup)

    def _identify(self, req: falcon.Request, resp: falcon.Response) -> Callable[[Lookup], Principal]:
        """Asked again, it looks again, but counts the request once."""

        def identify(lookup: Lookup) -> Principal:
            known, req.context.principal = hasattr(req.context, "principal"), self._principal(req, lookup)
            if not known:
                self._limits.check_credential(req, resp, req.context.principal.label)
            return req.context.principal  # type: ignore[no-any-return]  # the context holds anything

        return identify

    def _principal(self, req: falcon.Request, lookup: Lookup) -> Principal:
        scheme, _, credential = (req.auth or "").partition(" ")
        if scheme.lower() == "bearer":
            return self._bearer(credential.strip(), lookup)
        name, given = req.get_header("X-Amebo-Application"), req.get_header("X-Amebo-Signature")
        if name and given:
            return _signed(req, name, given, lookup)
        raise Unauthenticated("credentials are needed: a token, an API key or a signature")

    def _bearer(self, credential: str, lookup: Lookup) -> Principal:
        if not credential.startswith(credentials.PREFIX):
            return self._tokens.read(credential)
        application = lookup.application_by_apikey(credentials.apikey_hash(credential))
        if application is None:
            raise Unauthenticated("the API key is not valid")
        return _active(application)


def _signed(req: falcon.Request, name: str, given: str, lookup: Lookup) -> Principal:
    """By the present secret, or the one before it for a while after a rotation."""
    application, now = lookup.application(name), datetime.now(UTC)
    body, timestamp = read(req, LARGEST), req.get_header("X-Amebo-Timestamp")
    if (
        application is None
        or application.application == rules.SYSTEM
        or not any(
            rules.signature_holds(secret, given, body, timestamp, now) for secret in rules.secrets_of(application, now)
        )
    ):
        raise Unauthenticated("the signature is not valid, or is older than 300 s")
    return _active(application)


def _active(application: Application) -> Principal:
    if not application.active:
        raise Forbidden(f"application {application.application!r} is switched off")
    return Principal(application.application)

"""What happens around every request: its id, its measure, its line in the log, and who is asking."""

import logging
import re
import time
import uuid
from datetime import UTC, datetime
from typing import Any

import falcon

from app import credentials, rules
from app.credentials import Tokens
from app.errors import Forbidden, Unauthenticated
from app.http.body import read
from app.metrics import REQUESTS
from app.model import Application, Principal
from app.ports import Storage

UNMEASURED = ("/health", "/metrics")
_REQUEST_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}")
log = logging.getLogger("amebo.http")


class Requests:
    """Takes or makes the request's id, echoes it, and measures and logs the request."""

    def process_request(self, req: falcon.Request, resp: falcon.Response) -> None:
        given = req.get_header("X-Request-ID") or ""
        req.context.request_id = given if _REQUEST_ID.fullmatch(given) else uuid.uuid4().hex
        req.context.started = time.perf_counter()
        resp.set_header("X-Request-ID", req.context.request_id)

    def process_response(  # Falcon's signature, as is that of process_resource
        self,
        req: falcon.Request,
        resp: falcon.Response,
        resource: object,  # noqa: ARG002
        req_succeeded: bool,  # noqa: ARG002
    ) -> None:
        if req.path.startswith(UNMEASURED):
            return
        seconds = time.perf_counter() - req.context.started
        method = req.method if req.method in falcon.HTTP_METHODS else "other"
        REQUESTS.labels(req.uri_template or "unknown", method, str(resp.status_code)).observe(seconds)
        log.info("%s %s %s %s %.1f ms", req.context.request_id, req.method, req.path, resp.status_code, seconds * 1000)


class Access:
    """Finds out who is asking, for every resource but those that say `public = True`."""

    def __init__(self, storage: Storage, tokens: Tokens) -> None:
        self._storage = storage
        self._tokens = tokens

    def process_resource(
        self,
        req: falcon.Request,
        resp: falcon.Response,  # noqa: ARG002
        resource: object,
        params: dict[str, Any],  # noqa: ARG002
    ) -> None:
        if not getattr(resource, "public", False):
            req.context.principal = self._principal(req)

    def _principal(self, req: falcon.Request) -> Principal:
        scheme, _, credential = (req.auth or "").partition(" ")
        if scheme.lower() == "bearer":
            return self._bearer(credential.strip())
        name, given = req.get_header("X-Amebo-Application"), req.get_header("X-Amebo-Signature")
        if name and given:
            return self._signed(req, name, given)
        raise Unauthenticated("credentials are needed: a token, an API key or a signature")

    def _bearer(self, credential: str) -> Principal:
        if not credential.startswith(credentials.PREFIX):
            return self._tokens.read(credential)
        application = self._storage.application_by_apikey(credentials.apikey_hash(credential))
        if application is None:
            raise Unauthenticated("the API key is not valid")
        return _active(application)

    def _signed(self, req: falcon.Request, name: str, given: str) -> Principal:
        application = self._storage.application(name)
        timestamp = req.get_header("X-Amebo-Timestamp")
        if application is None or not rules.signature_holds(
            application.secret, given, read(req), timestamp, datetime.now(UTC)
        ):
            raise Unauthenticated("the signature is not valid, or is older than 300 s")
        return _active(application)


def _active(application: Application) -> Principal:
    if not application.active:
        raise Forbidden(f"application {application.application!r} is switched off")
    return Principal(application.application)

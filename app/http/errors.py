"""Every error in the one shape of the contract, and the one table from errors to statuses."""

import logging
import math
from collections.abc import Sequence
from typing import Any

import falcon
from falcon.media import JSONHandler

from app import errors, jsontext

STATUS: dict[type[errors.AmeboError], int] = {
    errors.Malformed: 400,
    errors.Unauthenticated: 401,
    errors.Forbidden: 403,
    errors.NotFound: 404,
    errors.Conflict: 409,
    errors.TooLarge: 413,
    errors.NotJson: 415,
    errors.Invalid: 422,
    errors.TooMany: 429,
    errors.Unavailable: 503,
}
RETRY_AFTER = "2"
log = logging.getLogger("amebo.http")


def install(app: falcon.App[Any, Any]) -> None:
    """Let every error, also those of the framework and those nobody thought of, leave in the contract's shape."""
    app.resp_options.media_handlers[falcon.MEDIA_JSON] = JSONHandler(dumps=jsontext.encoded)
    app.add_error_handler(Exception, _unforeseen)
    app.add_error_handler(falcon.HTTPError, _of_framework)
    app.add_error_handler(errors.AmeboError, _of_amebo)


def body(error: str, code: int, details: Sequence[errors.Violation] = (), request_id: str = "") -> dict[str, Any]:
    listed = [violation.as_dict() for violation in details]
    return {"error": error, "code": code, "details": listed, "request_id": request_id}


def _of_amebo(req: falcon.Request, resp: falcon.Response, error: errors.AmeboError, _: dict[str, Any]) -> None:
    code = STATUS[type(error)]
    if isinstance(error, errors.TooMany):
        resp.set_header("Retry-After", str(math.ceil(error.retry_after)))
    if code == 503:
        resp.set_header("Retry-After", RETRY_AFTER)
        log.warning("%s", error.__cause__ or error)
    if code == 401:
        resp.set_header("WWW-Authenticate", "Bearer")
    _answer(req, resp, error.message, code, error.details)


def _of_framework(req: falcon.Request, resp: falcon.Response, error: falcon.HTTPError, _: dict[str, Any]) -> None:
    resp.set_headers(error.headers or {})
    _answer(req, resp, error.description or error.title or "error", error.status_code)


def _unforeseen(req: falcon.Request, resp: falcon.Response, error: Exception, _: dict[str, Any]) -> None:
    log.error("a request failed", exc_info=error)
    _answer(req, resp, "an error inside Amebo; its log has the details under this request's id", 500)


def _answer(
    req: falcon.Request, resp: falcon.Response, message: str, code: int, details: Sequence[errors.Violation] = ()
) -> None:
    resp.status = falcon.code_to_http_status(code)
    resp.media = body(message, code, details, req.context.request_id)

"""Tokens: a person's name and password for a JWT that expires."""

from datetime import UTC, datetime
from typing import Any

import falcon

from app.credentials import Administrator, Tokens
from app.errors import Forbidden
from app.http.body import fields, parse
from app.model import Principal

LOGIN = fields({"username": {"type": "string", "maxLength": 255}, "password": {"type": "string", "maxLength": 1000}})


class TokenList:
    """POST /v1/tokens."""

    public = True

    def __init__(self, administrator: Administrator, tokens: Tokens) -> None:
        self._administrator = administrator
        self._tokens = tokens

    def on_post(self, req: falcon.Request, resp: falcon.Response) -> None:
        login = parse(req, LOGIN)
        resp.media = _issued(self._tokens, self._administrator.check(login["username"], login["password"]))
        resp.status = falcon.HTTP_202


class Refresh:
    """POST /v1/tokens/refresh."""

    def __init__(self, tokens: Tokens) -> None:
        self._tokens = tokens

    def on_post(self, req: falcon.Request, resp: falcon.Response) -> None:
        principal: Principal = req.context.principal
        if not principal.administrator:
            raise Forbidden("an application's key does not expire; tokens are for people")
        resp.media = _issued(self._tokens, principal)
        resp.status = falcon.HTTP_202


def _issued(tokens: Tokens, principal: Principal) -> dict[str, Any]:
    token = tokens.issue(principal, datetime.now(UTC))
    return {"token": token, "token_type": "Bearer", "expires_in": int(tokens.lifetime.total_seconds())}

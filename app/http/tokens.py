"""Tokens: a person's name and password for a JWT that expires."""

from datetime import UTC, datetime
from typing import Any

import falcon

from app.credentials import SignIn, Tokens
from app.errors import Forbidden
from app.http.body import parse
from app.http.operations import operation, shape
from app.model import Principal

LOGIN = shape(
    {
        "username": {"type": "string", "minLength": 1, "maxLength": 255, "pattern": r"^[^\x00-\x1f]*$"},
        "password": {"type": "string", "maxLength": 1000},
    },
    example={"username": "admin", "password": "…"},
)
TOKEN = {
    "type": "object",
    "properties": {"token": {"type": "string"}, "token_type": {"const": "Bearer"}, "expires_in": {"type": "integer"}},
    "required": ["token", "token_type", "expires_in"],
}


class TokenList:
    """POST /v1/tokens."""

    public = True

    def __init__(self, sign_in: SignIn, tokens: Tokens) -> None:
        self._sign_in = sign_in
        self._tokens = tokens

    @operation(
        "Sign in with a name and a password; too many wrong ones are 429.", {202: TOKEN}, body=LOGIN, refusals=(401,)
    )
    def on_post(self, req: falcon.Request, resp: falcon.Response) -> None:
        login = parse(req, LOGIN)
        principal = self._sign_in.check(login["username"], login["password"], req.context.address)
        resp.media = _issued(self._tokens, principal)
        resp.status = falcon.HTTP_202


class Refresh:
    """POST /v1/tokens/refresh."""

    def __init__(self, tokens: Tokens) -> None:
        self._tokens = tokens

    @operation("Take a new token for one that is still valid.", {202: TOKEN}, refusals=(403,))
    def on_post(self, req: falcon.Request, resp: falcon.Response) -> None:
        principal: Principal = req.context.principal
        if not principal.administrator:
            raise Forbidden("an application's key does not expire; tokens are for people")
        resp.media = _issued(self._tokens, principal)
        resp.status = falcon.HTTP_202


def _issued(tokens: Tokens, principal: Principal) -> dict[str, Any]:
    token = tokens.issue(principal, datetime.now(UTC))
    return {"token": token, "token_type": "Bearer", "expires_in": int(tokens.lifetime.total_seconds())}

"""Who is asking: passwords, tokens, API keys. Signatures are rules; here is what needs randomness or a library."""

import hashlib
import hmac
import secrets
from base64 import b64encode
from datetime import datetime, timedelta
from functools import lru_cache
from threading import Lock
from typing import Any

import jwt
from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from app.errors import TooMany, Unauthenticated
from app.model import Principal
from app.ports import Upkeep

PREFIX = "amebo_"
WINDOW = timedelta(minutes=5)
_ONE_AT_A_TIME = Lock()  # a hash takes 64 MiB while it is made
_HASHER = PasswordHasher()


def new_apikey() -> str:
    return PREFIX + secrets.token_urlsafe(32)


def apikey_hash(apikey: str) -> bytes:
    """A key has 256 bits of its own, so that one SHA-256 is enough, and can be looked up."""
    return hashlib.sha256(apikey.encode()).digest()


def new_secret() -> str:
    """In the form that Standard Webhooks libraries take as it stands."""
    return "whsec_" + b64encode(secrets.token_bytes(32)).decode()


class Administrator:
    """The one administrator, whose name and password (or its argon2 hash) are settings."""

    def __init__(self, username: str, password: str) -> None:
        self._username = username
        self._hash = password if password.startswith("$argon2") or not password else _HASHER.hash(password)

    def check(self, username: str, password: str) -> Principal:
        """Takes the same time for a wrong name as for a wrong password."""
        right = _verify(self._hash or _unmatchable(), password) and bool(self._hash)
        if not hmac.compare_digest(username.encode(), self._username.encode()) or not right:
            raise Unauthenticated("wrong username or password")
        return Principal(self._username, administrator=True)


class SignIn:
    """The administrator's way in, for so many failures of one address within a while.

    And for ten times as many of one name, so that a guesser with many addresses does not lock the administrator out
    at once.
    """

    def __init__(self, administrator: Administrator, storage: Upkeep, most: int) -> None:
        self._administrator = administrator
        self._storage = storage
        self._most = most

    def check(self, username: str, password: str, address: str) -> Principal:
        by_address, by_name = (f"address {address}",), (f"name {username}",)
        failures = self._storage.failed_sign_ins(by_address, WINDOW)
        if failures >= self._most or self._storage.failed_sign_ins(by_name, WINDOW) >= 10 * self._most:
            raise TooMany("too many failed sign-ins; try again later", WINDOW.total_seconds())
        try:
            principal = self._administrator.check(username, password)
        except Unauthenticated:
            self._storage.count_sign_in(by_address + by_name, WINDOW, failed=True)
            raise
        if failures:
            self._storage.count_sign_in(by_address, WINDOW, failed=False)
        return principal


class Tokens:
    """JSON Web Tokens for people, signed with AMEBO_SECRET."""

    def __init__(self, secret: str, lifetime: timedelta) -> None:
        self._secret = secret
        self.lifetime = lifetime

    def issue(self, principal: Principal, now: datetime) -> str:
        claims = {"sub": principal.name, "iss": "amebo", "iat": now, "exp": now + self.lifetime}
        return jwt.encode(claims, self._secret, algorithm="HS256")

    def read(self, token: str) -> Principal:
        try:
            claims: dict[str, Any] = jwt.decode(
                token, self._secret, algorithms=["HS256"], issuer="amebo", options={"require": ["sub", "exp"]}
            )
        except jwt.ExpiredSignatureError as error:
            raise Unauthenticated("the token has expired; ask /v1/tokens for a new one") from error
        except jwt.InvalidTokenError as error:
            raise Unauthenticated("the token is not valid") from error
        return Principal(claims["sub"], administrator=True)


def _verify(hashed: str, password: str) -> bool:
    try:
        with _ONE_AT_A_TIME:
            return _HASHER.verify(hashed, password)
    except (VerificationError, InvalidHashError):
        return False


@lru_cache(maxsize=1)
def _unmatchable() -> str:
    """What a password is compared with where none is set."""
    return _HASHER.hash(secrets.token_hex())

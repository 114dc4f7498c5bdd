"""Sessions: who is signed in to the console, in a cookie that is signed and expires. The server keeps nothing."""

import hashlib
import hmac
import secrets
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import jwt

from app.errors import NotFound
from app.model import Application, Principal

COOKIE = "amebo_session"
LONGEST = timedelta(hours=12)  # from signing in, however busy
_ISSUER = "amebo console"


@dataclass(frozen=True)
class Session:
    """`key` is a fingerprint of the API key that an application signed in with: with another key it is over."""

    principal: Principal
    identity: str
    began: datetime
    expires: datetime
    key: str = ""


class Sessions:
    """Signs with keys derived from AMEBO_SECRET, so that no token of the API is a session, and no session a token.

    `lookup` finds an application, or raises NotFound.
    """

    def __init__(self, secret: str, lifetime: timedelta, lookup: Callable[[str], Application]) -> None:
        self._cookies = _derived(secret, "cookies")
        self._forms = _derived(secret, "forms")
        self._lifetime = lifetime
        self._lookup = lookup

    def begin(self, principal: Principal, now: datetime, application: Application | None = None) -> Session:
        """A new session of an administrator, or of the application that is named as well."""
        key = _fingerprint(application) if application else ""
        return Session(principal, secrets.token_urlsafe(16), now, now + self._lifetime, key)

    def cookie(self, session: Session) -> str:
        claims = {
            "iss": _ISSUER,
            "sub": session.principal.name,
            "administrator": session.principal.administrator,
            "jti": session.identity,
            "iat": session.began,
            "exp": session.expires,
            "key": session.key,
        }
        return jwt.encode(claims, self._cookies, algorithm="HS256")

    def read(self, cookie: str) -> Session | None:
        """The session of a cookie; None when it is none of ours, has expired, or its application may not go on."""
        try:
            claims: dict[str, Any] = jwt.decode(cookie, self._cookies, algorithms=["HS256"], issuer=_ISSUER)
        except jwt.InvalidTokenError:
            return None
        principal = Principal(claims["sub"], administrator=claims["administrator"])
        began, expires = (datetime.fromtimestamp(claims[name], UTC) for name in ("iat", "exp"))
        session = Session(principal, claims["jti"], began, expires, claims["key"])
        return session if principal.administrator or self._goes_on(session) else None

    def renewed(self, session: Session, now: datetime) -> Session | None:
        """The session with more time, once half of it is gone and it is not too old."""
        expires = min(now + self._lifetime, session.began + LONGEST)
        has_time = session.expires - now > self._lifetime / 2
        return None if has_time or expires <= session.expires else replace(session, expires=expires)

    def form_token(self, session: Session) -> str:
        """What every form of this session carries, and no other page can know."""
        return hmac.new(self._forms, session.identity.encode(), hashlib.sha256).hexdigest()

    def is_form_token(self, session: Session, given: str) -> bool:
        return hmac.compare_digest(self.form_token(session).encode(), given.encode())

    def _goes_on(self, session: Session) -> bool:
        try:
            application = self._lookup(session.principal.name)
        except NotFound:
            return False
        return application.active and hmac.compare_digest(_fingerprint(application), session.key)


def _derived(secret: str, purpose: str) -> bytes:
    return hmac.new(secret.encode(), f"amebo console {purpose}".encode(), hashlib.sha256).digest()


def _fingerprint(application: Application) -> str:
    """Of the hash of its API key; neither can be told from it."""
    return hashlib.sha256(b"console" + application.apikey_hash).hexdigest()[:32]

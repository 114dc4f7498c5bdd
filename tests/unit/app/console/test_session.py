"""Sessions: what a cookie is good for, and for how long."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from app.console.session import LONGEST, Sessions
from app.credentials import Tokens, apikey_hash
from app.errors import NotFound, Unauthenticated, Unavailable
from app.model import Application, Principal

SECRET = "a secret of thirty-two characters"
HOUR = timedelta(hours=1)
NOW = datetime.now(UTC).replace(microsecond=0)
ADMIN = Principal("admin", administrator=True)
SHOP = Application("shop", "http://shop", "secret", apikey_hash("amebo_one"), "", True, NOW)


def sessions(*applications: Application, secret: str = SECRET) -> Sessions:
    known = {each.application: each for each in applications}

    def lookup(name: str) -> Application:
        if name not in known:
            raise NotFound(name)
        return known[name]

    return Sessions(secret, HOUR, lookup)


def test_a_cookie_brings_back_who_signed_in() -> None:
    for principal, application in ((ADMIN, None), (Principal("shop"), SHOP)):
        begun = sessions(SHOP).begin(principal, NOW, application)
        assert sessions(SHOP).read(sessions(SHOP).cookie(begun)) == begun


@pytest.mark.parametrize(
    "now",
    [(), (replace(SHOP, active=False),), (replace(SHOP, apikey_hash=apikey_hash("amebo_two")),)],
    ids=["removed", "switched off", "another API key"],
)
def test_an_applications_session_ends_with_its_right_to_sign_in(now: tuple[Application, ...]) -> None:
    cookie = sessions(SHOP).cookie(sessions(SHOP).begin(Principal("shop"), NOW, SHOP))
    assert sessions(*now).read(cookie) is None


def test_a_database_that_does_not_answer_signs_nobody_out() -> None:
    def lookup(_: str) -> Application:
        raise Unavailable("the database does not answer")

    cookie = sessions(SHOP).cookie(sessions(SHOP).begin(Principal("shop"), NOW, SHOP))
    with pytest.raises(Unavailable):
        Sessions(SECRET, HOUR, lookup).read(cookie)


def test_a_session_expires() -> None:
    begun = sessions().begin(ADMIN, NOW - HOUR - timedelta(seconds=1))
    assert sessions().read(sessions().cookie(begun)) is None


def test_what_is_no_cookie_of_ours_opens_nothing() -> None:
    cookie = sessions().cookie(sessions().begin(ADMIN, NOW))
    token = Tokens(SECRET, HOUR).issue(ADMIN, NOW)
    for forged in ("", "x", "a.b.c", cookie[:-2], cookie + "x", token):
        assert sessions().read(forged) is None
    assert sessions(secret="another secret of 32 characters...").read(cookie) is None


def test_a_cookie_is_no_token_of_the_api() -> None:
    for principal, application in ((ADMIN, None), (Principal("shop"), SHOP)):
        cookie = sessions(SHOP).cookie(sessions(SHOP).begin(principal, NOW, application))
        with pytest.raises(Unauthenticated):
            Tokens(SECRET, HOUR).read(cookie)


def test_a_session_in_use_goes_on_but_not_for_ever() -> None:
    begun = sessions().begin(ADMIN, NOW)
    assert sessions().renewed(begun, NOW + HOUR / 2 - timedelta(seconds=1)) is None
    longer = sessions().renewed(begun, NOW + HOUR / 2)
    assert longer == replace(begun, expires=NOW + HOUR * 1.5)
    old = replace(begun, began=NOW - LONGEST + HOUR / 4, expires=NOW + HOUR / 8)
    assert sessions().renewed(old, NOW) == replace(old, expires=NOW + HOUR / 4)
    ended = replace(old, expires=old.began + LONGEST)
    assert sessions().renewed(ended, NOW) is None


def test_a_form_is_good_in_its_own_session_only() -> None:
    one, other = sessions().begin(ADMIN, NOW), sessions().begin(ADMIN, NOW)
    assert sessions().is_form_token(one, sessions().form_token(one))
    for given in ("", "é", sessions().form_token(other), sessions().form_token(one)[:-1]):
        assert not sessions().is_form_token(one, given)

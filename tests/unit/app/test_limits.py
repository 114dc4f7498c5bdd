"""Who is asking from where, and how often that is allowed."""

import ipaddress

import falcon
import pytest
from falcon.testing import create_req
from limits import RateLimitItemPerSecond
from limits.strategies import MovingWindowRateLimiter

from app.errors import TooMany
from app.http.limits import Limits, Recent, client_address, is_free, judge_of
from app.settings import LOOPBACK

OURS = (*LOOPBACK, ipaddress.ip_network("10.0.0.0/8"), ipaddress.ip_network("fd00::/8"))


class Clock:
    """A second passes when somebody says so."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


def request(peer: str = "127.0.0.1", forwarded: str | None = None, path: str = "/v1/events") -> falcon.Request:
    headers = {} if forwarded is None else {"X-Forwarded-For": forwarded}
    return create_req(path=path, headers=headers, remote_addr=peer)


def told(resp: falcon.Response) -> tuple[str | None, ...]:
    return tuple(resp.get_header(f"X-RateLimit-{name}") for name in ("Limit", "Remaining", "Reset"))


def admitted(limits: Limits, req: falcon.Request, times: int) -> int:
    count = 0
    for _ in range(times):
        try:
            limits.check_address(req, falcon.Response())
        except TooMany:
            continue
        count += 1
    return count


@pytest.mark.parametrize(
    ("peer", "forwarded", "client"),
    [
        ("192.0.2.7", None, "192.0.2.7"),
        ("192.0.2.7", "198.51.100.1", "192.0.2.7"),  # a client's own header
        ("127.0.0.1", None, "127.0.0.1"),
        ("127.0.0.1", "192.0.2.7", "192.0.2.7"),
        ("127.0.0.1", "198.51.100.1, 192.0.2.7", "192.0.2.7"),  # the proxy appended to a client's own header
        ("127.0.0.1", "10.9.9.9, 192.0.2.7", "192.0.2.7"),  # … which named one of ours
        ("127.0.0.1", "192.0.2.7, 10.0.0.2", "192.0.2.7"),  # two proxies of ours
        ("127.0.0.1", "198.51.100.1, 192.0.2.7,10.0.0.2 , 10.0.0.3", "192.0.2.7"),
        ("127.0.0.1", "10.0.0.2, 10.0.0.3", "10.0.0.2"),
        ("127.0.0.1", "nonsense, 10.0.0.3", "10.0.0.3"),
        ("127.0.0.1", "192.0.2.7, nonsense", "127.0.0.1"),
        ("127.0.0.1", "", "127.0.0.1"),
        ("127.0.0.1", ",,", "127.0.0.1"),
        ("localhost", "192.0.2.7", "192.0.2.7"),  # waitress' name for the peer of a unix socket
        ("localhost", None, "localhost"),
        ("", "192.0.2.7", "192.0.2.7"),
        ("::1", "2001:db8:0:0::7", "2001:db8::7"),
        ("::ffff:127.0.0.1", "::ffff:192.0.2.7", "192.0.2.7"),
        ("fd00::1%eth0", "192.0.2.7", "192.0.2.7"),
    ],
)
def test_the_client_is_the_last_hop_that_is_not_ours(peer: str, forwarded: str | None, client: str) -> None:
    assert client_address(request(peer, forwarded), judge_of(OURS)) == client


def test_nobody_is_believed_where_nobody_is_trusted() -> None:
    assert client_address(request("127.0.0.1", "192.0.2.7"), judge_of(())) == "127.0.0.1"


def test_an_address_has_its_share_of_any_second_and_no_more() -> None:
    clock = Clock()
    limits = Limits(0, 10, LOOPBACK, clock)
    clock.now += 0.9
    assert admitted(limits, request(), 15) == 10
    clock.now += 0.2  # the next second of the clock is not the next second of the client
    assert admitted(limits, request(), 15) == 0
    clock.now += 0.81
    assert admitted(limits, request(), 15) == 10


def test_addresses_are_counted_apart_and_ipv6_by_network() -> None:
    limits = Limits(0, 1, LOOPBACK, Clock())
    for forwarded, times in (("192.0.2.7", 1), ("192.0.2.8", 1), ("2001:db8::1", 1), ("2001:db8::2", 0)):
        assert admitted(limits, request(forwarded=forwarded), 2) == times
    assert admitted(limits, request(forwarded="2001:db8:0:1::1"), 2) == 1


def test_who_is_refused_learns_when_to_come_back() -> None:
    clock = Clock()
    limits = Limits(0, 2, LOOPBACK, clock)
    limits.check_address(request(), first := falcon.Response())
    clock.now += 0.25
    limits.check_address(request(), second := falcon.Response())
    assert (told(first), told(second)) == (("2", "1", "1"), ("2", "0", "1"))
    with pytest.raises(TooMany, match="2 requests a second of this address") as refusal:
        limits.check_address(request(), third := falcon.Response())
    assert told(third) == ("2", "0", "1")
    assert refusal.value.retry_after == pytest.approx(0.75)


def test_a_credential_is_counted_wherever_it_comes_from() -> None:
    limits = Limits(1, 0, LOOPBACK, Clock())
    limits.check_credential(request("192.0.2.7"), falcon.Response(), "shop")
    limits.check_credential(request("192.0.2.7"), falcon.Response(), "stock")
    with pytest.raises(TooMany, match="of this credential"):
        limits.check_credential(request("192.0.2.8"), falcon.Response(), "shop")


@pytest.mark.parametrize(("per_credential", "per_address", "limit"), [(5, 9, "5"), (9, 5, "5"), (5, 0, "5")])
def test_the_headers_tell_of_the_limit_with_less_room(per_credential: int, per_address: int, limit: str) -> None:
    limits = Limits(per_credential, per_address, LOOPBACK, Clock())
    resp = falcon.Response()
    limits.check_address(request(), resp)
    limits.check_credential(request(), resp, "shop")
    assert told(resp)[:2] == (limit, "4")


def test_without_limits_nothing_is_said_and_the_address_is_known_all_the_same() -> None:
    limits, req, resp = Limits(0, 0, LOOPBACK), request(forwarded="192.0.2.7"), falcon.Response()
    limits.check_address(req, resp)
    limits.check_credential(req, resp, "shop")
    assert told(resp) == (None, None, None)
    assert req.context.address == "192.0.2.7"


@pytest.mark.parametrize(
    ("path", "free"),
    [
        ("/health", True),
        ("/health/ready", True),
        ("/metrics", True),
        ("/docs", True),
        ("/docs/page.js", True),
        ("/openapi.json", True),
        ("/v1/status", True),
        ("/healthy", False),
        ("/v1/tokens", False),
        ("/v1/events", False),
        ("/", False),
    ],
)
def test_health_metrics_and_documentation_are_free(path: str, free: bool) -> None:
    assert is_free(path) == free
    assert admitted(Limits(0, 1, LOOPBACK, Clock()), request(path=path), 3) == (3 if free else 1)


def test_memory_is_bounded_whatever_addresses_come() -> None:
    recent = Recent(most=100, now=Clock())
    limiter = MovingWindowRateLimiter(recent)
    limit = RateLimitItemPerSecond(3)
    for number in range(10_000):
        assert limiter.hit(limit, str(number))
    assert len(recent) <= 100
    assert [limiter.hit(limit, "9999") for _ in range(3)] == [True, True, False]


def test_what_was_not_used_for_a_second_is_forgotten() -> None:
    clock = Clock()
    recent = Recent(now=clock)
    limiter = MovingWindowRateLimiter(recent)
    for number in range(50):
        limiter.hit(RateLimitItemPerSecond(3), str(number))
    clock.now += 1.1
    for _ in range(30):
        limiter.hit(RateLimitItemPerSecond(30), "busy")
    assert len(recent) == 1

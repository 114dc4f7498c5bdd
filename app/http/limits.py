"""How often one client address and one credential may ask: counted in this process alone, over a second that moves."""

import ipaddress
import math
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable
from functools import lru_cache, partial
from itertools import islice

import falcon
from limits import RateLimitItemPerSecond
from limits.storage import MemoryStorage
from limits.strategies import MovingWindowRateLimiter

from app.delivery.guard import Address, Network
from app.errors import TooMany

MOST = 20_000  # addresses and credentials that are remembered; more than one process can serve in a second
LONGEST = 64  # of what can be an address; the rest of it is not kept either
FREE = ("/health", "/metrics", "/docs", "/openapi.json", "/v1/status")
_LIMIT, _REMAINING, _RESET = "X-RateLimit-Limit", "X-RateLimit-Remaining", "X-RateLimit-Reset"


Judge = Callable[[str], tuple[str | None, bool]]  # an address as it is always written, and whether it is trusted


class Limits:
    """`per_credential` and `per_address` are requests a second, 0 for no limit.

    X-RateLimit-Reset are the seconds until there is more room, as Retry-After. Where both limits apply, the headers
    tell of the one with less room.
    """

    def __init__(
        self,
        per_credential: int,
        per_address: int,
        trusted: tuple[Network, ...],
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._judge = judge_of(trusted)
        self._now = now
        self._limiter = MovingWindowRateLimiter(Recent(MOST, now))
        self._per_credential = RateLimitItemPerSecond(per_credential) if per_credential else None
        self._per_address = RateLimitItemPerSecond(per_address) if per_address else None

    def check_address(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Before anything is done for the request; leaves the client's address in its context."""
        req.context.address = client_address(req, self._judge)
        if self._per_address is not None:
            self._check(self._per_address, "address", _household(req.context.address), req, resp)

    def check_credential(self, req: falcon.Request, resp: falcon.Response, principal_name: str) -> None:
        """As soon as it is known who is asking."""
        if self._per_credential is not None:
            self._check(self._per_credential, "credential", principal_name, req, resp)

    def _check(
        self, limit: RateLimitItemPerSecond, kind: str, who: str, req: falcon.Request, resp: falcon.Response
    ) -> None:
        if is_free(req.path):
            return
        admitted = self._limiter.hit(limit, kind, who)
        reset, remaining = self._limiter.get_window_stats(limit, kind, who)
        seconds = max(reset - self._now(), 0.0)
        if not admitted or remaining < int(resp.get_header(_REMAINING) or limit.amount):
            resp.set_headers({_LIMIT: str(limit.amount), _REMAINING: str(remaining), _RESET: str(math.ceil(seconds))})
        if not admitted:
            raise TooMany(f"more than {limit.amount} requests a second of this {kind}", seconds)


class Recent(MemoryStorage):
    """The library's storage in memory, where the moving window of each key forgets as it goes, oldest keys first.

    The library's own clears up on a thread that it starts for a request (twice the time of a check), and that fails
    with a KeyError when a key expires at the same moment. All windows of one storage have the same length.
    """

    def __init__(self, most: int = MOST, now: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._most = most
        self._now = now
        self._lock = threading.Lock()
        self._recent: OrderedDict[str, deque[float]] = OrderedDict()  # the key that was used last is at the end

    def acquire_entry(self, key: str, limit: int, expiry: int, amount: int = 1) -> bool:
        now = self._now()
        with self._lock:
            recent = _since(self._recent.pop(key, deque()), now - expiry)
            self._forget(now - expiry)
            self._recent[key] = recent
            if len(recent) + amount > limit:
                return False
            recent.extend([now] * amount)
            return True

    def get_moving_window(self, key: str, limit: int, expiry: int) -> tuple[float, int]:  # noqa: ARG002  # the library's
        now = self._now()
        with self._lock:
            recent = _since(self._recent.get(key, deque()), now - expiry)
            return (recent[0], len(recent)) if recent else (now, 0)

    def __len__(self) -> int:
        return len(self._recent)

    def _forget(self, before: float) -> None:
        """Keys that nobody used lately, a few at a time: each new one makes room for itself."""
        for key in list(islice(self._recent, 2)):
            if len(self._recent) >= self._most or not _since(self._recent[key], before):
                del self._recent[key]


def judge_of(trusted: tuple[Network, ...]) -> Judge:
    """Remembers the addresses that it was asked about last."""
    return lru_cache(4096)(partial(_judged, trusted=trusted))


def client_address(req: falcon.Request, judge: Judge) -> str:
    """The last hop that is not a proxy of ours: each proxy vouches for the one before it, and a client for nobody.

    What has no address, as the other end of a unix socket, was let in by the file system and is trusted.
    """
    client, is_ours = judge(req.remote_addr)
    hops = (req.get_header("X-Forwarded-For") or "").split(",")
    while hops and (client is None or is_ours):
        hop, hop_is_ours = judge(hops.pop().strip()[:LONGEST])
        if hop is None:  # not written by a proxy of ours
            break
        client, is_ours = hop, hop_is_ours
    return client or req.remote_addr


def is_free(path: str) -> bool:
    """Whether nobody counts how often it is asked for."""
    return path.startswith(FREE) and any(path == free or path.startswith(f"{free}/") for free in FREE)


def _since(times: deque[float], before: float) -> deque[float]:
    while times and times[0] <= before:
        times.popleft()
    return times


@lru_cache(4096)
def _address(text: str) -> Address | None:
    try:
        found = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
    mapped = found.ipv4_mapped if isinstance(found, ipaddress.IPv6Address) else None
    return mapped or found


def _judged(text: str, trusted: tuple[Network, ...]) -> tuple[str | None, bool]:
    found = _address(text)
    is_ours = any(found.version == each.version and found in each for each in trusted) if found else False
    return str(found) if found else None, is_ours


def _household(address: str) -> str:
    """What one client may have to itself: an IPv4 address, or all the 2**64 of an IPv6 network."""
    found = _address(address)
    return str(ipaddress.IPv6Network((found, 64), strict=False)) if found and found.version == 6 else address

"""Events that nobody waits for, published to both sides of a canary where real ones are too few to judge it by."""

import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from itertools import count, cycle
from typing import Any
from zlib import crc32

import urllib3

from fleet.effects.inventory import Inventory
from fleet.errors import FleetError

NAME, ACTION = "canary-probe", "canary.probe"
_ADDRESS = "http://canary-probe.invalid"  # nobody subscribes to it, so that nothing is sent there


@dataclass
class Probes:
    """Half of them for either side, while `are_needed`; what becomes of them stands in the load balancers' logs."""

    rate: float
    are_needed: threading.Event = field(default_factory=threading.Event)
    published: int = 0
    failed: int = 0

    def need(self, needed: bool) -> None:
        """From now on, or no more."""
        (self.are_needed.set if needed else self.are_needed.clear)()


@contextmanager
def publishing(inventory: Inventory, rate: float) -> Iterator[Probes]:
    """Publish `rate` a second, through the load balancers, in a thread of its own; at the end its key is of no use.

    Raises FleetError where the service does not let it.
    """
    first = inventory.hosts[inventory.group("app")[0]]
    who = {"username": first.get("amebo_admin_username", "administrator")}
    http = urllib3.PoolManager(retries=False, timeout=30)
    token = _post(http, inventory.url, "/v1/tokens", {**who, "password": first.get("vault_amebo_admin_password")})
    admin = {"Authorization": f"Bearer {token['token']}"}
    key = _register(http, inventory.url, admin)
    probes, ended = Probes(rate), threading.Event()
    thread = threading.Thread(target=_publish, args=(probes, inventory.url, key, ended), name="probes", daemon=True)
    thread.start()
    try:
        yield probes
    finally:
        ended.set()
        thread.join()
        with suppress(urllib3.exceptions.HTTPError):
            http.request("PATCH", f"{inventory.url}/v1/applications/{NAME}", json={"active": False}, headers=admin)


def side_words() -> tuple[str, str]:
    """For X-Amebo-Application, by which traffic is split: one that moves to green first, and one that does last.

    templates/nginx/lua/amebo/split.lua says how.
    """
    buckets = ((f"{NAME}-{number}", crc32(f"{NAME}-{number}".encode()) % 10_000) for number in count())
    first = last = ""
    for word, bucket in buckets:
        first = word if bucket < 100 else first
        last = word if bucket >= 9_900 else last
        if first and last:
            break
    return first, last


def _register(http: urllib3.PoolManager, url: str, admin: Mapping[str, str]) -> str:
    """The application and its action, where they are not there yet, and a new key."""
    for path, body in (
        ("/v1/applications", {"application": NAME, "address": _ADDRESS}),
        ("/v1/actions", {"action": ACTION, "application": NAME, "schemata": {"type": "object"}}),
    ):
        _post(http, url, path, body, admin, known=409)
    http.request("PATCH", f"{url}/v1/applications/{NAME}", json={"active": True}, headers=admin)
    return str(_post(http, url, f"/v1/applications/{NAME}/apikey", {}, admin)["apikey"])


def _post(
    http: urllib3.PoolManager,
    url: str,
    path: str,
    body: Mapping[str, Any],
    headers: Mapping[str, str] | None = None,
    known: int = 201,
) -> dict[str, Any]:
    """Neither the body nor the headers are in the error: both hold secrets."""
    try:
        answer = http.request("POST", f"{url}{path}", json=body, headers=headers)
    except urllib3.exceptions.HTTPError as error:
        raise FleetError(f"no probe can be published: {url}{path}: {type(error).__name__}") from None
    if answer.status not in (200, 201, 202, known):
        raise FleetError(
            f"no probe can be published: {path} was answered {answer.status}: {answer.data.decode()[:200]}"
        )
    found: dict[str, Any] = answer.json()
    return found


def _publish(probes: Probes, url: str, key: str, ended: threading.Event) -> None:
    """Each in its turn on the clock, without a retry."""
    http = urllib3.PoolManager(retries=False, timeout=30)
    for number, word in enumerate(cycle(side_words())):
        while not ended.is_set() and not probes.are_needed.wait(0.1):
            pass
        if ended.wait(1 / probes.rate):
            return
        headers = {"Authorization": f"Bearer {key}", "X-Amebo-Application": word}
        body = {"action": ACTION, "payload": {"number": number, "at": time.time()}}
        try:
            status = http.request("POST", f"{url}/v1/events", json=body, headers=headers).status
        except urllib3.exceptions.HTTPError:
            status = 0
        probes.published += 1
        probes.failed += status not in (200, 201)

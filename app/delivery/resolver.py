"""Names of handlers, looked up on threads of their own: where a name server hangs, claims and records go on."""

import asyncio
import socket
from concurrent.futures import ThreadPoolExecutor

from aiohttp.abc import AbstractResolver, ResolveResult

LOOKUPS = 64  # at once; each is of another name, because aiohttp asks for a name once however many wait for it
_NUMBERS = socket.AI_NUMERICHOST | socket.AI_NUMERICSERV


class Resolver(AbstractResolver):
    """The system's own resolver, so that /etc/hosts and search domains count."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(LOOKUPS, thread_name_prefix="lookup")

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        loop = asyncio.get_running_loop()
        found = await loop.run_in_executor(self._threads, _look_up, host, port, family)
        return [_result(host, port, *each) for each in found]

    async def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)


def _look_up(host: str, port: int, family: socket.AddressFamily) -> list[tuple[socket.AddressFamily, int, str]]:
    infos = socket.getaddrinfo(host, port, family=family, type=socket.SOCK_STREAM, flags=socket.AI_ADDRCONFIG)
    return [(of_family, protocol, str(address[0])) for of_family, _, protocol, _, address in infos]


def _result(name: str, port: int, family: socket.AddressFamily, protocol: int, address: str) -> ResolveResult:
    return ResolveResult(hostname=name, host=address, port=port, family=family, proto=protocol, flags=_NUMBERS)

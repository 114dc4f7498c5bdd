"""Which addresses may be delivered to: public ones, and private ones only where the settings allow them."""

import errno
import ipaddress
import socket
from dataclasses import dataclass
from urllib.parse import urlsplit

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
_GLOBAL_UNICAST = ipaddress.IPv6Network("2000::/3")  # all that is given out; beyond it are local addresses


class RefusedAddress(OSError):
    """The address is private, and nobody allowed it."""


@dataclass(frozen=True)
class Guard:
    """`allowed` are the private networks that may be delivered to."""

    allowed: tuple[Network, ...] = ()

    def admits(self, address: str) -> bool:
        """Whether this very address may be dialled."""
        ip = _unwrap(ipaddress.ip_address(address.split("%")[0]))
        if _is_public(ip):
            return True
        return any(ip.version == network.version and ip in network for network in self.allowed)

    def refusal(self, url: str) -> str | None:
        """Why a handler may not be registered, or None; a name that does not resolve yet is left to the connection."""
        try:
            parts = urlsplit(url)
            host, _ = parts.hostname, parts.port
        except ValueError as error:
            return f"is not a URL: {error}"
        if host is None:
            return "names no host"
        for address in _addresses(host):
            if not self.admits(address):
                return f"is at {address}, a private address; see AMEBO_ALLOW_PRIVATE_HANDLERS"
        return None

    def open_socket(self, info: tuple[int, int, int, str, tuple[str, int]]) -> socket.socket:
        """A socket for the address that is dialled now, whatever name or number it came from."""
        family, kind, protocol, _, address = info
        if not self.admits(address[0]):
            raise RefusedAddress(errno.EACCES, f"{address[0]} is a private address")
        return socket.socket(family, kind, protocol)


def _is_public(ip: Address) -> bool:
    return ip.is_global and not ip.is_multicast and (ip.version == 4 or ip in _GLOBAL_UNICAST)


def _unwrap(ip: Address) -> Address:
    """An IPv4 address in an IPv6 one's clothes is judged as what it is."""
    if isinstance(ip, ipaddress.IPv4Address):
        return ip
    if ip in _NAT64:
        return ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)
    return ip.ipv4_mapped or ip.sixtofour or ip


def _addresses(host: str) -> set[str]:
    try:
        return {str(info[4][0]) for info in socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)}
    except (OSError, UnicodeError):
        return set()

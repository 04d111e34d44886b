"""Which names and addresses are public: internal hosts must not be reachable through this server."""

import asyncio
import functools
import ipaddress
import re
import socket
from concurrent.futures import ThreadPoolExecutor

Address = tuple[str, int]  # IP address and port

# A name with a dot whose last label is not a number: not an IP address in any spelling, and not localhost.
_NAME = re.compile(r"(?=.{1,253}$)(?:[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9])?\.)+[a-z](?:[a-z0-9-]{0,61}[a-z0-9])?", re.ASCII)

# Only global unicast is public in IPv6; 6to4 and Teredo in it lead to IPv4 addresses, as does NAT64 outside it.
_GLOBAL_UNICAST = ipaddress.ip_network("2000::/3")
# Special ranges that some versions of Python call global.
_SPECIAL = tuple(map(ipaddress.ip_network, ("192.0.0.0/24", "192.88.99.0/24", "2001::/23", "3fff::/20")))


# A lookup that gets no answer occupies a thread for half a minute, even after its caller has given up: not one that turns need.
_threads = ThreadPoolExecutor(8, "look up")


def is_name(host: str) -> bool:
    """Return whether a host, in lower case, is a DNS name and not an address."""
    return _NAME.fullmatch(host) is not None


def is_public(address: str) -> bool:
    """Return whether an IP address belongs to a host on the internet, even when embedded in another address."""
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return False
    if (
        "%" in address
        or not found.is_global
        or found.is_multicast
        or found.is_reserved
        or any(found in network for network in _SPECIAL)
    ):
        return False
    return isinstance(found, ipaddress.IPv4Address) or (found in _GLOBAL_UNICAST and found.sixtofour is None)


async def look_up(host: str) -> list[Address]:
    """Resolve all addresses of a host, for https. Raises OSError; has no timeout of its own."""
    ask = functools.partial(socket.getaddrinfo, host, 443, type=socket.SOCK_STREAM)
    found = await asyncio.get_running_loop().run_in_executor(_threads, ask)
    return [(str(address[0]), int(address[1])) for *_, address in found]

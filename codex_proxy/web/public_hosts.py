"""Which names and addresses are public: the inside is not to be reached through us."""

import asyncio
import ipaddress
import re
import socket

Address = tuple[str, int]  # IP address and port

# A name with a dot, whose last label is not a number: not an IP address in any of its spellings, not localhost.
_NAME = re.compile(r"(?=.{1,253}$)(?:[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9])?\.)+[a-z](?:[a-z0-9-]{0,61}[a-z0-9])?", re.ASCII)

# Global unicast is all that is public of IPv6; 6to4 and Teredo in it lead to IPv4 addresses, like NAT64 outside of it.
_GLOBAL_UNICAST = ipaddress.ip_network("2000::/3")
# Special, and called global by some versions of Python.
_SPECIAL = tuple(map(ipaddress.ip_network, ("192.0.0.0/24", "192.88.99.0/24", "2001::/23", "3fff::/20")))


def is_name(host: str) -> bool:
    """Whether a host, in lower case, is a name of the DNS, and no address."""
    return _NAME.fullmatch(host) is not None


def is_public(address: str) -> bool:
    """Whether an IP address belongs to a host on the internet, whatever it is embedded in."""
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
    """All addresses of a host, for https. Raises OSError; no bound of its own."""
    found = await asyncio.get_running_loop().getaddrinfo(host, 443, type=socket.SOCK_STREAM)
    return [(str(address[0]), int(address[1])) for *_, address in found]

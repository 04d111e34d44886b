"""Where a request comes from: the peer's address, or what X-Forwarded-For says of it, if the peer is a trusted proxy."""

from collections.abc import Sequence
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address

from aiohttp import web

from codex_proxy.settings_values import UNIX, Proxy

_HEADER = "X-Forwarded-For"
_HOST_BITS = 64  # of an IPv6 address: the holder of one has them all


def source(request: web.Request, trusted: Sequence[Proxy]) -> str:
    """The client: an IPv4 address or an IPv6 /64; of a Unix socket, unless its peer is trusted and tells, the empty text.

    The header grows to the right, so its right-most address that is not a trusted proxy's was written by one that is.
    """
    address = _address(request.remote or "")
    hops = ",".join(request.headers.getall(_HEADER, ())).split(",")
    while hops and _trusts(trusted, address):
        told = _address(hops.pop())
        if told is None:
            break
        address = told
    return "" if address is None else _line(address)


def _trusts(trusted: Sequence[Proxy], address: IPv4Address | IPv6Address | None) -> bool:
    return any(proxy == UNIX if address is None else not isinstance(proxy, str) and address in proxy for proxy in trusted)


def _address(name: str) -> IPv4Address | IPv6Address | None:
    """An address as proxies write it: bare, or with a port, in brackets if IPv6."""
    name = name.strip()
    if name.startswith("["):
        name = name[1:].partition("]")[0]
    elif name.count(":") == 1:
        name = name.partition(":")[0]
    try:
        address = ip_address(name)
    except ValueError:
        return None
    return (address.ipv4_mapped or address) if isinstance(address, IPv6Address) else address


def _line(address: IPv4Address | IPv6Address) -> str:
    if isinstance(address, IPv4Address):
        return str(address)
    return str(IPv6Network((int(address) >> _HOST_BITS << _HOST_BITS, 128 - _HOST_BITS)))

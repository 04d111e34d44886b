"""Identifies callers by the bearer token of a request, compared in constant time, as bytes, or by address.

Only wrong keys are counted, so the right key is always served, however often its source was wrong.
"""

import hmac
import logging
import time
from collections.abc import Sequence
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address

import msgspec
from aiohttp import web

from codex_proxy.errors import InvalidApiKey, RateLimited
from codex_proxy.keys import Keyring, Scope, digest_of
from codex_proxy.settings import Settings
from codex_proxy.settings_values import UNIX, Proxy
from codex_proxy.web.rare_log import RareLog

WRONG_KEYS_PER_MINUTE = 60
_WINDOW = 60.0  # seconds
_MOST_SOURCES = 10_000  # about a megabyte
_THE_REST = "the rest"
_FORWARDED = "X-Forwarded-For"
_HOST_BITS = 64  # of an IPv6 address: its holder usually has the whole /64
_SCHEME = "bearer "
_MAIN, _NAMED, _ADDRESS = "key", "key ", "address "  # prefixes of `known_as`


class Caller(msgspec.Struct, frozen=True):
    """A caller. `owner` is who owns its responses; `known_as` is what its rate and its share of the queue are counted by.

    `rate_limit` (requests a minute) and `parallel_turns` are None where the server's own apply.
    """

    owner: str
    known_as: str
    scope: Scope = Scope()
    rate_limit: int | None = None
    parallel_turns: int | None = None
    operator: bool = False  # may see and stop everyone's turns


class Callers:
    """All callers that may use this server."""

    def __init__(self, settings: Settings) -> None:
        """Raise SettingsError if the file of keys is invalid."""
        self._open = not settings.has_keys
        self._on_loopback = settings.on_loopback
        self._digest = None if settings.api_key is None else digest_of(settings.api_key)
        self._trusted_proxies = settings.trusted_proxies
        self._wrong_keys = WrongKeys()
        self.keyring = Keyring(settings)
        self._all_but_one_turn = max(1, settings.max_parallel - 1)

    def identify(self, request: web.Request) -> Caller:
        """Identify the caller. Raises InvalidApiKey, and RateLimited if the source has sent too many wrong keys."""
        if self._open:
            address = source(request, self._trusted_proxies)
            return Caller("anybody", f"{_ADDRESS}{address}", operator=self._on_loopback)
        given = request.headers.get("Authorization", "")
        token = given[len(_SCHEME) :].strip() if given.lower().startswith(_SCHEME) else ""
        named = self.keyring.find(token)
        if self._digest is not None and hmac.compare_digest(digest_of(token), self._digest):
            return Caller(_MAIN, _MAIN, parallel_turns=self._usual_turns(), operator=True)
        if named is None:
            self._wrong_keys.count(source(request, self._trusted_proxies))
            # OpenAI's wording for a wrong key: LiteLLM recognizes the error by it.
            lacking = "" if token else ": the request has none"
            raise InvalidApiKey(f"Incorrect API key provided{lacking}. Send it as: Authorization: Bearer <PROXY_API_KEY>")
        owner = f"{_NAMED}{named.digest.hex()}"  # not its name: a later holder of the name does not own these responses
        turns = self._usual_turns() if named.parallel_turns is None else named.parallel_turns
        return Caller(owner, owner, named.scope, named.rate_limit, turns, named.operator)

    def _usual_turns(self) -> int | None:
        """How many turns a key without its own number may run at once: never all, if there are other keys."""
        keys = len(self.keyring) + (self._digest is not None)
        return self._all_but_one_turn if keys > 1 else None

    def name_of(self, known_as: str) -> str:
        """Return the name to show to the operator: that of a key, or an address."""
        if known_as.startswith(_NAMED):
            return self.keyring.name_of(bytes.fromhex(known_as.removeprefix(_NAMED))) or "a revoked key"
        return "PROXY_API_KEY" if known_as == _MAIN else known_as.removeprefix(_ADDRESS) or "a local socket"


class WrongKeys:
    """Counts the wrong keys of each source per minute. Beyond _MOST_SOURCES, all further sources share one count."""

    def __init__(self) -> None:
        self._log = RareLog(logging.getLogger(__name__))
        self._counts: dict[str, int] = {}
        self._ends = 0.0  # monotonic seconds

    def count(self, source: str) -> None:
        """Count a wrong or missing key. Raises RateLimited beyond the limit, with the seconds until the next key is checked."""
        now = time.monotonic()
        if now >= self._ends:
            self._counts.clear()
            self._ends = now + _WINDOW
        if source not in self._counts and len(self._counts) >= _MOST_SOURCES:
            source = _THE_REST
        self._counts[source] = self._counts.get(source, 0) + 1
        if self._counts[source] > WRONG_KEYS_PER_MINUTE:
            self._log.warning("too many wrong API keys from %s", source)
            message = f"More than {WRONG_KEYS_PER_MINUTE} wrong API keys a minute from this address. Correct keys still work."
            raise RateLimited(message, retry_after=self._ends - now)


def source(request: web.Request, trusted: Sequence[Proxy]) -> str:
    """Return the client's IPv4 address or IPv6 /64; for a Unix socket "", unless its peer is a trusted proxy that names the client.

    The header grows to the right, so its right-most address that is not a trusted proxy was added by a trusted proxy.
    """
    address = _address(request.remote or "")
    hops = ",".join(request.headers.getall(_FORWARDED, ())).split(",")
    while hops and _trusts(trusted, address):
        told = _address(hops.pop())
        if told is None:
            break
        address = told
    return "" if address is None else _line(address)


def _trusts(trusted: Sequence[Proxy], address: IPv4Address | IPv6Address | None) -> bool:
    return any(proxy == UNIX if address is None else not isinstance(proxy, str) and address in proxy for proxy in trusted)


def _address(name: str) -> IPv4Address | IPv6Address | None:
    """Parse an address as proxies write it: bare, or with a port, in brackets if IPv6."""
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

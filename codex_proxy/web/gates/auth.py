"""Who asks: the bearer token of a request, compared in constant time, as bytes."""

import hmac

import msgspec
from aiohttp import web

from codex_proxy.errors import InvalidApiKey
from codex_proxy.keys import Keyring, Scope, digest_of
from codex_proxy.settings import Settings
from codex_proxy.web.gates.peers import source
from codex_proxy.web.gates.wrong_keys import WrongKeys

_SCHEME = "bearer "
_MAIN, _NAMED, _ADDRESS = "key", "key ", "address "  # how `known_as` begins


class Caller(msgspec.Struct, frozen=True):
    """Who asks. `owner`: whose responses are his; `known_as`: what his rate and his share of the queue go by.

    `rate_limit` (requests a minute) and `parallel_turns` are None where the server's own hold.
    """

    owner: str
    known_as: str
    scope: Scope = Scope()
    rate_limit: int | None = None
    parallel_turns: int | None = None
    operator: bool = False  # may see and stop everybody's turns


class Callers:
    """Everybody who may ask here."""

    def __init__(self, settings: Settings) -> None:
        """Raises SettingsError when the file of keys is bad."""
        self._open = not settings.has_keys
        self._on_loopback = settings.on_loopback
        self._digest = None if settings.api_key is None else digest_of(settings.api_key)
        self._trusted_proxies = settings.trusted_proxies
        self._wrong_keys = WrongKeys()
        self.keyring = Keyring(settings)
        self._all_but_one_turn = max(1, settings.max_parallel - 1)

    def identify(self, request: web.Request) -> Caller:
        """Who asks. Raises InvalidApiKey, and RateLimited when the source has been wrong too often."""
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
            # OpenAI's words for a wrong key: LiteLLM tells by them that it is one.
            lacking = "" if token else ": the request has none"
            raise InvalidApiKey(f"Incorrect API key provided{lacking}. Send it as: Authorization: Bearer <PROXY_API_KEY>")
        owner = f"{_NAMED}{named.digest.hex()}"  # not its name: who gets a name later did not make these responses
        turns = self._usual_turns() if named.parallel_turns is None else named.parallel_turns
        return Caller(owner, owner, named.scope, named.rate_limit, turns, named.operator)

    def _usual_turns(self) -> int | None:
        """How many turns a key may run at once that has no number of its own: never all, where there are other keys."""
        keys = len(self.keyring) + (self._digest is not None)
        return self._all_but_one_turn if keys > 1 else None

    def name_of(self, known_as: str) -> str:
        """What to call somebody, for the operator: the name of a key, or an address."""
        if known_as.startswith(_NAMED):
            return self.keyring.name_of(bytes.fromhex(known_as.removeprefix(_NAMED))) or "a revoked key"
        return "PROXY_API_KEY" if known_as == _MAIN else known_as.removeprefix(_ADDRESS) or "a local socket"

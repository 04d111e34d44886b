"""A simulation of the provider's prompt cache: it matches exact prefixes, separately for each prompt_cache_key.

According to the OpenAI API documentation, "Prompt caching", the beginning of the prompt must match, with tools and instructions
first. A token is four characters here.
"""

from collections import OrderedDict
from typing import Any

import msgspec

from codex_proxy.demo.steps import Count, ModelRequest

_MOST_KEYS = 10_000
_CHARACTERS_A_TOKEN = 4


class PromptCache:
    """The cache of one model server. `prefill`: seconds that the model takes for each token that is not cached."""

    def __init__(self, prefill: float = 0.0) -> None:
        self._prefill = prefill
        self._prompts: OrderedDict[str, list[bytes]] = OrderedDict()  # the latest prompt of each key, in pieces

    def count(self, request: ModelRequest) -> Count:
        """Count the tokens of a request and how many of them are cached, and put the request into the cache."""
        pieces = _pieces(request.body)
        key = str(request.body.get("prompt_cache_key"))
        former = self._prompts.pop(key, [])
        same = next((place for place, (old, new) in enumerate(zip(former, pieces, strict=False)) if old != new), None)
        cached = pieces[: min(len(former), len(pieces)) if same is None else same]
        self._prompts[key] = pieces
        if len(self._prompts) > _MOST_KEYS:
            self._prompts.popitem(last=False)
        return Count(input=_tokens(pieces), cached=_tokens(cached))

    def delay(self, count: Count) -> float:
        """Seconds until the model begins to answer."""
        return self._prefill * (count.input - count.cached)


def _pieces(body: dict[str, Any]) -> list[bytes]:
    head = [body.get("model"), body.get("tools"), body.get("instructions")]
    return [msgspec.json.encode(piece) for piece in (*head, *body["input"])]


def _tokens(pieces: list[bytes]) -> int:
    return sum(len(piece) for piece in pieces) // _CHARACTERS_A_TOKEN

"""What a body costs: the time per byte does not grow with the body, whatever is in it, up to the default of PROXY_MAX_BODY_MB.

Time of this thread is measured, not of the clock, so that others on the machine count little; a checker that is
quadratic is 64 times as dear per byte at the third size as at the first.
"""

import time
from collections.abc import Callable

import pytest

from codex_proxy.codex import tools
from codex_proxy.dialects.chat import request as chat_request
from codex_proxy.dialects.responses import request as responses_request
from codex_proxy.errors import ProxyError
from codex_proxy.settings import Settings
from codex_proxy.wish import Wish
from tests.cost.worst_bodies import BODIES

_SIZES = (8 * 1024, 64 * 1024, 512 * 1024)  # bytes
_LARGEST = Settings().max_body_mb * 1024 * 1024  # for what no bound of another kind ends before
_LONG_TEXT = 6  # bytes a repetition, at the most: of what is one text
_GROWTH = 6  # times as dear per byte, at the most: a linear checker has 1 and some noise, and its caches are left behind
_FLOOR = 40e-9  # seconds a byte that are not looked at: memory itself takes a few
_DEAREST = 6e-6  # seconds a byte, of whatever is in it
_AGAIN = 4  # measures more of what seems dear, the least of which counts: caches that others empty cost this thread time too


def _chat(raw: bytes) -> Wish:
    return chat_request.decode(raw).wish


def _responses(raw: bytes) -> Wish:
    return responses_request.decode(raw).continuing(()).wish


@pytest.mark.parametrize("decode", [_chat, _responses])
@pytest.mark.parametrize("name", BODIES)
def test_the_time_for_a_byte_does_not_grow_with_the_body(name: str, decode: Callable[[bytes], Wish]) -> None:
    grow, step = BODIES[name]
    sizes = (*_SIZES, _LARGEST) if step <= _LONG_TEXT else _SIZES
    bodies = [grow(size // step) for size in sizes]
    costs = [_cost(body, decode) for body in bodies]
    for _ in range(_AGAIN):
        if _are_even(costs):
            break
        costs = [min(cost, _cost(body, decode)) for cost, body in zip(costs, bodies, strict=True)]
    assert _are_even(costs), [f"{cost * 1e9:.0f} ns" for cost in costs]


def _are_even(costs: list[float]) -> bool:
    return max(costs) < min(max(_FLOOR, costs[0]) * _GROWTH, _DEAREST)


def _cost(raw: bytes, decode: Callable[[bytes], Wish]) -> float:
    """Seconds a byte."""
    began = time.thread_time()
    try:
        tools.check(decode(raw).tools, "chat")
    except ProxyError as error:
        refusal = error.message + (error.param or "")
    else:
        refusal = ""
    cost = (time.thread_time() - began) / len(raw)
    assert len(refusal) < 2000, "it repeats what it refuses"
    return cost

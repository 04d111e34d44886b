"""A program of the tests: ten clients that send the worst bodies that we know of to a server, as fast as it answers.

    python -m tests.cost.attack http://127.0.0.1:PORT SECONDS

Prints how many answers of which status there were, as JSON.
"""

import asyncio
import gzip
import itertools
import json
import sys
from collections import Counter
from collections.abc import AsyncIterator

import aiohttp

_CLIENTS = 10
_MB = 1024 * 1024
_CHAT, _RESPONSES = "chat/completions", "responses"


def _bodies() -> list[tuple[str, bytes, bool]]:
    """Route, body, and whether it is compressed."""
    user = {"role": "user", "content": "x"}
    names = [f"name_{number}" for number in range(40_000)]
    strict = {
        "type": "object",
        "properties": {name: {"type": "string"} for name in names},
        "required": names[::-1],
        "additionalProperties": False,
    }
    calls = [{"id": name, "type": "function", "function": {"name": "f", "arguments": "{}"}} for name in names[:9_000]]
    results = [{"role": "tool", "tool_call_id": name, "content": "x"} for name in names[8_999::-1]]
    empty = b'{"messages":[' + b"{}," * (10 * _MB) + b"{}]}"
    repeated = json.dumps({"messages": [user | {"content": f"{number} " * 20} for number in range(60_000)]}).encode()
    form = {"type": "json_schema", "json_schema": {"name": "n", "strict": True, "schema": strict}}

    def tool(parameters: str) -> bytes:
        function = '"type":"function","function":{"name":"f","parameters":' + parameters + "}"
        return ('{"messages":[{"role":"user","content":"x"}],"tools":[{' + function + "}]}").encode()

    plain = [
        (_CHAT, json.dumps({"messages": [user], "response_format": form}).encode()),
        (_CHAT, json.dumps({"messages": [{"role": "assistant", "tool_calls": calls}, *results, user]}).encode()),
        (_CHAT, json.dumps({"messages": [user] * 50_000}).encode()),
        (_CHAT, tool('{"a":' * 130 + "1" + "}" * 130)),
        (_CHAT, tool('{"maximum":18446744073709551616}')),
        (_CHAT, json.dumps({"messages": [user | {"content": "x" * 2 * _MB}, user]}).encode()),
        (_CHAT, json.dumps({"messages": [user | {"content": "\n" * _MB}, user]}).encode()),
        (_RESPONSES, json.dumps({"input": [user | {"content": "x" * 2 * _MB}, user]}).encode()),
        (_RESPONSES, json.dumps({"input": [user] * 19_000}).encode()),
        (_CHAT, empty),
    ]
    return [
        *((route, body, False) for route, body in plain),
        (_CHAT, gzip.compress(empty, 9), True),
        (_RESPONSES, gzip.compress(json.dumps({"input": [user] * 19_000}).encode()), True),
        (_CHAT, gzip.compress(repeated), True),
    ]


async def _client(http: aiohttp.ClientSession, base_url: str, first: int, until: float, statuses: Counter[str]) -> None:
    for number in itertools.count(first):
        if asyncio.get_running_loop().time() >= until:
            return
        route, body, compressed = _BODIES[number % len(_BODIES)]
        headers = {"Content-Type": "application/json"} | ({"Content-Encoding": "gzip"} if compressed else {})
        try:
            async with http.post(f"{base_url}/v1/{route}", data=_pieces(body), headers=headers) as answer:
                await answer.read()
                statuses[str(answer.status)] += 1
        except (aiohttp.ClientError, TimeoutError, ConnectionError) as error:
            statuses[type(error).__name__] += 1


async def _pieces(body: bytes) -> AsyncIterator[bytes]:
    for start in range(0, len(body), 262_144):
        yield body[start : start + 262_144]


async def main(base_url: str, seconds: float) -> None:
    statuses = Counter[str]()
    until = asyncio.get_running_loop().time() + seconds
    timeout = aiohttp.ClientTimeout(seconds)
    async with aiohttp.ClientSession(timeout=timeout) as http, asyncio.TaskGroup() as group:
        for first in range(_CLIENTS):
            group.create_task(_client(http, base_url, first, until, statuses))
    print(json.dumps(statuses))


_BODIES = _bodies()
if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], float(sys.argv[2])))

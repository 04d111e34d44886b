"""Reading a stream of chat chunks, as a plain HTTP client would."""

from typing import Any

import aiohttp
import msgspec


async def chunks_of(response: aiohttp.ClientResponse) -> tuple[list[dict[str, Any]], bool]:
    """All data frames as JSON, and whether [DONE] came last. Asserts that the answer is a stream."""
    assert response.status == 200, await response.text()
    assert response.content_type == "text/event-stream"
    found: list[dict[str, Any]] = []
    done = False
    async for line in response.content:
        assert not done or line == b"\n"
        if line == b"data: [DONE]\n":
            done = True
        elif line.startswith(b"data: "):
            found.append(msgspec.json.decode(line[6:]))
    return found, done


def content_of(chunks: list[dict[str, Any]]) -> str:
    """The answer's text."""
    deltas = [choice["delta"] for chunk in chunks for choice in chunk["choices"]]
    return "".join(delta.get("content") or "" for delta in deltas)

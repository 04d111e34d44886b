"""Our answers held against the OpenAI SDK's own types: the SDK itself takes anything, and leaves out what is missing."""

from collections.abc import AsyncIterator
from typing import Any, get_args

import msgspec
from openai import AsyncOpenAI
from openai.types.chat import ChatCompletion, ChatCompletionChunk
from openai.types.responses import Response, ResponseStreamEvent

# The union's members by their type: validated against the union, an event would have an error for each of its sixty members.
_EVENTS = {get_args(kind.model_fields["type"].annotation)[0]: kind for kind in get_args(get_args(ResponseStreamEvent)[0])}
_FRAME = "data: "


async def response(client: AsyncOpenAI, **request: Any) -> Response:  # Any: the request's members, checked by the SDK
    """POST /v1/responses. Raises pydantic.ValidationError when a member is missing or of a wrong type."""
    raw = await client.responses.with_raw_response.create(**request)
    return Response.model_validate_json(raw.text)


async def events(client: AsyncOpenAI, **request: Any) -> list[ResponseStreamEvent]:  # Any: as above
    """The same as a stream: all its events, each of the type that it names, numbered from 0 without gaps."""
    found: list[ResponseStreamEvent] = []
    async with client.responses.with_streaming_response.create(**request, stream=True) as raw:
        async for frame in _frames(raw.iter_lines()):
            found.append(_EVENTS[msgspec.json.decode(frame)["type"]].model_validate_json(frame))
    assert [event.sequence_number for event in found] == list(range(len(found)))
    return found


async def completion(client: AsyncOpenAI, **request: Any) -> ChatCompletion:  # Any: as above
    """POST /v1/chat/completions. Raises pydantic.ValidationError when a member is missing or of a wrong type."""
    raw = await client.chat.completions.with_raw_response.create(**request)
    return ChatCompletion.model_validate_json(raw.text)


async def chunks(client: AsyncOpenAI, **request: Any) -> list[ChatCompletionChunk]:  # Any: as above
    """The same as a stream, which ends with [DONE]."""
    async with client.chat.completions.with_streaming_response.create(**request, stream=True) as raw:
        *found, done = [frame async for frame in _frames(raw.iter_lines())]
    assert done == "[DONE]"
    return [ChatCompletionChunk.model_validate_json(frame) for frame in found]


async def _frames(lines: AsyncIterator[str]) -> AsyncIterator[str]:
    async for line in lines:
        if line.startswith(_FRAME):
            yield line.removeprefix(_FRAME)

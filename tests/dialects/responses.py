"""One turn as a Responses stream: its events as a client reads them, and the output that they add up to."""

from typing import Any

import msgspec

from codex_proxy.dialects.responses.events import StreamEvent
from codex_proxy.dialects.responses.objects import ReasoningEcho, Response, TextEcho
from codex_proxy.dialects.responses.stream import ResponsesStream
from tests.dialects.well_formed import Json, as_json
from tests.support.transcripts import Transcript

BLANK = Response(
    id="resp_1",
    created_at=1,
    status="in_progress",
    model="m",
    reasoning=ReasoningEcho("medium", "auto"),
    text=TextEcho({"type": "text"}),
    tool_choice="auto",
    tools=[],
)
NOW = 2


def stream_of(*, max_output_tokens: int | None = None, **options: Any) -> ResponsesStream:  # Any: options of ResponsesStream
    return ResponsesStream(msgspec.structs.replace(BLANK, max_output_tokens=max_output_tokens), **options)


def events_of(transcript: Transcript, **options: Any) -> list[Json]:  # Any: as in stream_of
    stream = stream_of(**options)
    told: list[StreamEvent] = stream.first()
    for event in transcript:
        told += stream.feed(event, NOW)
    return as_json(told)


def output_of(transcript: Transcript, **options: Any) -> list[Json]:  # Any: as in stream_of
    output: list[Json] = events_of(transcript, **options)[-1]["response"]["output"]
    return output

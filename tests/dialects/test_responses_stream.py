"""Transcript in, exact events out: what a client of the Responses API sees of a turn."""

import msgspec
import pytest

from codex_proxy.dialects.responses.item_ids import of_input, of_output, of_reasoning, providers, response_of
from codex_proxy.dialects.responses.stream import ResponsesStream
from codex_proxy.errors import RateLimited
from codex_proxy.turns import (
    MessageCompleted,
    MessageDelta,
    MessageStarted,
    ReasoningDelta,
    ReasoningStarted,
    ToolCalled,
    TurnCompleted,
    TurnEvent,
    TurnFailed,
    TurnStarted,
    Waiting,
)
from tests.dialects.responses import BLANK, NOW, events_of, output_of, stream_of
from tests.dialects.well_formed import Json, as_json, check_stream
from tests.support import transcripts
from tests.support.transcripts import BROKE_OFF, USAGE, completed, message

_USAGE = {
    "input_tokens": 100,
    "input_tokens_details": {"cached_tokens": 40, "cache_write_tokens": 0},
    "output_tokens": 20,
    "output_tokens_details": {"reasoning_tokens": 7},
    "total_tokens": 120,
}


def _message_lines(index: int, *pieces: str, name: str = "m1", status: str = "completed") -> list[str]:
    return [
        f"{index} output_item.added msg_1_{index} in_progress",
        f"{index}.0 content_part.added ''",
        *(f"{index}.0 output_text.delta {piece!r}" for piece in pieces),
        f"{index}.0 output_text.done {''.join(pieces)!r}",
        f"{index}.0 content_part.done {''.join(pieces)!r}",
        f"{index} output_item.done msg_1_{index} {status}",
    ]


def _part_lines(place: str, *pieces: str) -> list[str]:
    return [
        f"{place} reasoning_summary_part.added ''",
        *(f"{place} reasoning_summary_text.delta {piece!r}" for piece in pieces),
        f"{place} reasoning_summary_text.done {''.join(pieces)!r}",
        f"{place} reasoning_summary_part.done {''.join(pieces)!r}",
    ]


def _reasoning_lines(index: int, name: str, *parts: tuple[str, ...]) -> list[str]:
    told = [line for number, pieces in enumerate(parts) for line in _part_lines(f"{index}.{number}", *pieces)]
    item = f"rs_1_{index}_{name}"
    return [f"{index} output_item.added {item}", *told, f"{index} output_item.done {item}"]


def _begun_lines(index: int, arguments: str) -> list[str]:
    return [
        f"{index} output_item.added mcp_1_{index} in_progress",
        f"{index} mcp_call.in_progress",
        f"{index} mcp_call_arguments.delta {arguments!r}",
        f"{index} mcp_call_arguments.done {arguments!r}",
    ]


def _ended_lines(index: int, status: str = "completed") -> list[str]:
    event = "completed" if status == "completed" else "failed"
    return [f"{index} mcp_call.{event}", f"{index} output_item.done mcp_1_{index} {status}"]


def _call_lines(index: int, arguments: str) -> list[str]:
    return [
        f"{index} output_item.added fc_1_{index} in_progress",
        f"{index} function_call_arguments.delta {arguments!r}",
        f"{index} function_call_arguments.done {arguments!r}",
        f"{index} output_item.done fc_1_{index} completed",
    ]


_LS = (_begun_lines(0, r'{"command":"ls  -l\n"}'), _ended_lines(0))
_EDITS = '{"changes":[{"path":"src/a.py","kind":"add","diff":"x\\n"},{"path":"src/b.py","kind":"delete","diff":""}]}'
_STEPS = (
    '{"plan":[{"step":"Look around","status":"completed"},{"step":"Act","status":"in_progress"},'
    '{"step":"Rest","status":"pending"}]}'
)
_BERN = '{"city":"Bern"}'

# All lines but the first two, which are the same for all.
_SEEN: dict[str, list[str]] = {
    "PLAIN": [*_message_lines(0, "Hello ", "there."), "completed"],
    "EMPTY": ["completed"],
    "REASONING": [
        *_reasoning_lines(0, "r1", ("**Looking", " around**"), ("**Acting**",)),
        *_message_lines(1, "Done."),
        "completed",
    ],
    "REASONING_TWICE": [
        *_reasoning_lines(0, "r1", ("One.",)),
        *_reasoning_lines(1, "r2", ("Two.",)),
        *_message_lines(2, "Done."),
        "completed",
    ],
    "RAW_REASONING": [
        "0 output_item.added rs_1_0_r1",
        "0.0 content_part.added ''",
        "0.0 reasoning_text.delta 'hm'",
        *_part_lines("0.0", "Hm."),
        "0.0 reasoning_text.done 'hm'",
        "0.0 content_part.done 'hm'",
        "0 output_item.done rs_1_0_r1",
        *_message_lines(1, "Done."),
        "completed",
    ],
    "COMMENTARY": [*_message_lines(0, "I will ", "look."), *_message_lines(1, "Done.", name="m2"), "completed"],
    "COMMAND": [
        *_reasoning_lines(0, "r1", ("**Looking**",)),
        *_begun_lines(1, r'{"command":"ls  -l\n"}'),
        *_ended_lines(1),
        *_message_lines(2, "Two files."),
        "completed",
    ],
    "COMMAND_FAILED": [
        *_begun_lines(0, '{"command":"false"}'),
        *_ended_lines(0, "failed"),
        *_message_lines(1, "No."),
        "completed",
    ],
    "TWO_COMMANDS": [
        *_LS[0],
        *_LS[1],
        *_begun_lines(1, '{"command":"pwd"}'),
        *_ended_lines(1),
        *_message_lines(2, "Done."),
        "completed",
    ],
    "OVERLAPPING_COMMANDS": [
        *_LS[0],
        *_begun_lines(1, '{"command":"pwd"}'),
        *_LS[1],
        *_ended_lines(1),
        *_message_lines(2, "Done."),
        "completed",
    ],
    "PATCH": [*_begun_lines(0, _EDITS), *_ended_lines(0), *_message_lines(1, "Changed."), "completed"],
    "PATCH_FAILED": [*_begun_lines(0, _EDITS), *_ended_lines(0, "failed"), *_message_lines(1, "No."), "completed"],
    "MCP": [*_begun_lines(0, _BERN), *_ended_lines(0), *_message_lines(1, "Noon."), "completed"],
    "MCP_FAILED": [*_begun_lines(0, _BERN), *_ended_lines(0, "failed"), *_message_lines(1, "No."), "completed"],
    "SEARCH": [
        "0 output_item.added ws_1_0 in_progress",
        "0 web_search_call.in_progress",
        "0 web_search_call.searching",
        "0 web_search_call.completed",
        "0 output_item.done ws_1_0 completed",
        *_message_lines(1, "Found."),
        "completed",
    ],
    "PLAN": [
        *_begun_lines(0, _STEPS),
        *_ended_lines(0),
        *_message_lines(1, "Planned."),
        "completed",
    ],
    "CALL": [*_call_lines(0, '{"city": "Rome"}'), "completed"],
    "TWO_CALLS": [
        *_message_lines(0, "Let me see."),
        *_call_lines(1, '{"city": "Rome"}'),
        *_call_lines(2, "{}"),
        "completed",
    ],
    "TWO_MESSAGES": [*_message_lines(0, "One."), *_message_lines(1, "Two", ".", name="m2"), "completed"],
    "THINKING_AFTER_WORK": [
        *_LS[0],
        *_LS[1],
        *_reasoning_lines(1, "r1", ("Hm.",)),
        *_message_lines(2, "Done."),
        "completed",
    ],
    "FAILED_FIRST": ["failed"],
    "FAILED_BEFORE_TEXT": [*_reasoning_lines(0, "r1", ("Hm.",)), "failed"],
    "FAILED_IN_THE_MIDDLE": [*_message_lines(0, "Hel", "lo", status="incomplete"), "failed"],
    "FAILED_IN_A_COMMAND": [*_LS[0], *_ended_lines(0, "incomplete"), "failed"],
    "INTERRUPTED": [*_message_lines(0, "Hello ", status="incomplete"), "cancelled"],
    "WITHOUT_USAGE": [*_message_lines(0, "Hello ", "there."), "completed"],
}


@pytest.mark.parametrize("name", transcripts.ALL)
def test_a_transcript_becomes_exactly_these_events(name: str) -> None:
    events = events_of(transcripts.ALL[name])
    check_stream(events)
    assert [_line(event) for event in events] == ["created", "in_progress", *_SEEN[name]]


def test_every_transcript_is_in_the_table() -> None:
    assert set(_SEEN) == set(transcripts.ALL)


def test_every_member_of_the_events_of_a_plain_answer() -> None:
    part = {"type": "output_text", "text": "", "annotations": [], "logprobs": []}
    item = {"type": "message", "id": "msg_1_0", "status": "in_progress", "role": "assistant", "content": []}
    whole = part | {"text": "Hello there."}
    where = {"item_id": "msg_1_0", "output_index": 0, "content_index": 0}
    done = item | {"status": "completed", "content": [whole]}
    begun = msgspec.json.decode(msgspec.json.encode(BLANK))
    ended = begun | {"status": "completed", "completed_at": NOW, "output": [done], "usage": _USAGE}
    expected: list[Json] = [
        {"type": "response.created", "response": begun},
        {"type": "response.in_progress", "response": begun},
        {"type": "response.output_item.added", "output_index": 0, "item": item},
        {"type": "response.content_part.added", "part": part} | where,
        {"type": "response.output_text.delta", "delta": "Hello ", "logprobs": []} | where,
        {"type": "response.output_text.delta", "delta": "there.", "logprobs": []} | where,
        {"type": "response.output_text.done", "text": "Hello there.", "logprobs": []} | where,
        {"type": "response.content_part.done", "part": whole} | where,
        {"type": "response.output_item.done", "output_index": 0, "item": done},
        {"type": "response.completed", "response": ended},
    ]
    assert events_of(transcripts.ALL["PLAIN"]) == [event | {"sequence_number": n} for n, event in enumerate(expected)]


def test_the_response_has_every_key_that_open_responses_requires() -> None:
    ended = events_of(transcripts.ALL["PLAIN"])[-1]["response"]
    del ended["output"], ended["usage"]
    assert ended == {
        "id": "resp_1",
        "object": "response",
        "created_at": 1,
        "completed_at": NOW,
        "status": "completed",
        "background": False,
        "error": None,
        "incomplete_details": None,
        "instructions": None,
        "max_output_tokens": None,
        "max_tool_calls": None,
        "model": "m",
        "parallel_tool_calls": True,
        "previous_response_id": None,
        "prompt_cache_key": None,
        "reasoning": {"effort": "medium", "summary": "auto"},
        "safety_identifier": None,
        "service_tier": "default",
        "store": False,
        "temperature": 1.0,
        "text": {"format": {"type": "text"}},
        "tool_choice": "auto",
        "tools": [],
        "top_logprobs": 0,
        "top_p": 1.0,
        "presence_penalty": 0.0,
        "frequency_penalty": 0.0,
        "truncation": "disabled",
        "metadata": {},
    }


def test_encrypted_reasoning_is_given_only_to_whom_it_was_asked_by() -> None:
    reasoning = {
        "type": "reasoning",
        "id": "rs_1_0_r1",
        "summary": [{"type": "summary_text", "text": text} for text in ("**Looking around**", "**Acting**")],
    }
    transcript = transcripts.ALL["REASONING"]
    assert output_of(transcript)[0] == reasoning
    assert output_of(transcript, show_encrypted=True)[0] == reasoning | {"encrypted_content": "ENC"}
    assert output_of(transcript, show_encrypted=True, show_reasoning=False)[0] == reasoning | {
        "summary": [],
        "encrypted_content": "ENC",
    }


def test_reasoning_that_comes_without_an_encrypted_form_has_no_null_for_it() -> None:
    assert "encrypted_content" not in output_of(transcripts.ALL["REASONING_TWICE"], show_encrypted=True)[0]


def test_raw_reasoning_is_the_content_of_the_item() -> None:
    assert output_of(transcripts.ALL["RAW_REASONING"])[0] == {
        "type": "reasoning",
        "id": "rs_1_0_r1",
        "summary": [{"type": "summary_text", "text": "Hm."}],
        "content": [{"type": "reasoning_text", "text": "hm"}],
    }


def test_the_phase_of_a_message_is_told_where_the_model_told_it() -> None:
    assert [item["phase"] for item in output_of(transcripts.ALL["COMMENTARY"])] == ["commentary", "final_answer"]
    assert "phase" not in output_of(transcripts.ALL["PLAIN"])[0]


_AGENTS = {"server_label": "codex", "approval_request_id": None, "type": "mcp_call", "error": None, "output": None}


@pytest.mark.parametrize(
    ("name", "item"),
    [
        ("COMMAND", {"id": "mcp_1_1", "name": "shell", "arguments": r'{"command":"ls  -l\n"}', "output": "one\ntwo\n"}),
        (
            "COMMAND_FAILED",
            {"id": "mcp_1_0", "name": "shell", "arguments": '{"command":"false"}', "output": "", "error": "exit code 1"},
        ),
        ("PATCH", {"id": "mcp_1_0", "name": "apply_patch", "arguments": _EDITS}),
        ("PATCH_FAILED", {"id": "mcp_1_0", "name": "apply_patch", "arguments": _EDITS, "error": "the patch was not applied"}),
        ("MCP", {"id": "mcp_1_0", "name": "clock.time_in", "arguments": _BERN, "output": '{"content":[]}'}),
        ("MCP_FAILED", {"id": "mcp_1_0", "name": "clock.time_in", "arguments": _BERN, "error": "timed out"}),
        ("PLAN", {"id": "mcp_1_0", "name": "update_plan", "arguments": _STEPS}),
        (
            "FAILED_IN_A_COMMAND",
            {"id": "mcp_1_0", "name": "shell", "arguments": r'{"command":"ls  -l\n"}', "output": "", "status": "incomplete"},
        ),
    ],
)
def test_what_the_agent_did_is_a_call_of_the_server_codex(name: str, item: Json) -> None:
    status = "failed" if "error" in item else item.get("status", "completed")
    problem = item.get("error") and {"type": "mcp_tool_execution_error", "content": [{"type": "text", "text": item["error"]}]}
    (told,) = (told for told in output_of(transcripts.ALL[name]) if told["type"] == "mcp_call")
    assert told == _AGENTS | item | {"status": status, "error": problem}


def test_a_web_search_is_an_item_of_its_own_with_what_was_searched_in_the_end() -> None:
    assert output_of(transcripts.ALL["SEARCH"])[0] == {
        "type": "web_search_call",
        "id": "ws_1_0",
        "status": "completed",
        "action": {"type": "search", "query": "codex proxy"},
    }


def test_calls_of_the_clients_tools_have_their_call_id_and_their_namespace() -> None:
    weather, time = output_of(transcripts.ALL["TWO_CALLS"])[1:]
    assert weather == {
        "type": "function_call",
        "id": "fc_1_1",
        "call_id": "call_w",
        "name": "get_weather",
        "arguments": '{"city": "Rome"}',
        "status": "completed",
    }
    assert (time["call_id"], time["name"], time["namespace"]) == ("call_t", "get_time", "clock")


def test_a_call_of_a_freeform_tool_is_a_custom_tool_call() -> None:
    transcript = completed((ToolCalled("call_1", "write", "plain\ntext"),))
    events = events_of(transcript, freeform_tools=frozenset(((None, "write"),)))
    check_stream(events)
    assert [_line(event) for event in events[2:]] == [
        "0 output_item.added ctc_1_0 in_progress",
        "0 custom_tool_call_input.delta 'plain\\ntext'",
        "0 custom_tool_call_input.done 'plain\\ntext'",
        "0 output_item.done ctc_1_0 completed",
        "completed",
    ]
    assert events[-1]["response"]["output"] == [
        {
            "type": "custom_tool_call",
            "id": "ctc_1_0",
            "call_id": "call_1",
            "name": "write",
            "input": "plain\ntext",
            "status": "completed",
        }
    ]


@pytest.mark.parametrize("name", transcripts.ALL)
def test_hidden_reasoning_leaves_every_other_item(name: str) -> None:
    transcript = transcripts.ALL[name]
    rest = [item for item in output_of(transcript) if item["type"] != "reasoning"]
    assert _nameless(output_of(transcript, show_reasoning=False)) == _nameless(rest)


@pytest.mark.parametrize("name", transcripts.ALL)
def test_hidden_activity_leaves_every_other_item(name: str) -> None:
    transcript = transcripts.ALL[name]
    rest = [item | {"id": ""} for item in output_of(transcript) if item["type"] not in ("mcp_call", "web_search_call")]
    assert [item | {"id": ""} for item in output_of(transcript, show_activity=False)] == rest


def test_usage_is_null_when_codex_told_none() -> None:
    assert events_of(transcripts.ALL["WITHOUT_USAGE"])[-1]["response"]["usage"] is None
    assert events_of(transcripts.ALL["FAILED_FIRST"])[-1]["response"]["usage"] is None
    assert events_of(transcripts.ALL["FAILED_BEFORE_TEXT"])[-1]["response"]["usage"] == _USAGE


def test_a_failed_turn_says_why_and_nothing_of_the_inside() -> None:
    for error, code in ((BROKE_OFF, "server_error"), (RateLimited("Too many."), "rate_limit_exceeded")):
        stream = stream_of()
        last = as_json(stream.feed(TurnFailed(error), NOW))[-1]
        assert last["response"]["error"] == {"code": code, "message": error.message}
        assert (last["response"]["status"], last["response"]["completed_at"]) == ("failed", None)
        assert stream.failure is error
        assert "9912" not in str(last)


def test_max_output_tokens_end_the_answer_and_have_the_turn_interrupted() -> None:
    stream = stream_of(max_output_tokens=1)
    told = as_json(stream.first())
    fed = []
    for event in transcripts.ALL["PLAIN"][:4]:
        assert not stream.enough
        fed = as_json(stream.feed(event, NOW))
        told += fed
    assert (fed, stream.enough) == ([], True)
    for late in (MessageDelta("m1", " More."), MessageStarted("m2", None), MessageDelta("m2", "x"), MessageCompleted("m2", "x")):
        assert stream.feed(late, NOW) == []
    told += as_json(stream.feed(TurnCompleted(USAGE, interrupted=True), NOW))
    check_stream(told)
    assert [_line(event) for event in told[2:]] == [*_message_lines(0, "Hello ", status="incomplete"), "incomplete"]
    ended = told[-1]["response"]
    assert (ended["incomplete_details"], ended["completed_at"]) == ({"reason": "max_output_tokens"}, None)
    assert ended["usage"] == _USAGE


def test_an_answer_of_just_as_many_tokens_is_complete() -> None:
    events = events_of(transcripts.ALL["PLAIN"], max_output_tokens=2)
    assert [_line(event) for event in events[2:]] == _SEEN["PLAIN"]


def test_a_turn_that_fails_while_it_is_interrupted_for_its_length_is_incomplete() -> None:
    transcript = (*transcripts.ALL["PLAIN"][:4], TurnFailed(BROKE_OFF, USAGE))
    stream = stream_of(max_output_tokens=1)
    events = [event for fed in transcript for event in stream.feed(fed, NOW)]
    assert as_json(events)[-1]["type"] == "response.incomplete"
    assert stream.failure is None


def test_a_message_that_was_whole_before_the_tokens_ran_out_is_complete() -> None:
    transcript = (
        TurnStarted(),
        *(MessageStarted("m1", None), MessageDelta("m1", "One.")),
        *(MessageStarted("m2", None), MessageDelta("m2", "Two.")),  # one too many
        MessageCompleted("m1", "One."),
        TurnCompleted(USAGE, interrupted=True),
    )
    statuses = {item["id"]: item["status"] for item in output_of(transcript, max_output_tokens=1)}
    assert statuses == {"msg_1_0": "completed", "msg_1_1": "incomplete"}


def test_a_stream_tells_what_it_waits_for_as_a_call_that_is_over() -> None:
    plain = transcripts.ALL["PLAIN"]
    waits = (Waiting("worker"), TurnStarted(), Waiting("provider"), *plain[1:])
    [first, second, message] = output_of(waits, show_waiting=True)
    assert (first["type"], first["name"], first["status"]) == ("mcp_call", "wait", "completed")
    assert [msgspec.json.decode(item["arguments"])["for"] for item in (first, second)] == [
        "a free worker",
        "the model provider, which failed and is asked again",
    ]
    assert message["type"] == "message"
    for options in ({}, {"show_waiting": True, "show_activity": False}):
        assert output_of(waits, **options) == output_of(plain)


def test_only_waiting_is_known_from_everything_else_and_leaves_a_queued_response_queued() -> None:
    stream = stream_of(show_waiting=True)
    fed: list[tuple[TurnEvent, bool]] = [
        (Waiting("worker"), True),
        (TurnStarted(), True),
        (Waiting("provider"), True),
        (TurnFailed(BROKE_OFF), False),
    ]
    for event, only_waits in fed:
        stream.feed(event, NOW)
        assert stream.only_waits is only_waits
    queued = ResponsesStream(msgspec.structs.replace(BLANK, status="queued"), show_waiting=True)
    assert queued.feed(Waiting("worker"), NOW) == []
    assert queued.response.status == "queued"
    queued.cancel(NOW)
    assert not queued.only_waits  # its reader waits for no more


def test_reasoning_and_work_do_not_count_as_tokens_of_the_answer() -> None:
    for name in ("REASONING", "COMMAND", "PLAN"):
        assert events_of(transcripts.ALL[name], max_output_tokens=1)[-1]["type"] == "response.completed"


def test_reasoning_without_a_beginning_or_an_end_is_an_item_all_the_same() -> None:
    transcript = completed((ReasoningDelta("r1", 3, "Hm."), ReasoningStarted("r2")))
    events = events_of(transcript)
    check_stream(events)
    assert [_line(event) for event in events[2:]] == [
        "0 output_item.added rs_1_0_r1",
        "0.0 reasoning_summary_part.added ''",
        "0.0 reasoning_summary_text.delta 'Hm.'",
        "1 output_item.added rs_1_1_r2",
        "0.0 reasoning_summary_text.done 'Hm.'",
        "0.0 reasoning_summary_part.done 'Hm.'",
        "0 output_item.done rs_1_0_r1",
        "1 output_item.done rs_1_1_r2",
        "completed",
    ]


def test_an_id_says_which_response_it_is_of_and_where_it_stands() -> None:
    transcript = completed(transcripts.reasoning("rs_7", ("x",)), message("msg_8", "y"))
    assert [item["id"] for item in output_of(transcript)] == ["rs_1_0_7", "msg_1_1"]
    name = f"resp_{'0a' * 16}"
    assert {response_of(of_output("msg", name, 12)), response_of(of_input("item", name, 0))} == {name}
    thought = of_reasoning(name, 3, "rs_x_1")
    assert (response_of(thought), providers(thought)) == (name, "rs_x_1")
    assert [providers(theirs) for theirs in ("", "rs_x", of_output("rs", name, 1))] == ["", "rs_x", of_output("rs", name, 1)]
    for other in ("msg_1", "rs_0a0a", of_output("MSG", name, 1), of_output("msg", name, -1), "msg_" + "0a" * 16, ""):
        assert response_of(other) is None


def _nameless(items: list[Json]) -> list[Json]:
    """Without the ids, where a plan has its index."""
    return [{name: value for name, value in item.items() if name != "id"} for item in items]


def _line(event: Json) -> str:
    """An event in short: where it belongs, its type, what is new."""
    kind = event["type"].removeprefix("response.")
    if "response" in event:
        return kind if kind == "created" else str(event["response"]["status"])
    if item := event.get("item"):
        return " ".join([str(event["output_index"]), kind, item["id"], *([item["status"]] if "status" in item else [])])
    inner = event.get("content_index", event.get("summary_index"))
    place = str(event["output_index"]) if inner is None else f"{event['output_index']}.{inner}"
    news = next((event[name] for name in ("delta", "text", "arguments", "input") if name in event), None)
    news = event["part"]["text"] if "part" in event else news
    return f"{place} {kind}" if news is None else f"{place} {kind} {news!r}"

"""The Responses API over a WebSocket as the official SDK uses it (`responses.connect`), on the real CLI."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest
from openai import AsyncOpenAI
from openai.resources.responses.responses import AsyncResponsesConnection
from openai.types.responses import responses_server_event
from websockets.exceptions import ConnectionClosed

from codex_proxy.demo.home import Home
from codex_proxy.demo.model import ModelServer
from codex_proxy.demo.steps import Call, Fail, ModelRequest, Say, Step, Think, words
from tests.conftest import Proxy, ended, process_with
from tests.support.exchange import HELLO, TEXT, messages_in, think_and_answer

MODEL = "gpt-5.5 chat"
_LAST = ("response.completed", "response.incomplete", "response.failed", "error")


async def told(connection: AsyncResponsesConnection, stream_id: str | None = None) -> list[Any]:  # Any: the SDK's events
    """The events of a lane up to the end of a response, numbered without gaps."""
    found: list[Any] = []
    async with asyncio.timeout(20):
        while not found or found[-1].type not in _LAST:
            raw = await connection.recv_bytes()
            event = connection.parse_event(raw)
            assert getattr(event, "stream_id", None) == stream_id
            found.append(event)
    if found[-1].type != "error":
        assert [event.sequence_number for event in found] == list(range(len(found)))
    return found


async def answered(connection: AsyncResponsesConnection, **request: Any) -> Any:  # Any: the request's members; a response
    """The response to a request, which is completed."""
    await connection.response.create(model=MODEL, **request)
    last = (await told(connection, request.get("stream_id")))[-1]
    assert last.type == "response.completed", last
    return last.response


@pytest.mark.parametrize("stored", [True, False])
async def test_a_conversation_goes_on_by_previous_response_id(client: AsyncOpenAI, model: ModelServer, stored: bool) -> None:
    async with client.responses.connect() as connection:
        first = await answered(connection, input="Which colour has the sky?", store=stored)
        assert first.output_text == HELLO
        model.script = think_and_answer
        second = await answered(connection, input="And the sea?", previous_response_id=first.id, store=stored)
        assert (second.output_text, second.previous_response_id) == (TEXT, first.id)
        third = await answered(connection, input="And the sun?", previous_response_id=second.id, store=stored)
        fork = await answered(connection, input="And the moon?", previous_response_id=first.id, store=stored)
    said = [[text for role, text in messages_in(request) if role != "developer"] for request in model.requests]
    assert said[2] == ["Which colour has the sky?", HELLO, "And the sea?", TEXT, "And the sun?"]
    assert said[3] == ["Which colour has the sky?", HELLO, "And the moon?"]
    assert third.id != fork.id
    kept = (await client.responses.with_raw_response.retrieve(first.id)).status_code if stored else None
    assert kept == (200 if stored else None)


async def test_items_of_what_is_not_stored_can_be_named_on_their_socket(client: AsyncOpenAI, model: ModelServer) -> None:
    async def script(request: ModelRequest) -> AsyncIterator[Step]:
        yield Think(("**Thinking**",), encrypted="gAAA")
        yield Say(words("Blue."))

    model.script = script
    async with client.responses.connect() as connection:
        first = await answered(connection, input="Which colour has the sky?", store=False)
        references: Any = [{"type": "item_reference", "id": item.id} for item in first.output]
        asked: Any = {"input": [*references, {"role": "user", "content": "And the sea?"}], "store": False}
        await answered(connection, **asked)
        assert [item.get("encrypted_content") for item in model.requests[-1].input if item["type"] == "reasoning"] == ["gAAA"]
        assert [text for role, text in messages_in(model.requests[-1]) if role == "assistant"] == ["Blue."]
        async with client.responses.connect() as other:
            await other.response.create(model=MODEL, **asked)
            error = (await told(other))[-1]
            assert (error.status, error.error.param) == (404, "input")
            assert error.error.message.startswith(f"Item with id '{first.output[0].id}' not found.")


async def test_what_is_not_stored_is_gone_with_its_socket(client: AsyncOpenAI, proxy: Proxy) -> None:
    async with client.responses.connect() as connection:
        first = await answered(connection, input="one", store=False)
        async with client.responses.connect() as other:
            await other.response.create(model=MODEL, input="two", previous_response_id=first.id)
            assert (await told(other))[-1].error.code == "previous_response_not_found"
        assert len(proxy.server.recent) == 1
    async with asyncio.timeout(5):
        while len(proxy.server.recent):
            await asyncio.sleep(0)


async def test_an_unknown_previous_response_leaves_the_socket_usable(client: AsyncOpenAI, model: ModelServer) -> None:
    async with client.responses.connect() as connection:
        await connection.response.create(model=MODEL, input="go", previous_response_id="resp_of_nobody")
        [error] = await told(connection)
        assert (error.status, error.error.code, error.error.param) == (400, "previous_response_not_found", "previous_response_id")
        assert model.calls == 0
        assert (await answered(connection, input="go")).output_text == HELLO


@pytest.mark.parametrize(
    ("sent", "status", "param"),
    [
        ({"type": "response.create", "model": "no-such-model", "input": "go"}, 404, "model"),
        ({"type": "response.create", "model": MODEL, "input": "go", "background": True}, 400, "background"),
        ({"type": "response.create", "model": MODEL}, 400, "input"),
        ({"type": "response.create", "model": MODEL, "input": "go", "stream_id": ""}, 400, "stream_id"),
        ({"type": "response.destroy"}, 400, "type"),
        ({"model": MODEL, "input": "go"}, 400, "type"),
        ([1], 400, None),
    ],
)
async def test_what_is_refused_is_an_error_event(
    client: AsyncOpenAI, model: ModelServer, sent: Any, status: int, param: str | None
) -> None:
    async with client.responses.connect() as connection:
        await connection.send_raw(msgspec.json.encode(sent).decode())
        raw = await connection.recv_bytes()
        error = responses_server_event.ResponseWsError.model_validate_json(raw)
        assert (error.status, error.error.param, error.error.type) == (status, param, "invalid_request_error")
        assert model.calls == 0
        assert (await answered(connection, input="go")).output_text == HELLO


async def test_a_tool_loop_without_store(client: AsyncOpenAI, model: ModelServer) -> None:
    async def script(request: ModelRequest) -> AsyncIterator[Step]:
        if request.outputs:
            yield Say(words(f"It is {request.outputs[-1]}."))
        else:
            yield Call("weather", '{"place": "here"}', "call_1")

    model.script = script
    tools = [{"type": "function", "name": "weather", "parameters": {"type": "object"}, "strict": False}]
    async with client.responses.connect() as connection:
        asked = await answered(connection, input="Weather?", tools=tools, store=False)
        call = asked.output[-1]
        output = {"type": "function_call_output", "call_id": call.call_id, "output": "sunny"}
        last = await answered(connection, input=[output], tools=tools, store=False, previous_response_id=asked.id)
        assert last.output_text == "It is sunny."


@pytest.mark.parametrize("stored", [True, False])
async def test_a_warm_up_runs_nothing_and_can_be_continued(client: AsyncOpenAI, model: ModelServer, stored: bool) -> None:
    async with client.responses.connect() as connection:
        warm = await answered(connection, input="Which colour has the sky?", generate=False, store=stored)
        assert (warm.output, model.calls) == ([], 0)
        item = {"role": "user", "content": "And the sea?"}
        await answered(connection, input=[item], previous_response_id=warm.id, store=stored)
    asked = [text for role, text in messages_in(model.requests[-1]) if role == "user"]
    assert asked[-2:] == ["Which colour has the sky?", "And the sea?"]


async def test_two_lanes_go_on_side_by_side_and_one_lane_in_order(client: AsyncOpenAI, model: ModelServer) -> None:
    go_on = asyncio.Event()

    async def script(request: ModelRequest) -> AsyncIterator[Step]:
        if request.prompt == "slow":
            await go_on.wait()
        yield Say((f"{request.prompt} done",))

    model.script = script
    async with client.responses.connect() as connection:
        for prompt, lane in (("slow", "a"), ("after it", "a"), ("quick", "b")):
            await connection.response.create(model=MODEL, input=prompt, stream_id=lane)
        ends: list[tuple[str | None, str]] = []
        async with asyncio.timeout(20):
            while len(ends) < 3:
                event = await connection.recv()
                if event.type == "response.completed":
                    ends.append((event.stream_id, event.response.output_text))
                    go_on.set()
    assert ends == [("b", "quick done"), ("a", "slow done"), ("a", "after it done")]


async def test_a_failed_turn_is_told_and_the_socket_lives_on(client: AsyncOpenAI, model: ModelServer) -> None:
    async def script(_: ModelRequest) -> AsyncIterator[Step]:
        yield Fail("invalid_prompt")

    model.script = script
    async with client.responses.connect() as connection:
        await connection.response.create(model=MODEL, input="go")
        assert (await told(connection))[-1].type == "response.failed"
        model.script = think_and_answer
        assert (await answered(connection, input="go")).output_text == TEXT


@pytest.mark.parametrize("refused", [True, False])
async def test_nothing_goes_on_again_from_where_a_continuation_failed(
    client: AsyncOpenAI, model: ModelServer, refused: bool
) -> None:
    async def fail(_: ModelRequest) -> AsyncIterator[Step]:
        yield Fail("insufficient_quota", "No quota is left.")

    async with client.responses.connect() as connection:
        first = await answered(connection, input="one", store=False)
        model.script = fail
        orphan: Any = {"type": "function_call_output", "call_id": "call_of_nobody", "output": "1"}
        given = [orphan] if refused else "two"
        await connection.response.create(model=MODEL, input=given, store=False, previous_response_id=first.id)
        assert (await told(connection))[-1].type == ("error" if refused else "response.failed")
        await connection.response.create(model=MODEL, input="three", store=False, previous_response_id=first.id)
        assert (await told(connection))[-1].error.code == "previous_response_not_found"


async def test_who_leaves_ends_the_command_that_runs_for_him(client: AsyncOpenAI, model: ModelServer) -> None:
    async def script(_: ModelRequest) -> AsyncIterator[Step]:
        yield Call("exec_command", '{"cmd": "sleep 31.4159"}', "call_1")

    model.script = script
    async with client.responses.connect() as connection:
        await connection.response.create(model="gpt-5.5 agent", input="go")
        pid = await process_with("sleep 31.4159")
    async with asyncio.timeout(5):  # two seconds, on a quiet machine
        await ended(pid)


async def test_a_socket_is_closed_when_the_server_stops(environ: dict[str, str], start_proxy: Any) -> None:
    async with start_proxy() as proxy:
        client = AsyncOpenAI(base_url=proxy.base_url, api_key="any", max_retries=0)
        connection = await client.responses.connect().enter()
        assert (await answered(connection, input="go")).output_text == HELLO
    with pytest.raises(ConnectionClosed) as closed:
        await connection.recv()
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 1001
    await client.close()


async def until(connection: AsyncResponsesConnection, *types: str) -> Any:  # Any: an event of the SDK's
    """The next event of one of these types."""
    async with asyncio.timeout(20):
        while True:
            event = await connection.recv()
            if event.type in types:
                return event


@pytest.mark.parametrize("stored", [True, False])
async def test_steering_while_a_command_runs_ends_the_turn_behind_it(
    client: AsyncOpenAI, model: ModelServer, home: Home, stored: bool
) -> None:
    async def script(request: ModelRequest) -> AsyncIterator[Step]:
        if request.prompt == "stop that":
            yield Say(("Stopped.",))
        else:
            yield Call(
                "exec_command", '{"cmd": "echo begun; until [ -e go ]; do sleep 0.05; done; echo ended"}', f"call_{model.calls}"
            )

    model.script = script
    async with client.responses.connect() as connection:
        await connection.response.create(model="gpt-5.5 agent", input="work", store=stored)
        first = (await until(connection, "response.created")).response.id
        await until(connection, "response.mcp_call.in_progress")
        await connection.response.steer(previous_response_id=first, input="stop that")
        accepted = await until(connection, "response.steer.accepted")
        assert accepted.steer.previous_response_id == first
        (home.workdir / "go").touch()
        ended_so = await until(connection, *_LAST)
        assert (ended_so.type, ended_so.response.id) == ("response.incomplete", first)
        assert ended_so.response.incomplete_details.reason == "steered"
        successor = (await told(connection))[-1].response
        assert (successor.previous_response_id, successor.output_text) == (first, "Stopped.")
        assert successor.model == "gpt-5.5 agent"
    asked = model.requests[-1].input
    assert asked[-1]["content"][0]["text"] == "stop that"
    call = next(item for item in asked if item["type"] == "function_call")
    output = next(item for item in asked if item["type"] == "function_call_output")
    assert call["call_id"] == output["call_id"]
    assert "ended" in output["output"]


async def test_what_comes_too_late_to_interrupt_goes_on_from_the_answer(client: AsyncOpenAI, model: ModelServer) -> None:
    go_on = asyncio.Event()

    async def script(request: ModelRequest) -> AsyncIterator[Step]:
        if request.prompt == "one":
            await go_on.wait()
        yield Say((f"{request.prompt} done",))

    model.script = script
    async with client.responses.connect() as connection:
        await connection.response.create(model=MODEL, input="one", stream_id="a")
        first = (await until(connection, "response.created")).response.id
        for text in ("two", "three"):
            await connection.response.steer(
                previous_response_id=first, input=[{"role": "user", "content": text, "type": "message"}]
            )
            assert (await until(connection, "response.steer.accepted")).stream_id == "a"
        go_on.set()
        assert (await until(connection, *_LAST)).response.id == first
        last = (await told(connection, "a"))[-1].response
        assert (last.previous_response_id, last.output_text) == (first, "three done")
    assert [text for role, text in messages_in(model.requests[-1])[-2:]] == ["two", "three"]


@pytest.mark.parametrize("refused", [False, True])
async def test_steering_waits_for_the_outputs_that_the_client_owes(client: AsyncOpenAI, model: ModelServer, refused: bool) -> None:
    go_on = asyncio.Event()
    wrong: Any = 5  # no input

    async def script(request: ModelRequest) -> AsyncIterator[Step]:
        if request.outputs or request.prompt == "in Fahrenheit":
            yield Say(("Warm.",))
            return
        await go_on.wait()
        yield Call("weather", '{"place": "here"}', "call_1")

    model.script = script
    tools: Any = [{"type": "function", "name": "weather", "parameters": {"type": "object"}, "strict": False}]
    async with client.responses.connect() as connection:
        await connection.response.create(model=MODEL, input="Weather?", tools=tools, store=False)
        first = (await until(connection, "response.created")).response.id
        await connection.response.steer(previous_response_id=first, input="in Fahrenheit")
        await until(connection, "response.steer.accepted")
        go_on.set()
        assert (await until(connection, *_LAST)).type == "response.completed"
        pending = await until(connection, "response.steer.pending")
        [stub] = pending.required_input
        assert (stub.type, stub.name, pending.reason) == ("function_call_output", "weather", "waiting_for_required_input")
        output = {"type": "function_call_output", "call_id": stub.call_id, "output": "290 K"}
        if refused:  # and the input is given back with it
            await connection.response.create(model=MODEL, input=wrong, previous_response_id=first)
            failed = await until(connection, "response.steer.failed")
            assert (failed.error.code, failed.steer.input) == ("successor_creation_failed", "in Fahrenheit")
            return
        last = await answered(connection, input=[output], previous_response_id=first, tools=tools, store=False)
        assert last.output_text == "Warm."
    said = [item["type"] for item in model.requests[-1].input[-3:]]
    assert sorted(said) == ["function_call", "function_call_output", "message"]


async def test_steering_that_cannot_be_used_is_given_back(client: AsyncOpenAI, model: ModelServer) -> None:
    go_on = asyncio.Event()

    async def script(_: ModelRequest) -> AsyncIterator[Step]:
        await go_on.wait()
        yield Fail("invalid_prompt")

    async with client.responses.connect() as connection:
        done = await answered(connection, input="go")
        for target, code in (("resp_of_nobody", "response_not_found"), (done.id, "response_already_completed")):
            await connection.response.steer(previous_response_id=target, input="more")
            failed = await until(connection, "response.steer.failed")
            assert (failed.error.code, failed.steer.input, failed.steer.id) == (code, "more", None)
        model.script = script
        await connection.response.create(model=MODEL, input="go")
        first = (await until(connection, "response.created")).response.id
        alien: Any = [{"role": "assistant", "content": "more"}]
        nothing: Any = []
        for wrong in (alien, nothing, "  "):
            await connection.response.steer(previous_response_id=first, input=wrong)
            assert (await until(connection, "response.steer.failed")).error.code == "invalid_input"
        await connection.response.steer(previous_response_id=first, input="more")
        accepted = await until(connection, "response.steer.accepted")
        go_on.set()
        assert (await until(connection, *_LAST)).type == "response.failed"
        failed = await until(connection, "response.steer.failed")
        assert (failed.error.code, failed.steer.id, failed.steer.input) == ("response_not_active", accepted.steer.id, "more")

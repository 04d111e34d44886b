"""The items of the responses route: what they tell, and what becomes of them when the OpenAI SDK feeds them back."""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import openai
import pytest
from openai import AsyncOpenAI
from openai.types.responses import Response, ResponseOutputItem

from codex_proxy.codex.command import Command
from codex_proxy.demo.model import ModelServer
from codex_proxy.demo.steps import Call, Count, ModelRequest, Raw, Say, Step, Think, words
from tests.clients import strict
from tests.clients.toolbox import answer_with_json_at_last, command, three_rounds
from tests.conftest import ProxyStarter
from tests.support.exchange import HELLO, PNG, TEXT, parts_of_last_message, think_and_answer

MODEL = "gpt-5.5"
WEATHER, LOOKUP = (
    {"type": "function", "name": name, "parameters": {"type": "object", "properties": {"city": {"type": "string"}}}}
    for name in ("get_weather", "lookup")
)


def last_response(events: list[Any]) -> Response:  # Any: the SDK's union of sixty kinds of events
    """The response object of the last event."""
    response = events[-1].response
    assert events[-1].type == "response.completed"
    assert isinstance(response, Response)
    return response


async def fed_back(client: AsyncOpenAI, *items: ResponseOutputItem) -> Response:
    """Go on from a conversation with these items of ours."""
    conversation: list[Any] = [{"role": "user", "content": "First."}, *items, {"role": "user", "content": "And?"}]
    return await strict.response(client, model=MODEL, input=conversation)  # Any: the SDK's items, in and out


def calls_seen(model: ModelServer) -> list[tuple[str, str]]:
    """The name and the output of every call in what the model was given last."""
    given = model.requests[-1].input
    names = {item["call_id"]: item["name"] for item in given if item["type"] == "function_call"}
    return [(names[item["call_id"]], item["output"]) for item in given if item["type"] == "function_call_output"]


async def test_a_loop_of_three_rounds_feeds_our_own_items_back_each_time(client: AsyncOpenAI, model: ModelServer) -> None:
    model.script = three_rounds
    conversation: list[Any] = [{"role": "user", "content": "Which city is warmest?"}]  # Any: the SDK's items, in and out
    rounds = 0
    while True:
        response = await strict.response(
            client, model=MODEL, input=conversation, tools=[WEATHER], include=["reasoning.encrypted_content"]
        )
        conversation += response.output
        calls = [item for item in response.output if item.type == "function_call"]
        if not calls:
            break
        rounds += 1
        for call in calls:
            output = f"{json.loads(call.arguments)['city']}: {10 * rounds}"
            conversation.append({"type": "function_call_output", "call_id": call.call_id, "output": output})
    assert rounds == 3
    assert response.output_text == "The warmest is Oslo."
    seen = [item["type"] for item in model.requests[-1].input if item["type"] != "message"]
    assert seen == ["reasoning", "function_call", "function_call_output"] * 3
    thoughts = [item["encrypted_content"] for item in model.requests[-1].input if item["type"] == "reasoning"]
    assert thoughts == ["secret-0", "secret-1", "secret-2"]
    assert model.requests[-1].outputs == ["Rome: 10", "Paris: 20", "Oslo: 30"]


async def test_reasoning_is_streamed_part_by_part_and_goes_back_encrypted(client: AsyncOpenAI, model: ModelServer) -> None:
    async def script(request: ModelRequest) -> AsyncIterator[Step]:
        yield Think(("**First**", "**Second**"), encrypted="secret")
        yield Say(words(TEXT))

    model.script = script
    events = await strict.events(client, model=MODEL, input="Hello?", include=["reasoning.encrypted_content"])
    parts = [(event.summary_index, event.text) for event in events if event.type == "response.reasoning_summary_text.done"]
    assert parts == [(0, "**First**"), (1, "**Second**")]
    response = last_response(events)
    reasoning = response.output[0]
    assert reasoning.type == "reasoning"
    assert ([part.text for part in reasoning.summary], reasoning.encrypted_content) == (["**First**", "**Second**"], "secret")

    await fed_back(client, *response.output)
    (given,) = [item for item in model.requests[-1].input if item["type"] == "reasoning"]
    assert given["encrypted_content"] == "secret"
    assert [part["text"] for part in given["summary"]] == ["**First**", "**Second**"]
    without = await strict.response(client, model=MODEL, input="Hello?")
    assert "encrypted_content" not in without.output[0].model_fields_set


async def test_what_the_agent_runs_is_a_call_of_the_server_codex_with_its_output(client: AsyncOpenAI, model: ModelServer) -> None:
    async def script(request: ModelRequest) -> AsyncIterator[Step]:
        if not request.outputs:
            yield command("echo good", "call_1")
        elif len(request.outputs) == 1:
            yield command("echo bad; exit 3", "call_2")
        else:
            yield Say(words(TEXT))

    model.script = script
    events = await strict.events(client, model=MODEL, input="run it")
    response = last_response(events)
    good, bad = [item for item in response.output if item.type == "mcp_call"]
    assert (good.server_label, good.name, good.status, good.error) == ("codex", "shell", "completed", None)
    assert json.loads(good.arguments) == {"command": "echo good"}
    assert good.output is not None
    assert "good" in good.output
    assert (bad.server_label, bad.status) == ("codex", "failed")
    assert bad.error is not None
    assert "3" in json.dumps(bad.error.model_dump())
    assert bad.output is not None
    assert "bad" in bad.output
    told = [event.type for event in events if "mcp_call" in event.type]
    opening = ["in_progress", "arguments.delta", "arguments.done"]
    assert told == [f"response.mcp_call{'_' if '.' in step else '.'}{step}" for step in [*opening, "completed", *opening, "failed"]]

    model.script = think_and_answer
    await fed_back(client, *response.output)
    (name, output), (_, problem) = calls_seen(model)
    assert (name, output) == ("shell", good.output)
    assert problem.startswith(bad.output)
    assert "exit code 3" in problem


async def test_activity_none_shows_no_work_of_the_agent(client: AsyncOpenAI, model: ModelServer) -> None:
    model.script = answer_with_json_at_last
    response = await strict.response(client, model=MODEL, input="Rome?", extra_body={"x_codex": {"activity": "none"}})
    assert [item.type for item in response.output] == ["message", "message"]


async def test_a_web_search_is_an_item_of_its_own_kind(client: AsyncOpenAI, model: ModelServer) -> None:
    async def script(_: ModelRequest) -> AsyncIterator[Step]:
        action = {"type": "search", "query": "cats"}
        yield Raw({"type": "web_search_call", "id": "ws_1", "status": "completed", "action": action})
        yield Say(words(TEXT))

    model.script = script
    events = await strict.events(client, model=MODEL, input="cats?", tools=[{"type": "web_search"}])
    search, message = last_response(events).output
    assert search.type == "web_search_call"
    assert (search.id.partition("_")[0], search.status) == ("ws", "completed")
    assert search.action.type == "search"
    assert search.action.query == "cats"
    assert message.type == "message"
    told = [event.type for event in events if "web_search_call" in event.type]
    assert told == [f"response.web_search_call.{step}" for step in ("in_progress", "searching", "completed")]
    assert "web_search" in model.requests[-1].tool_names

    assert (await fed_back(client, search, message)).status == "completed"


async def test_images_reach_the_model_from_the_user_and_from_a_tool(client: AsyncOpenAI, model: ModelServer) -> None:
    picture = {"type": "input_image", "image_url": PNG, "detail": "auto"}
    shown = {"role": "user", "content": [{"type": "input_text", "text": "What is this?"}, picture]}
    await strict.response(client, model=MODEL, input=[shown])
    parts = parts_of_last_message(model.requests[-1])
    assert {"type": "input_text", "text": "What is this?"} in parts
    assert [part["image_url"] for part in parts if part["type"] == "input_image"] == [PNG]

    call = {"type": "function_call", "call_id": "call_1", "name": "get_weather", "arguments": '{"city":"Rome"}'}
    result = {"type": "function_call_output", "call_id": "call_1", "output": [{"type": "input_text", "text": "a map"}, picture]}
    await strict.response(client, model=MODEL, input=[{"role": "user", "content": "Rome?"}, call, result], tools=[WEATHER])
    text, image = model.requests[-1].input[-1]["output"]
    assert text == {"type": "input_text", "text": "a map"}
    assert image["image_url"] == PNG


async def test_a_custom_tools_input_is_plain_text_in_both_directions(client: AsyncOpenAI, model: ModelServer) -> None:
    async def script(request: ModelRequest) -> AsyncIterator[Step]:
        if request.outputs:
            yield Say(words(TEXT))
        else:
            yield Call("write_poem", json.dumps({"input": 'line "one"\nline two'}), "call_p")

    model.script = script
    tool = {"type": "custom", "name": "write_poem", "description": "Writes a poem."}
    events = await strict.events(client, model=MODEL, input="a poem", tools=[tool])
    (call,) = [item for item in last_response(events).output if item.type == "custom_tool_call"]
    assert (call.call_id, call.name, call.input) == ("call_p", "write_poem", 'line "one"\nline two')
    (done,) = [event for event in events if event.type == "response.custom_tool_call_input.done"]
    assert done.input == call.input

    result = {"type": "custom_tool_call_output", "call_id": call.call_id, "output": "written"}
    conversation: list[Any] = [{"role": "user", "content": "a poem"}, call, result]  # Any: the SDK's items, in and out
    answer = await strict.response(client, model=MODEL, input=conversation, tools=[tool])
    assert answer.output_text == TEXT
    assert model.requests[-1].outputs == ["written"]


async def test_a_tool_of_a_namespace_is_called_and_answered_by_both_names(client: AsyncOpenAI, model: ModelServer) -> None:
    async def script(request: ModelRequest) -> AsyncIterator[Step]:
        if request.outputs:
            yield Say(words(TEXT))
        else:
            call = {"type": "function_call", "id": "fc_1", "call_id": "call_1", "arguments": "{}"}
            yield Raw(call | {"name": "lookup", "namespace": "crm"})

    model.script = script
    tools = [LOOKUP, {"type": "namespace", "name": "crm", "description": "Customers.", "tools": [LOOKUP]}]
    called = await strict.response(client, model=MODEL, input="who?", tools=tools)
    (call,) = called.output
    assert call.type == "function_call"
    assert (call.name, call.namespace) == ("lookup", "crm")
    result = {"type": "function_call_output", "call_id": "call_1", "output": "Ann"}
    conversation: list[Any] = [{"role": "user", "content": "who?"}, call, result]  # Any: the SDK's items, in and out
    assert (await strict.response(client, model=MODEL, input=conversation, tools=tools)).output_text == TEXT
    (given,) = [item for item in model.requests[-1].input if item["type"] == "function_call"]
    assert (given["name"], given["namespace"]) == ("lookup", "crm")


async def test_a_function_is_called_as_a_function_beside_a_custom_tool_of_its_name(client: AsyncOpenAI, model: ModelServer) -> None:
    async def script(_: ModelRequest) -> AsyncIterator[Step]:
        yield Call("lookup", '{"city":"Rome"}', "call_1")

    model.script = script
    tools = [LOOKUP, {"type": "namespace", "name": "crm", "description": "", "tools": [{"type": "custom", "name": "lookup"}]}]
    response = await strict.response(client, model=MODEL, input="who?", tools=tools)
    assert [item.type for item in response.output] == ["function_call"]


async def run_and_call(request: ModelRequest) -> AsyncIterator[Step]:
    """A script: a command of the agent's and a call of the client's tool, side by side in one response."""
    if request.outputs or request.prompt != "go":
        yield Say(words(TEXT))
    else:
        yield command("sleep 1; echo own work > done.txt", "call_own")
        yield Call("get_weather", '{"city":"Rome"}', "call_w")


@pytest.mark.parametrize("resumed", [False, True])  # Codex tells of the items of a thread that it has started only
async def test_a_command_beside_a_call_of_the_clients_is_run_to_its_end(
    start_proxy: ProxyStarter, environ: dict[str, str], model: ModelServer, cli: Command, tmp_path: Path, resumed: bool
) -> None:
    if cli.version < (0, 163, 0):
        pytest.skip("it takes up the client's call first now and then, and the command waits for that; its threads are not resumed")
    model.script = run_and_call
    environ |= {"CODEX_SANDBOX_MODE": "workspace-write", "PROXY_STORE": f"sqlite://{tmp_path / 'store.sqlite'}"}
    asked: Any = {"model": MODEL, "tools": [WEATHER]}
    if resumed:
        async with start_proxy() as proxy, AsyncOpenAI(base_url=proxy.base_url, api_key="any", max_retries=0) as client:
            asked["previous_response_id"] = (await client.responses.create(input="hi", **asked)).id
    async with start_proxy() as proxy, AsyncOpenAI(base_url=proxy.base_url, api_key="any", max_retries=0) as client:
        response = await strict.response(client, input="go", **asked)
        assert [item.type for item in response.output] == ["mcp_call", "function_call"]
        assert (proxy.server.settings.workdir / "done.txt").exists()
        output: list[Any] = [{"type": "function_call_output", "call_id": "call_w", "output": "sunny"}]
        await strict.response(client, input=output, **asked | {"previous_response_id": response.id})
    own, clients = model.requests[-1].outputs
    assert ("exited with code 0" in own, clients) == (True, "sunny")
    assert len({request.body["prompt_cache_key"] for request in model.requests}) == 1


async def test_a_command_that_was_cut_off_is_not_told_as_completed(client: AsyncOpenAI, model: ModelServer) -> None:
    async def script(_: ModelRequest) -> AsyncIterator[Step]:
        yield Call("get_weather", '{"city":"Rome"}', "call_w")
        yield command("sleep 30", "call_own")  # its output would come after that of the client's tool

    model.script = script
    response = await strict.response(client, model=MODEL, input="go", tools=[WEATHER])
    (own,) = [item for item in response.output if item.type == "mcp_call"]
    assert own.status == "incomplete"


MCP_CALL = {"type": "mcp_call", "id": "mcp_1", "name": "docs.search", "arguments": "{}", "server_label": "codex"}


async def test_an_mcp_call_of_the_agents_goes_back_under_a_name_that_the_provider_takes(
    client: AsyncOpenAI, model: ModelServer
) -> None:
    conversation = [{"role": "user", "content": "docs?"}, MCP_CALL | {"output": "found"}, {"role": "user", "content": "And?"}]
    response = await strict.response(client, model=MODEL, input=conversation)
    assert response.output_text == HELLO
    ((name, output),) = calls_seen(model)
    assert output == "found"
    assert name.replace("_", "").replace("-", "").isalnum()


async def test_the_error_of_a_call_of_the_agents_goes_back_to_the_model(client: AsyncOpenAI, model: ModelServer) -> None:
    error = {"type": "mcp_tool_execution_error", "content": [{"type": "text", "text": "the patch was not applied"}]}
    failed = MCP_CALL | {"name": "apply_patch", "status": "failed", "output": None, "error": error}
    conversation = [{"role": "user", "content": "patch"}, failed, {"role": "user", "content": "And?"}]
    await strict.response(client, model=MODEL, input=conversation)
    ((_, output),) = calls_seen(model)
    assert "the patch was not applied" in output


@pytest.mark.parametrize("thoughtful", [False, True])
async def test_a_refusal_of_the_models_is_told_although_codex_drops_its_words(
    client: AsyncOpenAI, model: ModelServer, thoughtful: bool
) -> None:
    async def script(_: ModelRequest) -> AsyncIterator[Step]:
        yield Count(output=9, reasoning=3 if thoughtful else 0)
        if thoughtful:
            yield Think(("Hm",))
        refusal = {"type": "refusal", "refusal": "I cannot help with that."}
        yield Raw({"type": "message", "role": "assistant", "id": "msg_1", "content": [refusal]})

    model.script = script
    with pytest.raises(openai.InternalServerError, match="the model may have refused") as items:
        await client.responses.create(model=MODEL, input="Hello?")
    assert (items.value.status_code, items.value.response.headers["x-should-retry"]) == (502, "false")
    with pytest.raises(openai.InternalServerError, match="the model may have refused"):
        await client.chat.completions.create(model=MODEL, messages=[{"role": "user", "content": "Hello?"}])


@pytest.mark.parametrize("count", [Count(output=9, reasoning=9), Count(output=9, reasoning=0)])
async def test_an_answer_of_reasoning_alone_is_no_refusal(client: AsyncOpenAI, model: ModelServer, count: Count) -> None:
    async def script(_: ModelRequest) -> AsyncIterator[Step]:
        yield count
        yield Think(("Hm",))

    model.script = script
    response = await strict.response(client, model=MODEL, input="Hello?")
    assert (response.status, [item.type for item in response.output]) == ("completed", ["reasoning"])


@pytest.mark.parametrize("sandbox", ["read-only", "workspace-write"])
async def test_a_tools_result_is_the_last_thing_that_the_model_sees(
    start_proxy: ProxyStarter, environ: dict[str, str], model: ModelServer, sandbox: str
) -> None:
    environ["CODEX_SANDBOX_MODE"] = sandbox
    call = {"type": "function_call", "call_id": "call_1", "name": "get_weather", "arguments": "{}"}
    result = {"type": "function_call_output", "call_id": "call_1", "output": "sunny"}
    async with start_proxy() as proxy, AsyncOpenAI(base_url=proxy.base_url, api_key="any", max_retries=0) as client:
        await strict.response(client, model=MODEL, input=[{"role": "user", "content": "Rome?"}, call, result], tools=[WEATHER])
    assert model.requests[-1].input[-1]["type"] == "function_call_output"

"""The chat route on the real CLI with a scripted model."""

import asyncio
import json
import time
from collections.abc import AsyncIterator

import pytest

from codex_proxy.demo.home import Home
from codex_proxy.demo.model import ModelServer
from codex_proxy.demo.steps import Call, Count, Cut, Fail, ModelRequest, Raw, Refuse, Say, Step, Think, words
from tests.conftest import Proxy, ProxyStarter
from tests.support.refusals import Body, post, refusal
from tests.support.streams import chunks_of, content_of


def command(text: str, call_id: str = "call_1") -> Call:
    """The model's call of Codex's shell tool."""
    return Call("exec_command", json.dumps({"cmd": text, "yield_time_ms": 5_000}), call_id)


@pytest.mark.parametrize("typed", ["echo hi", "echo hi; touch x", "false"])
async def test_a_command_is_one_readable_line_of_reasoning_content(proxy: Proxy, model: ModelServer, typed: str) -> None:
    async def script(request: ModelRequest) -> AsyncIterator[Step]:
        if request.outputs:
            yield Say(words("It ran."))
        else:
            yield Think(("**Looking**",))
            yield command(typed)

    model.script = script
    answer = await (await proxy.chat(prompt="run it")).json()
    message = answer["choices"][0]["message"]
    assert message["content"] == "It ran."
    assert message["reasoning_content"].splitlines() == ["**Looking**", f"$ {typed}"]
    assert "tool_calls" not in message


async def test_activity_none_shows_no_agent_work_and_hide_reasoning_no_reasoning(proxy: Proxy, model: ModelServer) -> None:
    async def script(request: ModelRequest) -> AsyncIterator[Step]:
        if request.outputs:
            yield Say(words("done"))
        else:
            yield Think(("**Looking**",))
            yield Say(("I will run it",), phase="commentary")
            yield command("echo hi")

    model.script = script
    quiet = await (await proxy.chat(prompt="run it", x_codex={"activity": "none"})).json()
    assert quiet["choices"][0]["message"]["reasoning_content"] == "**Looking**\n\nI will run it"
    hidden = await (await proxy.chat(prompt="run it", x_codex={"hide_reasoning": True})).json()
    assert hidden["choices"][0]["message"]["reasoning_content"] == "$ echo hi"
    assert "summary" not in model.requests[-1].body["reasoning"]


async def test_patches_searches_and_plans_are_shown_as_lines(
    start_proxy: ProxyStarter, model: ModelServer, environ: dict[str, str]
) -> None:
    patch = "*** Begin Patch\n*** Add File: a.txt\n+hello\n*** End Patch"

    async def script(request: ModelRequest) -> AsyncIterator[Step]:
        if request.outputs:
            yield Raw(
                {"type": "web_search_call", "id": "ws_1", "status": "completed", "action": {"type": "search", "query": "cats"}}
            )
            yield Say(words("done"))
        else:
            yield Raw({"type": "custom_tool_call", "id": "ctc_1", "call_id": "call_p", "name": "apply_patch", "input": patch})

    model.script = script
    environ["CODEX_SANDBOX_MODE"] = "workspace-write"
    async with start_proxy() as proxy:
        answer = await (await proxy.chat(prompt="patch it")).json()
        workdir = proxy.server.settings.workdir
        assert (workdir / "a.txt").read_text() == "hello\n"
        lines = answer["choices"][0]["message"]["reasoning_content"].splitlines()
        assert lines == [f"edited {workdir / 'a.txt'} (add)", "searched the web: cats"]


async def test_sixty_paced_tokens_arrive_one_by_one_and_usage_is_what_the_model_reported(proxy: Proxy, model: ModelServer) -> None:
    async def script(_: ModelRequest) -> AsyncIterator[Step]:
        yield Say(tuple(f"t{number} " for number in range(60)), pace=0.02)
        yield Count(input=1000, cached=700, output=60, reasoning=11)

    model.script = script
    began = time.monotonic()
    response = await proxy.chat(prompt="go", stream=True, stream_options={"include_usage": True})
    arrivals = []
    async for line in response.content:
        if b'"content":"t' in line:
            arrivals.append(time.monotonic() - began)
    took = time.monotonic() - began
    assert len(arrivals) >= 50
    assert arrivals[0] < took / 3

    answer = await (await proxy.chat(prompt="go")).json()
    assert answer["usage"]["prompt_tokens"] == 1000
    assert answer["usage"]["completion_tokens"] == 60
    assert answer["usage"]["total_tokens"] == 1060
    assert answer["usage"]["prompt_tokens_details"]["cached_tokens"] == 700
    assert answer["usage"]["completion_tokens_details"]["reasoning_tokens"] == 11


async def test_every_chunk_has_every_field_and_the_end_is_in_order(proxy: Proxy, model: ModelServer) -> None:
    async def script(_: ModelRequest) -> AsyncIterator[Step]:
        yield Think(("**Hm**",))
        yield Say(words("a b c"))

    model.script = script
    chunks, done = await chunks_of(await proxy.chat(prompt="go", stream=True, stream_options={"include_usage": True}))
    assert done
    assert len({(chunk["id"], chunk["created"], chunk["model"]) for chunk in chunks}) == 1
    assert all(chunk["object"] == "chat.completion.chunk" for chunk in chunks)
    *talk, usage = chunks
    assert usage["choices"] == []
    assert usage["usage"]["total_tokens"] == 15
    assert all(chunk["usage"] is None for chunk in talk)
    choices = [chunk["choices"][0] for chunk in talk]
    assert all(choice["index"] == 0 and "delta" in choice and "finish_reason" in choice for choice in choices)
    assert choices[0]["delta"] == {"role": "assistant", "content": ""}
    assert [choice["finish_reason"] for choice in choices] == [None] * (len(choices) - 1) + ["stop"]
    assert content_of(chunks) == "a b c"


async def test_a_stop_sequence_cuts_the_text_and_ends_the_turn(proxy: Proxy, model: ModelServer) -> None:
    went_on = asyncio.Event()

    async def script(_: ModelRequest) -> AsyncIterator[Step]:
        yield Say(("one ", "two ST", "OP three ", "four "), pace=0.01)
        yield Say(words("x " * 2000), pace=0.01)
        went_on.set()

    model.script = script
    chunks, _ = await chunks_of(await proxy.chat(prompt="go", stream=True, stop="STOP"))
    assert content_of(chunks) == "one two "
    assert chunks[-1]["choices"][0]["finish_reason"] == "stop"
    whole = await (await proxy.chat(prompt="go", max_tokens=3)).json()
    assert whole["choices"][0]["message"]["content"] == "one two STOP three "
    assert whole["choices"][0]["finish_reason"] == "length"
    assert not went_on.is_set()


async def test_a_failure_before_the_first_text_is_an_http_status(proxy: Proxy, model: ModelServer) -> None:
    failures: list[tuple[Step, int, str | None]] = [
        (Refuse(400, '{"error":{"message":"no such thing at http://10.0.0.1/v1"}}'), 400, None),
        (Refuse(429), 429, "rate_limit_exceeded"),
        (Fail("context_length_exceeded"), 400, "context_length_exceeded"),
        (Fail("insufficient_quota"), 429, "insufficient_quota"),
    ]
    for step, status, code in failures:

        async def script(_: ModelRequest, step: Step = step) -> AsyncIterator[Step]:
            yield step

        model.script = script
        for stream in (False, True):
            answer = await proxy.chat(prompt="go", stream=stream)
            error = (await answer.json())["error"]
            assert (answer.status, error["code"]) == (status, code)
            assert "10.0.0.1" not in error["message"]
            assert answer.headers["x-should-retry"] == "false"


async def test_a_stream_says_that_a_failing_provider_is_asked_again(
    start_proxy: ProxyStarter, home: Home, model: ModelServer
) -> None:
    config = home.codex_home / "config.toml"
    config.write_text(f"{config.read_text()}request_max_retries = 0\n")  # those it does not tell of; they take 3 s
    tries = 0

    async def script(_: ModelRequest) -> AsyncIterator[Step]:
        nonlocal tries
        tries += 1
        yield Say(words("at last")) if tries % 3 == 0 else Refuse(500)

    model.script = script
    async with start_proxy() as proxy:
        chunks, _ = await chunks_of(await proxy.chat(prompt="go", stream=True))
        reasoning = "".join(choice["delta"].get("reasoning_content", "") for chunk in chunks for choice in chunk["choices"])
        assert (reasoning, content_of(chunks)) == ("waiting for the model provider, which failed and is asked again", "at last")
        answer = await proxy.http.post(f"{proxy.base_url}/responses", json={"input": "go", "stream": True})
        assert answer.status == 200
        told = [json.loads(line[6:]) async for line in answer.content if line.startswith(b"data: ")]
        [waited, said] = told[-1]["response"]["output"]
        assert (waited["name"], said["content"][0]["text"]) == ("wait", "at last")
        whole = await (await proxy.chat(prompt="go")).json()
        assert "reasoning_content" not in whole["choices"][0]["message"]


async def test_a_provider_that_breaks_off_in_the_middle_ends_the_stream_with_an_error_and_no_text_twice(
    proxy: Proxy, model: ModelServer
) -> None:
    async def script(_: ModelRequest) -> AsyncIterator[Step]:
        yield Say(words("half an answer"))
        yield Cut()

    model.script = script
    response = await proxy.chat(prompt="go", stream=True)
    chunks, done = await chunks_of(response)
    assert not done
    assert content_of(chunks[:-1]) == "half an answer"
    assert chunks[-1]["error"]["code"] == "upstream_error"
    whole = await proxy.chat(prompt="go")
    assert whole.status == 502


async def test_a_message_without_deltas_is_still_an_answer(proxy: Proxy, model: ModelServer) -> None:
    async def script(_: ModelRequest) -> AsyncIterator[Step]:
        yield Raw({"type": "message", "role": "assistant", "id": "m1", "content": [{"type": "output_text", "text": "whole"}]})

    model.script = script
    chunks, _ = await chunks_of(await proxy.chat(prompt="go", stream=True))
    assert content_of(chunks) == "whole"


async def test_an_input_over_the_bound_of_the_cli_is_a_400_and_runs_no_turn(proxy: Proxy, model: ModelServer) -> None:
    long = "x" * 1_048_577
    rows: dict[str, tuple[Body, str]] = {
        "chat/completions": ({"messages": [{"role": "user", "content": long}]}, "messages"),
        "responses": ({"input": long}, "input"),
    }
    for route, (body, place) in rows.items():
        answer = await post(proxy, body, route=route)
        error = await refusal(answer)
        assert (answer.status, error.code, error.param) == (400, "context_length_exceeded", place), route
    assert model.calls == 0


async def test_a_turn_that_takes_too_long_is_a_504_and_the_next_one_is_served(
    start_proxy: ProxyStarter, model: ModelServer, home: Home, environ: dict[str, str]
) -> None:
    config = home.codex_home / "config.toml"
    config.write_text(f"{config.read_text()}request_max_retries = 0\nstream_max_retries = 20\n")
    refused = 0

    async def script(request: ModelRequest) -> AsyncIterator[Step]:
        nonlocal refused
        if request.prompt == "slow":
            await asyncio.Event().wait()
        if request.prompt == "failing":
            refused += 1
            yield Refuse(503)
        else:
            yield Say(words("quick"))

    model.script = script
    environ |= {"CODEX_TIMEOUT": "1", "CODEX_MAX_PARALLEL_REQUESTS": "1"}
    async with start_proxy() as proxy:
        for prompt, told in (("slow", "longer than 1 s"), ("failing", "provider failed")):
            slow = await proxy.chat(prompt=prompt)
            error = (await slow.json())["error"]
            assert (slow.status, error["code"], told in error["message"]) == (504, "timeout", True), error
        assert refused
        assert (await proxy.chat(prompt="quick")).status == 200


async def test_a_full_queue_answers_503_at_once_and_a_waiting_turn_gives_up_in_time(
    start_proxy: ProxyStarter, model: ModelServer, environ: dict[str, str]
) -> None:
    let_go = asyncio.Event()

    async def script(_: ModelRequest) -> AsyncIterator[Step]:
        await let_go.wait()
        yield Say(words("done"))

    model.script = script
    environ |= {"CODEX_MAX_PARALLEL_REQUESTS": "1", "CODEX_MAX_QUEUED_REQUESTS": "1", "CODEX_QUEUE_TIMEOUT": "1"}
    async with start_proxy() as proxy, asyncio.TaskGroup() as group:
        running = group.create_task(proxy.chat(prompt="first"))
        while model.calls == 0:
            await asyncio.sleep(0)
        waiting = group.create_task(proxy.chat(prompt="second"))
        while not proxy.server.jobs.full:
            await asyncio.sleep(0)
        refused = await proxy.chat(prompt="third")
        assert (refused.status, (await refused.json())["error"]["code"]) == (503, "server_overloaded")
        assert int(refused.headers["Retry-After"]) > 0
        assert (await proxy.http.get(f"{proxy.address}/ready")).status == 503
        given_up = await waiting
        assert (given_up.status, (await given_up.json())["error"]["code"]) == (503, "not_ready")
        assert "x-should-retry" not in given_up.headers
        let_go.set()
        assert (await running).status == 200


async def test_chat_mode_is_the_bare_model_with_nothing_of_the_agent(proxy: Proxy, model: ModelServer) -> None:
    (proxy.server.settings.workdir / "AGENTS.md").write_text("Always mention otters.")
    messages = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"}]
    answer = await proxy.chat(model="gpt-5.5 chat", messages=messages)
    assert answer.headers["x-codex-sandbox"] == "none: no command can run"
    seen = model.requests[-1]
    assert set(seen.tool_names) <= {"apply_patch"}  # which 0.169.0 cannot be brought to leave out for a model that takes patches
    texts = [(item["role"], item["content"][0]["text"]) for item in seen.input]
    base = [("developer", "You are a helpful assistant.")]  # 0.147.0 sends it apart
    assert (base if seen.body.get("instructions") else []) + texts == [*base, ("developer", "Be brief."), ("user", "Hi")]


@pytest.mark.parametrize("sandbox", ["read-only", "workspace-write"])
async def test_agent_mode_reads_the_agents_file_of_the_workspace_and_its_changes(
    start_proxy: ProxyStarter, model: ModelServer, environ: dict[str, str], sandbox: str
) -> None:
    environ["CODEX_SANDBOX_MODE"] = sandbox
    async with start_proxy() as proxy:
        agents = proxy.server.settings.workdir / "AGENTS.md"
        for text in ("Always mention otters.", "Always mention newts."):
            agents.write_text(text)
            await proxy.chat(prompt="Hi")
            assert json.dumps(model.requests[-1].input).count(text) == 1
        await proxy.chat(prompt="Hi", model="gpt-5.5 chat")
        assert "newts" not in json.dumps(model.requests[-1].input)


async def test_secrets_cannot_be_read_and_commands_see_nothing_of_the_servers_environment(
    start_proxy: ProxyStarter, model: ModelServer, environ: dict[str, str], home: Home
) -> None:
    async def script(request: ModelRequest) -> AsyncIterator[Step]:
        if request.outputs:
            yield Say(words("done"))
        else:
            yield command('cat "$(dirname "$PWD")"/codex_home/*; env; touch inside && echo wrote')

    model.script = script
    environ |= {"PROXY_API_KEY": "CANARY-key", "CODEX_SANDBOX_MODE": "workspace-write"}
    (home.codex_home / "auth.json").write_text('{"OPENAI_API_KEY": "CANARY-auth"}')
    async with start_proxy() as proxy:
        config = (home.codex_home / "config.toml").read_bytes()
        for sandbox, wrote in (("read-only", False), ("workspace-write", True)):
            answer = await proxy.chat(prompt="look around", x_codex={"sandbox": sandbox})
            assert answer.headers["x-codex-sandbox"] == sandbox
            output = model.requests[-1].outputs[0]
            assert "Process exited" in output
            assert "CANARY" not in output
            assert ("wrote" in output) is wrote
        assert (home.codex_home / "config.toml").read_bytes() == config


async def test_a_request_may_ask_for_more_than_the_default_and_less_than_the_ceiling(proxy: Proxy) -> None:
    answer = await proxy.chat(prompt="hi", x_codex={"sandbox": "workspace-write", "network_access": True})
    assert answer.headers["x-codex-sandbox"] == "workspace-write with network"
    danger = await proxy.chat(prompt="hi", x_codex={"sandbox": "danger-full-access"})
    assert danger.status == 400


async def test_what_has_no_effect_is_named_in_a_header(proxy: Proxy) -> None:
    answer = await proxy.chat(prompt="hi", temperature=0.2, top_p=0.9, top_k=5, seed=7)
    assert answer.headers["x-codex-ignored"] == "temperature, top_p, top_k, seed"

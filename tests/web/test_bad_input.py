"""Whatever is wrong with the body of a request is a 400 that names the place; no turn is run, and the server serves on.

The table of wrong types and ranges is derived from `Body`, so that a new member cannot be forgotten.
"""

import base64
from typing import Any

from codex_proxy.dialects.chat.request import Body
from tests.conftest import Proxy
from tests.support.refusals import Body as AnyBody
from tests.support.refusals import amiss, misplaced, post, refusal
from tests.web.wrong_values import out_of_range, wrong_types

_MESSAGES = [{"role": "user", "content": "hi"}]
_START = b'{"messages":[{"role":"user","content":"hi"}]'
_DEEP = 100_000
_PNG = base64.b64encode(b"\x89PNG\r\n\x1a\n" + bytes(16)).decode()


async def test_every_member_refuses_every_wrong_type(refusing: Proxy) -> None:
    rows = list(wrong_types(Body))
    assert {member for _, member, _ in rows} == set(Body.__struct_fields__)
    assert await misplaced(refusing, rows, _with) == []


async def test_every_number_and_text_refuses_what_is_out_of_its_range(refusing: Proxy) -> None:
    rows = list(out_of_range(Body))
    numbers = {"n", "seed", "top_logprobs", "temperature", "top_p", "presence_penalty", "frequency_penalty"}
    assert {place for place, _, _ in rows} >= numbers | {"max_tokens", "max_completion_tokens", "model", "x_codex.cwd"}
    assert await misplaced(refusing, rows, _with) == []


async def test_what_is_not_the_json_of_an_object_is_refused(refusing: Proxy) -> None:
    rows = {
        "not JSON": b"hello",
        "truncated": _START,
        "truncated in a string": _START[:-5],
        "an array": b"[]",
        "a string": b'"x"',
        "a number": b"1",
        "null": b"null",
        "trailing garbage": _START + b"} x",
        "two objects": _START + b"}{}",
        "a NUL byte at the end": _START + b"}\0",
        "a trailing comma": _START + b",}",
        "a comment": _START + b"/* x */}",
        "a byte order mark": b"\xef\xbb\xbf" + _START + b"}",
        "UTF-16": (_START + b"}").decode().encode("utf-16"),
        "UTF-16 without a mark": (_START + b"}").decode().encode("utf-16-le"),
        "NaN": _START + b',"temperature":NaN}',
        "NaN in an unknown member": _START + b',"strange":NaN}',
        "Infinity": _START + b',"temperature":Infinity}',
        "-Infinity in an unknown member": _START + b',"strange":-Infinity}',
        "a number with a leading zero": _START + b',"n":01}',
        "a control character in a text": b'{"messages":[{"role":"user","content":"a\nb"}]}',
        "a bad escape in an unknown member": _START + b',"strange":"\\x"}',
        "a member twice": _START + b',"stream":true,"stream":false}',
        "messages twice": _START + b"," + _START[1:] + b"}",
        "a member twice, once escaped": _START + b',"stream":true,"\\u0073tream":false}',
        "a nested member twice": b'{"messages":[{"role":"user","content":"hi","content":"ho"}]}',
        "a member twice in an unknown one": _START + b',"strange":{"a":1,"a":2}}',
    }
    assert await amiss(refusing, {name: (body, None) for name, body in rows.items()}) == {}


async def test_absurd_depth_is_refused(refusing: Proxy) -> None:
    arrays, objects = b"[" * _DEEP + b"]" * _DEEP, b'{"a":' * _DEEP + b"1" + b"}" * _DEEP
    rows = {
        "the body": (arrays, None),
        "the body, left open": (b"[" * _DEEP, None),
        "objects in a known member": (_START + b',"prediction":' + objects + b"}", "prediction.a.a.a"),
        "arrays in a known member": (_START + b',"tools":' + arrays + b"}", "tools[0][0][0]"),
        "arrays in messages": (b'{"messages":' + arrays + b"}", "messages[0][0][0]"),
        "arrays in an unknown member": (_START + b',"strange":' + arrays + b"}", "strange[0][0][0]"),
        "objects in an unknown member": (_START + b',"strange":' + objects + b"}", "strange.a.a.a"),
    }
    assert await amiss(refusing, rows) == {}


async def test_absurd_numbers_are_refused(refusing: Proxy) -> None:
    huge = b"9" * 400
    rows = {
        f"{name}={value[:6].decode()}": (_START + b',"%s":%s}' % (name.encode(), value), name)
        for name in ("n", "seed", "max_tokens", "temperature", "top_p")
        for value in (huge, b"-" + huge, b"1e999", b"-1e999")
    }
    rows["logit_bias"] = (_START + b',"logit_bias":{"1":1e999}}', "logit_bias[...]")
    assert await amiss(refusing, rows) == {}


async def test_text_that_is_not_unicode_is_refused(refusing: Proxy) -> None:
    content = b'{"messages":[{"role":"user","content":"%s"}]}'
    rows = {
        "a lone high surrogate": content % b"\\ud800",
        "a lone low surrogate": content % b"x\\udc00y",
        "a high surrogate before a letter": content % b"\\ud800\\u0041",
        "surrogates the wrong way round": content % b"\\udc00\\ud800",
        "a surrogate in a part": b'{"messages":[{"role":"user","content":[{"type":"text","text":"\\ud800"}]}]}',
        "a surrogate in an ignored member": _START + b',"prediction":{"a":"\\ud800"}}',
        "a surrogate in an unknown member": _START + b',"strange":"\\ud800"}',
        "a surrogate in a member's name": _START + b',"\\ud800":1}',
        "a byte that is not UTF-8": content % b"\xff",
        "half a character": content % b"\xc3",
        "an overlong form": content % b"\xc0\xaf",
        "a surrogate's bytes": content % b"\xed\xa0\x80",
        "a bad byte in an unknown member": _START + b',"strange":"\xff"}',
        "a bad byte in a member's name": _START + b',"\xff":1}',
    }
    assert await amiss(refusing, {name: (body, None) for name, body in rows.items()}) == {}
    cut = await refusal(await post(refusing, content % b"\\\\\\ud83d\\ude00 \\ud83d"))
    assert "half of a surrogate pair, \\ud83d (byte 54)" in cut.message


async def test_a_surrogates_bytes_are_refused_in_what_is_not_read_too(refusing: Proxy) -> None:
    rows = {"a name": _START + b',"\xed\xa0\x80":1}', "a value": _START + b',"strange":"\xed\xa0\x80"}'}
    assert await amiss(refusing, {name: (body, None) for name, body in rows.items()}) == {}


async def test_a_bad_conversation_is_refused_at_its_place(refusing: Proxy) -> None:
    text = {"type": "text", "text": "hi"}
    rows: dict[str, tuple[AnyBody, str]] = {
        "no messages": ({}, "messages"),
        "messages null": ({"messages": None}, "messages"),
        "no message": ({"messages": []}, "messages"),
        "a message of text": ({"messages": ["hi"]}, "messages[0]"),
        "an unknown role": (_one(role="robot", content="hi"), "messages[0].role"),
        "a role of the wrong type": (_one(role=1, content="hi"), "messages[0].role"),
        "a role null": (_one(role=None, content="hi"), "messages[0].role"),
        "no role": (_one(content="hi"), "messages[0].role"),
        "no role in the second": ({"messages": [*_MESSAGES, {"content": "hi"}]}, "messages[1].role"),
        "a tool's answer to no call": (_one(role="tool", content="4", tool_call_id="call_1"), "messages[0].tool_call_id"),
        "a function's answer": (_one(role="function", content="4", name="f"), "messages[0].role"),
        "a call of a function": (_one(role="assistant", content="", function_call={"name": "f"}), "messages[0].function_call"),
        "what an assistant spoke": (_one(role="assistant", content="", audio={"id": "audio_1"}), "messages[0].audio"),
        "a user without content": (_one(role="user"), "messages[0].content"),
        "a system without content": (_one(role="system"), "messages[0].content"),
        "a developer without content": (_one(role="developer"), "messages[0].content"),
        "content null": (_one(role="user", content=None), "messages[0].content"),
        "content a number": (_one(role="user", content=1), "messages[0].content"),
        "content an object": (_one(role="user", content=text), "messages[0].content"),
        "content without parts": (_one(role="user", content=[]), "messages[0].content"),
        "an empty last message": (_one(role="user", content=""), "messages[0].content"),
        "a blank last message": (_one(role="user", content=" \n\t"), "messages[0].content"),
        "empty parts in the last message": (_one(role="user", content=[text | {"text": ""}]), "messages[0].content"),
        "an empty second message": ({"messages": [*_MESSAGES, *_one(role="user", content="")["messages"]]}, "messages[1].content"),
        "a part of text": (_one(role="user", content=["hi"]), "messages[0].content[0]"),
        "a part without a type": (_one(role="user", content=[{"text": "hi"}]), "messages[0].content[0].type"),
        "an unknown part": (_one(role="user", content=[text, {"type": "smell"}]), "messages[0].content[1].type"),
        "a text part without text": (_one(role="user", content=[{"type": "text"}]), "messages[0].content[0].text"),
        "text null": (_one(role="user", content=[text | {"text": None}]), "messages[0].content[0].text"),
        "an image of the system's": (_one(role="system", content=[{"type": "image_url"}]), "messages[0].content[0].type"),
        "audio": (_one(role="user", content=[{"type": "input_audio", "input_audio": {}}]), "messages[0].content[0]"),
        "a file": (_one(role="user", content=[{"type": "file", "file": {}}]), "messages[0].content[0].file"),
        "a call of nothing": (_one(role="assistant", tool_calls=[{"id": "call_1"}]), "messages[0].tool_calls[0].function"),
    }
    assert await amiss(refusing, rows) == {}


async def test_a_conversation_without_any_content_is_refused(refusing: Proxy) -> None:
    rows = {"an assistant": (_one(role="assistant"), "messages[0].content")}
    assert await amiss(refusing, rows) == {}


async def test_an_image_is_an_image_in_a_data_url_or_it_is_refused(refusing: Proxy) -> None:
    urls = {
        "http": "http://images.example/a.png",
        "https": "https://images.example/a.png",
        "file": "file:///etc/passwd",
        "javascript": "javascript:alert(1)",
        "nothing": "",
        "a relative address": "a.png",
        "a text": "data:text/plain;base64,aGk=",
        "an SVG": "data:image/svg+xml;base64,PHN2Zy8+",
        "not base64": f"data:image/png,{_PNG}",
        "a character that is not of base64": f"data:image/png;base64,{_PNG}!",
        "a line break in the base64": f"data:image/png;base64,\n{_PNG}",
        "cut base64": f"data:image/png;base64,{_PNG[:-3]}",
        "empty": "data:image/png;base64,",
        "a PNG called JPEG": f"data:image/jpeg;base64,{_PNG}",
        "a PNG called GIF": f"data:image/gif;base64,{_PNG}",
        "a PNG called WebP": f"data:image/webp;base64,{_PNG}",
        "a program called PNG": "data:image/png;base64," + base64.b64encode(b"\x7fELF").decode(),
    }
    rows = {name: (_image(url=url), "messages[0].content[0].image_url.url") for name, url in urls.items()}
    rows["an unknown detail"] = (_image(url=f"data:image/png;base64,{_PNG}", detail="x"), "messages[0].content[0].image_url.detail")
    rows["no url"] = (_image(), "messages[0].content[0].image_url.url")
    rows["an address without an object"] = (
        _one(role="user", content=[{"type": "image_url", "image_url": "x"}]),
        "messages[0].content[0].image_url",
    )
    assert await amiss(refusing, rows) == {}


async def test_a_sound_called_webp_is_refused(refusing: Proxy) -> None:
    sound = base64.b64encode(b"RIFF\x24\x00\x00\x00WAVEfmt ").decode()
    rows = {"RIFF": (_image(url=f"data:image/webp;base64,{sound}"), "messages[0].content[0].image_url.url")}
    assert await amiss(refusing, rows) == {}


async def test_bad_members_beside_the_messages_are_refused_at_their_place(refusing: Proxy) -> None:
    rows = {
        "five stops": (_with(stop=["a", "b", "c", "d", "e"]), "stop"),
        "an empty stop": (_with(stop=""), "stop"),
        "an empty stop among others": (_with(stop=["a", ""]), "stop"),
        "a stop of the wrong type": (_with(stop=["a", 1]), "stop[1]"),
        "a stop null": (_with(stop=[None]), "stop[0]"),
        "an unknown effort": (_with(reasoning_effort="huge"), "reasoning_effort"),
        "an effort that the model lacks": (_with(reasoning_effort="ultra"), "reasoning_effort"),
        "an unknown verbosity": (_with(verbosity="loud"), "verbosity"),
        "17 metadata": (_with(metadata={f"k{number}": "v" for number in range(17)}), "metadata"),
        "a long metadata value": (_with(metadata={"k": "v" * 513}), "metadata[...]"),
        "an x_codex that is unknown": (_with(x_codex={"sandbox_mode": "read-only"}), "x_codex.sandbox_mode"),
        "an x_codex that is unknown beside a good one": (_with(x_codex={"mode": "chat", "Mode": "chat"}), "x_codex.Mode"),
        "an unknown sandbox": (_with(x_codex={"sandbox": "none"}), "x_codex.sandbox"),
        "danger mode, which is off": (_with(x_codex={"sandbox": "danger-full-access"}), "x_codex.sandbox"),
        "an unknown mode": (_with(x_codex={"mode": "robot"}), "x_codex.mode"),
        "an unknown activity": (_with(x_codex={"activity": "tool_calls"}), "x_codex.activity"),
        "an unknown x_codex effort": (_with(x_codex={"reasoning_effort": "huge"}), "x_codex.reasoning_effort"),
        "an empty cwd": (_with(x_codex={"cwd": ""}), "x_codex.cwd"),
        "several answers": (_with(n=2), "n"),
        "log probabilities": (_with(logprobs=True), "logprobs"),
        "audio": (_with(modalities=["text", "audio"]), "modalities"),
        "a voice": (_with(audio={"voice": "alloy"}), "audio"),
        "an unknown format": (_with(response_format={"type": "xml"}), "response_format.type"),
    }
    assert await amiss(refusing, rows) == {}


async def test_tools_and_the_choice_among_them_are_refused_at_their_place(refusing: Proxy) -> None:
    def choice(given: Any, *tools: dict[str, Any]) -> dict[str, Any]:  # Any: any JSON
        return _with(tool_choice=given, tools=list(tools))

    look = _function("look")
    none_allowed: dict[str, Any] = {"mode": "required", "tools": []}  # Any: any JSON
    rows: dict[str, tuple[AnyBody, str]] = {
        "no function": (_with(tools=[{"type": "function"}]), "tools[0].function"),
        "no name": (_with(tools=[{"type": "function", "function": {}}]), "tools[0].function.name"),
        "no type": (_with(tools=[look, {"function": {"name": "f"}}]), "tools[1].type"),
        "an unknown type": (_with(tools=[look, {"type": "code_interpreter"}]), "tools[1].type"),
        "a name that is empty": (_with(tools=[look, _function("")]), "tools[1]"),
        "a name with a blank": (_with(tools=[look, _function("a b")]), "tools[1]"),
        "a name with a dot": (_with(tools=[look, _function("a.b")]), "tools[1]"),
        "a name that is long": (_with(tools=[look, _function("x" * 257)]), "tools[1]"),
        "a name of other letters": (_with(tools=[look, _function("größe")]), "tools[1]"),
        "a name with a line break": (_with(tools=[look, _function("look\n")]), "tools[1]"),
        "a name twice": (_with(tools=[look, _function("see"), look]), "tools[2]"),
        "a name of the agent's own": (_with(tools=[look, _function("exec_command")]), "tools[1]"),
        "129 tools": (_with(tools=[_function(f"f{number}") for number in range(129)]), "tools"),
        "required, and no tools": (choice("required"), "tool_choice"),
        "an unknown word": (choice("any", look), "tool_choice"),
        "the name of none": (choice({"type": "function", "function": {"name": "see"}}, look), "tool_choice"),
        "no name chosen": (choice({"type": "function", "function": {}}, look), "tool_choice.function.name"),
        "a choice of no type": (choice({"function": {"name": "look"}}, look), "tool_choice.type"),
        "none allowed": (
            choice({"type": "allowed_tools", "allowed_tools": none_allowed}, look),
            "tool_choice",
        ),
        "a custom choice": (choice({"type": "custom", "custom": {"name": "write"}}, look), "tool_choice"),
        "old functions": (_with(functions=[{"name": "look"}]), "functions"),
        "an old call": (_with(function_call={"name": "look"}), "function_call"),
    }
    assert await amiss(refusing, rows) == {}


async def test_a_bad_tool_is_named_by_its_own_number_when_another_one_is_chosen(refusing: Proxy) -> None:
    tools = [_function("look"), _function("see"), _function("a b")]
    rows = {"chosen": (_with(tools=tools, tool_choice={"type": "function", "function": {"name": "a b"}}), "tools[2]")}
    assert await amiss(refusing, rows) == {}


async def test_calls_without_results_and_results_without_calls_are_refused(refusing: Proxy) -> None:
    def told(*messages: dict[str, Any]) -> dict[str, Any]:  # Any: any JSON
        return {"messages": [*_MESSAGES, *messages]}

    def calls(*names: str) -> dict[str, Any]:  # Any: any JSON
        made = [{"id": name, "type": "function", "function": {"name": "look", "arguments": "{}"}} for name in names]
        return {"role": "assistant", "content": None, "tool_calls": made}

    def result(name: str) -> dict[str, Any]:  # Any: any JSON
        return {"role": "tool", "tool_call_id": name, "content": "4"}

    go_on = {"role": "user", "content": "go on"}
    rows = {
        "no result": (told(calls("a")), "messages[1]"),
        "no result before the user goes on": (told(calls("a"), go_on), "messages[2]"),
        "one result of two": (told(calls("a", "b"), result("b")), "messages[2]"),
        "another's result": (told(calls("a"), result("b")), "messages[2].tool_call_id"),
        "a result twice": (told(calls("a"), result("a"), result("a")), "messages[3].tool_call_id"),
        "a result before its call": (told(result("a"), calls("a")), "messages[1].tool_call_id"),
        "a result without content": (told(calls("a"), {"role": "tool", "tool_call_id": "a"}), "messages[2].content"),
        "a function's answer": (told({"role": "function", "name": "f", "content": "4"}), "messages[1].role"),
    }
    assert await amiss(refusing, rows) == {}


async def test_a_bad_answer_format_is_refused_at_its_place(refusing: Proxy) -> None:
    def schema(**members: Any) -> dict[str, Any]:  # Any: any JSON
        return _with(response_format={"type": "json_schema", "json_schema": {"name": "n", "strict": True} | members})

    closed = {"type": "object", "additionalProperties": False}
    nested = closed | {"properties": {"a": {"type": "object"}}, "required": ["a"]}
    place = "response_format.json_schema"
    rows = {
        "no schema": (_with(response_format={"type": "json_schema"}), place),
        "no name": (_with(response_format={"type": "json_schema", "json_schema": {}}), f"{place}.name"),
        "a strict format of nothing": (schema(), f"{place}.schema"),
        "a strict array": (schema(schema={"type": "array"}), f"{place}.schema"),
        "a strict object that is open": (schema(schema={"type": "object"}), f"{place}.schema"),
        "a strict object that is open inside": (schema(schema=nested), f"{place}.schema.properties.a"),
        "an optional property": (schema(schema=closed | {"properties": {"a": {}}}), f"{place}.schema"),
    }
    assert await amiss(refusing, rows) == {}


async def test_an_effort_that_the_model_lacks_is_named_where_it_was_given(refusing: Proxy) -> None:
    rows = {"ultra": (_with(x_codex={"reasoning_effort": "ultra"}), "x_codex.reasoning_effort")}
    assert await amiss(refusing, rows) == {}


async def test_the_refusal_of_an_unknown_effort_lists_the_valid_ones(refusing: Proxy) -> None:
    for body in (_with(reasoning_effort="hihg"), _with(x_codex={"reasoning_effort": "hihg"})):
        assert "low, medium, high" in await (await post(refusing, body)).text()
    answer = await refusing.http.post(f"{refusing.base_url}/responses", json={"input": "hi", "reasoning": {"effort": "hihg"}})
    assert (answer.status, "low, medium, high" in await answer.text()) == (400, True)


async def test_a_long_metadata_key_is_refused_at_its_place(refusing: Proxy) -> None:
    answer = await post(refusing, _with(metadata={"k" * 65: "v"}))
    assert answer.status == 400
    assert ((await refusal(answer)).param or "").startswith("metadata")


async def test_a_refusal_does_not_repeat_a_long_value(refusing: Proxy) -> None:
    for body in (_with(verbosity="x" * 500_000), _with(x_codex={"x" * 500_000: 1})):
        assert len(await (await post(refusing, body)).read()) < 2_000


async def test_an_unknown_model_is_404_and_the_known_ones_are_named(refusing: Proxy) -> None:
    for name in ("nothing-5", "gpt-5.5 huge", "gpt-5.5 high low"):
        answer = await post(refusing, _with(model=name))
        error = await refusal(answer)
        assert (answer.status, error.code, error.param) == (404, "model_not_found", "model")
        assert "gpt-5.5" in error.message


async def test_a_directory_outside_the_workspaces_is_403(refusing: Proxy) -> None:
    for cwd in ("/", "/etc", ".", "..", "\0", "x" * 4096, str(refusing.server.settings.workdir / "missing")):
        answer = await post(refusing, _with(x_codex={"cwd": cwd}))
        error = await refusal(answer)
        assert (answer.status, error.code, error.param) == (403, "permission_denied", "x_codex.cwd")


def _one(**message: Any) -> dict[str, Any]:  # Any: any JSON
    """A body with one message."""
    return {"messages": [message]}


def _function(name: str) -> dict[str, Any]:  # Any: any JSON
    return {"type": "function", "function": {"name": name}}


def _image(**image_url: str) -> dict[str, Any]:  # Any: any JSON
    return _one(role="user", content=[{"type": "image_url", "image_url": image_url}])


def _with(**members: Any) -> dict[str, Any]:  # Any: any JSON
    """A good body with these members beside the messages."""
    return {"messages": _MESSAGES} | members

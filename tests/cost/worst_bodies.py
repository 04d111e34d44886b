"""Bodies that are as dear as one of their size can be; each grows with a number, and some checker goes through it."""

import base64
from collections.abc import Callable
from typing import Any

import msgspec

Grow = Callable[[int], bytes]  # a number of repetitions -> a body


def _text(escape: str) -> Grow:
    return lambda n: b'{"messages":[{"role":"user","content":"' + (escape * n).encode() + b'"}],"input":"x"}'


def _chat(messages: Callable[[int], list[Any]], **members: Any) -> Grow:  # Any: any JSON
    return lambda n: msgspec.json.encode({"messages": messages(n), **members})


def _with(members: Callable[[int], dict[str, Any]]) -> Grow:  # Any: any JSON
    """A body of both dialects."""
    return lambda n: msgspec.json.encode({"messages": [_USER], "input": "x", **members(n)})


def _input(items: Callable[[int], list[Any]]) -> Grow:  # Any: any JSON
    return lambda n: msgspec.json.encode({"input": items(n)})


def _raw(start: str, middle: str, end: str) -> Grow:
    return lambda n: (start + middle * n + end).encode()


def _strict(schema: Any) -> dict[str, Any]:  # Any: any JSON
    chat = {"type": "json_schema", "json_schema": {"name": "n", "strict": True, "schema": schema}}
    return {"response_format": chat, "text": {"format": {"type": "json_schema", "name": "n", "strict": True, "schema": schema}}}


def _object(names: list[str]) -> dict[str, Any]:  # Any: a JSON Schema
    properties = {name: {"type": "string"} for name in names}
    return {"type": "object", "properties": properties, "required": names[::-1], "additionalProperties": False}


def _tool(parameters: Any) -> dict[str, Any]:  # Any: any JSON
    function = {"name": "f", "parameters": parameters}
    return {"tools": [{"type": "function", "function": function} | function]}


def _called(ids: list[str]) -> dict[str, Any]:  # Any: any JSON
    calls = [{"id": name, "type": "function", "function": {"name": "f", "arguments": "{}"}} for name in ids]
    return {"role": "assistant", "content": None, "tool_calls": calls}


def _result(name: str) -> dict[str, str]:
    return {"role": "tool", "tool_call_id": name, "content": "x"}


def _names(n: int) -> list[str]:
    return [f"name_{number}" for number in range(n)]


def _nested(part: str, inner: str, close: str) -> Grow:
    """Schemas inside schemas, as deep as a body may be, and again and again beside one another."""
    deep = part * 40 + inner + close * 40
    return lambda n: (
        b'{"messages":[{"role":"user","content":"x"}],"response_format":{"type":"json_schema","json_schema":{"name":"n","strict":true,'
        b'"schema":{"type":"object","additionalProperties":false,"$defs":{'
        + ",".join(f'"d{number}":{deep}' for number in range(n)).encode()
        + b"}}}}}"
    )


def _image(content: bytes) -> dict[str, Any]:  # Any: any JSON
    url = "data:image/jpeg;base64," + base64.b64encode(content).decode()
    return {"type": "image_url", "image_url": {"url": url}}


_USER = {"role": "user", "content": "x"}
_FILLED = b"\xff\xd8" + b"\xff" * 3000
_HEAD = '{"messages":[{"role":"user","content":"x"}],"input":"x","strange":'

# name -> (body, how many bytes one repetition adds to it, about)
BODIES: dict[str, tuple[Grow, int]] = {
    "a long text": (_text("x"), 1),
    "a text of escapes": (_text("\\n"), 2),
    "a text of escaped quotes": (_text('\\"'), 2),
    "a text of escaped backslashes": (_text("\\\\"), 2),
    "a text of escaped characters": (_text("\\u00e9"), 6),
    "a text of wide characters": (_text("\U0001f600"), 4),
    "blanks": (_raw(_HEAD + "1", " ", "}"), 1),
    "empty objects": (_raw(_HEAD + "[", "{},", "1]}"), 3),
    "empty strings": (_raw(_HEAD + "[", '"",', "1]}"), 3),
    "numbers": (_raw(_HEAD + "[", "0,", "1]}"), 2),
    "one number": (_raw(_HEAD + "1", "0", "}"), 1),
    "arrays in arrays": (_raw(_HEAD + "[", "[" * 90 + "]" * 90 + ",", "1]}"), 181),
    "an array left open": (_raw(_HEAD, "[", ""), 1),
    "a string left open": (_raw(_HEAD + '"', "x", ""), 1),
    "unknown members": (_with(lambda n: dict.fromkeys(_names(n), 0)), 20),
    "names of escapes": (_with(lambda n: {'"\\' * 50 + name: 0 for name in _names(n)}), 220),
    "a long name": (_with(lambda n: {"x" * n: 0}), 1),
    "messages": (_chat(lambda n: [_USER] * n), 35),
    "calls answered in reverse": (_chat(lambda n: [_called(_names(n)), *map(_result, _names(n)[::-1])]), 170),
    "calls of one name": (_chat(lambda n: [_called(["a"] * n), *[_result("a")] * n]), 150),
    "calls never answered": (_chat(lambda n: [_called(_names(n))]), 90),
    "a call with a long id": (_chat(lambda n: [_called(["x" * n]), _USER]), 1),
    "parts": (_chat(lambda n: [{"role": "user", "content": [{"type": "text", "text": "x"}] * n}]), 30),
    "small images": (_chat(lambda n: [{"role": "user", "content": [_image(_FILLED[:30])] * n}]), 130),
    "images of fill bytes": (_chat(lambda n: [{"role": "user", "content": [_image(_FILLED)] * n}]), 4100),
    "a large image": (_chat(lambda n: [{"role": "user", "content": [_image(_FILLED + bytes(n))]}]), 1),
    "metadata": (_with(lambda n: {"metadata": dict.fromkeys(_names(n), "x")}), 20),
    "stop sequences": (_with(lambda n: {"stop": ["x"] * n}), 5),
    "a stop sequence": (_with(lambda n: {"stop": "x" * n}), 1),
    "a strict schema": (_with(lambda n: _strict(_object(_names(n)))), 100),
    "a strict schema that requires nothing": (_with(lambda n: _strict(_object(_names(n)) | {"required": [1] * n})), 80),
    "a strict schema inside a long name": (
        _with(lambda n: _strict(_object([]) | {"$defs": {"x" * (50 * n): _object(_names(n))}})),
        100,
    ),
    "strict schemas, nested": (_nested('{"type":"array","items":', "{}", "}"), 1100),
    "definitions, nested": (_nested('{"$defs":{"a":', "{}", "}}"), 750),
    "choices of a strict schema": (_with(lambda n: _strict(_object([]) | {"items": {"anyOf": [{}] * n}})), 10),
    "a tool's schema": (_with(lambda n: _tool(_object(_names(n)))), 100),
    "a tool's integers": (_with(lambda n: _tool({"enum": list(range(n))})), 14),
    "a tool's description": (_with(lambda n: {"tools": [{"type": "function", "name": "f", "description": "x" * n}]}), 1),
    "tools": (_with(lambda n: {"tools": [{"type": "function", "name": name} for name in _names(n)]}), 45),
    "tools in a namespace": (
        _with(
            lambda n: {
                "tools": [{"type": "namespace", "name": "g", "tools": [{"type": "function", "name": f"f{i}"} for i in range(n)]}]
            }
        ),
        45,
    ),
    "tools that are ignored": (_with(lambda n: {"tools": [{"type": "tool_search"}] * n}), 25),
    "a choice among tools": (
        _with(
            lambda n: {"tool_choice": {"type": "allowed_tools", "mode": "auto", "tools": [{"name": name} for name in _names(n)]}}
        ),
        25,
    ),
    "what to include": (_with(lambda n: {"include": _names(n)}), 15),
    "instructions": (_with(lambda n: {"instructions": "x" * n}), 1),
    "items": (_input(lambda n: [{"role": "user", "content": "x"}] * n), 35),
    "output that comes before its call": (
        _input(
            lambda n: [
                *({"type": "function_call", "call_id": name, "name": "f", "arguments": "{}"} for name in _names(n)),
                *({"type": "function_call_output", "call_id": name, "output": "x"} for name in _names(n)[::-1]),
            ]
        ),
        160,
    ),
    "function calls without output": (
        _input(lambda n: [{"type": "function_call", "call_id": name, "name": "f", "arguments": "{}"} for name in _names(n)]),
        90,
    ),
    "input parts": (_input(lambda n: [{"role": "user", "content": [{"type": "input_text", "text": "x"}] * n}]), 35),
    "work with a strange name": (_input(lambda n: [{"type": "mcp_call", "id": "a", "name": "é " * n, "arguments": "{}"}]), 7),
    "work with a large error": (
        _input(
            lambda n: [{"type": "mcp_call", "id": "a", "name": "b", "arguments": "{}", "error": {name: [] for name in _names(n)}}]
        ),
        20,
    ),
    "thoughts": (
        _input(lambda n: [{"type": "reasoning", "encrypted_content": "x", "summary": [{"type": "summary_text", "text": "x"}] * n}]),
        40,
    ),
    "a file": (
        _input(lambda n: [{"role": "user", "content": [{"type": "input_file", "file_data": "QUFB" * n}]}]),
        4,
    ),
}

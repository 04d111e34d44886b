"""The OpenAPI document: valid, complete, and true of what the server sends."""

import json
import re
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import openapi_spec_validator
import pytest
from jsonschema import Draft202012Validator

from codex_proxy.demo.model import ModelServer
from codex_proxy.demo.steps import Call, ModelRequest, Raw, Say, Step, Think, words
from codex_proxy.web import openapi
from codex_proxy.web.app import ROUTES
from tests.conftest import Proxy

DOCUMENT: dict[str, Any] = msgspec.json.decode(openapi.document())
TOOL = {"name": "get_weather", "parameters": {"type": "object", "properties": {}}}


def test_the_document_is_valid_openapi() -> None:
    openapi_spec_validator.validate(DOCUMENT)
    assert "codex_proxy." not in openapi.document().decode()


def test_the_document_has_every_route_and_no_other() -> None:
    told = {(method.upper(), path) for path, methods in DOCUMENT["paths"].items() for method in methods}
    assert told == {(method, re.sub(r"\{id:[^}]*\}", "{id}", path)) for method, path, _ in ROUTES}


def test_the_document_offers_nothing_that_is_always_refused() -> None:
    offered = DOCUMENT["components"]["schemas"]
    assert {part.get("description") for part in offered.values()}.isdisjoint({"Known, and refused by name."})
    assert set(offered) >= {"UserMessage", "ToolMessage", "FunctionTool"}
    assert offered.keys().isdisjoint({"FunctionMessage"})


def errors_of(value: object, schema: dict[str, Any]) -> list[str]:
    """What is wrong with a value, by a schema of the document."""
    validator = Draft202012Validator({**schema, "components": DOCUMENT["components"]})
    return [f"{error.json_path}: {error.message}" for error in validator.iter_errors(value)]


def answer_schema(path: str, method: str = "post", kind: str = "application/json") -> dict[str, Any]:
    schema: dict[str, Any] = DOCUMENT["paths"][path][method]["responses"]["200"]["content"][kind]
    return schema


async def everything(request: ModelRequest) -> AsyncIterator[Step]:
    if "get_weather" in request.tool_names:
        yield Call("get_weather", "{}", "call_w")
    elif request.outputs:
        yield Raw({"type": "web_search_call", "id": "ws_1", "status": "completed", "action": {"type": "search", "query": "cats"}})
        yield Say(words("all done"))
    else:
        yield Think(("**One**", "**Two**"), "ENC")
        yield Say(("I will look.",), phase="commentary")
        yield Call("exec_command", json.dumps({"cmd": "echo hi; false"}), "call_1")


@pytest.mark.parametrize("tools", [False, True])
async def test_every_answer_and_every_event_fits_the_document(proxy: Proxy, model: ModelServer, tools: bool) -> None:
    model.script = everything
    chat = {"messages": [{"role": "user", "content": "go"}], "stream_options": {"include_usage": True}}
    responses = {"input": "go", "include": ["reasoning.encrypted_content"]}
    if tools:
        chat["tools"] = [{"type": "function", "function": TOOL}]
        responses["tools"] = [{"type": "function", **TOOL}]  # type: ignore[list-item]
    for path, body in (("/v1/chat/completions", chat), ("/v1/responses", responses)):
        request_schema = DOCUMENT["paths"][path]["post"]["requestBody"]["content"]["application/json"]["schema"]
        assert errors_of(body, request_schema) == []
        whole = await proxy.http.post(proxy.address + path, json=body | {"stream": False})
        assert errors_of(await whole.json(), answer_schema(path)["schema"]) == []
        streamed = await proxy.http.post(proxy.address + path, json=body | {"stream": True})
        frames = [line[6:] async for line in streamed.content if line.startswith(b"data: {")]
        assert len(frames) > 3
        for frame in frames:
            assert errors_of(json.loads(frame), answer_schema(path, kind="text/event-stream")["x-event-schema"]) == []


async def test_what_is_not_a_turn_fits_the_document_too(proxy: Proxy) -> None:
    for path, place in (
        ("/v1/models", "/v1/models"),
        ("/v1/models/{id}", "/v1/models/gpt-5.5 high"),
        ("/health", "/health"),
        ("/ready", "/ready"),
    ):
        answer = await proxy.http.get(proxy.address + place)
        assert answer.status == 200
        assert errors_of(await answer.json(), answer_schema(path, "get")["schema"]) == []
    refused = await proxy.http.get(f"{proxy.address}/v1/models/nothing")
    assert refused.status == 404
    error_schema = DOCUMENT["paths"]["/v1/models"]["get"]["responses"]["default"]["content"]["application/json"]["schema"]
    assert errors_of(await refused.json(), error_schema) == []
    assert (await (await proxy.http.get(f"{proxy.address}/openapi.json")).json()) == DOCUMENT

"""What the demo's model says: it never pretends to be a real one, and uses what it is given."""

import base64
import json
from typing import Any

import jsonschema
import pytest

from codex_proxy.demo import commands
from codex_proxy.demo.examples import fitting
from codex_proxy.demo.script import script
from codex_proxy.demo.steps import Call, ModelRequest, Say
from tests.support.pictures import png

Json = dict[str, Any]  # Any: any JSON

SHELL: Json = {"type": "function", "name": "exec_command", "parameters": {}}
WEATHER: Json = {
    "type": "function",
    "name": "get_weather",
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}, "days": {"type": "integer"}}},
}
CLOCK: Json = {"type": "function", "name": "get_time", "parameters": {"type": "object", "properties": {}}}


def _user(*texts: str) -> list[Json]:
    return [{"role": "user", "content": [{"type": "input_text", "text": text}]} for text in texts]


async def _steps(given: list[Json], *tools: Json, **members: Any) -> list[Say | Call]:
    asked = ModelRequest({"input": given, "tools": list(tools), **members})
    return [step async for step in script(asked) if isinstance(step, Say | Call)]


async def _said(given: list[Json], *tools: Json, **members: Any) -> str:
    (found,) = await _steps(given, *tools, **members)
    assert isinstance(found, Say)
    return "".join(found.pieces)


async def _called(prompt: str, *tools: Json) -> list[tuple[str, Json]]:
    calls = [step for step in await _steps(_user(prompt), *tools) if isinstance(step, Call)]
    return [(call.name, json.loads(call.arguments)) for call in calls]


def _output(text: str) -> Json:
    return {"type": "function_call_output", "call_id": "c", "output": text}


@pytest.mark.parametrize("output", [None, "Chunk ID: 1\nProcess exited with code 0\nOutput:\nhi", "sunny"])
async def test_every_answer_says_that_it_is_a_demo(output: str | None) -> None:
    (said,) = await _steps(_user("Hello") + ([_output(output)] if output else []))
    assert isinstance(said, Say)
    assert "demo" in "".join(said.pieces)
    assert len(said.pieces) > 5


@pytest.mark.parametrize(
    ("prompt", "command"),
    [
        ("Please run: `uname -a`", "uname -a"),
        ("Run `uname -a` and tell me what it says.", "uname -a"),
        ("Run the command `date | tee -a log.txt`.", "date | tee -a log.txt"),
        ("Could you execute:\n```sh\nls\npwd\n```", "ls\npwd"),
        ("run ls -la", "ls -la"),
        ("run: ls", "ls"),
        ("Run pwd.", "pwd"),
        ("Run echo hello world", "echo hello world"),
        ("What is in this directory?", "ls"),
        ("What files are there?", "ls"),
        ("List the files in the working directory.", "ls"),
        ("Which files are in your workspace?", "ls"),
        ("Run the tests and tell me what fails.", None),
        ("Run tests", None),
        ("Run: the tests, please", None),
        ("Run sort on the numbers and tell me the median.", None),
        ("Please run find for me", None),
        ("Run make and tell me what fails", None),
        ("How do I run a marathon?", None),
        ("Do not run `rm -rf x`.", None),
        ("Never run `ls`", None),
        ("The engine is running: `x` is its speed", None),
        ("What is in a good sandwich?", None),
        ("Hello", None),
    ],
)
def test_a_command_is_only_what_certainly_is_one(prompt: str, command: str | None) -> None:
    assert commands.wanted(prompt) == command


async def test_it_runs_a_command_only_where_there_is_a_shell() -> None:
    assert await _called("Please run: `uname -a`", SHELL) == [("exec_command", {"cmd": "uname -a", "yield_time_ms": 10_000})]
    assert await _called("Run `ls`", {**SHELL, "name": "shell_command"}) == [("shell_command", {"command": "ls"})]
    assert "no shell in chat mode" in await _said(_user("Please run: `uname -a`"))


async def test_what_a_command_printed_keeps_its_line_breaks() -> None:
    said = await _said([*_user("run: ls"), _output("Chunk ID: 1\nProcess exited with code 0\nOutput:\na.txt\nb  c.txt\n")])
    assert "The command printed:\n\n```\na.txt\nb  c.txt\n```" in said


@pytest.mark.parametrize(
    ("output", "said"),
    [
        ("Chunk\nProcess exited with code 3\nOutput:\nno\n", "The command failed with exit code 3:\n\n```\nno\n```"),
        ("Chunk\nProcess exited with code 3\nOutput:\n", "The command failed with exit code 3."),
        ("Chunk\nProcess exited with code 0\nOutput:\n", "The command printed nothing."),
        ('{"sun": true}', 'The tool answered:\n\n```\n{"sun": true}\n```'),
        ("", "The tool answered nothing."),
    ],
)
async def test_it_says_how_a_command_or_tool_ended(output: str, said: str) -> None:
    assert await _said([*_user("x"), _output(output)]) == f"This is the codex-proxy demo. {said}"


async def test_it_calls_a_clients_tool_that_the_prompt_names_with_fitting_arguments() -> None:
    assert await _called("Use get_weather, please", SHELL, WEATHER) == [("get_weather", {"city": "demo", "days": 1})]
    assert await _called("Get weather in New York for 3 days", WEATHER) == [("get_weather", {"city": "New York", "days": 3})]
    assert await _called("Hello", SHELL, WEATHER) == []
    assert await _called("budget_weather", WEATHER) == []


async def test_it_calls_every_tool_that_is_named_and_one_in_a_group_by_both_names() -> None:
    assert [name for name, _ in await _called("get_time, then get_weather", CLOCK, WEATHER)] == ["get_time", "get_weather"]
    (call,) = await _steps(_user("use get_time"), {"type": "namespace", "name": "clocks", "tools": [CLOCK]})
    assert isinstance(call, Call)
    assert (call.namespace, call.name) == ("clocks", "get_time")


async def test_it_calls_a_tool_when_it_has_to() -> None:
    reminder = "Answer by calling one of the functions that you have been given, not with text."
    (call,) = await _steps(_user("How is Berlin?", reminder), SHELL, WEATHER)
    assert isinstance(call, Call)
    assert json.loads(call.arguments) == {"city": "Berlin", "days": 1}


@pytest.mark.parametrize(
    ("earlier", "question", "recalled"),
    [
        (["Remember the number 7."], "Which number?", "the number 7"),
        (["Remember the number 7.", "Hello"], "What number did I tell you?", "the number 7"),
        (["Please remember: my cat is called Tom"], "What is my cat called?", "your cat is called Tom"),
        (["My name is Ada."], "What is my name?", "that your name is Ada"),
        (["Remember the number 7.", "My name is Ada."], "Which number?", "the number 7."),
        (["Remember the number 7.", "Remember the colour red."], "Which was it?", "the number 7 and the colour red"),
    ],
)
async def test_it_remembers_what_was_said_in_the_conversation(earlier: list[str], question: str, recalled: str) -> None:
    given = [*_user(*earlier), {"role": "assistant", "content": [{"type": "output_text", "text": "Yes."}]}, *_user(question)]
    assert recalled in await _said(given)


async def test_without_anything_to_remember_it_says_what_came_before() -> None:
    assert "I will remember the number 7" in await _said(_user("Remember the number 7."))
    assert "Before that you said: “one”" in await _said(_user("<environment_context>x</environment_context>", "one", "two"))
    assert "You said: “a\n  b”" in await _said(_user("a\n  b"))


async def test_it_says_how_large_an_image_is() -> None:
    picture = base64.b64encode(png(640, 480)).decode()
    parts = [
        {"type": "input_text", "text": "What is this?"},
        {"type": "input_image", "image_url": f"data:image/png;base64,{picture}"},
    ]
    assert "The image is 640 × 480 pixels (PNG, " in await _said([{"role": "user", "content": parts}])
    broken = [{"type": "input_image", "image_url": "data:image/png;base64,AAAA"}]
    assert "cannot read" in await _said([{"role": "user", "content": broken}])


PERSON: Json = {
    "type": "object",
    "properties": {
        "name": {"type": "string"},
        "age": {"type": "integer", "minimum": 18},
        "colour": {"enum": ["red", "green"]},
        "born": {"type": ["string", "null"], "format": "date"},
        "friends": {"type": "array", "items": {"$ref": "#/$defs/friend"}, "minItems": 2},
        "where": {"anyOf": [{"type": "null"}, {"$ref": "#/$defs/place"}]},
        "kind": {"const": "person"},
        "score": {"type": "number", "maximum": 0.5},
        "pair": {"type": "array", "prefixItems": [{"type": "boolean"}, {"type": "string", "minLength": 9}]},
    },
    "required": ["name", "age", "colour", "born", "friends", "where", "kind", "score", "pair"],
    "additionalProperties": False,
    "$defs": {
        "friend": {
            "type": "object",
            "properties": {"name": {"type": "string"}, "friends": {"type": "array", "items": {"$ref": "#/$defs/friend"}}},
            "required": ["name", "friends"],
            "additionalProperties": False,
        },
        "place": {"type": "object", "properties": {"next": {"anyOf": [{"$ref": "#/$defs/place"}, {"type": "null"}]}}},
    },
}


@pytest.mark.parametrize("prompt", ["", "Ada is 36 and lives in London", "17", "-3"])
async def test_it_fills_a_strict_schema_and_says_nothing_beside_it(prompt: str) -> None:
    form = {"type": "json_schema", "strict": True, "name": "person", "schema": PERSON}
    filled = json.loads(await _said(_user(prompt), text={"format": form}))
    jsonschema.validate(filled, PERSON)


def test_what_the_prompt_says_goes_into_a_schema() -> None:
    filled = fitting(PERSON, "Tell of a lady named Ada Lovelace, who is 36.")
    assert (filled["name"], filled["age"]) == ("Ada Lovelace", 36)


@pytest.mark.parametrize("of_schema", ["The value is an object.", f"The value fits this JSON Schema: {json.dumps(PERSON)}"])
async def test_it_answers_in_json_where_it_is_asked_to_in_words(of_schema: str) -> None:
    told = f"Answer with one JSON value and nothing else: no prose around it, no Markdown fence. {of_schema}"
    given = [{"role": "developer", "content": [{"type": "input_text", "text": told}]}, *_user("Hello")]
    assert isinstance(json.loads(await _said(given)), dict)

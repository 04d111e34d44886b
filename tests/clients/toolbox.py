"""The tools and answers that the tests of several clients ask for, and the scripts of a model that uses them."""

import json
from collections.abc import AsyncIterator

from pydantic import BaseModel

from codex_proxy.demo.steps import Call, ModelRequest, Say, Step, Think, words

CITIES = ("Rome", "Paris", "Oslo")


class City(BaseModel):
    """The argument of the tools get_weather and get_time."""

    city: str


class Forecast(BaseModel):
    """A structured answer."""

    city: str
    celsius: int


FORECAST = Forecast(city="Rome", celsius=21)


def command(text: str, call_id: str) -> Call:
    """The model's call of Codex's shell tool."""
    return Call("exec_command", json.dumps({"cmd": text, "yield_time_ms": 5_000}), call_id)


async def call_two_tools(request: ModelRequest) -> AsyncIterator[Step]:
    """A script: get_weather and get_time, as far as they are offered, in one response; then an answer."""
    if request.outputs:
        yield Say(words("It is sunny."))
        return
    for name, call_id in (("get_weather", "call_w"), ("get_time", "call_t")):
        if name in request.tool_names:
            yield Call(name, '{"city":"Rome"}', call_id)


async def three_rounds(request: ModelRequest) -> AsyncIterator[Step]:
    """A script: get_weather for one city after the other, each with a thought before it; then an answer."""
    done = len(request.outputs)
    if done < len(CITIES):
        yield Think((f"**{CITIES[done]}**",), encrypted=f"secret-{done}")
        yield Call("get_weather", json.dumps({"city": CITIES[done]}), f"call_{done}")
    else:
        yield Say(words("The warmest is Oslo."))


async def answer_with_json_at_last(request: ModelRequest) -> AsyncIterator[Step]:
    """A script of an agent: a word on what it does, a command, and then FORECAST as JSON."""
    if request.outputs:
        yield Say(words(json.dumps(FORECAST.model_dump())))
    else:
        yield Say(words("I will look."), phase="commentary")
        yield command("echo looking", "call_look")

"""Images that Codex leaves out: a text stands in their place, and is told from one that the request has itself."""

import msgspec
import pytest

from codex_proxy.codex.translate import Translator
from codex_proxy.errors import InvalidRequest
from codex_proxy.history import Answered, Image, Message, Part, Text, Verbatim
from codex_proxy.turns import Turn
from tests.codex.lines import TURN, Line, call_output, line, translate

_LEFT_OUT = "image content omitted because it could not be processed"
_NOTICE = {"type": "input_text", "text": _LEFT_OUT}
_PICTURE = {"type": "input_image", "image_url": "data:image/png;base64,AAAA"}


def _shown(*content: dict[str, str]) -> Line:
    return line("rawResponseItem/completed", item={"type": "message", "role": "user", "content": content})


def _turn(*parts: Part, said: str = "hi") -> Turn:
    history = (Message("user", (Text(said),)), Answered("call_1", parts))
    return msgspec.structs.replace(TURN, history=history, input=parts)


def test_an_image_of_the_input_that_is_left_out_ends_the_turn() -> None:
    with pytest.raises(InvalidRequest, match="could not be decoded"):
        translate(Translator(_turn(Image("data:a"))), [_shown(_PICTURE, _NOTICE)])


def test_an_image_of_the_history_that_is_left_out_ends_the_turn() -> None:
    translator = Translator(_turn(Image("data:a")))
    translator.check_images(_shown(_PICTURE)[1])
    with pytest.raises(InvalidRequest, match="could not be decoded"):
        translator.check_images(call_output("call_1", [_NOTICE])[1])


def test_a_text_of_the_requests_own_is_no_notice_but_one_more_is() -> None:
    earlier = Verbatim(msgspec.json.encode({"type": "function_call_output", "output": [_NOTICE]}).decode())
    turn = _turn(Image("data:a"), said=_LEFT_OUT)
    translator = Translator(msgspec.structs.replace(turn, history=(*turn.history, earlier)))
    translator.check_images(_shown(_NOTICE)[1])
    translator.check_images(call_output("call_0", [_NOTICE])[1])
    assert translate(translator, [_shown(_PICTURE)]) == []
    with pytest.raises(InvalidRequest):
        translate(translator, [_shown(_NOTICE)])


def test_what_the_agent_looks_at_itself_is_its_own_affair() -> None:
    translator = Translator(_turn(Image("data:a")))
    counted = dict.fromkeys(("inputTokens", "cachedInputTokens", "outputTokens", "reasoningOutputTokens"), 1)
    answered = line("thread/tokenUsage/updated", tokenUsage={"total": counted})
    translate(translator, [call_output("call_2", [_NOTICE]), answered, _shown(_NOTICE)])
    translator.check_images(_shown(_NOTICE)[1])

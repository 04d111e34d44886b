"""docs/COMPATIBILITY.md, row by row: the decoder does with each example what the table says of it."""

import json
import re
from pathlib import Path
from typing import Any, get_type_hints

import msgspec
import pytest
from openai.types.chat.completion_create_params import CompletionCreateParamsBase
from openai.types.completion_create_params import CompletionCreateParamsBase as TextParams
from openai.types.responses.response_create_params import ResponseCreateParamsBase

from codex_proxy.dialects.chat import request as chat_request
from codex_proxy.dialects.completions import request as completions_request
from codex_proxy.dialects.responses import request as responses_request
from codex_proxy.errors import InvalidRequest, UnsupportedParameter

_DIALECTS: dict[str, tuple[Any, type, dict[str, Any]]] = {  # Any: modules, and JSON
    "Chat completions": (chat_request, CompletionCreateParamsBase, {"messages": [{"role": "user", "content": "Hi"}]}),
    "Text completions": (completions_request, TextParams, {"prompt": "Hi"}),
    "Responses": (responses_request, ResponseCreateParamsBase, {"input": "Hi"}),
}
_ROW = re.compile(r"^\| `(\w+)` \| `(.+?)` \| (.+?) \| .*\|$", re.MULTILINE)
_DOCUMENT = (Path(__file__).parents[2] / "docs" / "COMPATIBILITY.md").read_text()


def _rows(dialect: str) -> list[tuple[str, str, str]]:
    section = _DOCUMENT.split(f"\n## {dialect}\n")[1].split("\n## ")[0]
    found: list[tuple[str, str, str]] = _ROW.findall(section)
    assert len(found) == section.count("\n| `"), "a row that is not like the others"
    return found


@pytest.mark.parametrize(("dialect", "row"), [(dialect, row) for dialect in _DIALECTS for row in _rows(dialect)])
def test_a_row_of_the_table_is_what_the_decoder_does(dialect: str, row: tuple[str, str, str]) -> None:
    name, example, outcome = row
    decode, minimal = _DIALECTS[dialect][0].decode, _DIALECTS[dialect][2]
    given = json.loads(example)
    assert name in given
    body = msgspec.json.encode(minimal | given)
    if outcome.startswith("refused"):
        wanted = UnsupportedParameter if outcome == "refused: `unsupported_parameter`" else InvalidRequest
        with pytest.raises(wanted) as refused:
            decode(body)
        assert refused.value.param is not None
        assert re.match(r"\w+", refused.value.param)[0] in given  # type: ignore[index]  # it begins with a word
        return
    decoded = decode(body)
    without = decode(msgspec.json.encode(minimal))
    ignored = {word.partition(".")[0] for word in decoded.ignored}
    assert ignored == ({name} if outcome == "ignored" else set())
    if dialect == "Responses" and outcome == "no difference":  # what is echoed
        decoded, without = (msgspec.structs.replace(request, body=without.body) for request in (decoded, without))
    if outcome != "ignored":
        assert (decoded == without) == {"honoured": False, "no difference": True}[outcome]


@pytest.mark.parametrize("dialect", _DIALECTS)
def test_every_parameter_of_ours_and_of_the_official_sdk_has_a_row(dialect: str) -> None:
    module, official, _ = _DIALECTS[dialect]
    told = {name for name, _, _ in _rows(dialect)}
    assert {*get_type_hints(official), *module.Body.__struct_fields__} - told == set()

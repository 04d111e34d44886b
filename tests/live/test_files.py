"""Files on the real CLI, in both dialects: what the model gets of each kind, and what is refused."""

import base64
from typing import Any

import aiohttp
import msgspec
import pytest

from codex_proxy.demo.model import ModelServer
from tests.conftest import Proxy
from tests.support.pdfs import file_data, pdf
from tests.support.pictures import PIXEL
from tests.support.refusals import post, refusal

_CHAT, _ITEMS = "chat/completions", "responses"
_PDF = pdf(["Hello", "World"])
_TEXT = file_data("a;b\nü".encode(), "text/csv")


def _asked(route: str, data: str | None, name: str | None, **more: object) -> dict[str, Any]:
    """A question about a file."""
    given = {"file_data": data, "filename": name} | more
    if route == _CHAT:
        parts = [{"type": "text", "text": "Read:"}, {"type": "file", "file": given}]
        return {"model": "gpt-5.5 chat", "messages": [{"role": "user", "content": parts}]}
    parts = [{"type": "input_text", "text": "Read:"}, {"type": "input_file", **given}]
    return {"model": "gpt-5.5 chat", "input": [{"role": "user", "content": parts}]}


def _read_by(model: ModelServer) -> list[str]:
    """What the model got of the user's last message: its texts, and the kinds of its images."""
    [content] = [item["content"] for item in model.requests[-1].input if item.get("role") == "user"][-1:]
    return [part.get("text") or part["image_url"].partition(",")[0] for part in content]


@pytest.mark.parametrize("route", [_CHAT, _ITEMS])
@pytest.mark.parametrize(
    ("data", "name", "read"),
    [
        (_TEXT, "a.csv", ["File a.csv:\na;b\nü"]),
        (_TEXT.partition(",")[2], None, ["File without a name:\na;b\nü"]),
        (file_data(b"\xef\xbb\xbfhi", "text/markdown"), "a.md", ["File a.md:\nhi"]),
        (file_data(base64.b64decode(PIXEL.partition(",")[2]), "image/jpg"), "a.jpg", ["data:image/png;base64"]),
        *(
            (file_data(content, kind), name, [f"File {name}, page {page}" for page in ("1 of 2:\nHello", "2 of 2:\nWorld")])
            for content, kind, name in (
                (_PDF, "application/pdf", "a.pdf"),
                (b"\r\n" + _PDF, "text/plain", "a.txt"),
                (_PDF, "application/octet-stream", "a"),
            )
        ),
    ],
)
async def test_the_model_gets_a_file_as_what_its_bytes_say(
    proxy: Proxy, model: ModelServer, route: str, data: str, name: str | None, read: list[str]
) -> None:
    answer = await post(proxy, _asked(route, data, name), route=route)
    assert answer.status == 200, await answer.text()
    told = _read_by(model)
    assert told[0] == "Read:"
    if "%PDF" in base64.b64decode(data.partition(",")[2] or data)[:9].decode("latin-1"):
        read = [part for text in read for part in (text, "data:image/jpeg;base64")]
    assert told[1:] == read
    assert b"%PDF" not in msgspec.json.encode(model.requests[-1].body)


@pytest.mark.parametrize("route", [_CHAT, _ITEMS])
@pytest.mark.parametrize(
    ("data", "name", "code", "told"),
    [
        (file_data(b"%PDF-1.4 an ASCII file\n"), "a.txt", None, "is damaged"),
        (file_data(b"hello"), "a.txt", None, "declared as a PDF but is not one"),
        (file_data(b"hello", "text/plain"), "A.PDF", None, "declared as a PDF but is not one"),
        (
            file_data(b"PK\x03\x04\xff\xfe", "application/zip"),
            "a.docx",
            "unsupported_parameter",
            "Send text in UTF-8, a PDF, or an image",
        ),
        (file_data(b"MZ\0\0", "text/plain"), "a.exe", "unsupported_parameter", "Send text in UTF-8, a PDF, or an image"),
        (file_data(b"a" * (1024 * 1024 + 1), "text/plain"), "a.txt", None, "1024 kB"),
        ("data:text/plain;base64,a!", "a.txt", None, "base64"),
        (None, "a.txt", "unsupported_parameter", "file_data"),
    ],
)
async def test_another_file_is_a_400_at_its_place(
    proxy: Proxy, model: ModelServer, route: str, data: str | None, name: str, code: str | None, told: str
) -> None:
    answer = await post(proxy, _asked(route, data, name, file_id="file-1"), route=route)
    error = await refusal(answer)
    assert (answer.status, error.code) == (400, code)
    assert told in error.message
    assert (error.param or "").startswith(("messages[0].content[1]", "input[0].content[1]"))
    assert model.calls == 0


async def test_a_continuation_has_the_pages_and_an_agent_too(proxy: Proxy, model: ModelServer) -> None:
    asked = _asked(_ITEMS, file_data(_PDF), "a.pdf") | {"model": "gpt-5.5"}
    first = await _json(await post(proxy, asked, route=_ITEMS))
    again = {"model": "gpt-5.5", "input": "And?", "previous_response_id": first["id"]}
    assert (await post(proxy, again, route=_ITEMS)).status == 200
    told = [part for item in model.requests[-1].input if item.get("role") == "user" for part in item["content"]]
    texts = [part.get("text", part["type"]) for part in told]
    at = texts.index("Read:")
    assert texts[at + 1 :][:4] == [
        "File a.pdf, page 1 of 2:\nHello",
        "input_image",
        "File a.pdf, page 2 of 2:\nWorld",
        "input_image",
    ]
    items = await _json(await proxy.http.get(f"{proxy.base_url}/responses/{first['id']}/input_items"))
    assert items["data"][0]["content"][1]["filename"] == "a.pdf"


async def test_the_tokens_of_pages_are_counted(proxy: Proxy) -> None:
    asked = _asked(_ITEMS, file_data(_PDF), "a.pdf")
    answer = await _json(await post(proxy, {name: asked[name] for name in ("model", "input")}, route="responses/input_tokens"))
    assert answer["input_tokens"] > 1000


async def _json(answer: aiohttp.ClientResponse) -> dict[str, Any]:
    assert answer.status == 200, await answer.text()
    found: dict[str, Any] = await answer.json()
    return found

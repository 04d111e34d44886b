"""PDF files: what comes of a whole one, what is said of others, and that no process is left."""

import asyncio
import base64
import os
from collections.abc import Iterator

import pytest

from codex_proxy import tasks
from codex_proxy.dialects.image_header import size
from codex_proxy.errors import InvalidRequest, ServerFull
from codex_proxy.history import PDF, Image, Part, Text
from codex_proxy.pdf import reader
from codex_proxy.pdf.reader import PdfReader
from codex_proxy.pdf.recent import Page, RecentFiles
from codex_proxy.slots import Slots
from tests.conftest import children_of
from tests.support.pdfs import PASSWORD, pdf

_PLACE = "input[0].content[1].file_data"


def _file(content: bytes, name: str | None = "a.pdf") -> Image:
    return Image(f"{PDF}{base64.b64encode(content).decode()}", place=_PLACE, name=name)


async def _read(content: bytes, *, images: bool = True) -> tuple[Part, ...]:
    file = _file(content)
    return (await PdfReader().read([file], "anna", images=images))[file]


@pytest.fixture(autouse=True)
def none_left(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    yield
    assert children_of(os.getpid()) == []
    assert not [record.getMessage() for record in caplog.get_records("call") if record.name == "asyncio"]


async def test_each_page_is_its_text_and_its_picture() -> None:
    first, one, second, two = await _read(pdf(["Hello", "World"]))
    assert first == Text("File a.pdf, page 1 of 2:\nHello")
    assert second == Text("File a.pdf, page 2 of 2:\nWorld")
    for picture in (one, two):
        assert isinstance(picture, Image)
        kind, _, encoded = picture.url.partition(",")
        assert kind == "data:image/jpeg;base64"
        assert size("jpeg", base64.b64decode(encoded)) == (1212, 1568)
    assert one != two


async def test_a_model_that_sees_nothing_gets_the_text() -> None:
    assert await _read(pdf(["Hello", ""]), images=False) == (
        Text("File a.pdf, page 1 of 2:\nHello"),
        Text("File a.pdf, page 2 of 2: no text."),
    )


async def test_a_page_of_any_size_has_a_picture_of_a_bounded_one() -> None:
    for box in ("0 0 14400 14400", "0 0 900000 1", "0 0 3 3"):
        _, picture = await _read(pdf(["x"], box=box))
        assert isinstance(picture, Image)
        width, height = size("jpeg", base64.b64decode(picture.url.partition(",")[2])) or (0, 0)
        assert min(width, height) > 0
        assert max(width, height) <= 1568, box


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"%PDF-1.4 hello", "is damaged"),
        (b"%PDF-1.7\n" + os.urandom(5000), "is damaged"),
        (pdf(["a"])[:200], "is damaged"),
        (pdf(["a"], encrypt=PASSWORD), "password"),
        (pdf([]), "is damaged"),
        (pdf(["a"] * 101), "up to 100 pages; this one has 101"),
        (pdf(["a" * (reader.MAX_CHARACTERS + 1)]), "more text"),
        (pdf(["a" * 200_000] * 3), "more text"),
    ],
    ids=["no structure", "noise", "cut", "a password", "no page", "pages", "text", "text on several pages"],
)
async def test_what_cannot_be_read_is_refused_at_its_place(content: bytes, told: str) -> None:
    with pytest.raises(InvalidRequest, match=told) as caught:
        await _read(content)
    assert caught.value.param == _PLACE


async def test_a_file_that_takes_too_long_is_given_up_and_its_process_ended() -> None:
    with pytest.raises(InvalidRequest, match=r"within 0\.05 s"):
        await PdfReader(timeout=0.05).read([_file(pdf(["a"] * 100))], "anna", images=True)


async def test_a_reader_that_is_cancelled_leaves_no_process() -> None:
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.1):
            await PdfReader().read([_file(pdf(["a"] * 100))], "anna", images=True)


async def test_a_conversation_has_a_bounded_number_of_files_and_pages() -> None:
    with pytest.raises(InvalidRequest, match="up to 10 PDF files"):
        await PdfReader().read([_file(pdf(["a"]), str(number)) for number in range(11)], "anna", images=False)
    with pytest.raises(InvalidRequest, match="100 images; this one has 101"):
        await PdfReader().read([_file(pdf(["a"]))], "anna", images=True, beside=100)


async def test_a_file_that_a_caller_sends_twice_or_again_is_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    pdfs, files = PdfReader(), [_file(pdf(["a"]), name) for name in ("a.pdf", None)]
    read = await pdfs.read(files, "anna", images=False)
    assert read == {
        files[0]: (Text("File a.pdf, page 1 of 1:\na"),),
        files[1]: (Text("File without a name, page 1 of 1:\na"),),
    }
    monkeypatch.setattr(reader, "_CHILD", "/nowhere")  # from now on no file can be read
    assert await pdfs.read(files, "anna", images=False) == read
    with pytest.raises(InvalidRequest, match="could not be read"):
        await pdfs.read(files, "bert", images=False)


async def test_read_files_are_kept_for_a_bounded_time_and_size() -> None:
    recent = RecentFiles(most=10, seconds=0.05)
    pages = [Page("text", "data")]
    recent.put(b"too large", [Page("text", "longer")] * 2)
    recent.put(b"evicted", pages)
    recent.put(b"kept", pages)
    assert (recent.get(b"too large"), recent.get(b"evicted"), recent.get(b"kept"), recent.bytes) == (None, None, pages, 8)
    async with asyncio.timeout(10):
        while recent.bytes:  # a timer drops it, without an event
            await asyncio.sleep(0.01)
    assert recent.get(b"kept") is None


async def test_a_caller_whose_file_takes_long_keeps_no_other_from_having_his_read() -> None:
    pdfs = PdfReader()
    async with pdfs.slots.one("anna"):
        more = [tasks.spawn("of anna", pdfs.read([_file(pdf([text]))], "anna", images=True)) for text in "abb"]
        read = await pdfs.read([_file(pdf(["b"]))], "bert", images=False)
        assert len(read) == 1
        assert not any(task.done() for task in more)
    *_, one, other = [part.url for task in more for parts in (await task).values() for part in parts if isinstance(part, Image)]
    assert one is other  # which was waiting meanwhile


async def test_who_waits_too_long_for_a_place_is_told_so_and_leaves_none_taken() -> None:
    slots = Slots("files", 2, 1, wait_timeout=0.05)
    async with slots.one("anna"), slots.one("bert"):
        for caller in ("anna", "carl"):
            with pytest.raises(ServerFull, match="1 for each caller"):
                async with slots.one(caller):
                    pass
    async with slots.one("anna"), slots.one("carl"):
        pass

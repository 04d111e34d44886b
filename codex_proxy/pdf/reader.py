"""Read PDF files into message parts, each file in a separate process that is killed when it takes too long."""

import asyncio
import base64
import contextlib
import hashlib
import os
import signal
import sys
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path

import msgspec

from codex_proxy.codex import orphans
from codex_proxy.dialects.images import check_number
from codex_proxy.errors import InvalidRequest
from codex_proxy.history import PDF, Image, Part, Text
from codex_proxy.pdf.recent import Page, RecentFiles
from codex_proxy.slots import Slots

MAX_FILES = 10  # per conversation
MAX_PAGES = 100  # per file
MAX_CHARACTERS = 500_000  # per file; Codex accepts about a million in an input

_CHILD = Path(__file__).with_name("child.py")
_AT_ONCE = 2
_TIMEOUT = 30.0  # seconds per file; a page takes 0.05
_MAX_ANSWER = 96 * 1024 * 1024  # bytes
_CHUNK = 1024 * 1024  # bytes
_PIECE = 256 * 1024  # characters of base64, in fours


class _Head(msgspec.Struct, frozen=True):
    """The first line of an answer: the number of pages, each of which has a line, or why there are none."""

    pages: int = 0
    problem: str | None = None


class PdfReader:
    """Reads PDF files, one at a time for each caller."""

    def __init__(self, timeout: float = _TIMEOUT) -> None:
        self.slots = Slots("PDF files are being read", _AT_ONCE, 1)
        self.recent = RecentFiles()
        self._timeout = timeout

    async def read(self, files: Sequence[Image], caller: str, *, images: bool, beside: int = 0) -> dict[Image, tuple[Part, ...]]:
        """The text of a caller's files and, with `images`, images of their pages. `beside` images already count to the limit.

        Raises InvalidRequest with the place of the first file that is not accepted, and ServerFull.
        """
        if len(files) > MAX_FILES:
            raise InvalidRequest(f"A conversation can have up to {MAX_FILES} PDF files.", param=files[MAX_FILES].place)
        read: dict[Image, tuple[Part, ...]] = {}
        known: dict[str, list[Page]] = {}
        for file in files:
            if file.url not in known:
                known[file.url] = await self._pages(file, caller)
            beside += len(known[file.url]) if images else 0
            check_number(beside, file.place or "")
            read[file] = tuple(_parts(file, known[file.url], images=images))
        return read

    async def _pages(self, file: Image, caller: str) -> list[Page]:
        key = await asyncio.to_thread(_key, file.url, caller)
        if (pages := self.recent.get(key)) is None:
            async with self.slots.one(caller):
                if (pages := self.recent.get(key)) is None:  # another request may have read it meanwhile
                    pages = await self._answer(file.url, file.place)
                    self.recent.put(key, pages)
        return pages

    async def _answer(self, url: str, place: str | None) -> list[Page]:
        command = (sys.executable, "-I", str(_CHILD), str(MAX_PAGES), str(MAX_CHARACTERS))
        pipe, nowhere = asyncio.subprocess.PIPE, asyncio.subprocess.DEVNULL
        with orphans.starting():
            process = await asyncio.create_subprocess_exec(
                *command, stdin=pipe, stdout=pipe, stderr=nowhere, env={}, cwd="/", start_new_session=True
            )
            orphans.known(process.pid)
        try:
            async with asyncio.timeout(self._timeout):
                head, pages = await _exchanged(process, url)
        except TimeoutError as error:
            raise InvalidRequest(f"The PDF could not be read within {self._timeout:g} s.", param=place) from error
        except msgspec.MsgspecError as error:
            raise InvalidRequest("The PDF could not be read.", param=place, detail=str(error)) from error
        finally:
            await asyncio.shield(_ended(process))
        if head.problem is not None:
            raise InvalidRequest(head.problem, param=place)
        if len(pages) != head.pages or not pages:
            raise InvalidRequest("The PDF could not be read.", param=place, detail=f"exit {process.returncode}: {len(pages)} pages")
        return pages


def _key(url: str, caller: str) -> bytes:
    """The key of a file's pages. Each caller has its own, so that nobody learns from a quick answer what others have sent."""
    digest = hashlib.sha256(f"{caller}\0".encode())
    for start in range(0, len(url), _PIECE):
        digest.update(url[start : start + _PIECE].encode())
    return digest.digest()


def _parts(file: Image, pages: list[Page], *, images: bool) -> Iterator[Part]:
    for number, page in enumerate(pages, 1):
        head = f"File {file.name or 'without a name'}, page {number} of {len(pages)}:"
        yield Text(f"{head}\n{page.text}" if page.text.strip() else f"{head} no text.")
        if images:
            yield Image(page.image)


async def _ended(process: asyncio.subprocess.Process) -> None:
    """Kill the process and read the rest of its output, because asyncio notices its end only then.

    `process.kill` would first ask for the exit status, which asyncio then lacks and warns of.
    """
    if process.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(process.pid, signal.SIGKILL)
    await process.communicate()
    orphans.forget(process.pid)


async def _exchanged(process: asyncio.subprocess.Process, url: str) -> tuple[_Head, list[Page]]:
    """Send a process its file; returns the whole answer. It reads all of its input before it writes anything.

    Everything is done in pieces: the file and the pages have many megabytes. Raises MsgspecError for what is no answer.
    """
    assert process.stdin is not None
    assert process.stdout is not None
    with contextlib.suppress(ConnectionError):  # its exit code says why
        for start in range(len(PDF), len(url), _PIECE):
            process.stdin.write(base64.b64decode(url[start : start + _PIECE]))
            await process.stdin.drain()
        process.stdin.close()
    lines = _lines(process.stdout)
    head = msgspec.json.decode(await anext(lines, b""), type=_Head)
    return head, [msgspec.json.decode(line, type=Page) async for line in lines]


async def _lines(output: asyncio.StreamReader) -> AsyncIterator[bytes]:
    """Yield complete lines, up to _MAX_ANSWER bytes. `readline` has a bound on the length of a line."""
    size = 0
    line = bytearray()
    while size <= _MAX_ANSWER and (chunk := await output.read(_CHUNK)):
        size += len(chunk)
        *ends, beginning = chunk.split(b"\n")
        for end in ends:
            yield bytes(line + end)
            line.clear()
        line += beginning

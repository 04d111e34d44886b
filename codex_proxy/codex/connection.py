"""Connection: JSON-RPC over the lines of one process. It knows ids and deadlines, not what methods mean.

Nothing reads between calls, and there is no task of its own: so a client that does not read slows the CLI through the
pipe, and not our memory. One caller at a time, except for `post`, which any task may call.
"""

import asyncio
import itertools
import logging
from collections import Counter, deque
from typing import Any, TypeVar

import msgspec

from codex_proxy.codex import wire
from codex_proxy.codex.process import CodexProcess
from codex_proxy.errors import ContextTooLong, WorkerFailed

_T = TypeVar("_T")
_log = logging.getLogger(__name__)

ANSWER_TIMEOUT = 30.0  # seconds; thread/start with MCP servers of the user's may take some
_UNKNOWN_METHOD = -32601
_INVALID_PARAMS = -32602

# A call of a client's tool is not answered: the turn is interrupted as soon as the model's response is complete, and with
# an answer the CLI would have asked the model again by then.
_CLIENTS_TOOL = "item/tool/call"

# Every other request of the CLI gets an answer at once, or the turn hangs for ever. All of them are declined.
_DECLINED: dict[str, Any] = {
    "item/commandExecution/requestApproval": {"decision": "decline"},
    "item/fileChange/requestApproval": {"decision": "decline"},
    "item/permissions/requestApproval": {"permissions": {}},
    "item/tool/requestUserInput": {"answers": {}},
    "mcpServer/elicitation/request": {"action": "decline"},
    "applyPatchApproval": {"decision": "abort"},
    "execCommandApproval": {"decision": "abort"},
}


class Connection:
    """Both directions of one app-server."""

    def __init__(self, process: CodexProcess) -> None:
        self._process = process
        self._ids = itertools.count(1)
        self._early: deque[wire.Line] = deque()  # notifications that came while an answer was awaited
        self.unknown: Counter[str] = Counter()  # methods that we do not know, and how often they came

    async def request(self, method: str, params: Any, answer: type[_T], timeout: float = ANSWER_TIMEOUT) -> _T:
        """Ask, and wait for the answer. Raises WorkerFailed when it refuses or is late, ContextTooLong for its bound on input."""
        number = await self.post(method, params)
        try:
            async with asyncio.timeout(timeout):
                while (line := await self._read()).method is not None or line.id != number:
                    if line.method is not None:
                        self._early.append(line)
        except TimeoutError as error:
            raise WorkerFailed(
                "The Codex CLI did not answer in time.", detail=f"{method} after {timeout:g} s; {self._process.last_words}"
            ) from error
        if line.error is None:
            return wire.decode(line.result, answer)
        if line.error.code == _INVALID_PARAMS and "maximum length" in line.error.message:
            raise ContextTooLong(line.error.message, param="messages")
        raise WorkerFailed("The Codex CLI refused the request.", detail=f"{method}: {line.error.message}")

    async def post(self, method: str, params: Any) -> int:
        """Send a request without waiting for its answer, which is dropped; returns its id."""
        number = next(self._ids)
        await self._write({"id": number, "method": method, "params": params})
        return number

    async def notify(self, method: str) -> None:
        await self._write({"method": method})

    async def notification(self) -> wire.Line:
        """The next notification, in order; no deadline of its own. Raises WorkerFailed at the end of output."""
        if self._early:
            return self._early.popleft()
        while (line := await self._read()).method is None:
            pass  # the answer to something posted
        return line

    async def _read(self) -> wire.Line:
        """The next line that is not a request of the CLI; those are answered here."""
        while True:
            raw = await self._process.read_line()
            try:
                line = _decoder.decode(raw)
            except (msgspec.DecodeError, UnicodeDecodeError) as error:
                raise WorkerFailed("The Codex CLI sent something that is not JSON-RPC.", detail=repr(raw[:200])) from error
            if line.method is None or line.id is None:
                return line
            await self._answer(line.id, line.method)

    async def _answer(self, number: int | str, method: str) -> None:
        if method == _CLIENTS_TOOL:
            return
        if method in _DECLINED:
            await self._write({"id": number, "result": _DECLINED[method]})
            return
        self.unknown[method] += 1
        await self._write({"id": number, "error": {"code": _UNKNOWN_METHOD, "message": f"{method} is not served"}})

    async def _write(self, message: dict[str, Any]) -> None:
        await self._process.write_line(msgspec.json.encode(message))


_decoder = msgspec.json.Decoder(wire.Line)

"""JSON-RPC over the stdin and stdout of one process: ids and deadlines, not the meaning of methods.

A connection has no task of its own and reads only during calls, so a slow client holds back the CLI through the pipe instead
of filling our memory. Only one caller at a time, except for `post`, which any task may call.
"""

import asyncio
import itertools
import logging
import time
from collections import Counter, deque
from collections.abc import Callable
from typing import Any, TypeVar

import msgspec

from codex_proxy.codex import methods, wire
from codex_proxy.codex.failures import refusal
from codex_proxy.codex.process import CodexProcess
from codex_proxy.errors import InvalidRequest, ProxyError, WorkerFailed

_T = TypeVar("_T")
Hear = Callable[[msgspec.Raw], None]
_log = logging.getLogger(__name__)

ANSWER_TIMEOUT = 30.0  # seconds; thread/start may take several with the user's MCP servers
PROMPT_TIMEOUT = 10.0  # seconds, for requests that take milliseconds: beyond this the process is stopped or stuck
_EARLY_AT_MOST = 30_000  # notifications before an answer: one for each item of a history, which has up to 20,000
_LINES_IN_A_ROW = 256  # lines read before other tasks get to run: a flood of them may already be buffered
_NAMES_AT_MOST = _NAME_AT_MOST = 100  # unknown methods counted by name, and characters of a name
_UNKNOWN_METHOD = -32601
_NOT_UNDERSTOOD = (
    "Failed to deserialize JSONRPCMessage: "  # the only answer, on stderr, to JSON nested too deeply, say (0.147.0 to 0.169.0)
)
_LONGEST_REASON = 300  # characters


class Brought(msgspec.Struct, frozen=True):
    """The part of a request to Codex that came from the client, for error messages: in words, and the request member."""

    what: str
    param: str | None = None


class Connection:
    """A JSON-RPC connection to one app-server process."""

    def __init__(self, process: CodexProcess) -> None:
        self._process = process
        self._ids = itertools.count(1)
        self._early: deque[wire.Line] = deque()  # notifications received while waiting for an answer
        self._read_in_a_row = 0
        self._limit: asyncio.Timeout | None = None  # of the pending request
        self._not_understood = ""  # why Codex could not read the pending request, once it says so
        self._heard = time.monotonic()  # when the latest line arrived
        self.hears: dict[str, Hear] = {}  # callbacks by method, for process-wide notifications; these are not returned to callers
        self._awaited: dict[int | str, Hear] = {}  # callbacks for answers to posted requests, by request id
        self.unknown: Counter[str] = Counter()  # unknown methods received, and how often
        process.hear_stderr = self._hear_stderr

    @property
    def idle_for(self) -> float:
        """Seconds since the process last sent a line."""
        return time.monotonic() - self._heard

    async def request(
        self, method: str, params: Any, answer: type[_T], timeout: float = ANSWER_TIMEOUT, brought: Brought | None = None
    ) -> _T:
        """Send a request and wait for its answer.

        Raises WorkerFailed when Codex refuses it or is late, ContextTooLong or InvalidRequest. `brought` is the part of `params`
        that came from the client, which gets the blame when Codex cannot read them.
        """
        self._not_understood = ""
        number = await self.post(method, params)
        try:
            async with asyncio.timeout(timeout) as self._limit:
                while (line := await self._read()).method is not None or line.id != number:
                    if line.method is not None:
                        self._keep(line)
        except TimeoutError as error:
            if self._not_understood:
                raise _unreadable(self._not_understood, method, brought) from error
            raise WorkerFailed(
                "The Codex CLI did not answer in time.", detail=f"{method} after {timeout:g} s; {self._process.last_words}"
            ) from error
        finally:
            self._limit = None
        if line.error is None:
            return wire.decode(line.result, answer)
        raise refusal(method, line.error, brought=brought is not None)

    async def post(self, method: str, params: Any, hear: Hear | None = None) -> int:
        """Send a request without waiting and return its id. `hear` is called with the result, if there is one."""
        number = next(self._ids)
        if hear is not None:
            self._awaited[number] = hear
        await self._write({"id": number, "method": method, "params": params})
        return number

    async def notify(self, method: str) -> None:
        await self._write({"method": method})

    async def notification(self) -> wire.Line:
        """The next notification, in order. Has no deadline. Raises WorkerFailed at the end of output."""
        if self._early:
            return self._early.popleft()
        while (line := await self._read()).method is None:
            pass  # the answer to a posted request
        return line

    def _hear_stderr(self, line: str) -> None:
        """Note that Codex could not read the pending request: it says so only on stderr, and without an id."""
        _, found, reason = line.partition(_NOT_UNDERSTOOD)
        if found and self._limit is not None and not self._limit.expired():
            self._not_understood = reason
            self._limit.reschedule(asyncio.get_running_loop().time())

    def _keep(self, notification: wire.Line) -> None:
        if len(self._early) == _EARLY_AT_MOST:
            raise WorkerFailed("The Codex CLI answers with notifications only.", detail=self._process.last_words)
        self._early.append(notification)

    async def _read(self) -> wire.Line:
        """The next answer or known notification. Answers the CLI's requests, and counts and skips unknown notifications.

        A call to one of the client's tools is returned like a notification.
        """
        while True:
            await self._let_others_run()
            raw = await self._process.read_line()
            self._heard = time.monotonic()
            try:
                line = _decoder.decode(raw)
            except (msgspec.DecodeError, UnicodeDecodeError) as error:
                raise WorkerFailed("The Codex CLI sent something that is not JSON-RPC.", detail=repr(raw[:200])) from error
            if line.method is None:
                if (hear := self._awaited.pop(line.id or 0, None)) is None:
                    return line
                if line.error is None:
                    hear(line.result)
            elif line.id is not None and line.method != methods.CLIENTS_TOOL:
                await self._answer(line.id, line.method)
            elif (hear := self.hears.get(line.method)) is not None:
                hear(line.params)
            elif line.method in methods.KNOWN:
                return line
            else:
                self._count_unknown(line.method)

    async def _let_others_run(self) -> None:
        self._read_in_a_row = (self._read_in_a_row + 1) % _LINES_IN_A_ROW
        if not self._read_in_a_row:
            await asyncio.sleep(0)

    async def _answer(self, number: int | str, method: str) -> None:
        if method in methods.DECLINED:
            await self._write({"id": number, "result": methods.DECLINED[method]})
            return
        self._count_unknown(method)
        await self._write({"id": number, "error": {"code": _UNKNOWN_METHOD, "message": f"{method} is not supported"}})

    def _count_unknown(self, method: str) -> None:
        name = method[:_NAME_AT_MOST] if method in self.unknown or len(self.unknown) < _NAMES_AT_MOST else "…"
        if name not in self.unknown:
            _log.info("the Codex CLI sends %s, which this version of codex-proxy does not know; it is ignored", name)
        self.unknown[name] += 1

    async def _write(self, message: dict[str, Any]) -> None:
        await self._process.write_line(msgspec.json.encode(message))


def _unreadable(reason: str, method: str, brought: Brought | None) -> ProxyError:
    detail = f"{method}: {reason}"
    if brought is None:
        return WorkerFailed("The Codex CLI refused the request.", detail=detail)
    return InvalidRequest(f"Codex cannot read {brought.what}: {reason[:_LONGEST_REASON]}", param=brought.param, detail=detail)


_decoder = msgspec.json.Decoder(wire.Line)

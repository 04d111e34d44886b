"""Steering: input that a WebSocket client sends while a response is being generated.

The turn is interrupted at a point where it does no work, and a successor continues its response with the input; so it does if the
turn ends first. Input that cannot be used is returned. OpenAI API reference, `response.steer`. An input is kept once, as received.
"""

import uuid
from collections import deque
from collections.abc import Awaitable, Callable

import msgspec

from codex_proxy.decoding import Decoding
from codex_proxy.dialects.responses import socket_messages as messages
from codex_proxy.dialects.responses.socket_messages import Create, ServerEvent, Steer
from codex_proxy.errors import ProxyError
from codex_proxy.lifecycle.run import Run
from codex_proxy.web.gates.bodies import Body

_PENDING = 8  # inputs per response
_PENDING_BYTES = 8 * 1024 * 1024  # of all inputs waiting on one socket: they no longer count among the bodies
_REMEMBERED = 64  # ended responses of a socket


Send = Callable[[ServerEvent, str | None], Awaitable[None]]


class Steered(msgspec.Struct, frozen=True):
    """An accepted input."""

    id: str
    steer: Steer


class _Active:
    """A response in progress."""

    def __init__(self, run: Run, create: Create) -> None:
        self.run = run
        self.create = create
        self.steered: list[Steered] = []


class Steering:
    """The steering of one socket; `send` sends an event to a lane."""

    def __init__(self, send: Send, decoding: Decoding) -> None:
        self._send = send
        self._decoding = decoding
        self._active: dict[str, _Active] = {}
        self._ended = deque[str](maxlen=_REMEMBERED)
        self._waiting: dict[str, list[Steered]] = {}  # by the response whose calls are unanswered

    async def take(self, steer: Steer) -> None:
        """Accept or refuse an input."""
        refusal = self._refusal(steer)
        if refusal is None:
            try:
                await self._decoding.run(steer.size, steer.check)
                refusal = self._refusal(steer)  # the response may have ended meanwhile
            except ProxyError as error:
                refusal = "invalid_input", error.message
        active = self._active.get(steer.previous_response_id)
        if refusal is not None or active is None:
            code, message = refusal or ("response_not_found", "No such response.")
            number, lane = (active.run.stream.number(), active.create.stream_id) if active else (0, None)
            await self._fail(steer, code, message, number, lane)
            return
        steered = Steered(f"steer_{uuid.uuid4().hex}", steer)
        active.steered.append(steered)
        accepted = messages.Accepted(steered.id, steer.previous_response_id)
        await self._send(messages.SteerAccepted(active.run.stream.number(), accepted), active.create.stream_id)
        active.run.steer()

    def _refusal(self, steer: Steer) -> tuple[str, str] | None:
        active = self._active.get(steer.previous_response_id)
        if active is None and steer.previous_response_id in self._ended:
            return "response_already_completed", "The response has ended. Continue it with response.create."
        if active is None:
            return "response_not_found", "No response with this id is being made on this connection."
        if active.run.asked.conversation_id is not None:
            return "steering_not_supported", "A response in a conversation cannot be steered."
        if len(active.steered) >= _PENDING:
            return "too_many_pending_steers", f"At most {_PENDING} inputs can wait for a response."
        if self._pending_bytes() + steer.size > _PENDING_BYTES:
            megabytes = _PENDING_BYTES // 2**20
            return "too_many_pending_steers", f"The inputs that wait on one connection can have {megabytes} MB together."
        return None

    def _pending_bytes(self) -> int:
        waiting = (*self._waiting.values(), *(active.steered for active in self._active.values()))
        return sum(one.steer.size for steered in waiting for one in steered)

    def began(self, run: Run, create: Create) -> None:
        """Note that a response is in progress."""
        self._active[run.id] = _Active(run, create)

    def left(self, run: Run) -> None:
        """Note that a response is no longer in progress, however it ended."""
        self._active.pop(run.id, None)

    def claim(self, create: Create) -> list[Steered]:
        """Take the inputs that wait for this request, to `fill` its body with or, if it comes to nothing, to `fail`."""
        return self._waiting.pop(create.previous_response_id or "", [])

    async def fill(self, body: Body, create: Create, steered: list[Steered]) -> None:
        """Complete a body with the inputs: that of a successor is empty, that of a request lacks them. Raises what is wrong."""
        if create.content:
            body.add(create.content)
        elif steered:
            size = len(body.content) + _size(steered)
            body.replace((await self._decoding.run(size, create.after, _steers(steered), body.content)).content)

    async def broke_off(self, run: Run, error: ProxyError) -> None:
        """Return the inputs of a response whose end could not be told."""
        active = self._active.pop(run.id)
        await self.fail(active.steered, "response_not_active", error.told, active.create.stream_id, run)

    async def ended(self, run: Run) -> tuple[Create, list[Steered]] | None:
        """End a response; returns the request that continues it with its inputs, and those inputs. None if nothing continues it."""
        active = self._active.pop(run.id)
        self._ended.append(run.id)
        steered, lane = active.steered, active.create.stream_id
        response = run.stream.response
        if not steered:
            return None
        if not response.ended_well:
            await self.fail(steered, "response_not_active", f"The response has ended: {response.status}.", lane, run)
            return None
        if required := messages.required(response.output):
            self._waiting[run.id] = steered
            for one in steered:
                accepted = messages.Accepted(one.id, run.id)
                await self._send(messages.SteerPending(run.stream.number(), accepted, required), lane)
            return None
        return await self._decoding.run(_size(steered), active.create.successor, run.id, _steers(steered)), steered

    async def fail(self, steered: list[Steered], code: str, message: str, lane: str | None, run: Run | None = None) -> None:
        """Return inputs to the client."""
        for one in steered:
            await self._fail(one.steer, code, message, run.stream.number() if run else 0, lane, one.id)

    async def _fail(
        self, steer: Steer, code: str, message: str, number: int, lane: str | None, steer_id: str | None = None
    ) -> None:
        returned = messages.Returned(steer.input, steer.previous_response_id, steer_id)
        await self._send(messages.SteerFailed(number, messages.SteerError(code, message), returned), lane)


def _steers(steered: list[Steered]) -> list[Steer]:
    return [one.steer for one in steered]


def _size(steered: list[Steered]) -> int:
    return sum(one.steer.size for one in steered)

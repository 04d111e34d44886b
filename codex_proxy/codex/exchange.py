"""One Turn on one thread, from turn/start to its end, as a stream of TurnEvents.

A call to a client's tool ends the turn: once the model's response is complete, the turn is interrupted cleanly, and the client
comes back with a history that has the call and its output. The client never receives the same text twice: when the provider
breaks off in the middle of an answer, the turn fails instead of starting the answer again.
"""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

import msgspec

from codex_proxy.codex import counted, demands, volume, wire
from codex_proxy.codex.connection import PROMPT_TIMEOUT, Brought, Connection
from codex_proxy.codex.failures import failure
from codex_proxy.codex.model_response import ModelResponse
from codex_proxy.codex.opening import Opening
from codex_proxy.codex.running_turn import RunningTurn
from codex_proxy.codex.scripts import Scripts
from codex_proxy.codex.thread import history_items, turn_params
from codex_proxy.codex.translate import Translator
from codex_proxy.codex.turn_news import TurnNews
from codex_proxy.errors import UpstreamFailed, WorkerFailed
from codex_proxy.history import History, Text
from codex_proxy.turns import Continuation, Recorded, Turn, TurnCompleted, TurnEvent, TurnFailed, TurnStarted, Waiting

_ITEMS_A_SECOND = 1000  # history items Codex accepts per second on a loaded machine; an idle one is ten times as fast
_TAKEN_TIMEOUT = 5.0  # seconds for turn/start to be acknowledged, which takes milliseconds; then a fresh worker gets the turn
_BEGINS_WITHIN = 1.0  # seconds, or a call of the agent's waits for one of the client's
_SWALLOWED = "The model's answer is not one that Codex passes on: the model may have refused. Ask in another way."


def _injection(thread_id: str, history: tuple[History, ...]) -> msgspec.Raw:
    """The params of thread/inject_items."""
    return msgspec.Raw(msgspec.json.encode({"threadId": thread_id, "items": history_items(history)}))


class Exchange:
    """A turn on its thread. `begun`: Codex has accepted it; `clean`: it ended normally, so the process may serve another one."""

    def __init__(self, connection: Connection, turn: Turn, opening: Opening, whole: Turn) -> None:
        """`turn` has as its history only what the thread has not seen yet; `whole` has all of it."""
        self.begun = False
        self.clean = False
        self.reminded = False  # the model has been reminded of what its answer must be
        self.turn_id = ""  # Codex's id of the latest turn it accepted
        self.recorded: list[str] = []  # raw items from the model and its tools, as JSON texts
        self._connection = connection
        self._opening = opening
        self._thread_id = opening.thread.id
        self._turn = turn
        self._whole = whole
        self._translator = Translator(turn, opening.thread.totals)
        self._last: ModelResponse | None = None  # the latest complete response
        self._response = ModelResponse()
        self._running = RunningTurn(connection, opening.thread.id)
        self._news = TurnNews(connection, opening.thread, self._running, self._translator.check_images)
        self._calls_since: float | None = None  # when a model response was complete whose calls are not told of yet
        self._asks_again = False  # the provider has failed during the current model response
        self._volume = volume.Volume()

    @property
    def ran_something(self) -> bool:
        return self._translator.ran_something

    @property
    def scripts(self) -> Scripts:
        return self._translator.scripts

    @property
    def continuation(self) -> Continuation:
        """How the conversation was continued."""
        return self._opening.continuation

    @property
    def calls(self) -> tuple[str, ...]:
        """Ids of the calls to the client's tools that ended the turn."""
        return tuple(call.call_id for call in self._translator.calls)

    @property
    def totals(self) -> wire.Tokens:
        return self._translator.totals

    @property
    def cut_off(self) -> bool:
        """Whether an interrupt was requested, so that the thread may differ from what the client has."""
        return self._running.interrupt_wanted

    async def events(self) -> AsyncGenerator[TurnEvent, None]:
        """All events of the turn, ending with TurnCompleted or TurnFailed. Raises WorkerFailed, ContextTooLong, InvalidRequest."""
        if self._turn.history:
            timeout = PROMPT_TIMEOUT + len(self._turn.history) / _ITEMS_A_SECOND
            params = await asyncio.to_thread(_injection, self._thread_id, self._turn.history)  # may be many megabytes
            await self._connection.request("thread/inject_items", params, Any, timeout, Brought("the conversation"))
        await self._start(self._turn)
        yield TurnStarted(self._opening.continuation)
        demand = demands.of(self._turn)
        async with aclosing(self._until_end()) as events:
            async for event in events:
                if isinstance(event, TurnCompleted) and not self._running.interrupt_wanted:
                    reminder = await demand.unmet(called=bool(self._translator.calls))
                    if reminder is not None and not self._running.interrupt_wanted:
                        break
                for shown in demand.feed(event):
                    yield shown
            else:
                return
        self.reminded = True
        demand = demand.again()
        await self._start(msgspec.structs.replace(self._turn, input=(Text(reminder),)))
        async with aclosing(self._until_end()) as events:
            async for event in events:
                for shown in demand.feed(event):
                    yield shown

    async def interrupt(self) -> None:
        """End the turn early; `events` still yields its end. Callable from any task, and again until then: Codex may refuse it."""
        await self._running.want_interrupt()

    async def wound_up(self) -> bool:
        """Interrupt the turn if Codex runs it, and wait for its end. False if that is late, or the agent has begun any work."""
        return await self._news.wound_up()

    async def _start(self, turn: Turn) -> None:
        thread = self._opening.thread
        params = turn_params(thread.id, turn, thread.service_tier)
        brought = Brought("the input or the schema of the answer")
        taken = await self._connection.request("turn/start", params, wire.TurnNews, _TAKEN_TIMEOUT, brought)
        self.begun = True
        thread.service_tier = turn.service_tier
        self.turn_id, self.clean = taken.turn.id, False
        await self._running.begin(taken.turn.id)

    async def _until_end(self) -> AsyncGenerator[TurnEvent, None]:
        while True:
            method, params = await self._news.next(patient=self._calls_since is None)
            if not self._volume.add(method, params):
                await self.interrupt()
                yield TurnFailed(UpstreamFailed(volume.TOO_MUCH), self._translator.usage)
                return
            match method:
                case "turn/completed":
                    end = self._end(wire.decode(params, wire.TurnNews).turn)
                    if isinstance(end, TurnCompleted) and not end.interrupted:
                        for event in self._response.complete():
                            yield event
                    yield end
                    return
                case "rawResponse/completed":
                    for event in self._response.complete():
                        yield event
                    self._last, self._response = self._response, ModelResponse()
                    self._asks_again = False
                    if self._translator.calls:
                        self._calls_since = asyncio.get_running_loop().time()
                case "rawResponseItem/completed":
                    self._response.note(wire.decode(params, wire.ItemKindNews).item)
                case "error" if wire.decode(params, wire.ErrorNews).will_retry:
                    self._translator.forget_calls()
                    if self._response.said:
                        await self.interrupt()
                        error = UpstreamFailed("The model provider broke off in the middle of its answer.")
                        yield TurnFailed(error, self._translator.usage)
                        return
                    if not self._asks_again:  # reported once per model response, which may take many tries
                        self._asks_again = True
                        yield Waiting("provider")
            for event in self._translated(method, params):
                if isinstance(event, Recorded):
                    self.recorded.append(event.item.item)
                for certain in self._response.feed(event):
                    yield certain
            if self._calls_since is not None and self._nothing_to_wait_for(self._calls_since):
                self._calls_since = None
                for call in self._translator.tell_calls():
                    yield call
                await self._running.interrupt()

    def _translated(self, method: str, params: msgspec.Raw) -> list[TurnEvent]:
        try:
            return self._translator.translate(method, params)
        except msgspec.MsgspecError as error:
            raise WorkerFailed("The Codex CLI sent a message of an unknown form.", detail=f"{method}: {error}") from error

    def _nothing_to_wait_for(self, since: float) -> bool:
        """Whether nothing of the agent's stands before its calls of the client's tools, or only what does not begin."""
        own = self._translator.own_calls
        late = asyncio.get_running_loop().time() - since > _BEGINS_WITHIN
        return not own.under_way or (late and own.may_wait_for(self.calls))

    def _end(self, state: wire.TurnState) -> TurnEvent:
        self._running.id = None
        usage = self._translator.usage
        if state.status == "failed":
            return TurnFailed(failure(state.error or wire.TurnError("no reason given")), usage)
        self.clean = True
        interrupted = self._running.interrupt_wanted and state.status == "interrupted"
        if interrupted and (self._response.said or self._response.thought):
            usage = counted.usage(self._whole, usage, said=self._response.said, thought=self._response.thought)
        if not interrupted and self._last is not None and self._last.swallowed(self._translator.latest):
            return TurnFailed(UpstreamFailed(_SWALLOWED), usage)
        return TurnCompleted(usage, interrupted=interrupted)

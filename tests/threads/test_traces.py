"""Which conversation a history continues, as the index in memory and the store know it together."""

import msgspec
import pytest

from codex_proxy.history import Message, Text
from codex_proxy.store.memory import MemoryStore
from codex_proxy.threads.digest import of_turn
from codex_proxy.threads.traces import Traces
from codex_proxy.turns import Trace, Turn

ASKED, ANSWER = Message("user", (Text("Hi."),)), (Message("assistant", (Text("Hello."),)),)
FIRST = Turn("t", "m", None, "agent", "read-only", False, "/w", (), ASKED.parts)
SECOND = msgspec.structs.replace(FIRST, history=(ASKED, *ANSWER), input=(Text("And?"),))


async def continued(traces: Traces, turn: Turn, *, private: bool = False) -> Turn:
    return await traces.continued(turn, of_turn(turn, "anna", ()), "anna", private=private)


async def answer(traces: Traces, thread: str, *, private: bool = False, traced: bool = True) -> None:
    """A first turn of a conversation, word for word the same each time."""
    begun = await continued(traces, FIRST, private=private)
    traces.remember("anna", begun, ANSWER, Trace(thread, f"id of {thread}", "place", b"hidden work") if traced else None)


@pytest.mark.parametrize("private", [(False, False), (False, True), (True, False)])
async def test_a_history_of_two_conversations_continues_neither_when_the_store_has_one(private: tuple[bool, bool]) -> None:
    """What is written comes a moment later, and what is private never."""
    traces = Traces(MemoryStore(60.0, 1_000_000), 60.0, shared=False)
    async with traces.kept():
        await answer(traces, "one", private=private[0])
    if private[0]:
        async with traces.kept():
            await answer(traces, "two", private=private[1])
    else:
        assert (await continued(traces, SECOND)).trace is not None
        await answer(traces, "two", private=private[1])  # and nobody writes it
    assert (await continued(traces, SECOND)).trace is None


@pytest.mark.parametrize("traced", [(True, False), (False, True)])
@pytest.mark.parametrize("written", [False, True])
async def test_a_conversation_without_a_trace_does_not_find_that_of_another(traced: tuple[bool, bool], written: bool) -> None:
    """One that was cut off, or whose rollout was damaged. `written`: another server on the same store is asked."""
    store = MemoryStore(60.0, 1_000_000)
    traces = Traces(store, 60.0, shared=False)
    async with traces.kept():
        for thread, one in zip(("one", "two"), traced, strict=True):
            await answer(traces, thread, traced=one)
    asked = Traces(store, 60.0, shared=False) if written else traces
    assert (await continued(asked, SECOND)).trace is None

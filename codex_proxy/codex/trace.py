"""The trace that a turn leaves of its conversation, from which another turn continues it in any worker."""

import logging
import os
import uuid
from pathlib import Path

import msgspec

from codex_proxy import whole_file
from codex_proxy.codex import rollout
from codex_proxy.codex.exchange import Exchange
from codex_proxy.codex.open_threads import OpenThread
from codex_proxy.codex.thread import history_items
from codex_proxy.history import Message
from codex_proxy.turns import Trace, Turn

_log = logging.getLogger(__name__)

# Bytes; a longer conversation is begun anew with every turn. It would be read as a whole after each one, and kept in memory.
MOST_BYTES = 128 * 1024 * 1024


def left(turn: Turn, exchange: Exchange, thread: OpenThread, home: Path) -> Trace | None:
    """The trace of a turn that has just ended; `turn` has as its history only what the thread had not seen before.

    None when the conversation must not or cannot be kept, or when the thread has seen something else than the client.
    """
    if turn.keep == "nowhere" or not exchange.clean or exchange.reminded or exchange.cut_off:
        return None
    trace = Trace(
        thread.id,
        uuid.uuid4().hex,
        calls=exchange.calls,
        documents=thread.documents,
        service_tier=turn.service_tier,
        added=thread.added,
        notes=thread.notes,
    )
    if thread.path is None:
        items = _items(turn, exchange)
        return msgspec.structs.replace(trace, items=items) if _fits(sum(map(len, items))) else None
    try:
        with whole_file.opened(thread.path) as stream:
            if not _fits(os.fstat(stream.fileno()).st_size):
                return None
            content = stream.read()
        place = str(thread.path.relative_to(home))
    except (OSError, ValueError) as error:
        _log.warning("a conversation cannot be kept: %s", error)
        return None
    whole = bool(trace.calls) or rollout.has_ended(content, exchange.turn_id)
    if not whole or not _goes_on(content, turn, exchange, thread):
        _log.warning("a conversation cannot be kept: %s is damaged or not whole", thread.path)
        return None
    kept = rollout.cut_after(content, trace.calls) if trace.calls else content
    return None if kept is None else msgspec.structs.replace(trace, place=place, content=kept)


def _fits(size: int) -> bool:
    if size > MOST_BYTES:
        _log.warning("a conversation of %d MB is too long to be kept", size // 1_000_000)
    return size <= MOST_BYTES


def _goes_on(content: bytes, turn: Turn, exchange: Exchange, thread: OpenThread) -> bool:
    """Whether a rollout still begins with what it had before the turn: Codex only appends to it, but a disk can fail."""
    before = turn.trace
    same = before is not None and before.thread == thread.id and exchange.continuation in ("live", "resumed")
    return before is None or not same or content.startswith(before.content)


def _items(turn: Turn, exchange: Exchange) -> tuple[str, ...]:
    live = exchange.continuation == "live"  # everything a rebuilt thread was given is in the turn's history
    before = turn.trace.items if turn.trace and live else ()
    seen = (*turn.history, Message("user", turn.input)) if turn.input else turn.history
    return (*before, *(msgspec.json.encode(item).decode() for item in history_items(seen)), *exchange.recorded)

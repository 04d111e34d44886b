"""The outcome of a turn and its one log line, which contains no prompt, answer or key.

A job's Course measures the times of its turn and gives the Outcome.
"""

import logging
import time
from collections.abc import Callable

import msgspec

from codex_proxy import logs
from codex_proxy.activity import Activity, Doing
from codex_proxy.errors import NotReady, ProxyError, TurnTimeout, UpstreamFailed, WorkerFailed
from codex_proxy.turns import Continuation, MessageDelta, Turn, TurnCompleted, TurnEnd, TurnEvent, TurnFailed, TurnStarted, Usage

_log = logging.getLogger(__name__)


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """How a turn ended. Durations are in seconds.

    `first_text` and `took` count from when a worker got the turn, and are None if that never happened. `ending` is completed,
    interrupted (by a stop sequence, a limit or a cancel), client_left, timeout, queue_timeout or failed:<code of the error>.
    """

    turn: Turn
    ending: str
    waited: float
    first_text: float | None
    took: float | None
    usage: Usage | None
    error: ProxyError | None
    continuation: Continuation | None  # None if the turn never began

    def log(self) -> None:
        """Write the log line, leaving out what is unknown."""
        usage = self.usage
        members = {
            "model": self.turn.model,
            "mode": self.turn.mode,
            "ui_task": self.turn.task,
            "conversation": self.continuation,
            "sandbox": "none" if self.turn.mode == "chat" else self.turn.sandbox,
            "outcome": self.ending,
            "queue_seconds": round(self.waited, 3),
            "first_text_seconds": None if self.first_text is None else round(self.first_text, 3),
            "turn_seconds": None if self.took is None else round(self.took, 3),
            "input_tokens": usage and usage.input,
            "cached_tokens": usage and usage.cached,
            "output_tokens": usage and usage.output,
            "reasoning_tokens": usage and usage.reasoning,
            "tokens_counted": (usage and usage.counted) or None,  # by us, because the turn was cut off
            "error": self.error and f"{self.error} {self.error.detail}".rstrip(),
        }
        known = {name: value for name, value in members.items() if value is not None}
        level = logging.WARNING if isinstance(self.error, UpstreamFailed | WorkerFailed) else logging.INFO
        _log.log(level, "turn ended", extra={"members": known, "terminal": self._short()})
        if self.error is not None:
            self.error.logged = True

    def _short(self) -> str:
        """The line for a terminal: ✓ gpt-5.5 agent  0.6 s  14k→36 tok"""
        sign = "✓" if self.ending == "completed" else "■" if self.ending in ("interrupted", "client_left") else "✗"
        parts = [f"{sign} {self.turn.model} {self.turn.mode}"]
        if self.turn.task is not None:
            parts.append(self.turn.task)
        if self.took is not None:
            parts.append(f"{self.took:.1f} s")
        if self.waited >= 1.0:
            parts.append(f"waited {self.waited:.0f} s")
        if self.usage is not None:
            parts.append(f"{brief(self.usage.input)}→{brief(self.usage.output)} tok")
        if self.ending != "completed":
            parts.append("client left" if self.ending == "client_left" else self.ending.partition(":")[2] or self.ending)
        if self.error is not None:
            parts.append(f"{self.error} {self.error.detail}".rstrip())
        if key := logs.context().get("key"):
            parts.append(key)
        return "  ".join(parts)


def brief(count: int) -> str:
    """A short form of a number of tokens: 36, 1.4k, 14k."""
    return str(count) if count < 1000 else f"{count / 1000:.1f}k" if count < 10_000 else f"{count // 1000}k"


OnOutcome = Callable[[Outcome], None]


class Course:
    """Measures a turn from its submission on. `about` are the members of every log record about it."""

    def __init__(self, turn: Turn) -> None:
        self.about = {**logs.context(), "turn": turn.id}
        self._turn = turn
        self._submitted = time.monotonic()
        self._started: float | None = None
        self._first_text: float | None = None
        self._continuation: Continuation | None = None
        self._activity = Activity(self._submitted)

    @property
    def submitted(self) -> float:
        """When the turn was submitted, in monotonic seconds."""
        return self._submitted

    @property
    def started(self) -> float | None:
        """When a worker got the turn, in monotonic seconds; None while it waits for one."""
        return self._started

    @property
    def doing(self) -> Doing:
        """What the turn is doing now; `since` is in monotonic seconds."""
        return self._activity.doing

    def begin(self) -> None:
        """Note that a worker gets the turn."""
        self._started = time.monotonic()
        self._activity = Activity(self._started)

    def note(self, event: TurnEvent) -> bool:
        """Take in an event. Returns whether it changes what the turn is doing."""
        now = time.monotonic()
        if self._first_text is None and isinstance(event, MessageDelta):
            self._first_text = now
        if isinstance(event, TurnStarted):
            self._continuation = event.continuation
        return self._activity.note(event, now)

    def outcome(self, end: TurnEnd, *, left: bool, interrupted: bool) -> Outcome:
        """The outcome of the turn, which has just ended. `left`: the client has left; `interrupted`: a stop was requested."""
        now, started = time.monotonic(), self._started
        return Outcome(
            turn=self._turn,
            ending="client_left" if left else _ending(end, started=started is not None, interrupted=interrupted),
            waited=(now if started is None else started) - self._submitted,
            first_text=None if started is None or self._first_text is None else self._first_text - started,
            took=None if started is None else now - started,
            usage=end.usage,
            error=end.error if isinstance(end, TurnFailed) else None,
            continuation=self._continuation,
        )


def _ending(end: TurnEnd, *, started: bool, interrupted: bool) -> str:
    match end:
        case TurnCompleted():
            return "interrupted" if end.interrupted else "completed"
        case TurnFailed() if interrupted and not started:  # cancelled while waiting
            return "interrupted"
        case TurnFailed(error=NotReady()) if not started:
            return "queue_timeout"
        case TurnFailed(error=TurnTimeout()):
            return "timeout"
        case TurnFailed():
            return f"failed:{end.error.code or 'invalid_request'}"

"""How much of the account's rate limits is used up, as the CLI reports after the provider's answers and when asked.

All workers share one account and one Quota. Asking costs the CLI a request to the provider's backend, so an idle worker asks
now and then, and nobody waits for the answer.
"""

import logging
import math

import msgspec

from codex_proxy.codex import wire

_log = logging.getLogger(__name__)

_ASKED_EVERY = 300.0  # seconds
_WINDOWS_AT_MOST = 8


class Window(msgspec.Struct, frozen=True):
    """A window of a rate limit. `limit`: the limit's name, if any; `minutes`: its length; `resets_at`: seconds since the epoch."""

    limit: str | None
    used_percent: float
    minutes: int | None
    resets_at: int | None


class Quota:
    """The rate limits of one account. `windows` is empty when the CLI reports none."""

    def __init__(self) -> None:
        self._of: dict[str, tuple[Window, ...]] = {}  # by the limit's id
        self._asked = -math.inf  # monotonic seconds

    @property
    def windows(self) -> tuple[Window, ...]:
        return tuple(window for windows in self._of.values() for window in windows)[:_WINDOWS_AT_MOST]

    def due(self, now: float) -> bool:
        """Whether it is time to ask again; the caller must then ask. `now` is in monotonic seconds."""
        due = now - self._asked >= _ASKED_EVERY
        if due:
            self._asked = now
        return due

    def hear(self, content: msgspec.Raw) -> None:
        """Take in a notification or an answer. An unknown format is only logged, as it is no reason to fail a turn."""
        try:
            news = msgspec.json.decode(content, type=wire.LimitsNews)
        except msgspec.MsgspecError as error:
            _log.debug("the Codex CLI tells limits in an unknown form: %s", error)
            return
        if news.rate_limits_by_limit_id:
            self._of = {name: _windows(limits) for name, limits in news.rate_limits_by_limit_id.items()}
        elif windows := _windows(news.rate_limits):
            self._of[news.rate_limits.limit_id or ""] = windows


def _windows(limits: wire.Limits) -> tuple[Window, ...]:
    found = [window for window in (limits.primary, limits.secondary) if window is not None]
    return tuple(Window(limits.limit_name, one.used_percent, one.window_duration_mins, one.resets_at) for one in found)

"""Logging set-up: one line a record on stderr, as text or JSON, with the turn's id where there is one.

Prompts, answers and keys are never logged above debug. journald adds the time, so text lines carry none under systemd.
"""

import contextvars
import logging
import sys
import time

import msgspec

turn_id: contextvars.ContextVar[str] = contextvars.ContextVar("turn_id", default="-")


class _WithTurn(logging.Filter):
    def filter(self, record: logging.LogRecord) -> bool:
        record.turn = turn_id.get()
        return True


class _JsonLines(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        line = {
            "time": time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created)) + f".{int(record.msecs):03}Z",
            "level": record.levelname.lower(),
            "logger": record.name,
            "turn": turn_id.get(),
            "message": record.getMessage(),
        }
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return msgspec.json.encode(line).decode()


def set_up(level: str, log_format: str, *, under_systemd: bool) -> None:
    """Send all records of `level` and above to stderr."""
    handler = logging.StreamHandler(sys.stderr)
    handler.addFilter(_WithTurn())
    prefix = "" if under_systemd else "%(asctime)s "
    plain = logging.Formatter(prefix + "%(levelname)s %(name)s [%(turn)s] %(message)s")
    handler.setFormatter(_JsonLines() if log_format == "json" else plain)
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)

"""One log line for each refused request: what, where, whose, why. A flood of one kind is only counted."""

import logging

from aiohttp import web

from codex_proxy import logs
from codex_proxy.errors import ProxyError
from codex_proxy.web.rare_log import RareLog

_log = logging.getLogger(__name__)

_BURST = 20  # lines of one kind in ten seconds
_SERVERS_FAULT = 500


class Refusals:
    """Logs refusals. A kind is an error code, so that a stranger's flood of one kind hides no other."""

    def __init__(self) -> None:
        self._rare: dict[str, RareLog] = {}

    def tell(self, request: web.Request, status: int, error: ProxyError) -> None:
        """Log that a request was answered with this error, unless its turn's log line already says so."""
        if error.logged:
            return
        code = error.code or "invalid_request"
        why = f"{error.message} {error.detail}".rstrip()
        route = f"{request.method[:20]} {request.path[:200]}"
        members: dict[str, str | int] = {"status": status, "code": code, "route": route, "reason": why}
        key = logs.context().get("key")
        short = "  ".join(filter(None, (f"✗ {status} {code}", route, key, why)))
        level = logging.WARNING if status >= _SERVERS_FAULT else logging.INFO
        self._rare.setdefault(code, RareLog(_log, _BURST)).log(level, "refused", members, short)


of_this_process = Refusals()  # one per process, like the log

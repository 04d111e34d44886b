"""One line in the log for every request that was refused: what, where, whose, why. A flood of one kind is counted, not told."""

import logging

from aiohttp import web

from codex_proxy import logs
from codex_proxy.errors import ProxyError
from codex_proxy.web.rare_log import RareLog

_log = logging.getLogger(__name__)

_BURST = 20  # lines of one kind in ten seconds
_SERVERS_FAULT = 500


class Refusals:
    """The lines. A kind is an error's code, so a stranger's flood of one kind hides no other."""

    def __init__(self) -> None:
        self._rare: dict[str, RareLog] = {}

    def tell(self, request: web.Request, status: int, error: ProxyError) -> None:
        """Say that a request got this error for an answer, unless the line of its turn has said so."""
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


of_this_process = Refusals()  # as the log is

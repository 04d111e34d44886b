"""GET /x_codex/status: whether turns can run, and which are running, as far as the caller may know.

A caller sees its own turns, the operator everyone's. All times are in seconds since the epoch.
"""

import math
import time
from typing import Literal

import msgspec
from aiohttp import web

from codex_proxy import __version__
from codex_proxy.activity import Kind
from codex_proxy.ceilings import SANDBOXES
from codex_proxy.codex.quota import Quota
from codex_proxy.codex.worker_counts import WorkerCounts
from codex_proxy.job import Job
from codex_proxy.turns import Mode, Sandbox
from codex_proxy.web import errors
from codex_proxy.web.gates.auth import Caller
from codex_proxy.web.server import Server

State = Literal["queued", "running", "stopping"]


class Login(msgspec.Struct, frozen=True):
    """Codex's login. `usable`: there is an account, or none is needed. `provider` is shown to the operator."""

    usable: bool
    account: str | None
    plan: str | None
    provider: str | None
    local: bool


class Workers(msgspec.Struct, frozen=True):
    """CLI processes by state, and how many turns can run at once."""

    parallel: int
    starting: int
    idle: int
    busy: int


class QuotaWindow(msgspec.Struct, frozen=True):
    """How much of an account limit is used in the current window. `minutes` is the window's length."""

    limit: str | None
    used_percent: float
    minutes: int | None
    resets_at: int | None


class Queue(msgspec.Struct, frozen=True):
    """Turns waiting for a worker, and the queue's size."""

    waiting: int
    limit: int


class Doing(msgspec.Struct, frozen=True):
    """What a turn is doing now, and since when. `text` is one line, or empty if the kind says enough."""

    kind: Kind
    text: str
    since: float


class TurnNow(msgspec.Struct, frozen=True, kw_only=True):
    """A running or waiting turn. `key` is its owner's name. `directory` is shown to its owner and the operator."""

    id: str
    key: str
    own: bool
    state: State
    model: str
    effort: str | None
    mode: Mode
    sandbox: Sandbox | None
    network: bool
    directory: str
    submitted_at: float
    started_at: float | None
    doing: Doing | None


class You(msgspec.Struct, frozen=True):
    """The caller and what its requests may ask for. `sandboxes` and `workspaces` start with the default."""

    name: str
    operator: bool
    needs_key: bool
    default_mode: str
    default_effort: str
    sandboxes: tuple[str, ...]
    workspaces: tuple[str, ...]
    turn_timeout: float


class Status(msgspec.Struct, frozen=True, kw_only=True):
    """The server's status, as far as the caller may see it. If no turn can run, `reason` says why.

    `quota` is shown to the operator, if Codex reports one.
    """

    now: float
    started_at: float
    version: str
    cli_version: str
    ready: bool
    reason: str | None
    login: Login | None
    quota: tuple[QuotaWindow, ...]
    workers: Workers
    queue: Queue
    you: You
    turns: tuple[TurnNow, ...]


class Board:
    """The data that the console's routes read."""

    def __init__(self, server: Server, counts: WorkerCounts, cli_version: str, quota: Quota) -> None:
        self.server = server
        self.quota = quota
        self.counts = counts
        self.cli_version = cli_version
        self.started_at = _epoch(time.monotonic())

    async def view_of(self, request: web.Request) -> "View":
        """Admit a request and return its sender's view. Raises InvalidApiKey and RateLimited."""
        return View(self, await self.server.admit(request))


BOARD = web.AppKey("board", Board)


class View:
    """The part of the server's state that one caller may see."""

    def __init__(self, board: Board, caller: Caller) -> None:
        server = board.server
        self._board = board
        self._server = server
        self._caller = caller
        self._you = _you(server, caller)
        self.sight = (caller.known_as, caller.operator)  # views with the same value show the same

    @property
    def owner(self) -> str:
        return self._caller.owner

    def status(self) -> Status:
        """Return the present status."""
        server, facts = self._server, self._server.supervisors.facts
        states = self._board.counts.states
        reason = server.trouble()
        provider = facts.provider if facts and self._caller.operator else None
        return Status(
            now=time.time(),
            started_at=self._board.started_at,
            version=__version__,
            cli_version=self._board.cli_version,
            ready=reason is None,
            reason=reason,
            login=Login(facts.usable, facts.account, facts.plan, provider, facts.provider_local) if facts else None,
            quota=self._quota(),
            workers=Workers(server.settings.max_parallel, states["starting"], states["idle"], states["busy"]),
            queue=Queue(server.jobs.waiting, server.jobs.size),
            you=self._you,
            turns=tuple(self._turn(job) for job in server.jobs.open if self.sees(job)),
        )

    def _quota(self) -> tuple[QuotaWindow, ...]:
        """Return the windows that have not ended: the usage of their successors is not known yet."""
        windows = self._board.quota.windows if self._caller.operator else ()
        present = [one for one in windows if one.resets_at is None or one.resets_at > time.time()]
        return tuple(QuotaWindow(one.limit, one.used_percent, one.minutes, one.resets_at) for one in present)

    def turn(self, turn_id: str) -> Job | None:
        """Return the job of a turn that has not ended; None if there is none, or the caller may not see it."""
        return next((job for job in self._server.jobs.open if job.turn.id == turn_id and self.sees(job)), None)

    def sees(self, job: Job) -> bool:
        """Return whether the caller owns the turn or is the operator."""
        return self._caller.operator or job.whose == self._caller.known_as

    def _turn(self, job: Job) -> TurnNow:
        turn, course = job.turn, job.course
        own = job.whose == self._caller.known_as
        queued = course.started is None
        doing = course.doing
        hidden = doing.kind == "search" and not own  # a search query reveals much of what its owner asked
        return TurnNow(
            id=turn.id,
            key=self._server.callers.name_of(job.whose),
            own=own,
            state="stopping" if job.interrupted.is_set() else "queued" if queued else "running",
            model=turn.model,
            effort=turn.effort,
            mode=turn.mode,
            sandbox=None if turn.mode == "chat" else turn.sandbox,
            network=turn.network,
            directory=turn.cwd,
            submitted_at=_epoch(course.submitted),
            started_at=None if course.started is None else _epoch(course.started),
            doing=None if queued else Doing(doing.kind, "" if hidden else doing.text, _epoch(doing.since)),
        )


def _you(server: Server, caller: Caller) -> You:
    settings, scope = server.settings, caller.scope
    highest = min(SANDBOXES.index(scope.sandbox), SANDBOXES.index(settings.sandbox_ceiling))
    usual = SANDBOXES[min(highest, SANDBOXES.index(settings.sandbox))]
    places = scope.workspaces or (settings.workdir, *settings.workspaces)
    return You(
        name=server.callers.name_of(caller.known_as),
        operator=caller.operator,
        needs_key=settings.has_keys,
        default_mode=settings.default_mode,
        default_effort=settings.reasoning_effort,
        sandboxes=(usual, *(name for name in SANDBOXES[: highest + 1] if name != usual)),
        workspaces=tuple(map(str, places)),
        turn_timeout=settings.turn_timeout,
    )


_BETWEEN_CLOCKS = time.time() - time.monotonic()  # computed once, so that the same time always converts to the same value


def _epoch(monotonic: float) -> float:
    return math.floor((monotonic + _BETWEEN_CLOCKS) * 1000) / 1000


async def show(request: web.Request) -> web.Response:
    """Return the status, for holders of a key."""
    view = await request.app[BOARD].view_of(request)
    answer = errors.json_response(msgspec.json.encode(view.status()))
    answer.headers["Cache-Control"] = "no-store"
    return answer

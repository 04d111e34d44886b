"""Server: the state that handlers share. A turn passes a single gate: key, rate, body, policy, queue, in this order."""

import asyncio
import math
import time
import uuid
from collections.abc import Callable

from aiohttp import web

from codex_proxy import logs, policy
from codex_proxy.catalog import Facts
from codex_proxy.codex import tools
from codex_proxy.codex.warm import StartWorker
from codex_proxy.decoding import Decoding
from codex_proxy.dialects import ui_tasks
from codex_proxy.dialects.images import Read
from codex_proxy.errors import NotReady, ProxyError
from codex_proxy.history import History, Image, Part
from codex_proxy.job import Job
from codex_proxy.jobs import JobQueue
from codex_proxy.lifecycle.background import Backgrounds
from codex_proxy.lifecycle.claims import Claims, Held
from codex_proxy.lifecycle.conversations import Conversations
from codex_proxy.lifecycle.instance import Instance
from codex_proxy.lifecycle.recent import Recent
from codex_proxy.outcome import OnOutcome
from codex_proxy.packing import Packed
from codex_proxy.pdf.reader import PdfReader
from codex_proxy.settings import Settings
from codex_proxy.slots import Slots
from codex_proxy.store.base import Store
from codex_proxy.supervisor import Supervisors
from codex_proxy.systemd import Systemd
from codex_proxy.threads import digest
from codex_proxy.threads.traces import Traces
from codex_proxy.turns import Turn
from codex_proxy.web.answers import Answers
from codex_proxy.web.followers import Followers
from codex_proxy.web.gates.auth import Caller, Callers
from codex_proxy.web.gates.bodies import Bodies, Body
from codex_proxy.web.gates.limits import RateLimit
from codex_proxy.web.image_fetch import ImageFetch
from codex_proxy.web.socket_life import SocketTimes
from codex_proxy.wish import Wish

_TO_WRITE = 60.0  # seconds that a response may take besides its turn
_QUIET = 1.0  # seconds; health checks come about as often

NOT_LOGGED_IN = "Codex is not logged in"
_TASK_AT_MOST = 256 * 1024  # bytes of a chat UI's own request; a larger one is counted before it is read
_TASKS_PER_REQUEST = 4  # that a chat UI sends per message: title, tags, follow-ups, search queries
TaskOf = Callable[[bytes | bytearray], str | None]  # returns the chat UI task that a body asks for
_FOLLOWERS = 128, 32  # of background responses: in total, and per caller
_LISTS = 4, 1  # lists of stored responses being read: in total, and per caller
_HISTORIES = 4, 1  # stored histories being read and decoded: in total, and per caller
_WATCHERS = 256, 64  # open consoles; 50 idle ones cost about 1 % of a core
_SOCKETS = (1024, 256)  # open at a time
_RECENT_BODIES = 4  # times the largest body: memory for responses that are not stored, while their sockets are open
COMMIT_AFTER = 10.0  # seconds that a stream waits for its first event before committing to 200; a provider's 401 takes 6.5
_RETRY_AFTER = 2.0  # seconds; a worker starts in less than one


class Server:
    """The settings, the queue and the supervisors behind the routes."""

    def __init__(self, settings: Settings, store: Store, start: StartWorker, on_outcome: OnOutcome) -> None:
        """`on_outcome` is called for every turn that ends."""
        self.settings = settings
        self.jobs = JobQueue(settings.max_queued, settings.queue_timeout, settings.max_parallel, on_outcome)
        self.supervisors = Supervisors(self.jobs, start, settings)
        shared = settings.store != "memory" and settings.store_file is None
        self.traces = Traces(store, settings.conversation_minutes * 60, shared=shared)
        self.store = store
        self.decoding = Decoding()
        self.answers = Answers()
        self.histories = Slots("stored conversations are being read", *_HISTORIES)
        self.lists = Slots("lists of stored responses are being read", *_LISTS)
        self.instance = Instance(store)
        self.backgrounds = Backgrounds(store)
        turn_time = settings.queue_timeout + settings.turn_timeout
        outbox, name = self.instance.outbox, self.instance.name
        self.claims = Claims(store, outbox, turn_time, name)
        self.conversations = Conversations(store, outbox, turn_time + _TO_WRITE, self.decoding, name)
        self.systemd = Systemd(settings.environ)
        self.leaving = False  # still serving, but not ready: clients should go elsewhere
        self.hurried = asyncio.Event()  # stopping without waiting for anything
        self._last_asked = -math.inf  # monotonic seconds
        self.callers = Callers(settings)
        self.pdfs = PdfReader()
        self.image_fetch = ImageFetch(allowed=settings.image_fetch, most_bytes=settings.max_body_mb * 1024 * 1024)
        most = settings.max_bodies_mb or 2 * settings.max_body_mb
        self.bodies = Bodies(settings.max_body_mb * 1024 * 1024, most * 1024 * 1024)
        self.followers = Followers(*_FOLLOWERS)
        self.watchers = Followers(*_WATCHERS)
        self.sockets = Followers(*_SOCKETS)
        self.socket_times = SocketTimes()
        self.recent = Recent(_RECENT_BODIES * settings.max_body_mb * 1024 * 1024)
        self.rate = RateLimit(settings.rate_limit_per_minute, store)

    async def admit_body(self, request: web.Request, task_of: TaskOf = lambda _: None) -> tuple[Caller, Body]:
        """Check a request's key and rate, and read its body, which the caller must release. Raises what is wrong with them.

        A request that `task_of` recognizes as a chat UI's own task is counted separately and does not use up a person's rate.
        """
        self._last_asked = time.monotonic()
        if self.settings.ui_tasks != "chat" or (request.content_length or math.inf) > _TASK_AT_MOST:
            return await self.admit(request), await self.bodies.read(request)
        who = self.identify(request)
        body = await self.bodies.read(request)
        try:
            if _is_task(body.content, task_of):
                await self.rate.count(request, f"{who.known_as} tasks", self.rate.of(who.rate_limit) * _TASKS_PER_REQUEST)
            else:
                await self.rate.count(request, who.known_as, who.rate_limit)
        except BaseException:
            body.let_go()
            raise
        return who, body

    async def admit(self, request: web.Request) -> Caller:
        """Check the key and rate of a request that needs a key; returns its caller. Raises InvalidApiKey and RateLimited."""
        who = self.identify(request)
        await self.rate.count(request, who.known_as, who.rate_limit)
        return who

    def identify(self, request: web.Request) -> Caller:
        """Identify the caller. Raises InvalidApiKey and RateLimited."""
        who = self.callers.identify(request)
        if self.settings.has_keys:
            logs.say_also({"key": self.callers.name_of(who.known_as)})
        return who

    async def quiet(self) -> None:
        """Wait until no request has come for a while: load balancers have noticed that we are leaving.

        Has no timeout of its own.
        """
        if (rest := self._last_asked + _QUIET - time.monotonic()) > 0:
            await asyncio.sleep(rest)
            await self.quiet()

    def facts(self) -> Facts:
        """Return what the CLI reported about itself. Raises NotReady while there is no worker."""
        facts = self.supervisors.facts
        if facts is None or not self.supervisors.ready:
            raise NotReady("No Codex worker is running yet. Try again.", retry_after=_RETRY_AFTER)
        return facts

    async def images_of(self, wish: Wish, who: Caller) -> Read:
        """Fetch a wish's image URLs and read its PDF files. Nothing is read for a wish that `decide` refuses."""
        links = [image for image in wish.images if image.place]
        if not (links or wish.pdfs):
            return {}
        model = self.facts().catalog.choose(self.decide(wish, who).model).model
        fetched = await self.image_fetch.fetch(links, who.known_as)
        read: dict[Image, tuple[Part, ...]] = {link: (Image(fetched[link.url], link.detail),) for link in links}
        images = "image" in model.modalities
        return read | await self.pdfs.read(wish.pdfs, who.known_as, images=images, beside=len(wish.images))

    async def turn(self, wish: Wish, who: Caller, size: int) -> Turn:
        """Return the turn for a wish of `size` bytes, in the conversation that it continues. Raises what `decide` does."""
        turn = self.decide(wish, who)
        if not self.traces.threads.enabled or turn.task is not None:  # nothing continues from a chat UI's own task
            return turn
        digests = await self.decoding.run(size, digest.of_turn, turn, who.owner, wish.apart)
        return await self.traces.continued(turn, digests, who.owner, private=wish.private)

    async def begin(self, turn: Packed, body: Body, who: Caller, held: Held | None, response_id: str | None = None) -> Job:
        """Queue a turn, which replaces its body. Raises what `check_room`, `submit` and `bind` do."""
        last = turn.turn.task is not None
        self.jobs.check_room(who.known_as, last=last)
        if held is not None:
            await held.bind(response_id)
        job = self.jobs.submit(turn, who.known_as, who.parallel_turns, last=last, let_go=body.let_go)
        body.queue(len(turn.content))
        if held is not None:
            held.job = job
        return job

    def remember(self, who: Caller, job: Job, answer: tuple[History, ...], whole: bool) -> None:
        """Save where a job's conversation stands, including the answer given to the client, `whole` if it was not cut off."""
        self.traces.remember(who.owner, job.turn, answer, job.trace if whole else None)

    def decide(self, wish: Wish, who: Caller) -> Turn:
        """Return the turn for a wish. Raises what `policy.decide` and `tools.check` do, and NotReady."""
        turn = policy.decide(wish, self.facts(), self.settings, who.scope, uuid.uuid4().hex)
        tools.check(turn.tools, turn.mode)
        return turn

    @property
    def ending(self) -> bool:
        """True once the server is stopping: open-ended streams must end now."""
        return self.leaving or self.jobs.closed

    def trouble(self) -> str | None:
        """Return why no turn could run now, in words safe to show; None if one could."""
        if self.ending:
            return "shutting down"
        facts = self.supervisors.facts
        if facts is None or not self.supervisors.ready:
            return self.supervisors.trouble or "no worker"
        if not facts.usable:
            return NOT_LOGGED_IN
        if self.settings.local_only and not facts.provider_local:
            return "the model provider is not local"
        return "queue full" if self.jobs.full else None


def turn_headers(turn: Turn, ignored: tuple[str, ...]) -> dict[str, str]:
    """Return the headers about a turn: the sandbox that it ran in, and the members of the request that had no effect."""
    sandbox = f"{turn.sandbox} with network" if turn.network else turn.sandbox
    told = {"x-codex-sandbox": "none: no command can run" if turn.mode == "chat" else sandbox}
    told |= {"x-codex-effort": turn.effort} if turn.effort else {}
    told |= {"x-codex-ui-task": turn.task} if turn.task else {}
    return told | ({"x-codex-ignored": ", ".join(ignored)} if ignored else {})


def _is_task(raw: bytes | bytearray, task_of: TaskOf) -> bool:
    try:
        return ui_tasks.looks_like_one(raw) and task_of(raw) is not None
    except ProxyError:
        return False  # decoding it in full later reports what is wrong


SERVER = web.AppKey("server", Server)


def unix_now() -> int:
    """Return the seconds since the epoch, for `created`."""
    return int(time.time())

"""The store for several instances that share one Redis server (not a cluster). Needs the extra `redis`.

Every step is one script of `redis_scripts`. No command is ever sent twice: a repeated claim would find itself.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import msgspec
from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.client import PubSub
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as NotConnected
from redis.exceptions import RedisError

from codex_proxy import tasks
from codex_proxy.errors import ProxyError, RecordEnded, StorageFull, StoreUnavailable
from codex_proxy.store import base, redis_claims, redis_conversations, redis_pages, redis_records, redis_scripts, redis_traces
from codex_proxy.store.base import ENDED_MESSAGE, Amendment, Change, Claim, Extent, Listed, Order, Record, StoredEvent, StoredTrace
from codex_proxy.store.changes import Changes
from codex_proxy.store.rates import Hit

EVENTS_AT_ONCE = 1000
_CONNECT_TIMEOUT = 3.0
_SOCKET_TIMEOUT = 5.0  # the slowest step, a sweep, takes 0.1 s on the server
_CONNECTIONS = 32  # per instance; a call waits for a free one no longer than for an answer
_LOOKED_AT = 1000  # records of any owner that one page of a list looks at
_SWEPT_AT_ONCE = 1000  # records; Redis serves nobody else meanwhile
_EXPIRY_GRACE = 3600.0  # `sweep` forgets by the caller's clock and keeps the books; without sweeps, keys expire by themselves
_HEARTBEAT = 15.0  # silence after which the listener pings the server
_LISTEN_AGAIN = 0.5  # between attempts to reconnect
_FAILURES = (RedisError, OSError, ValueError)  # redis-py raises ValueError for some answers that are not Redis's
_log = logging.getLogger(__name__)


class RedisStore:
    """A store in Redis. Beyond `max_bytes`, what ended first of the largest owner goes first; after `ttl` seconds, any.

    All instances must have the same bounds.
    """

    def __init__(self, client: Redis, password: str | None, ttl: float, max_bytes: int) -> None:
        self.failures = Counter[str]()
        self._client = client
        self._password = password
        self._ttl = ttl
        self._life = round((ttl + _EXPIRY_GRACE) * 1000)
        self._max_bytes = max_bytes
        self._changes = Changes()
        self._readable = redis_records.Readable()
        self._listener: asyncio.Task[None] | None = None
        self._news: PubSub | None = None  # while it is connected
        self._holder, self._lease = "", 0  # milliseconds

    @classmethod
    @asynccontextmanager
    async def opened(cls, url: str, ttl: float, max_bytes: int) -> AsyncIterator["RedisStore"]:
        """Connect to the server of a redis://, rediss:// or unix:// URL. Raises StoreUnavailable if it does not answer."""
        try:
            pool: BlockingConnectionPool = BlockingConnectionPool.from_url(
                url,
                max_connections=_CONNECTIONS,
                timeout=_SOCKET_TIMEOUT,
                socket_connect_timeout=_CONNECT_TIMEOUT,
                socket_timeout=_SOCKET_TIMEOUT,
                socket_keepalive=True,
                protocol=2,
                encoding_errors="surrogateescape",  # a key is whatever a client sent in a header
                retry=Retry(NoBackoff(), 0),
            )
        except ValueError:  # the error's text may quote the password
            raise StoreUnavailable("The store is not available.", detail="PROXY_STORE is not the URL of a Redis server") from None
        store = cls(Redis.from_pool(pool), pool.connection_kwargs.get("password"), ttl, max_bytes)
        try:
            await store._run(redis_scripts.PING)
            await store._load()
            store._listener = tasks.spawn("listener of the store", store._listen())
            yield store
        finally:
            await store.close()

    async def create(self, record: Record, input_items: bytes, conversation: bytes) -> None:
        size = len(record.body) + len(input_items) + len(conversation)
        fields = [*redis_records.fields(record), "input_items", input_items, "conversation", conversation]
        bounds = (size, self._life, self._max_bytes, record.created_at)
        lease = self._lease if record.holder == self._holder else 0
        await self._run_with_room(redis_scripts.CREATE, record.id, *bounds, record.holder or "", lease, *fields)

    async def update(self, change: Change) -> bool:
        parts = [part for one in change.parts for part in (one.number, one.content)]
        events = [part for one in change.events for part in (one.number, msgspec.msgpack.encode(one))]
        bounds = (change.size, self._life, self._max_bytes)
        after = "" if change.after is None else change.after
        state = (change.status, after, change.last_event, int(change.body is not None), change.body or b"")
        done = await self._run_with_room(redis_scripts.UPDATE, change.id, *bounds, *state, len(parts), *parts, *events)
        if done < 0:
            raise RecordEnded(ENDED_MESSAGE)
        return bool(done)

    async def amend(self, owner: str, amendment: Amendment) -> bool:
        bounds = (self._life, self._max_bytes)
        return bool(await self._run_with_room(redis_conversations.AMEND, owner, *bounds, *redis_conversations.values(amendment)))

    async def get(self, owner: str, record_id: str) -> Record | None:
        found = await self._run(redis_scripts.GET, record_id, owner)
        return redis_records.record(record_id, found) if found else None

    async def input_items(self, owner: str, record_id: str) -> bytes | None:
        found: bytes | None = await self._run(redis_scripts.INPUT_ITEMS, record_id, owner)
        return found

    async def sizes(self, owner: str, record_id: str) -> base.Sizes | None:
        found = await self._run(redis_pages.SIZES_OF, record_id, owner)
        return base.Sizes(*found) if found else None

    async def conversation(self, owner: str, record_id: str) -> list[bytes] | None:
        found: list[bytes] | None = await self._run(redis_scripts.CONVERSATION, record_id, owner)
        return found

    async def latest(self, owner: str, limit: int, most: int, after: str = "") -> tuple[list[Listed], str]:
        found, place = await self._run(redis_pages.LATEST, owner, after, limit, _LOOKED_AT, most)
        return [Listed(redis_records.record(record_id.decode(), state), items) for record_id, state, items in found], place.decode()

    async def delete(self, owner: str, record_id: str) -> bool:
        return bool(await self._run(redis_scripts.DELETE, record_id, owner))

    async def want_cancel(self, owner: str, record_id: str) -> bool:
        return bool(await self._run(redis_scripts.WANT_CANCEL, record_id, owner))

    async def events(self, owner: str, record_id: str, after: int) -> list[StoredEvent]:
        found = await self._run(redis_pages.EVENTS, record_id, owner, after, EVENTS_AT_ONCE, base.EVENTS_BYTES)
        return [msgspec.msgpack.decode(event, type=StoredEvent) for event in found]

    async def find(self, owner: str, record_id: str, types: Sequence[str]) -> list[StoredEvent]:
        found = await self._run(redis_conversations.FIND, record_id, owner, *types)
        return [msgspec.msgpack.decode(event, type=StoredEvent) for event in found]

    async def page(self, owner: str, record_id: str, limit: int, order: Order, beyond: int | None, most: int) -> base.Page:
        place = "" if beyond is None else beyond
        found, more = await self._run(redis_pages.PAGE, record_id, owner, limit, order, place, most)
        return base.Page([msgspec.msgpack.decode(event, type=StoredEvent) for event in found], bool(more))

    async def extent(self, owner: str, record_id: str) -> Extent | None:
        found = await self._run(redis_conversations.EXTENT, record_id, owner)
        return Extent(found[0], int(found[1])) if found else None

    async def changed(self, record_id: str, timeout: float) -> None:
        """May return early; does so within 0.5 s if a change may have been missed before the wait began."""
        await self._changes.wait(record_id, timeout)

    async def claim(self, key: str, owner: str, fingerprint: str, holder: str, lease: float) -> Claim | None:
        found = await self._run_with_room(redis_claims.CLAIM, key, owner, fingerprint, holder, _milliseconds(lease))
        return redis_claims.claim(*found) if found else None

    async def bind(self, key: str, holder: str, ttl: float, response_id: str | None) -> bool:
        more = () if response_id is None else (response_id,)
        return bool(await self._run(redis_claims.BIND, key, holder, _milliseconds(ttl), *more))

    async def answer(self, key: str, holder: str, answer: bytes) -> None:
        await self._run(redis_claims.ANSWER, key, holder, answer, self._life, self._max_bytes)

    async def release(self, key: str, holder: str) -> None:
        await self._run(redis_claims.RELEASE, key, holder)

    async def keep_trace(self, owner: str, name: str, identity: str, content: bytes, ttl: float, instead: str) -> None:
        kept = (owner, name, identity, content, _milliseconds(ttl), instead, self._life, self._max_bytes)
        await self._run_with_room(redis_traces.KEEP, *kept)

    async def trace(self, owner: str, names: Sequence[str]) -> StoredTrace:
        name, content, ambiguous = await self._run(redis_traces.FIND, owner, *names)
        return StoredTrace(name.decode(), content, frozenset(one.decode() for one in ambiguous))

    async def renew(self, holder: str, lease: float) -> None:
        if holder != self._holder and self._news is not None:
            with self._in_our_words():
                await self._news.subscribe(redis_scripts.ALIVE + holder)
        self._holder, self._lease = holder, _milliseconds(lease)
        await self._run(redis_scripts.RENEW, holder, self._lease)

    async def alive(self, holder: str) -> bool:
        return bool(await self._run(redis_scripts.IS_ALIVE, holder))

    async def orphans(self) -> list[Record]:
        return self._readable.records(await self._run(redis_scripts.ORPHANS))

    async def held(self, holder: str) -> list[Record]:
        return self._readable.records(await self._run(redis_scripts.HELD, holder))

    async def hit(self, caller: str, amount: int, window: float) -> Hit | None:
        granted, remaining, reset = await self._run(redis_scripts.HIT, caller, amount, _milliseconds(window))
        return Hit(bool(granted), remaining, reset / 1000)

    async def sweep(self, now: int) -> None:
        step = (now - self._ttl, self._life, self._max_bytes, _SWEPT_AT_ONCE)
        while await self._run(redis_scripts.SWEEP, *step) == _SWEPT_AT_ONCE:
            pass

    async def close(self) -> None:
        if self._listener is not None:
            await tasks.see_out(self._listener)
        await self._client.aclose()

    async def _run_with_room(self, script: str, *arguments: str | bytes | float) -> Any:
        """Run a script; if the server is full, old entries make room for new ones. Redis does nothing of a step that it refuses."""
        while True:
            try:
                return await self._run(script, *arguments)
            except StorageFull:
                if not await self._run(redis_scripts.MAKE_ROOM):
                    raise

    async def _run(self, script: str, *arguments: str | bytes | float) -> Any:  # Any: each script has its own result
        with self._in_our_words():
            return await self._client.register_script(redis_scripts.SHARED + script)(args=arguments)

    async def _load(self) -> None:
        """Load all scripts, so that no first call sends its arguments twice."""
        async with self._client.pipeline(transaction=False) as pipeline:
            for script in (*redis_scripts.ALL, *redis_pages.ALL, *redis_claims.ALL, *redis_conversations.ALL, *redis_traces.ALL):
                pipeline.script_load(redis_scripts.SHARED + script)
            with self._in_our_words():
                await pipeline.execute()

    @contextmanager
    def _in_our_words(self) -> Iterator[None]:
        """Translate errors into ours; also raises a cancellation that redis-py swallowed, whether its call succeeded or failed."""
        cancels = _cancels()
        try:
            yield
        except _FAILURES as error:
            if _cancels() > cancels:
                raise asyncio.CancelledError from error
            ours = self._ours(error)
            self.failures[str(ours.code)] += 1
            raise ours from error
        if _cancels() > cancels:
            raise asyncio.CancelledError

    def _ours(self, error: Exception) -> ProxyError:
        detail = f"Redis: {error}"
        if self._password:  # an old server quotes an AUTH that it does not know
            detail = detail.replace(self._password, "***")
        if "command not allowed when used memory" in detail:
            return StorageFull("The store is full.", detail=detail)
        return StoreUnavailable("The store is not available.", detail=detail)

    async def _listen(self) -> None:
        told = ""
        while not _cancels():
            try:
                await self._hear_changes()
            except _FAILURES as error:
                detail = self._ours(error).detail
                if self._changes.listening or detail != told:  # once per outage
                    _log.warning("no news from the store, trying again: %s", detail)
                told = detail
                self._changes.listening = False
                await asyncio.sleep(_LISTEN_AGAIN)

    async def _hear_changes(self) -> None:
        async with self._client.pubsub() as channel:
            await channel.subscribe(redis_scripts.CHANGES)
            self._news = channel  # from now on `renew` subscribes by itself
            if self._holder:
                await channel.subscribe(redis_scripts.ALIVE + self._holder)
            try:
                await self._hear_from(channel)
            finally:
                self._news = None

    async def _hear_from(self, channel: PubSub) -> None:
        asked = False
        while not _cancels():
            message = await channel.get_message(timeout=_HEARTBEAT)
            if message is None and asked:
                raise NotConnected("no answer to a ping")
            if asked := message is None:
                await channel.ping()
            elif message["type"] == "subscribe":
                self._changes.begin()
            elif message["type"] == "message" and message["channel"] == redis_scripts.CHANGES.encode():
                self._changes.hear(message["data"].decode(errors="surrogateescape"))


def _cancels() -> int:
    """Return how often this task was cancelled. On Python 3.11, redis-py loses a cancellation while it sends (`wait_for`)."""
    task = asyncio.current_task()
    return 0 if task is None else task.cancelling()


def _milliseconds(seconds: float) -> int:
    return max(1, round(seconds * 1000))  # Redis refuses 0
